// A session at a server, over libpq: pcsh --connect. The server tells of progress and of answers as
// they come in notices that only this client asks for (docs/server.md).
//
// Not thread-safe, but for Cancel(), which may be called from a signal handler.
#ifndef PROMPTDB_SHELL_REMOTE_SESSION_H_
#define PROMPTDB_SHELL_REMOTE_SESSION_H_

#include <memory>
#include <string>
#include <string_view>

#include "shell/statement_runner.h"

namespace promptdb {

class RemoteSession : public StatementRunner {
 public:
  // `target`: host:port, host, or what libpq takes (postgresql://…, or name=value pairs). User and
  // password are libpq's: PGUSER, PGPASSWORD, ~/.pgpass. Throws Error(kIo) where there is no
  // server, or none of PromptDB.
  explicit RemoteSession(const std::string& target);
  ~RemoteSession() override;

  // Throws what the server throws, with its place in `text`, and Error(kIo) when it has gone; the
  // next statement then connects again, in a new session.
  void Execute(std::string_view text, ResultSink& sink) override;
  void Cancel() override;
  Session::Names CatalogNames() override;

 private:
  struct Rep;
  class SinkHold;
  std::unique_ptr<Rep> rep_;
};

}  // namespace promptdb

#endif  // PROMPTDB_SHELL_REMOTE_SESSION_H_
