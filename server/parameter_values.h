// Values of parameters as clients send them (Bind), to literals of PromptQL.
//
// Pure functions; thread-safe.
#ifndef PROMPTDB_SERVER_PARAMETER_VALUES_H_
#define PROMPTDB_SERVER_PARAMETER_VALUES_H_

#include <optional>
#include <string_view>

#include "parser/ast.h"
#include "server/wire.h"

namespace promptdb {

// `number`: n of $n, for errors. `type`: what the client declared; 0 where it left that open, which
// makes the value a text that is read as what its place calls for. Throws Error for NULL, which
// PromptQL has no place for, for a type that we don't know, for bytes that are no value of it, and
// for text that is not UTF-8.
ast::Literal ParameterValue(int number, int32_t type, WireFormat format,
                            std::optional<std::string_view> value);

}  // namespace promptdb

#endif  // PROMPTDB_SERVER_PARAMETER_VALUES_H_
