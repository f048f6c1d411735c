// Names, texts, literals and option lists out of ANTLR's parse tree.
//
// Thread-safe: immutable. Only for files of parser/: it shows ANTLR's types.
#ifndef PROMPTDB_PARSER_SOURCE_READER_H_
#define PROMPTDB_PARSER_SOURCE_READER_H_

#include <string_view>
#include <vector>

#include "PromptQLParser.h"
#include "parser/ast.h"

namespace promptdb {

class SourceReader {
 public:
  using Grammar = grammar::PromptQLParser;

  // `text` is the script that the tokens' offsets refer to. It is borrowed by the reader, but by
  // nothing that the reader returns.
  explicit SourceReader(std::string_view text) : text_(text) {}

  // Empty for no context, as where a clause is left out.
  std::vector<ast::Option> OptionsOf(Grammar::WithOptionsContext* context) const;
  std::vector<ast::Option> OptionsOf(Grammar::OptionListContext* context) const;

  ast::Literal LiteralOf(Grammar::LiteralContext* context) const;
  ast::Literal ConstantOf(Grammar::ConstantContext* context) const;
  // 'text', or $n.
  ast::Text TextOf(antlr4::ParserRuleContext* context) const;
  ast::Name NameOf(antlr4::ParserRuleContext* context) const;
  std::vector<ast::Name> PathOf(Grammar::ModulePathContext* context) const;
  int64_t NumberOf(Grammar::WholeNumberContext* context) const;

  std::string_view SourceOf(antlr4::Token* token) const;
  static SourceRange RangeOf(antlr4::ParserRuleContext& context);
  static ast::Role RoleOf(antlr4::ParserRuleContext& context);  // by its first word

 private:
  // REQUIRES: the token was checked to be in range, as TokenReader does.
  template <typename Number>
  Number NumberIn(antlr4::Token* token) const;
  int ParameterIn(antlr4::Token* token) const;

  std::string_view text_;
};

}  // namespace promptdb

#endif  // PROMPTDB_PARSER_SOURCE_READER_H_
