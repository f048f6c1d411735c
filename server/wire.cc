#include "server/wire.h"

#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <utility>

namespace promptdb {

namespace {

// Most columns, parameters or formats that a message may count; their counts have 16 bits.
constexpr int kMostFields = 65535;

template <typename Unsigned>
void AppendBigEndian(Unsigned value, std::string& out) {
  for (int shift = static_cast<int>(sizeof(value)) * 8 - 8; shift >= 0; shift -= 8) {
    out.push_back(static_cast<char>((value >> shift) & 0xFF));
  }
}

std::string BinaryOf(const Value& value) {
  std::string out;
  if (const auto* flag = std::get_if<bool>(&value)) {
    out.push_back(*flag ? 1 : 0);
  } else if (const auto* whole = std::get_if<int64_t>(&value)) {
    AppendBigEndian(static_cast<uint64_t>(*whole), out);
  } else if (const auto* real = std::get_if<double>(&value)) {
    AppendBigEndian(std::bit_cast<uint64_t>(*real), out);
  } else {
    out = std::get<std::string>(value);
  }
  return out;
}

int16_t SizeOf(Column::Type type) {
  switch (type) {
    case Column::Type::kBoolean:
      return 1;
    case Column::Type::kInteger:
    case Column::Type::kReal:
      return 8;
    case Column::Type::kText:
      break;
  }
  return -1;
}

void WriteReport(char type, const Report& report, MessageWriter& out) {
  out.Begin(type);
  // S may be translated, V never is; both are the same here.
  out.Byte('S').String(report.severity);
  out.Byte('V').String(report.severity);
  out.Byte('C').String(report.state);
  out.Byte('M').String(report.message);
  if (!report.hint.empty()) out.Byte('H').String(report.hint);
  if (report.position > 0) out.Byte('P').String(std::to_string(report.position));
  out.Byte('\0').Finish();
}

}  // namespace

int32_t OidOf(Column::Type type) {
  switch (type) {
    case Column::Type::kText:
      return oid::kText;
    case Column::Type::kInteger:
      return oid::kInt8;
    case Column::Type::kReal:
      return oid::kFloat8;
    case Column::Type::kBoolean:
      return oid::kBool;
  }
  return oid::kText;
}

char FieldReader::Byte() { return Bytes(1)[0]; }

int16_t FieldReader::Int16() {
  const std::string_view bytes = Bytes(2);
  return static_cast<int16_t>((static_cast<unsigned char>(bytes[0]) << 8) |
                              static_cast<unsigned char>(bytes[1]));
}

int32_t FieldReader::Int32() {
  uint32_t value = 0;
  for (const char byte : Bytes(4)) value = (value << 8) | static_cast<unsigned char>(byte);
  return static_cast<int32_t>(value);
}

std::string_view FieldReader::Bytes(size_t count) {
  if (count > rest_.size()) throw ProtocolError("message is too short for its fields");
  const std::string_view bytes = rest_.substr(0, count);
  rest_.remove_prefix(count);
  return bytes;
}

std::string_view FieldReader::String() {
  const size_t end = rest_.find('\0');
  if (end == std::string_view::npos) throw ProtocolError("message has a string without an end");
  const std::string_view text = rest_.substr(0, end);
  rest_.remove_prefix(end + 1);
  return text;
}

std::optional<std::string_view> FieldReader::Value() {
  const int32_t length = Int32();
  if (length == -1) return std::nullopt;
  if (length < 0) throw ProtocolError("message has a value of negative length");
  return Bytes(static_cast<size_t>(length));
}

int FieldReader::Count() {
  const int count = static_cast<uint16_t>(Int16());
  // Every entry takes a byte at least, so a count beyond that is a lie.
  if (count > kMostFields || static_cast<size_t>(count) > rest_.size()) {
    throw ProtocolError("message counts more fields than it has");
  }
  return count;
}

void FieldReader::End() const {
  if (!rest_.empty()) throw ProtocolError("message is longer than its fields");
}

MessageWriter& MessageWriter::Begin(char type) {
  bytes_.push_back(type);
  begin_ = bytes_.size();
  bytes_.append(4, '\0');
  return *this;
}

MessageWriter& MessageWriter::Byte(char value) {
  bytes_.push_back(value);
  return *this;
}

MessageWriter& MessageWriter::Int16(int16_t value) {
  AppendBigEndian(static_cast<uint16_t>(value), bytes_);
  return *this;
}

MessageWriter& MessageWriter::Int32(int32_t value) {
  AppendBigEndian(static_cast<uint32_t>(value), bytes_);
  return *this;
}

MessageWriter& MessageWriter::Bytes(std::string_view value) {
  bytes_ += value;
  return *this;
}

MessageWriter& MessageWriter::String(std::string_view value) {
  for (const char c : value) {
    if (c != '\0') bytes_.push_back(c);
  }
  bytes_.push_back('\0');
  return *this;
}

MessageWriter& MessageWriter::Finish() {
  const auto length = static_cast<uint32_t>(bytes_.size() - begin_);
  for (int i = 0; i < 4; ++i) {
    bytes_[begin_ + static_cast<size_t>(i)] = static_cast<char>((length >> (24 - 8 * i)) & 0xFF);
  }
  return *this;
}

void WriteError(const Report& report, MessageWriter& out) { WriteReport('E', report, out); }
void WriteNotice(const Report& report, MessageWriter& out) { WriteReport('N', report, out); }

WireFormat FormatAt(const std::vector<WireFormat>& formats, size_t index) {
  if (formats.empty()) return WireFormat::kText;
  return formats.size() == 1 ? formats[0] : formats[index];
}

void WriteRowDescription(const std::vector<Column>& columns, const std::vector<WireFormat>& formats,
                         MessageWriter& out) {
  out.Begin('T').Int16(static_cast<int16_t>(columns.size()));
  for (size_t i = 0; i < columns.size(); ++i) {
    out.String(columns[i].name);
    out.Int32(0).Int16(0);  // no column of a stored table
    out.Int32(OidOf(columns[i].type)).Int16(SizeOf(columns[i].type)).Int32(-1);
    out.Int16(static_cast<int16_t>(FormatAt(formats, i)));
  }
  out.Finish();
}

void WriteDataRow(const std::vector<Value>& row, const std::vector<WireFormat>& formats,
                  MessageWriter& out) {
  out.Begin('D').Int16(static_cast<int16_t>(row.size()));
  for (size_t i = 0; i < row.size(); ++i) {
    if (IsNull(row[i])) {
      out.Int32(-1);
      continue;
    }
    const std::string bytes =
        FormatAt(formats, i) == WireFormat::kBinary ? BinaryOf(row[i]) : WireText(row[i]);
    out.Int32(static_cast<int32_t>(bytes.size())).Bytes(bytes);
  }
  out.Finish();
}

void WriteCommandComplete(std::string_view tag, MessageWriter& out) {
  out.Begin('C').String(tag).Finish();
}

void WriteParameterStatus(std::string_view name, std::string_view value, MessageWriter& out) {
  out.Begin('S').String(name).String(value).Finish();
}

std::string WireText(const Value& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "t" : "f";
  if (const auto* whole = std::get_if<int64_t>(&value)) return std::to_string(*whole);
  if (const auto* real = std::get_if<double>(&value)) {
    if (std::isnan(*real)) return "NaN";
    if (std::isinf(*real)) return *real > 0 ? "Infinity" : "-Infinity";
    std::array<char, 32> buffer;
    return {buffer.data(), std::to_chars(buffer.data(), buffer.data() + buffer.size(), *real).ptr};
  }
  return std::get<std::string>(value);
}

}  // namespace promptdb
