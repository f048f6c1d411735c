#include "planner/schema_binder.h"

#include <ctime>
#include <filesystem>
#include <set>

#include "base/mapped_file.h"
#include "base/utf8.h"
#include "planner/module_template.h"
#include "planner/options.h"

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
    const OptionReader options(statement.options, "CREATE SCHEMA", {"separator"});
    schema.separator = options.TextValue("separator").value_or("");
    if (!statement.scaffolds.empty()) {
      throw Error(ErrorCode::kUnsupported, "SCAFFOLD has no meaning in this release yet",
                  "Leave the scaffold out: its modules then attend to what is certain before them.",
                  statement.scaffolds.front().range);
    }
    std::set<std::string> names;
    schema.parts = BindParts(statement.parts, names, false);
    return schema;
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
    if (part.parameters.empty()) return;
    if (!part.children.empty()) {
      throw Error(ErrorCode::kUnsupported, "a module made of parts cannot have parameters yet",
                  "Give the parameters to a module of text inside it.",
                  part.parameters.front().name.range);
    }
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

  void BindModule(const ast::Part& part, bool inside_role, PartDefinition& bound) {
    bound.kind = PartDefinition::Kind::kModule;
    BindParameters(part, bound);
    if (!part.children.empty()) {
      std::set<std::string> inner_names;
      bound.children = BindParts(part.children, inner_names, inside_role);
      return;
    }
    if (part.file) {
      bound.text = ReadTextFile(*part.file);
      bound.source_file = std::filesystem::absolute(part.file->text).lexically_normal().string();
    } else if (part.text) {
      bound.text = part.text->text;
    }
    if (!bound.parameters.empty()) {
      try {
        ParseTemplate(bound.text, bound.parameters);
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

}  // namespace promptdb
