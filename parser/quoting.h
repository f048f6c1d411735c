// What a name or a text in a statement stands for. The way back is QuoteName() and QuoteText().
//
// Thread-safe: functions of their arguments.
#ifndef PROMPTDB_PARSER_QUOTING_H_
#define PROMPTDB_PARSER_QUOTING_H_

#include <string>
#include <string_view>

namespace promptdb {

// `word` in lower case, letter by letter, in every script that has cases.
// REQUIRES: word is UTF-8.
std::string FoldName(std::string_view word);

// The name that a lexeme writes: a bare word folded, a "quoted" one as it stands.
std::string NameFromLexeme(std::string_view lexeme);

// The text between the quotes of 'text', $$text$$ or $tag$text$tag$.
std::string TextFromLexeme(std::string_view lexeme);

}  // namespace promptdb

#endif  // PROMPTDB_PARSER_QUOTING_H_
