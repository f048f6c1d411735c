#include <filesystem>

#include "base/mapped_file.h"
#include "base/whole_file.h"
#include "executor/install_schema.h"
#include "executor/statements.h"
#include "parser/parser.h"
#include "planner/schema_binder.h"
#include "pml/pml_place.h"
#include "pml/pml_prompt_reader.h"
#include "pml/pml_schema_reader.h"
#include "pml/pml_writer.h"

namespace promptdb {

namespace {

MappedFile OpenFile(const ast::Text& path) {
  try {
    return MappedFile(path.text);
  } catch (const Error& error) {
    throw error.At(path.range);
  }
}

void CheckNameIsFree(const std::string& name, SourceRange place, const Database::Rep& database) {
  if (!database.catalog.HasSchema(name)) return;
  throw Error(ErrorCode::kDuplicateName, "schema \"" + name + "\" exists already",
              "DROP SCHEMA " + QuoteName(name) +
                  "; first, or import under another name: IMPORT SCHEMA name FROM PML ….",
              place);
}

}  // namespace

std::string RunImportSchema(const ast::ImportSchema& statement, Database::Rep& database,
                            ResultSink& sink) {
  const std::filesystem::path path(statement.path.text);
  const MappedFile file = OpenFile(statement.path);
  const std::string name = path.filename().string();
  SchemaDefinition schema;
  PmlSchema pml;
  try {
    pml = ReadPmlSchema(file.text(), path.parent_path());
    if (statement.name) pml.statement.name = *statement.name;
    if (pml.statement.name.text.empty()) {
      throw Error(ErrorCode::kInvalidArgument, "the <schema> has no name",
                  "Write <schema name=\"…\">, or IMPORT SCHEMA name FROM PML ….");
    }
    pml.statement.model = statement.model;
    schema = BindSchema(pml.statement);
  } catch (const Error& error) {
    throw InFile(error, file.text(), name, statement.path.range);
  }
  const SourceRange place = statement.name ? statement.name->range : statement.path.range;
  CheckNameIsFree(schema.name, place, database);
  try {
    InstallSchema(schema, nullptr, {place, statement.model.range}, database, sink);
  } catch (const Error& error) {
    throw error.At(place);
  }
  for (const std::string& notice : pml.notices) sink.OnNotice(notice);
  return "IMPORT SCHEMA";
}

std::string RunExportSchema(const ast::ExportSchema& statement, Database::Rep& database,
                            ResultSink&) {
  const SchemaDefinition schema = database.FindSchema(statement.schema);
  std::string pml;
  try {
    pml = WritePml(schema);
  } catch (const Error& error) {
    throw error.At(statement.schema.range);
  }
  try {
    WriteWholeFile(statement.path.text, pml);
  } catch (const Error& error) {
    throw error.At(statement.path.range);
  }
  return "EXPORT SCHEMA";
}

ast::Select ExpandPml(const ast::Select& query, Database::Rep& database) {
  const ast::PmlSource& source = *query.pml;
  PmlPrompt prompt = ReadPmlPrompt(source.text);
  if (source.model) {
    const auto schema = database.catalog.FindSchema(prompt.schema.text);
    if (schema && schema->model != source.model->text) {
      throw Error(ErrorCode::kInvalidArgument,
                  "schema \"" + schema->name + "\" uses model \"" + schema->model + "\", not \"" +
                      source.model->text + "\"",
                  "Leave USING out, or import the schema for this model under another name.",
                  source.model->range);
    }
  }
  ast::Select expanded = query;
  expanded.pml.reset();
  expanded.schema = std::move(prompt.schema);
  // What the statement itself adds follows the prompt's own words.
  expanded.use = std::move(prompt.use);
  if (prompt.prompt && !query.prompt && query.prompt_in.empty() && query.use.empty()) {
    expanded.prompt = std::move(prompt.prompt);
  } else if (prompt.prompt) {
    ast::UseItem text;
    text.kind = ast::UseItem::Kind::kText;
    text.range = prompt.prompt->range;
    text.text = std::move(prompt.prompt);
    expanded.use.push_back(std::move(text));
  }
  expanded.use.insert(expanded.use.end(), query.use.begin(), query.use.end());
  return expanded;
}

}  // namespace promptdb
