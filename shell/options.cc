#include "shell/options.h"

#include <algorithm>
#include <array>

#include "base/nearest_name.h"

namespace promptdb {

namespace {

struct OptionSpec {
  std::string_view long_name;
  char short_name;  // '\0' where there is none
  bool takes_value;
};

constexpr std::array<OptionSpec, 10> kOptions = {{
    {"--db", '\0', true},
    {"--command", 'c', true},
    {"--file", 'f', true},
    {"--format", '\0', true},
    {"--connect", '\0', true},
    {"--check", '\0', false},
    {"--echo", '\0', false},
    {"--timing", '\0', false},
    {"--help", 'h', false},
    {"--version", 'V', false},
}};

const OptionSpec* FindLong(std::string_view name) {
  for (const OptionSpec& spec : kOptions) {
    if (spec.long_name == name) return &spec;
  }
  return nullptr;
}

const OptionSpec* FindShort(char name) {
  for (const OptionSpec& spec : kOptions) {
    if (spec.short_name == name && name != '\0') return &spec;
  }
  return nullptr;
}

[[noreturn]] void RefuseUnknown(const std::string& name) {
  std::vector<std::string> names;
  for (const OptionSpec& spec : kOptions) names.emplace_back(spec.long_name);
  const std::string nearest = NearestName(name, names);
  throw UsageError("unknown option " + name, nearest.empty() ? "pcsh --help lists the options."
                                                             : "Did you mean " + nearest + "?");
}

void Apply(const OptionSpec& spec, const std::string& value, Options& options) {
  if (spec.long_name == "--db") {
    if (value.empty()) throw UsageError("--db needs a folder, and got an empty name", "");
    options.database = value;
  } else if (spec.long_name == "--command") {
    options.inputs.push_back({BatchInput::Kind::kStatements, value});
  } else if (spec.long_name == "--file") {
    if (value.empty()) throw UsageError("-f needs a file, and got an empty name", "");
    options.inputs.push_back({BatchInput::Kind::kFile, value});
  } else if (spec.long_name == "--format") {
    const std::optional<OutputFormat> format = ParseOutputFormat(value);
    if (!format) {
      const std::string nearest = NearestName(value, OutputFormatNames());
      throw UsageError(
          "unknown format \"" + value + "\"; the formats are table, csv, json, jsonl, text",
          nearest.empty() ? "" : "Did you mean " + nearest + "?");
    }
    options.format = *format;
  } else if (spec.long_name == "--connect") {
    if (value.empty()) throw UsageError("--connect needs host:port, and got nothing", "");
    options.server = value;
  } else if (spec.long_name == "--check") {
    options.check = true;
  } else if (spec.long_name == "--echo") {
    options.echo = true;
  } else if (spec.long_name == "--timing") {
    options.timing = true;
  } else if (spec.long_name == "--help") {
    options.help = true;
  } else if (spec.long_name == "--version") {
    options.version = true;
  }
}

}  // namespace

const std::vector<std::string>& OutputFormatNames() {
  static const std::vector<std::string> kNames = {"table", "csv", "json", "jsonl", "text"};
  return kNames;
}

std::optional<OutputFormat> ParseOutputFormat(std::string_view name) {
  const std::vector<std::string>& names = OutputFormatNames();
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) return std::nullopt;
  return static_cast<OutputFormat>(found - names.begin());
}

std::string_view OutputFormatName(OutputFormat format) {
  return OutputFormatNames()[static_cast<size_t>(format)];
}

Options ParseOptions(const std::vector<std::string>& arguments) {
  Options options;
  bool has_database = false;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    // Where an option's value stands apart from it, it is the next argument, whatever that looks
    // like: -c '-- a comment' is a statement.
    const auto next_value = [&](const std::string& name) -> const std::string& {
      if (i + 1 >= arguments.size()) throw UsageError("option " + name + " needs a value", "");
      return arguments[++i];
    };
    if (argument.starts_with("--") && argument.size() > 2) {
      const size_t equals = argument.find('=');
      const std::string name = argument.substr(0, equals);
      const OptionSpec* spec = FindLong(name);
      if (spec == nullptr) RefuseUnknown(name);
      has_database = has_database || spec->long_name == "--db";
      if (spec->takes_value) {
        Apply(*spec, equals == std::string::npos ? next_value(name) : argument.substr(equals + 1),
              options);
      } else if (equals != std::string::npos) {
        throw UsageError("option " + name + " takes no value", "");
      } else {
        Apply(*spec, "", options);
      }
    } else if (argument.size() >= 2 && argument[0] == '-' && argument != "--") {
      const OptionSpec* spec = FindShort(argument[1]);
      if (spec == nullptr) RefuseUnknown(argument);
      if (spec->takes_value) {
        Apply(*spec, argument.size() > 2 ? argument.substr(2) : next_value(argument), options);
      } else if (argument.size() > 2) {
        RefuseUnknown(argument);
      } else {
        Apply(*spec, "", options);
      }
    } else {
      throw UsageError("unexpected argument \"" + argument + "\"",
                       "A database folder follows --db, a script -f, statements -c.");
    }
    if (options.help || options.version) break;
  }
  if (has_database && !options.server.empty() && !options.help && !options.version) {
    throw UsageError("--db and --connect can't both be", "A server has its own database.");
  }
  if (options.check && !options.inputs.empty() && !options.help && !options.version) {
    throw UsageError("--check takes no statements", "Leave -c and -f out.");
  }
  return options;
}

std::string UsageText() {
  return R"(pcsh, the shell of PromptDB

Usage: pcsh [--db DIR] [-c 'STATEMENTS'] [-f FILE] [OPTION]...

Without -c and -f, pcsh is interactive on a terminal, and else reads statements
from standard input. -c and -f may be repeated; they run in their order and stop
at the first error.

  --db DIR             the database's folder, made if absent (./promptdb-data)
  --connect HOST:PORT  run statements at a server instead (pcserver)
  -c, --command TEXT   run the statements in TEXT
  -f, --file FILE      run the statements in FILE; - is standard input
  --format FORMAT      how rows are printed: table, csv, json, jsonl or text
  --check              check the whole database; status 1 if anything is damaged
  --echo               print each statement before it runs
  --timing             print how long each statement took
  -h, --help           print this
  -V, --version        print the version

Rows go to standard output; progress, notices and errors to standard error.
Exit status: 0 all is well, 1 a statement failed, 2 the command line is wrong.

Example:
  pcsh --db D -c "CREATE MODEL m FROM 'model.gguf'; SHOW MODELS"

Without a model of your own, start pcsh and type \demo.
)";
}

}  // namespace promptdb
