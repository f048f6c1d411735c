#include "shell/demo_setup.h"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <system_error>

#include "base/mapped_file.h"
#include "base/whole_file.h"
#include "demo/demo.h"
#include "parser/parser.h"
#include "shell/collected_rows.h"

namespace promptdb {

namespace {

namespace fs = std::filesystem;

constexpr char kFileName[] = "demo.gguf";

const std::string kName(kDemoName);

// The value of one column of the row that is named as the demo is; nullopt where there is none.
std::optional<Value> FindInTable(StatementRunner* session, const std::string& table,
                                 const std::string& column, ResultSink& sink) {
  CollectedRows rows(&sink, false);
  session->Execute("SELECT " + column + " FROM " + table + " WHERE name = " + QuoteText(kDemoName),
                   rows);
  if (rows.rows().empty()) return std::nullopt;
  return rows.At(0, column);
}

std::string TextOf(const std::optional<Value>& value) {
  const std::string* text = value ? std::get_if<std::string>(&*value) : nullptr;
  return text != nullptr ? *text : "";
}

bool IsBuiltInModel(const fs::path& file) {
  std::error_code ignored;
  // The size tells most files apart without reading them.
  if (!fs::is_regular_file(file, ignored)) return false;
  if (fs::file_size(file, ignored) != DemoModelFile().size()) return false;
  return MappedFile(file).text() == DemoModelFile();
}

void CollectModules(const std::vector<ast::Part>& parts, std::vector<std::string>& modules) {
  for (const ast::Part& part : parts) {
    if (part.kind == ast::Part::Kind::kModule) {
      modules.push_back(kName + "." + part.name->text);
    } else {
      CollectModules(part.children, modules);
    }
  }
}

[[noreturn]] void FailTaken(const std::string& what, const std::string& hint) {
  throw Error(ErrorCode::kDuplicateName, what, hint);
}

constexpr char kElsewhere[] =
    "A database of its own has room for the demo: pcsh --db another-folder, then \\demo.";

// Throws unless the schema that is there has every module of the demo's and its model.
void CheckSchema(StatementRunner* session, ResultSink& sink) {
  const std::string model = TextOf(FindInTable(session, "pc_schemas", "model", sink));
  if (model != kDemoName) {
    FailTaken("schema \"" + kName + "\" exists already, over model \"" + model + "\"",
              "ALTER SCHEMA demo RENAME TO another; makes room for the demo's.");
  }
  const ast::Statement statement = Parse(DemoSchemaStatement()).at(0);
  std::vector<std::string> modules;
  CollectModules(std::get<ast::CreateSchema>(statement.node).parts, modules);
  const std::vector<std::string> there = session->CatalogNames().modules;
  for (const std::string& module : modules) {
    if (std::find(there.begin(), there.end(), module) != there.end()) continue;
    FailTaken(
        "schema \"" + kName + "\" exists already, without the demo's module \"" + module + "\"",
        "ALTER SCHEMA demo RENAME TO another; makes room for the demo's.");
  }
}

void WriteModel(const fs::path& file) {
  try {
    WriteWholeFile(file, DemoModelFile());
  } catch (const Error& error) {
    throw Error(error.code(), error.message(),
                "The demo's model needs " + std::to_string((DemoModelFile().size() >> 20) + 1) +
                    " MiB in the database's folder.");
  }
}

}  // namespace

DemoSetup SetUpDemo(StatementRunner* session, const fs::path& folder, ResultSink& sink) {
  DemoSetup done;
  done.file = fs::absolute(folder / kFileName).lexically_normal();

  // All checks come first, so that a name that is taken leaves the database as it was.
  const std::optional<Value> model = FindInTable(session, "pc_models", "path", sink);
  bool has_moved = false;
  if (model) {
    const fs::path path = TextOf(model);
    std::error_code ignored;
    if (path != done.file && IsBuiltInModel(path)) {
      done.file = path;
    } else if (path != done.file) {
      // The row of a database that was moved names the file where it was.
      has_moved = path.filename() == kFileName && !fs::exists(path, ignored);
      if (!has_moved) {
        FailTaken("model \"" + kName + "\" exists already, from \"" + path.string() + "\"",
                  kElsewhere);
      }
    }
  }
  const bool has_schema = FindInTable(session, "pc_schemas", "name", sink).has_value();
  if (has_schema) CheckSchema(session, sink);

  if (!IsBuiltInModel(done.file)) {
    WriteModel(done.file);
    done.wrote_file = true;
  }
  CollectedRows quiet(&sink, true);
  if (!model || has_moved) {
    session->Execute("CREATE OR REPLACE MODEL " + kName + " FROM " + QuoteText(done.file.string()),
                     quiet);
    done.made_model = true;
  }
  if (!has_schema) {
    session->Execute(DemoSchemaStatement(), quiet);
    done.made_schema = true;
  }
  const std::optional<Value> parameters = FindInTable(session, "pc_models", "parameters", sink);
  if (parameters) done.parameters = std::get<int64_t>(*parameters);
  return done;
}

std::string DemoReport(const DemoSetup& setup) {
  if (!setup.made_model && !setup.made_schema && !setup.wrote_file) {
    return "The demo is there already: model demo, and schema demo over it.\n";
  }
  char millions[32];
  std::snprintf(millions, sizeof millions, "%.1f", static_cast<double>(setup.parameters) / 1e6);
  return "The demo is set up: model demo (" + std::string(millions) + " million parameters, " +
         setup.file.string() +
         ") and schema demo, guides to towns that don't exist.\n"
         "The model finds facts in the texts of a prompt. It knows and can do nothing else.\n";
}

std::string DemoHints() {
  std::string text = "Try:\n";
  for (const DemoExample& example : DemoExamples()) {
    text += "\n  " + std::string(example.input) + "\n    " + std::string(example.meaning) + "\n";
  }
  return text + "\n";
}

Error WithDemoHint(const Error& error) {
  if (error.code() != ErrorCode::kUnknownName ||
      (error.message() != "model \"" + kName + "\" does not exist" &&
       error.message() != "schema \"" + kName + "\" does not exist")) {
    return error;
  }
  return Error(error.code(), error.message(), "\\demo sets up the one that is built in.",
               error.range());
}

}  // namespace promptdb
