#include "parser/quoting.h"

#include <utf8proc.h>

#include "parser/parser.h"
#include "parser/scanner.h"
#include "parser/vocabulary.h"

namespace promptdb {

namespace {

std::string Quoted(std::string_view text, char quote) {
  std::string out;
  out.reserve(text.size() + 2);
  out.push_back(quote);
  for (const char c : text) {
    if (c == quote) out.push_back(quote);
    out.push_back(c);
  }
  out.push_back(quote);
  return out;
}

// `quoted` without its quotes, and with every doubled quote inside made single.
std::string Unquoted(std::string_view quoted) {
  const char quote = quoted.front();
  const std::string_view inside = quoted.substr(1, quoted.size() - 2);
  std::string out;
  out.reserve(inside.size());
  size_t at = 0;
  while (true) {
    const size_t next = inside.find(quote, at);
    if (next == std::string_view::npos) break;
    out.append(inside.substr(at, next + 1 - at));
    at = next + 2;
  }
  out.append(inside.substr(at));
  return out;
}

}  // namespace

std::string FoldName(std::string_view word) {
  std::string out;
  out.reserve(word.size());
  for (size_t at = 0; at < word.size();) {
    const CodePoint c = CodePointAt(word, at);
    if (c.length == 0) return out + std::string(word.substr(at));
    utf8proc_uint8_t bytes[4];
    const auto count = utf8proc_encode_char(utf8proc_tolower(c.value), bytes);
    out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(count));
    at += c.length;
  }
  return out;
}

std::string NameFromLexeme(std::string_view lexeme) {
  return lexeme.front() == '"' ? Unquoted(lexeme) : FoldName(lexeme);
}

std::string TextFromLexeme(std::string_view lexeme) {
  if (lexeme.front() == '\'') return Unquoted(lexeme);
  const size_t tag = lexeme.find('$', 1) + 1;
  return std::string(lexeme.substr(tag, lexeme.size() - 2 * tag));
}

std::string QuoteName(std::string_view name) {
  Scanner scanner(name);
  const Lexeme first = scanner.Next();
  const bool bare = first.kind == LexemeKind::kWord && first.range.begin == 0 &&
                    first.range.end == static_cast<int>(name.size()) && FoldName(name) == name &&
                    !GrammarVocabulary().IsReserved(name);
  return bare ? std::string(name) : Quoted(name, '"');
}

std::string QuoteText(std::string_view text) { return Quoted(text, '\''); }

}  // namespace promptdb
