// Queries, from ANTLR's parse tree to the syntax tree.
//
// Thread-safe: functions of their arguments. Only for files of parser/: it shows ANTLR's types.
#ifndef PROMPTDB_PARSER_QUERY_AST_H_
#define PROMPTDB_PARSER_QUERY_AST_H_

#include <vector>

#include "parser/source_reader.h"

namespace promptdb {

ast::Query BuildQuery(const SourceReader& reader, grammar::PromptQLParser::QueryContext* context);

// Empty for no context, as where the clause is left out.
std::vector<ast::UseItem> BuildUse(const SourceReader& reader,
                                   grammar::PromptQLParser::UseClauseContext* context);

}  // namespace promptdb

#endif  // PROMPTDB_PARSER_QUERY_AST_H_
