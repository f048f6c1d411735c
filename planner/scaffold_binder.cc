#include "planner/scaffold_binder.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "planner/module_path.h"

namespace promptdb {

namespace {

// The members that a module is, in the unions around it: union's number -> which member.
using Choices = std::map<int, int>;

struct UnionChoices {
  std::vector<std::string> unions;         // names, by number
  std::map<std::string, Choices> modules;  // by path

  void Collect(const std::vector<PartDefinition>& parts, const std::string& around,
               const Choices& inherited) {
    for (const PartDefinition& part : parts) {
      if (part.kind == PartDefinition::Kind::kUnion) {
        const int number = static_cast<int>(unions.size());
        unions.push_back(part.name);
        for (size_t i = 0; i < part.children.size(); ++i) {
          Choices choices = inherited;
          choices[number] = static_cast<int>(i);
          Collect({part.children[i]}, around, choices);
        }
        continue;
      }
      std::string inside = around;
      if (part.kind == PartDefinition::Kind::kModule) {
        inside = around.empty() ? part.name : around + "." + part.name;
        modules[inside] = inherited;
      }
      Collect(part.children, inside, inherited);
    }
  }
};

class ScaffoldBinder {
 public:
  ScaffoldBinder(const std::vector<ast::Scaffold>& scaffolds, SchemaDefinition& schema)
      : scaffolds_(scaffolds), schema_(schema), paths_(ModulePaths(schema.parts)) {
    choices_.Collect(schema.parts, "", {});
  }

  void Bind() {
    CheckNames();
    std::vector<ScaffoldDefinition> bound;
    for (const ast::Scaffold& scaffold : scaffolds_) bound.push_back(BindOne(scaffold));
    std::move(bound.begin(), bound.end(), std::back_inserter(schema_.scaffolds));
  }

 private:
  void CheckNames() {
    std::set<std::string> taken = NamesInScope(schema_.parts);
    for (const ScaffoldDefinition& scaffold : schema_.scaffolds) taken.insert(scaffold.name);
    for (const ast::Scaffold& scaffold : scaffolds_) {
      if (taken.insert(scaffold.name.text).second) continue;
      throw Error(ErrorCode::kDuplicateName,
                  "the schema has a part or scaffold named \"" + scaffold.name.text + "\" already",
                  "", scaffold.name.range);
    }
  }

  ScaffoldDefinition BindOne(const ast::Scaffold& scaffold) {
    ScaffoldDefinition bound;
    bound.name = scaffold.name.text;
    std::vector<std::string> around;
    AddMembers(scaffold, around, bound.members);
    if (bound.members.size() < 2) {
      throw Error(ErrorCode::kInvalidArgument, "scaffold \"" + bound.name + "\" has one member",
                  "It takes two modules or more, which attend to each other.", scaffold.range);
    }
    CheckTogether(bound, scaffold.range);
    return bound;
  }

  // `around`: the scaffolds that are being taken apart.
  void AddMembers(const ast::Scaffold& scaffold, std::vector<std::string>& around,
                  std::vector<std::string>& members) {
    around.push_back(scaffold.name.text);
    std::set<std::string> listed;
    for (const std::vector<ast::Name>& member : scaffold.members) {
      const std::string name = JoinPath(member);
      if (!listed.insert(name).second) {
        throw Error(ErrorCode::kInvalidArgument,
                    "\"" + name + "\" stands twice in scaffold \"" + scaffold.name.text + "\"", "",
                    PathRange(member));
      }
      if (std::find(around.begin(), around.end(), name) != around.end()) {
        throw Error(ErrorCode::kInvalidArgument, "scaffold \"" + name + "\" is a member of itself",
                    "Name its modules one by one.", PathRange(member));
      }
      const auto has_name = [&](const auto& other) { return NameOf(other) == name; };
      const auto declared = std::find_if(scaffolds_.begin(), scaffolds_.end(), has_name);
      const auto existing =
          std::find_if(schema_.scaffolds.begin(), schema_.scaffolds.end(), has_name);
      if (declared != scaffolds_.end()) {
        AddMembers(*declared, around, members);
      } else if (existing != schema_.scaffolds.end()) {
        for (const std::string& path : existing->members) AddMember(path, members);
      } else {
        AddMember(ResolveModule(member, paths_, schema_.name), members);
      }
    }
    around.pop_back();
  }

  static const std::string& NameOf(const ast::Scaffold& scaffold) { return scaffold.name.text; }
  static const std::string& NameOf(const ScaffoldDefinition& scaffold) { return scaffold.name; }

  static void AddMember(const std::string& path, std::vector<std::string>& members) {
    if (std::find(members.begin(), members.end(), path) == members.end()) members.push_back(path);
  }

  // No two members are, or stand in, different members of one union.
  void CheckTogether(const ScaffoldDefinition& scaffold, SourceRange range) const {
    std::map<int, std::pair<int, std::string>> chosen;  // union -> which member, for which module
    for (const std::string& path : scaffold.members) {
      for (const auto& [number, member] : choices_.modules.at(path)) {
        const auto [before, is_first] = chosen.try_emplace(number, member, path);
        if (is_first || before->second.first == member) continue;
        throw Error(ErrorCode::kInvalidArgument,
                    "no prompt has all of scaffold \"" + scaffold.name + "\": \"" +
                        before->second.second + "\" and \"" + path +
                        "\" are alternatives in union \"" +
                        choices_.unions[static_cast<size_t>(number)] + "\"",
                    "Make a scaffold for each of them.", range);
      }
    }
  }

  const std::vector<ast::Scaffold>& scaffolds_;
  SchemaDefinition& schema_;
  const std::vector<std::string> paths_;
  UnionChoices choices_;
};

}  // namespace

void AddScaffolds(const std::vector<ast::Scaffold>& scaffolds, SchemaDefinition& schema) {
  ScaffoldBinder(scaffolds, schema).Bind();
}

}  // namespace promptdb
