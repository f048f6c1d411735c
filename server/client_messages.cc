#include "server/client_messages.h"

#include <string>

namespace promptdb {

namespace {

WireFormat FormatOf(int16_t code) {
  if (code != 0 && code != 1) {
    throw ProtocolError("format code " + std::to_string(code) + " is neither 0 nor 1");
  }
  return static_cast<WireFormat>(code);
}

}  // namespace

StartupMessage ReadStartupMessage(std::string_view packet) {
  FieldReader fields(packet);
  StartupMessage message;
  message.version = fields.Int32();
  if (message.version >> 16 != kProtocolVersion >> 16) return message;
  while (true) {
    const std::string_view name = fields.String();
    if (name.empty()) break;
    const std::string_view value = fields.String();
    message.parameters.emplace_back(name, value);
  }
  fields.End();
  return message;
}

CancelMessage ReadCancelMessage(std::string_view packet) {
  FieldReader fields(packet);
  if (fields.Int32() != kCancelRequestCode) throw ProtocolError("this is no cancel request");
  CancelMessage message;
  message.id = fields.Int32();
  message.secret = fields.Int32();
  fields.End();
  return message;
}

SaslInitialMessage ReadSaslInitialMessage(std::string_view body) {
  FieldReader fields(body);
  SaslInitialMessage message;
  message.mechanism = fields.String();
  message.response = fields.Value();
  fields.End();
  return message;
}

std::string_view ReadQueryMessage(std::string_view body) {
  FieldReader fields(body);
  const std::string_view text = fields.String();
  fields.End();
  return text;
}

ParseMessage ReadParseMessage(std::string_view body) {
  FieldReader fields(body);
  ParseMessage message;
  message.name = fields.String();
  message.text = fields.String();
  message.types = fields.List([&] { return fields.Int32(); });
  fields.End();
  return message;
}

BindMessage ReadBindMessage(std::string_view body) {
  FieldReader fields(body);
  const auto read_format = [&] { return FormatOf(fields.Int16()); };
  BindMessage message;
  message.portal = fields.String();
  message.statement = fields.String();
  message.value_formats = fields.List(read_format);
  message.values = fields.List([&] { return fields.Value(); });
  message.result_formats = fields.List(read_format);
  fields.End();
  if (message.value_formats.size() > 1 && message.value_formats.size() != message.values.size()) {
    throw ProtocolError("bind message has " + std::to_string(message.value_formats.size()) +
                        " parameter formats but " + std::to_string(message.values.size()) +
                        " parameters");
  }
  return message;
}

TargetMessage ReadTargetMessage(std::string_view body) {
  FieldReader fields(body);
  const char kind = fields.Byte();
  if (kind != 'S' && kind != 'P') throw ProtocolError("the message is for a statement or a portal");
  TargetMessage message;
  message.is_portal = kind == 'P';
  message.name = fields.String();
  fields.End();
  return message;
}

ExecuteMessage ReadExecuteMessage(std::string_view body) {
  FieldReader fields(body);
  ExecuteMessage message;
  message.portal = fields.String();
  message.max_rows = fields.Int32();
  fields.End();
  return message;
}

}  // namespace promptdb
