// Where the shell's statements run: in a session of its own process, or at a server.
//
// Not thread-safe, but for Cancel().
#ifndef PROMPTDB_SHELL_STATEMENT_RUNNER_H_
#define PROMPTDB_SHELL_STATEMENT_RUNNER_H_

#include <string_view>

#include "executor/session.h"

namespace promptdb {

class StatementRunner {
 public:
  virtual ~StatementRunner() = default;

  // As Session::Execute().
  virtual void Execute(std::string_view text, ResultSink& sink) = 0;
  // As Session::Cancel(): from a signal handler, too.
  virtual void Cancel() = 0;
  virtual Session::Names CatalogNames() = 0;
};

// A session of this process. `database` is borrowed.
class EmbeddedSession : public StatementRunner {
 public:
  explicit EmbeddedSession(Database* database) : session_(database) {}

  void Execute(std::string_view text, ResultSink& sink) override { session_.Execute(text, sink); }
  void Cancel() override { session_.Cancel(); }
  Session::Names CatalogNames() override { return session_.CatalogNames(); }

 private:
  Session session_;
};

}  // namespace promptdb

#endif  // PROMPTDB_SHELL_STATEMENT_RUNNER_H_
