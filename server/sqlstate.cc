#include "server/sqlstate.h"

#include <algorithm>
#include <utility>

#include "base/utf8.h"

namespace promptdb {

namespace {

constexpr std::pair<ErrorCode, std::string_view> kStates[] = {
    {ErrorCode::kSyntax, sqlstate::kSyntaxError},
    {ErrorCode::kUnknownName, "42704"},    // undefined_object
    {ErrorCode::kDuplicateName, "42710"},  // duplicate_object
    {ErrorCode::kInvalidArgument, sqlstate::kInvalidValue},
    {ErrorCode::kTooLong, "54000"},  // program_limit_exceeded
    {ErrorCode::kUnsupported, sqlstate::kFeatureNotSupported},
    {ErrorCode::kIo, "58030"},       // io_error
    {ErrorCode::kCorrupt, "XX001"},  // data_corrupted
    {ErrorCode::kBusy, "55006"},     // object_in_use
    {ErrorCode::kTooBusy, sqlstate::kTooManyConnections},
    {ErrorCode::kResource, "53200"},  // out_of_memory
    {ErrorCode::kDenied, "42501"},    // insufficient_privilege
    {ErrorCode::kQuota, "53400"},     // configuration_limit_exceeded
    {ErrorCode::kCanceled, sqlstate::kQueryCanceled},
    {ErrorCode::kInternal, "XX000"},  // internal_error
};

}  // namespace

std::string_view SqlStateOf(ErrorCode code) {
  for (const auto& [known, state] : kStates) {
    if (known == code) return state;
  }
  return "XX000";
}

ErrorCode ErrorCodeOf(std::string_view state) {
  for (const auto& [code, known] : kStates) {
    if (known == state) return code;
  }
  return ErrorCode::kInternal;
}

int CharacterPosition(std::string_view text, int byte) {
  const auto bytes = std::min(text.size(), static_cast<size_t>(std::max(byte, 0)));
  return static_cast<int>(CountCharacters(text.substr(0, bytes))) + 1;
}

int BytePosition(std::string_view text, int character) {
  size_t at = 0;
  for (int i = 1; i < character && at < text.size(); ++i) {
    ++at;
    while (at < text.size() && IsUtf8Continuation(text[at])) ++at;
  }
  return static_cast<int>(at);
}

}  // namespace promptdb
