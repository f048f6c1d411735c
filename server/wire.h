// Messages of PostgreSQL's frontend/backend protocol, version 3: bytes to fields and back.
//
// The protocol is documented in PostgreSQL's manual, "Frontend/Backend Protocol"; the numbers here
// are on the wire and never change.
//
// Thread-safe: values.
#ifndef PROMPTDB_SERVER_WIRE_H_
#define PROMPTDB_SERVER_WIRE_H_

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "base/value.h"

namespace promptdb {

// A message that is not what the protocol says. It ends the connection, or, where the stream is
// still in step, the statement.
class ProtocolError : public std::runtime_error {
 public:
  explicit ProtocolError(const std::string& message) : std::runtime_error(message) {}
};

// What stands in the first packet of a connection instead of a protocol version.
inline constexpr int32_t kCancelRequestCode = 80877102;
inline constexpr int32_t kSslRequestCode = 80877103;
inline constexpr int32_t kGssRequestCode = 80877104;
inline constexpr int32_t kProtocolVersion = 196608;  // 3.0

// Object ids of PostgreSQL's types.
namespace oid {
inline constexpr int32_t kBool = 16;
inline constexpr int32_t kName = 19;
inline constexpr int32_t kInt8 = 20;
inline constexpr int32_t kInt2 = 21;
inline constexpr int32_t kInt4 = 23;
inline constexpr int32_t kText = 25;
inline constexpr int32_t kOid = 26;
inline constexpr int32_t kFloat4 = 700;
inline constexpr int32_t kFloat8 = 701;
inline constexpr int32_t kUnknown = 705;
inline constexpr int32_t kBpchar = 1042;
inline constexpr int32_t kVarchar = 1043;
inline constexpr int32_t kNumeric = 1700;
}  // namespace oid

int32_t OidOf(Column::Type type);

enum class WireFormat : int16_t { kText = 0, kBinary = 1 };

// Reads the fields of one message. Every function throws ProtocolError where the message is too
// short for what is asked. Borrows the bytes.
class FieldReader {
 public:
  explicit FieldReader(std::string_view message) : rest_(message) {}

  char Byte();
  int16_t Int16();
  int32_t Int32();
  std::string_view Bytes(size_t count);
  // Up to a zero byte, which is taken too.
  std::string_view String();
  // A length, then as many bytes; nullopt for NULL, whose length is -1.
  std::optional<std::string_view> Value();
  // A count that is not negative, then as many of them.
  template <typename Read>
  auto List(Read read) -> std::vector<decltype(read())> {
    const int count = Count();
    std::vector<decltype(read())> list;
    for (int i = 0; i < count; ++i) list.push_back(read());
    return list;
  }
  // Throws where anything is left over.
  void End() const;
  bool empty() const { return rest_.empty(); }

 private:
  int Count();

  std::string_view rest_;
};

// Writes messages one behind the other. Length fields are filled in by Begin() and Finish().
class MessageWriter {
 public:
  MessageWriter& Begin(char type);
  MessageWriter& Byte(char value);
  MessageWriter& Int16(int16_t value);
  MessageWriter& Int32(int32_t value);
  MessageWriter& Bytes(std::string_view value);
  // With a zero byte at its end. A zero byte in it would end it early, so it is dropped there.
  MessageWriter& String(std::string_view value);
  MessageWriter& Finish();

  // One message, without any field.
  MessageWriter& Empty(char type) { return Begin(type).Finish(); }

  const std::string& bytes() const { return bytes_; }
  std::string Take() { return std::move(bytes_); }

 private:
  std::string bytes_;
  size_t begin_ = 0;  // of the length of the message that is being written
};

// ---- Whole messages of the server --------------------------------------------------------------

// ErrorResponse and NoticeResponse.
struct Report {
  std::string severity;  // "ERROR", "FATAL", "NOTICE", "WARNING"
  std::string state;     // SQLSTATE
  std::string message;
  std::string hint;  // empty: none
  int position = 0;  // in characters, from 1; 0: none
};

void WriteError(const Report& report, MessageWriter& out);
void WriteNotice(const Report& report, MessageWriter& out);
// `formats`: none: all text; one: for all; else one a column.
void WriteRowDescription(const std::vector<Column>& columns, const std::vector<WireFormat>& formats,
                         MessageWriter& out);
void WriteDataRow(const std::vector<Value>& row, const std::vector<WireFormat>& formats,
                  MessageWriter& out);
void WriteCommandComplete(std::string_view tag, MessageWriter& out);
void WriteParameterStatus(std::string_view name, std::string_view value, MessageWriter& out);

// The format of column `index`.
WireFormat FormatAt(const std::vector<WireFormat>& formats, size_t index);

// A value as PostgreSQL's output functions write it: true is "t", reals have as many digits as
// reading them back needs. REQUIRES: not NULL.
std::string WireText(const Value& value);

}  // namespace promptdb

#endif  // PROMPTDB_SERVER_WIRE_H_
