#include "planner/module_path.h"

#include <algorithm>

#include "base/nearest_name.h"

namespace promptdb {

namespace {

void CollectModules(const std::vector<PartDefinition>& parts, const std::string& around,
                    std::vector<NamedModule>& modules) {
  for (const PartDefinition& part : parts) {
    std::string inside = around;
    if (part.kind == PartDefinition::Kind::kModule) {
      inside = around.empty() ? part.name : around + "." + part.name;
      modules.push_back({inside, &part});
    }
    CollectModules(part.children, inside, modules);
  }
}

void CollectNames(const std::vector<PartDefinition>& parts, std::set<std::string>& names) {
  for (const PartDefinition& part : parts) {
    if (!part.name.empty()) names.insert(part.name);
    if (part.kind != PartDefinition::Kind::kModule) CollectNames(part.children, names);
  }
}

}  // namespace

std::vector<NamedModule> ListModules(const std::vector<PartDefinition>& parts) {
  std::vector<NamedModule> modules;
  CollectModules(parts, "", modules);
  return modules;
}

std::vector<std::string> ModulePaths(const std::vector<PartDefinition>& parts) {
  std::vector<std::string> paths;
  for (NamedModule& module : ListModules(parts)) paths.push_back(std::move(module.path));
  return paths;
}

std::set<std::string> NamesInScope(const std::vector<PartDefinition>& parts) {
  std::set<std::string> names;
  CollectNames(parts, names);
  return names;
}

std::string JoinPath(const std::vector<ast::Name>& path) {
  std::string joined;
  for (const ast::Name& name : path) joined += (joined.empty() ? "" : ".") + name.text;
  return joined;
}

SourceRange PathRange(const std::vector<ast::Name>& path) {
  return {path.front().range.begin, path.back().range.end};
}

std::string ResolveModule(const std::vector<ast::Name>& path, const std::vector<std::string>& paths,
                          std::string_view schema) {
  std::string wanted = JoinPath(path);
  if (std::find(paths.begin(), paths.end(), wanted) != paths.end()) return wanted;
  std::vector<std::string> matches;
  for (const std::string& candidate : paths) {
    if (candidate.ends_with("." + wanted)) matches.push_back(candidate);
  }
  if (matches.size() == 1) return matches.front();
  if (matches.size() > 1) {
    throw Error(
        ErrorCode::kInvalidArgument,
        "module \"" + wanted + "\" could be \"" + matches[0] + "\" or \"" + matches[1] + "\"",
        "Write the whole path.", PathRange(path));
  }
  std::string hint = DidYouMean(wanted, paths);
  if (hint.empty() && !paths.empty() && paths.size() <= 8) {
    hint = "It has ";
    for (size_t i = 0; i < paths.size(); ++i) hint += (i > 0 ? ", " : "") + paths[i];
    hint += ".";
  }
  throw Error(ErrorCode::kUnknownName,
              "schema \"" + std::string(schema) + "\" has no module \"" + wanted + "\"", hint,
              PathRange(path));
}

}  // namespace promptdb
