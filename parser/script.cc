// SplitScript(): where the statements of a script end.
#include <climits>

#include "parser/parser.h"
#include "parser/scanner.h"

namespace promptdb {

namespace {

bool IsOpen(LexemeKind kind) {
  return kind == LexemeKind::kOpenText || kind == LexemeKind::kOpenDollarText ||
         kind == LexemeKind::kOpenName || kind == LexemeKind::kOpenComment;
}

}  // namespace

ScriptSplit SplitScript(std::string_view text) {
  if (text.size() > INT_MAX) {
    throw Error(ErrorCode::kTooLong, "script of " + std::to_string(text.size()) +
                                         " bytes is longer than " + std::to_string(INT_MAX));
  }
  ScriptSplit split;
  Scanner scanner(text);
  // Where the statement at hand starts, or -1 before its first lexeme: a ';' alone is no statement.
  int begin = -1;
  while (true) {
    const Lexeme lexeme = scanner.Next();
    if (lexeme.kind == LexemeKind::kSemicolon) {
      if (begin >= 0) split.statements.push_back({begin, lexeme.range.end});
      begin = -1;
      continue;
    }
    if (lexeme.kind == LexemeKind::kEnd) break;
    if (begin < 0) begin = lexeme.range.begin;
    if (IsOpen(lexeme.kind)) {
      split.rest_is_open_quote = true;
      break;
    }
  }
  const int end = static_cast<int>(text.find_last_not_of(" \t\r\n\v\f") + 1);
  split.rest = begin < 0 ? SourceRange{end, end} : SourceRange{begin, end};
  return split;
}

}  // namespace promptdb
