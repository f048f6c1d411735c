// The statements that answer one request of OpenAI's API: one for each answer. Several are with
// workers at a time, so that they go through the model together. A prompt's first answer is alone,
// and its others, which find the prompt's states kept by it, follow together.
//
// Not thread-safe: everything here is the I/O thread's.
#ifndef PROMPTDB_SERVER_OPENAI_RUNS_H_
#define PROMPTDB_SERVER_OPENAI_RUNS_H_

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/generation_counts.h"
#include "server/openai.h"
#include "server/server_state.h"
#include "server/statement_run.h"

namespace promptdb {

class OpenAiRuns {
 public:
  // `wake` is called whenever Next() may have something. `server` and `request` are borrowed.
  // Throws OpenAiError for a request that can't be run.
  OpenAiRuns(ServerState& server, const OpenAiRequest& request, std::string user,
             int64_t connection_id, std::function<void()> wake);
  // Cancels what has not ended.
  ~OpenAiRuns();
  OpenAiRuns(const OpenAiRuns&) = delete;
  OpenAiRuns& operator=(const OpenAiRuns&) = delete;

  struct Event {
    size_t index = 0;           // of the answer
    StatementRun::Event event;  // columns, a Row or a Piece
    bool is_first_piece = false;
  };
  // What comes next of any of them; nullopt while there is nothing. Throws OpenAiError for what
  // ends one, and so the request.
  std::optional<Event> Next();

  bool is_done() const { return ended_ == rows_.size(); }
  // In the order of the answers. REQUIRES: is_done()
  std::vector<Row> TakeRows() { return std::move(rows_); }

  void Cancel(StatementRun::CancelReason reason);

 private:
  struct Running {
    explicit Running(ServerState& server) : timer(server.io), counts(server.metrics) {}

    asio::steady_timer timer;
    GenerationCounts counts;
    std::shared_ptr<StatementRun> run;
    bool has_piece = false;
  };

  void Start(size_t index);

  ServerState& server_;
  const OpenAiRequest& request_;
  const std::string user_;
  const int64_t connection_id_;
  const std::function<void()> wake_;
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  Urgency urgency_;
  size_t most_running_;
  // By the answer's index:
  std::deque<size_t> ready_;  // to start; a prompt's others are not before its first has ended
  std::map<size_t, std::unique_ptr<Running>> running_;
  std::vector<Row> rows_;  // empty until it is there
  size_t ended_ = 0;
};

}  // namespace promptdb

#endif  // PROMPTDB_SERVER_OPENAI_RUNS_H_
