// Schemas in one line, so that tests can compare them.
//
// Thread-safe: pure functions.
#ifndef PROMPTDB_TESTS_PML_SHOW_H_
#define PROMPTDB_TESTS_PML_SHOW_H_

#include <filesystem>
#include <string>
#include <vector>

#include "planner/schema_binder.h"
#include "pml/pml_schema_reader.h"

namespace promptdb {

inline std::string Quote(const std::string& text) {
  std::string out = "'";
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20) {
      out += "\\" + std::to_string(c);
    } else {
      out += c;
    }
  }
  return out + "'";
}

inline std::string Show(const std::vector<PartDefinition>& parts);

inline std::string Show(const PartDefinition& part) {
  using Kind = PartDefinition::Kind;
  std::string out;
  switch (part.kind) {
    case Kind::kText:
      return "TEXT " + Quote(part.text);
    case Kind::kUnion:
      out = "UNION " + part.name;
      break;
    case Kind::kRole:
      out = std::string(ChatRoleName(part.role));
      break;
    case Kind::kModule:
      out = "MODULE " + part.name;
      for (const ParameterDefinition& parameter : part.parameters) {
        out += " [" + parameter.name + " " + std::to_string(parameter.tokens);
        if (parameter.default_value) out += " = " + Quote(*parameter.default_value);
        out += "]";
      }
      if (!part.source_file.empty()) out += " FILE " + part.source_file;
      if (part.children.empty()) return out + " " + Quote(part.text);
      break;
  }
  return out + " (" + Show(part.children) + ")";
}

inline std::string Show(const std::vector<PartDefinition>& parts) {
  std::string out;
  for (const PartDefinition& part : parts) out += (out.empty() ? "" : ", ") + Show(part);
  return out;
}

inline std::string Show(const SchemaDefinition& schema) {
  std::string out = schema.name + ": " + Show(schema.parts);
  if (!schema.separator.empty()) out += " SEPARATOR " + Quote(schema.separator);
  if (schema.is_portable) out += " PORTABLE";
  for (const ScaffoldDefinition& scaffold : schema.scaffolds) {
    out += " SCAFFOLD " + scaffold.name + "(";
    for (const std::string& member : scaffold.members) out += " " + member;
    out += " )";
  }
  return out;
}

// The schema that a PML text is.
inline SchemaDefinition Import(const std::string& pml, const std::filesystem::path& folder = ".") {
  ast::CreateSchema statement = ReadPmlSchema(pml, folder).statement;
  statement.model.text = "m";
  return BindSchema(statement);
}

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_PML_SHOW_H_
