// Cuts PromptQL into lexemes: words, names and texts in quotes, numbers, symbols.
//
// Written by hand because texts are megabytes long and because no lexer rule of ANTLR can match
// $tag$ quotes. The scanner never fails: what is not PromptQL becomes a lexeme of one of the kinds
// from kOpenText on, so that a shell can scan a statement that is still being typed.
//
// Thread-safe: a Scanner is a value. It borrows the text.
#ifndef PROMPTDB_PARSER_SCANNER_H_
#define PROMPTDB_PARSER_SCANNER_H_

#include <cstddef>
#include <string_view>

#include "base/error.h"

namespace promptdb {

enum class LexemeKind {
  kWord,        // a keyword or a bare name
  kQuotedName,  // "name"
  kText,        // 'text', $$text$$ or $tag$text$tag$
  kInteger,
  kDecimal,
  kParameter,  // $1
  kSymbol,
  kSemicolon,
  kEnd,  // the end of the whole text
  // Mistakes. The range of the first four is their opening mark; the scan goes to the text's end.
  kOpenText,
  kOpenDollarText,
  kOpenName,
  kOpenComment,
  kMalformedNumber,   // 10abc
  kUnknownCharacter,  // also a byte that is not UTF-8
};

struct Lexeme {
  LexemeKind kind = LexemeKind::kEnd;
  SourceRange range;
};

class Scanner {
 public:
  // REQUIRES: text.size() fits an int.
  explicit Scanner(std::string_view text) : text_(text) {}

  // The next lexeme after whitespace and comments; kEnd again and again at the end.
  Lexeme Next();

 private:
  // Moves past whitespace and comments; false when a comment is never closed, and then `open` is
  // the place of its opening mark.
  bool SkipBlanks(SourceRange* open);
  Lexeme ScanWord();
  Lexeme ScanNumber();
  Lexeme ScanQuoted(char quote, LexemeKind kind, LexemeKind open_kind);
  Lexeme ScanDollar();
  Lexeme ScanSymbol();
  size_t SkipDigits(size_t at) const;
  Lexeme Take(LexemeKind kind, size_t end);

  std::string_view text_;
  size_t at_ = 0;
};

// The byte length of the code point that starts at text[at], and the code point itself; the length
// is 0 where the bytes are not UTF-8.
struct CodePoint {
  int value = 0;
  size_t length = 0;
};
CodePoint CodePointAt(std::string_view text, size_t at);

// May `code_point` open, or go on, a name that is not in quotes?
bool IsNameStart(int code_point);
bool IsNamePart(int code_point);

}  // namespace promptdb

#endif  // PROMPTDB_PARSER_SCANNER_H_
