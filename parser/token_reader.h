// Lexemes to the tokens of the grammar, one statement at a time, with every check that needs no
// grammar: quotes that are never closed, unknown characters, names and numbers out of bounds,
// nesting.
//
// Thread-safe: a TokenReader is a value. It borrows the text.
#ifndef PROMPTDB_PARSER_TOKEN_READER_H_
#define PROMPTDB_PARSER_TOKEN_READER_H_

#include <cstddef>
#include <string_view>
#include <vector>

#include "parser/scanner.h"

namespace promptdb {

// The bounds that keep hostile input from exhausting the stack or the memory of the parser.
inline constexpr size_t kMaxScriptBytes = 64 << 20;
inline constexpr size_t kMaxStatementTokens = 1'000'000;
inline constexpr int kMaxNesting = 64;
inline constexpr size_t kMaxNameBytes = 128;

struct Token {
  size_t type = 0;  // of the generated parser
  SourceRange range;
};

class TokenReader {
 public:
  // Throws Error(kTooLong) when text is longer than kMaxScriptBytes, and Error(kSyntax) when it has
  // a byte that is not UTF-8 or is NUL.
  explicit TokenReader(std::string_view text);

  // The tokens of the next statement that is not empty, closed by an end-of-statement token whose
  // range is the semicolon, or the empty range after the last token where that is missing. Empty at
  // the end of the text. Throws Error.
  std::vector<Token> NextStatement();

 private:
  Token TokenOf(const Lexeme& lexeme) const;
  void CheckName(const Lexeme& lexeme) const;
  [[noreturn]] void Refuse(const Lexeme& lexeme) const;
  std::string_view Source(const SourceRange& range) const;

  std::string_view text_;
  Scanner scanner_;
};

}  // namespace promptdb

#endif  // PROMPTDB_PARSER_TOKEN_READER_H_
