// A client's messages of PostgreSQL's protocol: what is read of one and written again is the same
// bytes. Its first byte is the message's type, as on the wire; 0 is a startup packet, 1 and 2 are
// the messages of a login.
#include <array>

#include "auth/scram.h"
#include "server/client_messages.h"
#include "server/client_statement.h"
#include "server/parameter_values.h"
#include "tests/fuzz/target.h"

namespace promptdb {
namespace {

// The body that `write` writes, without a type and a length.
template <typename Write>
std::string BodyOf(Write write) {
  MessageWriter out;
  out.Begin('x');
  write(out);
  out.Finish();
  return out.Take().substr(5);
}

void CheckRoundTrip(std::string_view body, const std::string& written) {
  Check(body == written, "a message is the same when it is written again");
}

void ReadStatement(std::string_view text) {
  if (!IsValidUtf8(text)) return;  // and refused
  const std::vector<ClientToken> tokens = TokensOf(text);
  for (const ClientToken& token : tokens) {
    Check(token.range.begin >= 0 && token.range.begin <= token.range.end &&
              static_cast<size_t>(token.range.end) <= text.size(),
          "a lexeme lies in its text");
  }
  const auto statement = ReadClientStatement(tokens, DefaultClientParameters());
  if (statement && statement->kind == ClientStatement::Kind::kSet) {
    const std::string value = CheckedClientValue(statement->name, statement->value);
    if (value.empty()) return;
    if (statement->name == "statement_timeout") {
      Check(TimeoutMilliseconds(value) >= 0, "a timeout is not negative");
    }
  }
}

void ReadStartup(std::string_view body) {
  const StartupMessage startup = ReadStartupMessage(body);
  if (startup.version >> 16 != kProtocolVersion >> 16) return;
  CheckRoundTrip(body, BodyOf([&](MessageWriter& out) {
                   out.Int32(startup.version);
                   for (const auto& [name, value] : startup.parameters) {
                     out.String(name).String(value);
                   }
                   out.Byte('\0');
                 }));
  for (const auto& [name, value] : startup.parameters) TokensOf(value);
}

void ReadParse(std::string_view body) {
  const ParseMessage message = ReadParseMessage(body);
  CheckRoundTrip(body, BodyOf([&](MessageWriter& out) {
                   out.String(message.name).String(message.text);
                   out.Int16(static_cast<int16_t>(message.types.size()));
                   for (const int32_t type : message.types) out.Int32(type);
                 }));
  ReadStatement(message.text);
}

void ReadBind(std::string_view body) {
  const BindMessage message = ReadBindMessage(body);
  const auto write_formats = [](const std::vector<WireFormat>& formats, MessageWriter& out) {
    out.Int16(static_cast<int16_t>(formats.size()));
    for (const WireFormat format : formats) out.Int16(static_cast<int16_t>(format));
  };
  CheckRoundTrip(body, BodyOf([&](MessageWriter& out) {
                   out.String(message.portal).String(message.statement);
                   write_formats(message.value_formats, out);
                   out.Int16(static_cast<int16_t>(message.values.size()));
                   for (const auto& value : message.values) {
                     out.Int32(value ? static_cast<int32_t>(value->size()) : -1);
                     if (value) out.Bytes(*value);
                   }
                   write_formats(message.result_formats, out);
                 }));
  static constexpr std::array kTypes = {0,          oid::kBool,   oid::kInt2,    oid::kInt4,
                                        oid::kInt8, oid::kFloat4, oid::kFloat8,  oid::kText,
                                        oid::kOid,  oid::kName,   oid::kNumeric, 12345};
  for (size_t i = 0; i < message.values.size() && i < 64; ++i) {
    for (const int32_t type : kTypes) {
      const auto read = [&] {
        ParameterValue(static_cast<int>(i) + 1, type, FormatAt(message.value_formats, i),
                       message.values[i]);
      };
      Survives("", read, Lines::kMany);
    }
  }
}

void ReadLogin(std::string_view body, bool is_first) {
  const ScramVerifier verifier = DecoyVerifier("ada", "a secret of the process");
  ScramExchange exchange(verifier);
  if (is_first) {
    const SaslInitialMessage message = ReadSaslInitialMessage(body);
    if (message.response) exchange.Start(*message.response);
  } else {
    Check(exchange.Start("n,,n=,r=abcdefgh").has_value(), "a right beginning is taken");
    Check(!exchange.Finish(body).has_value(), "nobody logs in without the password");
  }
  if (const auto read = ScramVerifier::Parse(body)) {
    Check(ScramVerifier::Parse(read->Format()).has_value(), "a verifier can be read again");
  }
}

void ReadMessage(char type, std::string_view body) {
  switch (type) {
    case 0:
      return ReadStartup(body);
    case 1:
    case 2:
      return ReadLogin(body, type == 1);
    case 'Q':
      return ReadStatement(ReadQueryMessage(body));
    case 'P':
      return ReadParse(body);
    case 'B':
      return ReadBind(body);
    case 'D':
    case 'C': {
      const TargetMessage message = ReadTargetMessage(body);
      CheckRoundTrip(body, BodyOf([&](MessageWriter& out) {
                       out.Byte(message.is_portal ? 'P' : 'S').String(message.name);
                     }));
      return;
    }
    case 'E': {
      const ExecuteMessage message = ReadExecuteMessage(body);
      CheckRoundTrip(body, BodyOf([&](MessageWriter& out) {
                       out.String(message.portal).Int32(message.max_rows);
                     }));
      return;
    }
    case 'X': {
      const CancelMessage message = ReadCancelMessage(body);
      CheckRoundTrip(body, BodyOf([&](MessageWriter& out) {
                       out.Int32(kCancelRequestCode).Int32(message.id).Int32(message.secret);
                     }));
      return;
    }
    default:
      return;
  }
}

}  // namespace
}  // namespace promptdb

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace promptdb;
  if (size == 0) return -1;
  const std::string_view body = TextOf(data + 1, size - 1);
  try {
    Survives(
        body, [&] { ReadMessage(static_cast<char>(data[0]), body); }, Lines::kMany);
  } catch (const ProtocolError& error) {
    Check(*error.what() != '\0', "an error without a message");
  }
  return 0;
}
