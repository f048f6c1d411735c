#include "parser/scanner.h"

#include <utf8proc.h>

#include <cstdint>

#include "base/digits.h"

namespace promptdb {

namespace {

bool IsAsciiLetter(int c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// What scripts pasted from elsewhere are spaced with: also no-break spaces, wide spaces, and the
// byte order mark that some editors write at the start of a file.
bool IsSpace(int c) {
  if (c < 0x80) return c == ' ' || (c >= '\t' && c <= '\r');
  return c == 0x85 || c == 0x2028 || c == 0x2029 || c == 0xfeff ||
         utf8proc_category(c) == UTF8PROC_CATEGORY_ZS;
}

}  // namespace

CodePoint CodePointAt(std::string_view text, size_t at) {
  const auto first = static_cast<unsigned char>(text[at]);
  if (first < 0x80) return {first, 1};
  utf8proc_int32_t value = 0;
  const auto length = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + at,
                                       static_cast<utf8proc_ssize_t>(text.size() - at), &value);
  if (length <= 0) return {0, 0};
  return {value, static_cast<size_t>(length)};
}

bool IsNameStart(int code_point) {
  if (code_point < 0x80) return IsAsciiLetter(code_point) || code_point == '_';
  const utf8proc_category_t category = utf8proc_category(code_point);
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

bool IsNamePart(int code_point) {
  if (IsNameStart(code_point)) return true;
  if (code_point < 0x80) return code_point >= '0' && code_point <= '9';
  const utf8proc_category_t category = utf8proc_category(code_point);
  return category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ND;
}

Lexeme Scanner::Take(LexemeKind kind, size_t end) {
  const SourceRange range{static_cast<int>(at_), static_cast<int>(end)};
  at_ = end;
  return {kind, range};
}

bool Scanner::SkipBlanks(SourceRange* open) {
  while (at_ < text_.size()) {
    if (text_.compare(at_, 2, "--") == 0) {
      at_ = std::min(text_.find_first_of("\r\n", at_), text_.size());
      continue;
    }
    if (text_.compare(at_, 2, "/*") == 0) {
      const size_t start = at_;
      int depth = 0;
      do {
        const size_t star = text_.find('*', at_);
        if (star == std::string_view::npos) {
          *open = {static_cast<int>(start), static_cast<int>(start) + 2};
          at_ = text_.size();
          return false;
        }
        // Comments nest, so that a part of a script that has some can be commented out.
        if (star > at_ && text_[star - 1] == '/') {
          ++depth;
          at_ = star + 1;
        } else if (star + 1 < text_.size() && text_[star + 1] == '/') {
          --depth;
          at_ = star + 2;
        } else {
          at_ = star + 1;
        }
      } while (depth > 0);
      continue;
    }
    const CodePoint c = CodePointAt(text_, at_);
    if (c.length == 0 || !IsSpace(c.value)) return true;
    at_ += c.length;
  }
  return true;
}

Lexeme Scanner::Next() {
  SourceRange open;
  if (!SkipBlanks(&open)) return {LexemeKind::kOpenComment, open};
  if (at_ == text_.size()) return Take(LexemeKind::kEnd, at_);
  const CodePoint c = CodePointAt(text_, at_);
  if (c.length == 0) return Take(LexemeKind::kUnknownCharacter, at_ + 1);
  if (IsNameStart(c.value)) return ScanWord();
  const char next = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
  if (c.value < 0x80 && (IsDigit(text_[at_]) || (c.value == '.' && IsDigit(next)))) {
    return ScanNumber();
  }
  switch (c.value) {
    case '\'':
      return ScanQuoted('\'', LexemeKind::kText, LexemeKind::kOpenText);
    case '"':
      return ScanQuoted('"', LexemeKind::kQuotedName, LexemeKind::kOpenName);
    case '$':
      return ScanDollar();
    case ';':
      return Take(LexemeKind::kSemicolon, at_ + 1);
    default:
      break;
  }
  if (c.value < 0x80) return ScanSymbol();
  return Take(LexemeKind::kUnknownCharacter, at_ + c.length);
}

Lexeme Scanner::ScanWord() {
  size_t end = at_;
  while (end < text_.size()) {
    const CodePoint c = CodePointAt(text_, end);
    if (c.length == 0 || !IsNamePart(c.value)) break;
    end += c.length;
  }
  return Take(LexemeKind::kWord, end);
}

size_t Scanner::SkipDigits(size_t at) const {
  while (at < text_.size() && IsDigit(text_[at])) ++at;
  return at;
}

Lexeme Scanner::ScanNumber() {
  LexemeKind kind = LexemeKind::kInteger;
  size_t end = SkipDigits(at_);
  if (end < text_.size() && text_[end] == '.') {
    kind = LexemeKind::kDecimal;
    end = SkipDigits(end + 1);
  }
  if (end < text_.size() && (text_[end] == 'e' || text_[end] == 'E')) {
    size_t digits = end + 1;
    if (digits < text_.size() && (text_[digits] == '+' || text_[digits] == '-')) ++digits;
    const size_t exponent_end = SkipDigits(digits);
    if (exponent_end > digits) {
      kind = LexemeKind::kDecimal;
      end = exponent_end;
    }
  }
  while (end < text_.size()) {
    const CodePoint c = CodePointAt(text_, end);
    if (c.length == 0 || !IsNamePart(c.value)) break;
    kind = LexemeKind::kMalformedNumber;
    end += c.length;
  }
  return Take(kind, end);
}

Lexeme Scanner::ScanQuoted(char quote, LexemeKind kind, LexemeKind open_kind) {
  size_t end = at_ + 1;
  while (true) {
    end = text_.find(quote, end);
    if (end == std::string_view::npos) break;
    if (end + 1 == text_.size() || text_[end + 1] != quote) return Take(kind, end + 1);
    end += 2;
  }
  const Lexeme lexeme = Take(open_kind, at_ + 1);
  at_ = text_.size();
  return lexeme;
}

Lexeme Scanner::ScanDollar() {
  size_t end = SkipDigits(at_ + 1);
  if (end > at_ + 1) return Take(LexemeKind::kParameter, end);
  while (end < text_.size()) {
    const CodePoint c = CodePointAt(text_, end);
    if (c.length == 0 || !IsNamePart(c.value)) break;
    end += c.length;
  }
  if (end == text_.size() || text_[end] != '$') {
    return Take(LexemeKind::kUnknownCharacter, at_ + 1);
  }
  const std::string_view tag = text_.substr(at_, end + 1 - at_);
  const size_t close = text_.find(tag, end + 1);
  if (close != std::string_view::npos) return Take(LexemeKind::kText, close + tag.size());
  const Lexeme lexeme = Take(LexemeKind::kOpenDollarText, end + 1);
  at_ = text_.size();
  return lexeme;
}

Lexeme Scanner::ScanSymbol() {
  for (std::string_view two : {"=>", "<>", "!=", "<=", ">="}) {
    if (text_.compare(at_, 2, two) == 0) return Take(LexemeKind::kSymbol, at_ + 2);
  }
  constexpr std::string_view kSymbols = "(),.*-=<>";
  const bool known = kSymbols.find(text_[at_]) != std::string_view::npos;
  return Take(known ? LexemeKind::kSymbol : LexemeKind::kUnknownCharacter, at_ + 1);
}

}  // namespace promptdb
