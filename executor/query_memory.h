// The memory that running queries may take for themselves, all together: a budget in bytes. A query
// reserves what it will need at most before it starts, waits while there is no room, and gives it
// back at its end, however it ends. So load can't exhaust the machine's memory.
//
// Who waits goes by urgency, then in the order of coming, and nobody overtakes: else a large query
// would wait as long as small ones keep coming. No query reserves twice, so none waits for another
// that waits for it.
//
// Thread-safe.
#ifndef PROMPTDB_EXECUTOR_QUERY_MEMORY_H_
#define PROMPTDB_EXECUTOR_QUERY_MEMORY_H_

#include <condition_variable>
#include <cstdint>
#include <list>
#include <mutex>

#include "base/progress.h"
#include "base/urgency.h"

namespace promptdb {

class QueryMemory {
 public:
  explicit QueryMemory(int64_t budget) : budget_(budget) {}

  // Bytes that are reserved as long as it lives. Move-only; its QueryMemory outlives it.
  class Reservation {
   public:
    Reservation(Reservation&& other) noexcept;
    Reservation& operator=(Reservation&& other) = delete;
    ~Reservation();

    int64_t bytes() const { return bytes_; }

   private:
    friend class QueryMemory;
    Reservation(QueryMemory* memory, int64_t bytes) : memory_(memory), bytes_(bytes) {}

    QueryMemory* memory_;  // null after a move
    int64_t bytes_;
  };

  // Waits until there is room. Throws Error: kResource where there never will be, kCanceled when
  // `listener` says so meanwhile.
  Reservation Reserve(int64_t bytes, const Urgency& urgency, const ProgressListener& listener);

  // What is reserved already stays. Those that wait and no longer can get in are refused.
  void SetBudget(int64_t bytes);

  struct Stats {
    int64_t budget = 0;
    int64_t reserved = 0;  // bytes
    int64_t most_reserved = 0;
    int64_t waiting = 0;  // queries
    int64_t waited = 0;   // queries that had to, so far
    int64_t refused = 0;
  };
  Stats stats() const;

 private:
  struct Waiter {
    int64_t bytes = 0;
    Urgency urgency;
    std::condition_variable changed;
  };

  // REQUIRES: mutex_ held, for all that follow.
  void CheckFits(int64_t bytes);
  bool HasRoom(int64_t bytes) const { return reserved_ + bytes <= budget_; }
  void Take(int64_t bytes);
  // Tells whoever is the first to wait that it may look.
  void WakeFirst();

  void Release(int64_t bytes);

  mutable std::mutex mutex_;
  // Guarded by mutex_:
  int64_t budget_;
  int64_t reserved_ = 0;
  int64_t most_reserved_ = 0;
  int64_t waited_ = 0;
  int64_t refused_ = 0;
  std::list<Waiter*> waiting_;  // in the order in which they get in
};

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_QUERY_MEMORY_H_
