// pcsh's command line.
//
// Plain values and pure functions; thread-safe.
#ifndef PROMPTDB_SHELL_OPTIONS_H_
#define PROMPTDB_SHELL_OPTIONS_H_

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace promptdb {

// How rows are written to standard output.
enum class OutputFormat { kTable, kCsv, kJson, kJsonl, kText };

// "table", "csv", …; nullopt for anything else.
std::optional<OutputFormat> ParseOutputFormat(std::string_view name);
std::string_view OutputFormatName(OutputFormat format);
// Every format's name, in the order the documents list them.
const std::vector<std::string>& OutputFormatNames();

// One `-c` or `-f`, in the order of the command line.
struct BatchInput {
  enum class Kind { kStatements, kFile };
  Kind kind = Kind::kStatements;
  std::string value;  // the statements, or the file's path ("-" is standard input)
};

struct Options {
  std::string database = "./promptdb-data";
  std::string server;  // host:port of a server to run at, instead; empty: none
  std::vector<BatchInput> inputs;
  OutputFormat format = OutputFormat::kTable;
  bool echo = false;
  bool timing = false;
  bool check = false;    // CHECK DATABASE, and nothing else
  bool help = false;     // stop reading the command line here
  bool version = false;  // likewise
};

// A command line that pcsh doesn't understand: exit status 2. `hint` may be empty.
class UsageError : public std::runtime_error {
 public:
  UsageError(const std::string& message, std::string hint)
      : std::runtime_error(message), hint_(std::move(hint)) {}
  const std::string& hint() const { return hint_; }

 private:
  std::string hint_;
};

// Reads the arguments after the program's name. Throws UsageError.
Options ParseOptions(const std::vector<std::string>& arguments);

// What `pcsh --help` prints.
std::string UsageText();

}  // namespace promptdb

#endif  // PROMPTDB_SHELL_OPTIONS_H_
