// A JSON schema as a grammar of the JSON texts that it accepts.
//
// What is written is compact: no white space but one optional blank after each colon and comma, so
// that no model can go on in blanks. Members come in the order of `properties`, optional ones may
// be missing; others only where additionalProperties or the lack of properties allows them, after
// those.
//
// Keywords: type (also a list), properties, required, additionalProperties, items, prefixItems,
// minItems, maxItems, enum, const, anyOf, oneOf (as anyOf), allOf with one member, $ref inside the
// schema, minLength, maxLength, pattern (see json_pattern.h), format (date, time, date-time, uuid),
// minimum, maximum, exclusiveMinimum and exclusiveMaximum of integers, nullable. Annotations
// (title, description, default, examples, …) are skipped. Every other keyword is an error: none is
// ignored in silence.
//
// The grammar is never wider than the schema, and narrower where a schema says little: an object
// with properties has no others unless additionalProperties says so, an array with prefixItems none
// behind them unless items does; numbers have at most 16 digits on each side of the point, integers
// 18 in all.
//
// Thread-safe: a pure function.
#ifndef PROMPTDB_CONSTRAINT_JSON_SCHEMA_H_
#define PROMPTDB_CONSTRAINT_JSON_SCHEMA_H_

#include <string_view>

#include "constraint/grammar.h"

namespace promptdb {

// Throws Error; its message has the place in the schema: "#/properties/age".
Grammar CompileJsonSchema(std::string_view text);

}  // namespace promptdb

#endif  // PROMPTDB_CONSTRAINT_JSON_SCHEMA_H_
