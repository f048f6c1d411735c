// A module's text with parameters: 'A trip of {duration}.' cut into what is literal and what is a
// parameter's place. {{ and }} are literal braces. A module without parameters is no template: its
// braces mean themselves.
#ifndef PROMPTDB_PLANNER_MODULE_TEMPLATE_H_
#define PROMPTDB_PLANNER_MODULE_TEMPLATE_H_

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "storage/schema_definition.h"

namespace promptdb {

struct TemplatePiece {
  std::string text;                                // literal; empty for a parameter
  const ParameterDefinition* parameter = nullptr;  // borrowed from the list given; null for text
};

// Cuts one text of a module. Adds the parameters that it has to `used`, which holds those of the
// module's earlier texts. Throws Error(kInvalidArgument or kUnknownName), without a place: a brace
// that is not closed or stands alone, a parameter that is not declared or was used already.
std::vector<TemplatePiece> ParseTemplate(std::string_view text,
                                         const std::vector<ParameterDefinition>& parameters,
                                         std::set<std::string>& used);

// Throws Error(kInvalidArgument) for a parameter that no text of the module has.
void CheckAllUsed(const std::vector<ParameterDefinition>& parameters,
                  const std::set<std::string>& used);

}  // namespace promptdb

#endif  // PROMPTDB_PLANNER_MODULE_TEMPLATE_H_
