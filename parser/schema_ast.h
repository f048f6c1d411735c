// The parts of a schema, from ANTLR's parse tree to the syntax tree.
//
// Thread-safe: functions of their arguments. Only for files of parser/: it shows ANTLR's types.
#ifndef PROMPTDB_PARSER_SCHEMA_AST_H_
#define PROMPTDB_PARSER_SCHEMA_AST_H_

#include "parser/source_reader.h"

namespace promptdb {

ast::Part BuildPart(const SourceReader& reader, grammar::PromptQLParser::PartContext* context);

ast::Scaffold BuildScaffold(const SourceReader& reader,
                            grammar::PromptQLParser::ScaffoldContext* context);

}  // namespace promptdb

#endif  // PROMPTDB_PARSER_SCHEMA_AST_H_
