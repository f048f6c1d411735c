// Who is connected: for SHOW CONNECTIONS, for CancelRequest, and for the end of the server.
//
// Thread-safe, but for the functions that a connection gives it, which the I/O thread calls.
#ifndef PROMPTDB_SERVER_CONNECTION_REGISTRY_H_
#define PROMPTDB_SERVER_CONNECTION_REGISTRY_H_

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "executor/session.h"

namespace promptdb {

class ConnectionRegistry {
 public:
  // What a connection lets others do to it. The connection takes itself off before it ends.
  struct Handles {
    std::function<void()> cancel;                 // the running statement
    std::function<void(bool at_once)> shut_down;  // the connection; at once: running or not
  };

  // A connection's place in the registry; leaves it at its end. The registry outlives it.
  class Entry {
   public:
    Entry(ConnectionRegistry* registry, ConnectionInfo info, Handles handles);
    ~Entry();
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;

    int32_t id() const { return id_; }
    int32_t secret() const { return secret_; }  // that a CancelRequest must know
    // state: "idle", "waiting" or "active".
    void SetState(const std::string& state, const std::string& statement = "");
    void SetApplication(const std::string& application);
    void SetUser(const std::string& user);

   private:
    ConnectionRegistry* registry_;
    int32_t id_ = 0;
    int32_t secret_ = 0;
  };

  // What a connection waited for begins to run; called by the worker, maybe after the connection's
  // end.
  void MarkActive(int32_t id);

  int count() const;
  std::vector<ConnectionInfo> List() const;
  // False where there is none with that secret.
  bool Cancel(int32_t id, int32_t secret);
  void ShutDownAll(bool at_once);

 private:
  struct Row {
    ConnectionInfo info;
    int32_t secret = 0;
    Handles handles;
  };

  mutable std::mutex mutex_;
  int32_t last_id_ = 0;          // guarded by mutex_
  std::map<int32_t, Row> rows_;  // guarded by mutex_
};

}  // namespace promptdb

#endif  // PROMPTDB_SERVER_CONNECTION_REGISTRY_H_
