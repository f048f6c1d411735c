#include "planner/schema_change.h"

#include <algorithm>

#include "base/error.h"
#include "base/nearest_name.h"
#include "planner/module_path.h"
#include "planner/scaffold_binder.h"
#include "planner/schema_binder.h"

namespace promptdb {

namespace {

class SchemaChange {
 public:
  explicit SchemaChange(SchemaDefinition schema) : schema_(std::move(schema)) {}

  void operator()(const ast::Part& part) { AddPart(part, schema_); }
  void operator()(const ast::Scaffold& scaffold) { AddScaffolds({scaffold}, schema_); }
  void operator()(const ast::AlterSchema::Rename& rename) { schema_.name = rename.name.text; }

  void operator()(const ast::AlterSchema::DropScaffold& drop) {
    std::vector<std::string> names;
    for (const ScaffoldDefinition& scaffold : schema_.scaffolds) names.push_back(scaffold.name);
    const auto found = std::find(names.begin(), names.end(), drop.name.text);
    if (found == names.end()) {
      throw Error(ErrorCode::kUnknownName,
                  "schema \"" + schema_.name + "\" has no scaffold \"" + drop.name.text + "\"",
                  DidYouMean(drop.name.text, names), drop.name.range);
    }
    schema_.scaffolds.erase(schema_.scaffolds.begin() + (found - names.begin()));
  }

  void operator()(const ast::AlterSchema::DropModule& drop) {
    const std::string path = ResolveModule(drop.path, ModulePaths(schema_.parts), schema_.name);
    const SourceRange range = PathRange(drop.path);
    for (const ScaffoldDefinition& scaffold : schema_.scaffolds) {
      for (const std::string& member : scaffold.members) {
        if (member != path && !member.starts_with(path + ".")) continue;
        throw Error(
            ErrorCode::kInvalidArgument,
            "module \"" + member + "\" is a member of scaffold \"" + scaffold.name + "\"",
            "ALTER SCHEMA " + schema_.name + " DROP SCAFFOLD " + scaffold.name + "; comes first.",
            range);
      }
    }
    Remove(path, "", schema_.parts, range);
    if (schema_.parts.empty()) {
      throw Error(ErrorCode::kInvalidArgument,
                  "module \"" + path + "\" is all that schema \"" + schema_.name + "\" has",
                  "Write DROP SCHEMA " + schema_.name + ".", range);
    }
  }

  SchemaDefinition Finish() { return std::move(schema_); }

 private:
  // Removes the module `path` from among `parts` or from in them. True when it was there.
  static bool Remove(const std::string& path, const std::string& around,
                     std::vector<PartDefinition>& parts, SourceRange range) {
    for (auto part = parts.begin(); part != parts.end(); ++part) {
      const bool is_module = part->kind == PartDefinition::Kind::kModule;
      const std::string inside = !is_module       ? around
                                 : around.empty() ? part->name
                                                  : around + "." + part->name;
      if (is_module && inside == path) {
        parts.erase(part);
        return true;
      }
      if (!Remove(path, inside, part->children, range)) continue;
      if (part->children.empty() && is_module) {
        throw Error(ErrorCode::kInvalidArgument,
                    "module \"" + path + "\" is all that module \"" + inside + "\" has",
                    "Drop \"" + inside + "\" instead.", range);
      }
      if (part->children.empty()) parts.erase(part);
      return true;
    }
    return false;
  }

  SchemaDefinition schema_;
};

}  // namespace

SchemaDefinition ChangeSchema(SchemaDefinition schema, const ast::AlterSchema& change) {
  SchemaChange visitor(std::move(schema));
  std::visit(visitor, change.action);
  return visitor.Finish();
}

}  // namespace promptdb
