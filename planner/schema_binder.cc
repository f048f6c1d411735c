#include "planner/schema_binder.h"

#include <ctime>
#include <filesystem>
#include <set>

#include "base/mapped_file.h"
#include "base/utf8.h"
#include "planner/module_path.h"
#include "planner/module_template.h"
#include "planner/options.h"
#include "planner/scaffold_binder.h"

namespace promptdb {

namespace {

constexpr int kMostParameterTokens = 1 << 16;

std::string ReadTextFile(const ast::Text& file) {
  try {
    const MappedFile mapped(file.text);
    std::string text(mapped.text());
    if (!IsValidUtf8(text)) {
      throw Error(ErrorCode::kInvalidArgument, "\"" + file.text + "\" is not UTF-8 text",
                  "Convert it, for example with iconv.");
    }
    return text;
  } catch (const Error& error) {
    throw error.At(file.range);
  }
}

class SchemaBinder {
 public:
  SchemaDefinition Bind(const ast::CreateSchema& statement) {
    SchemaDefinition schema;
    schema.name = statement.name.text;
    schema.model = statement.model.text;
    schema.created_at = std::time(nullptr);
    const OptionReader options(statement.options, "CREATE SCHEMA",
                               {"separator", "portable", "shared"});
    schema.separator = options.TextValue("separator").value_or("");
    schema.is_portable = options.Boolean("portable").value_or(false);
    schema.is_shared = options.Boolean("shared").value_or(false);
    std::set<std::string> names;
    schema.parts = BindParts(statement.parts, names, false);
    AddScaffolds(statement.scaffolds, schema);
    return schema;
  }

  // A part that is added to `schema` at its end.
  PartDefinition BindAddedPart(const ast::Part& part, const SchemaDefinition& schema) {
    std::set<std::string> names = NamesInScope(schema.parts);
    for (const ScaffoldDefinition& scaffold : schema.scaffolds) names.insert(scaffold.name);
    return BindPart(part, names, false);
  }

 private:
  // `names`: those taken in the nearest enclosing module. Unions and roles are no name scopes,
  // since USE names modules through modules only.
  std::vector<PartDefinition> BindParts(const std::vector<ast::Part>& parts,
                                        std::set<std::string>& names, bool inside_role) {
    std::vector<PartDefinition> bound;
    for (const ast::Part& part : parts) bound.push_back(BindPart(part, names, inside_role));
    return bound;
  }

  PartDefinition BindPart(const ast::Part& part, std::set<std::string>& names, bool inside_role) {
    PartDefinition bound;
    if (part.name) {
      bound.name = part.name->text;
      if (!names.insert(bound.name).second) {
        throw Error(
            ErrorCode::kDuplicateName, "the schema has a part named \"" + bound.name + "\" already",
            "Give every module and union of a schema (or of one enclosing module) its own name.",
            part.name->range);
      }
    }
    switch (part.kind) {
      case ast::Part::Kind::kText:
        bound.kind = PartDefinition::Kind::kText;
        bound.text = part.text->text;
        break;
      case ast::Part::Kind::kModule:
        BindModule(part, inside_role, bound);
        break;
      case ast::Part::Kind::kUnion:
        bound.kind = PartDefinition::Kind::kUnion;
        for (const ast::Part& member : part.children) {
          if (member.kind != ast::Part::Kind::kModule) {
            throw Error(ErrorCode::kInvalidArgument, "a union takes modules only",
                        "Wrap it: MODULE name AS ( … ).", member.range);
          }
        }
        bound.children = BindParts(part.children, names, inside_role);
        break;
      case ast::Part::Kind::kRole:
        if (inside_role) {
          throw Error(ErrorCode::kInvalidArgument, "a role cannot stand inside another role", "",
                      part.range);
        }
        bound.kind = PartDefinition::Kind::kRole;
        bound.role = ToChatRole(part.role);
        bound.children = BindParts(part.children, names, true);
        break;
    }
    return bound;
  }

  static void BindParameters(const ast::Part& part, PartDefinition& bound) {
    for (const ast::Parameter& parameter : part.parameters) {
      if (parameter.tokens < 1 || parameter.tokens > kMostParameterTokens) {
        throw Error(ErrorCode::kInvalidArgument,
                    "a parameter takes from 1 to " + std::to_string(kMostParameterTokens) +
                        " tokens, not " + std::to_string(parameter.tokens),
                    "", parameter.tokens_range);
      }
      for (const ParameterDefinition& other : bound.parameters) {
        if (other.name == parameter.name.text) {
          throw Error(ErrorCode::kDuplicateName,
                      "the module has a parameter \"" + other.name + "\" already", "",
                      parameter.name.range);
        }
      }
      ParameterDefinition& definition = bound.parameters.emplace_back();
      definition.name = parameter.name.text;
      definition.tokens = static_cast<int>(parameter.tokens);
      if (parameter.default_value) definition.default_value = parameter.default_value->text;
    }
  }

  // A module of parts: its parameters stand in the texts that are its own.
  static void CheckTemplates(const ast::Part& module,
                             const std::vector<ParameterDefinition>& parameters) {
    std::set<std::string> used;
    CheckTexts(module.children, parameters, used);
    try {
      CheckAllUsed(parameters, used);
    } catch (const Error& error) {
      throw error.At(module.name->range);
    }
  }

  static void CheckTexts(const std::vector<ast::Part>& parts,
                         const std::vector<ParameterDefinition>& parameters,
                         std::set<std::string>& used) {
    for (const ast::Part& part : parts) {
      if (part.kind == ast::Part::Kind::kRole) CheckTexts(part.children, parameters, used);
      if (part.kind != ast::Part::Kind::kText) continue;
      try {
        ParseTemplate(part.text->text, parameters, used);
      } catch (const Error& error) {
        throw error.At(part.text->range);
      }
    }
  }

  void BindModule(const ast::Part& part, bool inside_role, PartDefinition& bound) {
    bound.kind = PartDefinition::Kind::kModule;
    BindParameters(part, bound);
    if (!part.children.empty()) {
      std::set<std::string> inner_names;
      bound.children = BindParts(part.children, inner_names, inside_role);
      CheckTemplates(part, bound.parameters);
      return;
    }
    if (part.file) {
      bound.text = part.text ? part.text->text : ReadTextFile(*part.file);
      bound.source_file = std::filesystem::absolute(part.file->text).lexically_normal().string();
    } else if (part.text) {
      bound.text = part.text->text;
    }
    if (!bound.parameters.empty()) {
      try {
        std::set<std::string> used;
        ParseTemplate(bound.text, bound.parameters, used);
        CheckAllUsed(bound.parameters, used);
      } catch (const Error& error) {
        throw error.At(part.file ? part.file->range : part.text->range);
      }
    }
    if (bound.text.empty()) {
      throw Error(ErrorCode::kInvalidArgument, "module \"" + bound.name + "\" has no text", "",
                  part.file ? part.file->range : part.range);
    }
  }
};

}  // namespace

ChatRole ToChatRole(ast::Role role) {
  switch (role) {
    case ast::Role::kNone:
      return ChatRole::kNone;
    case ast::Role::kSystem:
      return ChatRole::kSystem;
    case ast::Role::kUser:
      return ChatRole::kUser;
    case ast::Role::kAssistant:
      return ChatRole::kAssistant;
  }
  return ChatRole::kNone;
}

SchemaDefinition BindSchema(const ast::CreateSchema& statement) {
  return SchemaBinder().Bind(statement);
}

void AddPart(const ast::Part& part, SchemaDefinition& schema) {
  schema.parts.push_back(SchemaBinder().BindAddedPart(part, schema));
}

}  // namespace promptdb
