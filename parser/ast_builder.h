// From ANTLR's parse tree of one statement to the syntax tree.
//
// Thread-safe: a function of its arguments. Only for files of parser/: it shows ANTLR's types.
#ifndef PROMPTDB_PARSER_AST_BUILDER_H_
#define PROMPTDB_PARSER_AST_BUILDER_H_

#include <string_view>

#include "PromptQLParser.h"
#include "parser/ast.h"

namespace promptdb {

// `text` is the script that the tokens' offsets refer to; nothing of it is borrowed by the result.
ast::Statement BuildStatement(std::string_view text,
                              grammar::PromptQLParser::StatementContext& statement);

}  // namespace promptdb

#endif  // PROMPTDB_PARSER_AST_BUILDER_H_
