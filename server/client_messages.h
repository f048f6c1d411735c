// What clients send in PostgreSQL's protocol: bodies of messages, to values. Every function throws
// ProtocolError for bytes that are no such message, whatever else they are; the values borrow the
// bytes.
//
// Pure functions; thread-safe.
#ifndef PROMPTDB_SERVER_CLIENT_MESSAGES_H_
#define PROMPTDB_SERVER_CLIENT_MESSAGES_H_

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "server/wire.h"

namespace promptdb {

// The packet that begins a connection, behind its length. Of another major version than ours only
// the version is read.
struct StartupMessage {
  int32_t version = 0;
  std::vector<std::pair<std::string_view, std::string_view>> parameters;  // in order; no empty name
};
StartupMessage ReadStartupMessage(std::string_view packet);

// The packet with kCancelRequestCode.
struct CancelMessage {
  int32_t id = 0;
  int32_t secret = 0;
};
CancelMessage ReadCancelMessage(std::string_view packet);

// The first message of a login.
struct SaslInitialMessage {
  std::string_view mechanism;
  std::optional<std::string_view> response;
};
SaslInitialMessage ReadSaslInitialMessage(std::string_view body);

// The text of a simple query.
std::string_view ReadQueryMessage(std::string_view body);

struct ParseMessage {
  std::string_view name;
  std::string_view text;
  std::vector<int32_t> types;  // 0: left open
};
ParseMessage ReadParseMessage(std::string_view body);

struct BindMessage {
  std::string_view portal;
  std::string_view statement;
  // None: all text; one: for all values; else one a value.
  std::vector<WireFormat> value_formats;
  std::vector<std::optional<std::string_view>> values;
  std::vector<WireFormat> result_formats;
};
BindMessage ReadBindMessage(std::string_view body);

// Describe and Close: of a statement or of a portal.
struct TargetMessage {
  bool is_portal = false;
  std::string_view name;
};
TargetMessage ReadTargetMessage(std::string_view body);

struct ExecuteMessage {
  std::string_view portal;
  int32_t max_rows = 0;  // 0: all, and less than 0 too
};
ExecuteMessage ReadExecuteMessage(std::string_view body);

}  // namespace promptdb

#endif  // PROMPTDB_SERVER_CLIENT_MESSAGES_H_
