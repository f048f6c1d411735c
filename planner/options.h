// Reads `(name = value, …)` lists: every option known, of the right type, in range, given once.
#ifndef PROMPTDB_PLANNER_OPTIONS_H_
#define PROMPTDB_PLANNER_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "parser/ast.h"

namespace promptdb {

// The first option of that name, or nullptr.
const ast::Option* FindOption(const std::vector<ast::Option>& options, std::string_view name);

// A view of one option list. Errors point at the option or value to blame.
class OptionReader {
 public:
  // Throws for an option that is not among `known` (with the nearest name as a hint) and for one
  // given twice, unless it is among `repeatable` too. `place` names the list in messages:
  // "GENERATE", "WITH", "CREATE MODEL".
  OptionReader(const std::vector<ast::Option>& options, std::string_view place,
               std::vector<std::string> known, const std::vector<std::string>& repeatable = {});

  // Each returns nullopt when the option is not given.
  std::optional<int64_t> Integer(std::string_view name, int64_t least, int64_t most) const;
  std::optional<double> Real(std::string_view name, double least, double most) const;
  std::optional<bool> Boolean(std::string_view name) const;
  std::optional<std::string> TextValue(std::string_view name) const;
  // Every value of a repeatable option, in order.
  std::vector<ast::Text> Texts(std::string_view name) const;
  // Text or bare word, one of `choices`, in lower case.
  std::optional<std::string> Choice(std::string_view name,
                                    const std::vector<std::string>& choices) const;

  // See LiteralBytes().
  std::optional<int64_t> Bytes(std::string_view name) const;

  // A span of time: '90s', '15min', '1h', '7d'; a whole number is seconds.
  std::optional<int64_t> Seconds(std::string_view name) const;

  // The option's place in the statement. REQUIRES: it is given.
  SourceRange RangeOf(std::string_view name) const;

 private:
  const ast::Option* Find(std::string_view name) const;

  const std::vector<ast::Option>& options_;
};

// The value converters behind OptionReader, for SET as well. `name` is for messages. A literal that
// is untyped is read as what is asked for.
int64_t LiteralInteger(const ast::Literal& literal, std::string_view name, int64_t least,
                       int64_t most);
double LiteralReal(const ast::Literal& literal, std::string_view name, double least, double most);
bool LiteralBoolean(const ast::Literal& literal, std::string_view name);
std::string LiteralChoice(const ast::Literal& literal, std::string_view name,
                          const std::vector<std::string>& choices);
// An untyped literal as a value of the type; nullopt where its text is none.
std::optional<int64_t> UntypedInteger(const ast::Literal& literal);
std::optional<double> UntypedReal(const ast::Literal& literal);
std::optional<bool> UntypedBoolean(const ast::Literal& literal);

// Bytes: a whole number, or text like '512MB', '4 GB', '1.5GiB' (powers of 1024 either way).
int64_t LiteralBytes(const ast::Literal& literal, std::string_view name);
// A span of time; see OptionReader::Seconds().
int64_t LiteralSeconds(const ast::Literal& literal, std::string_view name);
// The same to the millisecond: '500ms' too.
int64_t LiteralMilliseconds(const ast::Literal& literal, std::string_view name);

}  // namespace promptdb

#endif  // PROMPTDB_PLANNER_OPTIONS_H_
