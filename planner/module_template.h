// A module's text with parameters: 'A trip of {duration}.' cut into what is literal and what is a
// parameter's place. {{ and }} are literal braces. A module without parameters is no template: its
// braces mean themselves.
#ifndef PROMPTDB_PLANNER_MODULE_TEMPLATE_H_
#define PROMPTDB_PLANNER_MODULE_TEMPLATE_H_

#include <string>
#include <string_view>
#include <vector>

#include "storage/schema_definition.h"

namespace promptdb {

struct TemplatePiece {
  std::string text;                                // literal; empty for a parameter
  const ParameterDefinition* parameter = nullptr;  // borrowed from the list given; null for text
};

// Throws Error(kInvalidArgument or kUnknownName), without a place: a brace that is not closed or
// stands alone, a parameter that is not declared, one that is used twice or never.
std::vector<TemplatePiece> ParseTemplate(std::string_view text,
                                         const std::vector<ParameterDefinition>& parameters);

}  // namespace promptdb

#endif  // PROMPTDB_PLANNER_MODULE_TEMPLATE_H_
