// Modules by name: "parent.child" through the modules around, with unions and roles left out.
//
// Thread-safe: functions of their arguments.
#ifndef PROMPTDB_PLANNER_MODULE_PATH_H_
#define PROMPTDB_PLANNER_MODULE_PATH_H_

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "parser/ast.h"
#include "storage/schema_definition.h"

namespace promptdb {

struct NamedModule {
  std::string path;
  const PartDefinition* part = nullptr;  // borrowed
};

// All modules among `parts` and in them, in the order in which they are written.
std::vector<NamedModule> ListModules(const std::vector<PartDefinition>& parts);
// Their paths.
std::vector<std::string> ModulePaths(const std::vector<PartDefinition>& parts);

// Names of the modules and unions that share a scope with `parts`: those in unions and roles do,
// those in modules don't.
std::set<std::string> NamesInScope(const std::vector<PartDefinition>& parts);

std::string JoinPath(const std::vector<ast::Name>& path);
// From the first name to the last. REQUIRES: not empty.
SourceRange PathRange(const std::vector<ast::Name>& path);

// The module among `paths` that `path` names: its full path, or the end of one where that is
// unambiguous. Throws Error with the place: kUnknownName with the nearest name, or
// kInvalidArgument.
std::string ResolveModule(const std::vector<ast::Name>& path, const std::vector<std::string>& paths,
                          std::string_view schema);

}  // namespace promptdb

#endif  // PROMPTDB_PLANNER_MODULE_PATH_H_
