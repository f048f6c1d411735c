// Rows as text: one formatter for each output format.
//
// Not thread-safe. A formatter is made for each statement and used in this order: Begin, Row*, End;
// or Begin, Row*, Abort when the statement fails on the way. It borrows the Output it writes to.
#ifndef PROMPTDB_SHELL_ROW_FORMATTER_H_
#define PROMPTDB_SHELL_ROW_FORMATTER_H_

#include <memory>
#include <string>
#include <vector>

#include "executor/result.h"
#include "shell/options.h"
#include "shell/output.h"

namespace promptdb {

class RowFormatter {
 public:
  virtual ~RowFormatter() = default;
  virtual void Begin(const std::vector<Column>& columns) = 0;
  virtual void Row(const std::vector<Value>& row) = 0;
  virtual void End() = 0;
  // What was written so far stays well formed, where the format can do that.
  virtual void Abort() {}
};

// When a table's rows are turned on their side, one column a line: \x.
enum class Expanded { kOff, kOn, kAuto };

// As psql's aligned tables, but no line ends in blanks. `max_width`: kAuto expands what is wider.
// Control characters are always escaped, since a table is for eyes.
std::unique_ptr<RowFormatter> MakeTableFormatter(Output& out, Expanded expanded, size_t max_width);
// RFC 4180 quoting, a header line, lines that end in \n. NULL is empty, an empty text is "".
std::unique_ptr<RowFormatter> MakeCsvFormatter(Output& out);
// An array of objects for a result; with `lines`, an object a line and no array.
std::unique_ptr<RowFormatter> MakeJsonFormatter(Output& out, bool lines);
// Bare values, a row a line, with a tab between columns. A result of one column is written as it
// is; in a row of several, tab, line break and backslash are written \t, \n, \r and \\.
std::unique_ptr<RowFormatter> MakeTextFormatter(Output& out);

// A value without loss, for programs: reals have as many digits as reading them back needs.
std::string ExactValue(const Value& value);

}  // namespace promptdb

#endif  // PROMPTDB_SHELL_ROW_FORMATTER_H_
