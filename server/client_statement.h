// Statements that PostgreSQL's clients send on their own account and that are not PromptQL:
// transactions, their settings, and constants like version().
//
// Pure functions; thread-safe.
#ifndef PROMPTDB_SERVER_CLIENT_STATEMENT_H_
#define PROMPTDB_SERVER_CLIENT_STATEMENT_H_

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/value.h"
#include "parser/scanner.h"

namespace promptdb {

// A lexeme of a statement, with its words folded to lower case and its quotes taken off.
struct ClientToken {
  LexemeKind kind = LexemeKind::kEnd;
  std::string text;
  SourceRange range;

  bool Is(std::string_view word) const {
    return (kind == LexemeKind::kWord || kind == LexemeKind::kSymbol) && text == word;
  }
};

// Without the semicolon at the end. Anything that is no lexeme ends it, since the statement is then
// for the parser to refuse. PostgreSQL's "::" is two symbols of unknown kind, text ":".
std::vector<ClientToken> TokensOf(std::string_view statement);

struct ClientStatement {
  enum class Kind {
    kBegin,
    kCommit,
    kRollback,
    kSavepoint,       // and whatever goes back to one
    kSet,             // name, value
    kSetTransaction,  // of a transaction's own characteristics: nothing to do
    kShow,            // name; "all"
    kReset,           // name; "all"
    kDiscard,
    kDeallocate,  // name; "all"
    kConstants,   // items
  };
  Kind kind = Kind::kBegin;
  std::string name;
  std::string value;

  // SELECT without FROM.
  struct Item {
    std::string column;
    std::string function;  // empty: `value`
    std::vector<Value> arguments;
    Value value;
  };
  std::vector<Item> items;
};

// nullopt for anything else, above all for PromptQL. `parameters`: the names that SET, SHOW and
// RESET mean here; those of PromptQL are the engine's.
using ClientParameters = std::map<std::string, std::string, std::less<>>;
std::optional<ClientStatement> ReadClientStatement(const std::vector<ClientToken>& tokens,
                                                   const ClientParameters& parameters);

// The parameters of a new connection. Names are in lower case. statement_timeout is empty until the
// server's own is known.
ClientParameters DefaultClientParameters();
// Whether the client is told of a change (ParameterStatus), and as what.
std::optional<std::string_view> ReportedName(std::string_view parameter);
// The value as it is kept. Throws Error(kInvalidArgument) for one that we can't follow, such as
// another encoding than UTF-8, and for a parameter that nobody can set.
std::string CheckedClientValue(std::string_view parameter, std::string_view value);
// Milliseconds of statement_timeout: a number of them, or '5s', '2min'. REQUIRES: checked.
int64_t TimeoutMilliseconds(std::string_view value);

}  // namespace promptdb

#endif  // PROMPTDB_SERVER_CLIENT_STATEMENT_H_
