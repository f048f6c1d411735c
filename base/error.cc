#include "base/error.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "base/utf8.h"

namespace promptdb {

std::string_view ErrorCodeName(ErrorCode code) {
  switch (code) {
    case ErrorCode::kSyntax:
      return "syntax error";
    case ErrorCode::kUnknownName:
      return "unknown name";
    case ErrorCode::kDuplicateName:
      return "duplicate name";
    case ErrorCode::kInvalidArgument:
      return "invalid argument";
    case ErrorCode::kTooLong:
      return "too long";
    case ErrorCode::kUnsupported:
      return "unsupported";
    case ErrorCode::kIo:
      return "input/output error";
    case ErrorCode::kCorrupt:
      return "corrupt data";
    case ErrorCode::kBusy:
      return "busy";
    case ErrorCode::kTooBusy:
      return "too busy";
    case ErrorCode::kResource:
      return "out of resources";
    case ErrorCode::kDenied:
      return "permission denied";
    case ErrorCode::kQuota:
      return "quota exceeded";
    case ErrorCode::kCanceled:
      return "canceled";
    case ErrorCode::kInternal:
      return "internal error";
  }
  return "error";
}

Error Error::At(SourceRange range) const {
  Error placed = *this;
  if (!placed.range_) placed.range_ = range;
  return placed;
}

Error CurrentError() {
  try {
    throw;
  } catch (const Error& error) {
    return error;
  } catch (const std::bad_alloc&) {
    return Error(ErrorCode::kResource, "out of memory",
                 "SET cpu_cache to less, or use a smaller model.");
  } catch (const std::exception& error) {
    return Error(ErrorCode::kInternal, error.what(), "Please report this.");
  }
}

bool IsDamage(const Error& error) {
  return error.code() == ErrorCode::kCorrupt || error.code() == ErrorCode::kIo;
}

namespace {

// Longer lines are cut around the place, so that the caret stays on the screen.
constexpr size_t kLineWidth = 96;

std::string FormatPlace(std::string_view text, SourceRange range) {
  const size_t begin = std::min<size_t>(static_cast<size_t>(std::max(range.begin, 0)), text.size());
  const size_t previous_break = begin == 0 ? std::string_view::npos : text.rfind('\n', begin - 1);
  size_t line_begin = previous_break == std::string_view::npos ? 0 : previous_break + 1;
  size_t line_end = text.find('\n', begin);
  if (line_end == std::string_view::npos) line_end = text.size();
  const auto line_number =
      1 + std::count(text.begin(), text.begin() + static_cast<long>(line_begin), '\n');

  const auto continues = [&](size_t at) {
    return at < text.size() && IsUtf8Continuation(text[at]);
  };
  std::string before_cut, after_cut;
  if (begin - line_begin > kLineWidth / 2) {
    line_begin = begin - kLineWidth / 2;
    while (continues(line_begin)) ++line_begin;
    before_cut = "…";
  }
  if (line_end - line_begin > kLineWidth) {
    line_end = line_begin + kLineWidth;
    while (continues(line_end)) ++line_end;
    after_cut = "…";
  }

  const size_t end =
      std::clamp<size_t>(static_cast<size_t>(std::max(range.end, 0)), begin, line_end);
  const size_t width = std::max<size_t>(1, CountCharacters(text.substr(begin, end - begin)));
  std::string line(text.substr(line_begin, line_end - line_begin));
  std::string indent;
  for (const char c : line.substr(0, begin - line_begin)) {
    if (!IsUtf8Continuation(c)) indent += c == '\t' ? '\t' : ' ';
  }
  std::erase(line, '\r');
  const std::string label = "  line " + std::to_string(line_number) + ": ";
  return label + before_cut + line + after_cut + "\n" + std::string(label.size(), ' ') +
         (before_cut.empty() ? "" : " ") + indent + std::string(width, '^') + "\n";
}

}  // namespace

std::string FormatError(const Error& error, std::string_view text) {
  std::string out =
      "error: " + std::string(ErrorCodeName(error.code())) + ": " + error.message() + "\n";
  if (error.range() && !text.empty()) out += FormatPlace(text, *error.range());
  if (!error.hint().empty()) out += "hint: " + error.hint() + "\n";
  return out;
}

void Check(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "promptdb: internal invariant broken: %s\n", what);
  std::abort();
}

}  // namespace promptdb
