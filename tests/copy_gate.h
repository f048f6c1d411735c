// Copies of the stand-in device that a test holds up, or makes fail.
//
// Thread-safe.
#ifndef PROMPTDB_TESTS_COPY_GATE_H_
#define PROMPTDB_TESTS_COPY_GATE_H_

#include <condition_variable>
#include <mutex>

#include "base/error.h"
#include "storage/host_device.h"

namespace promptdb {

// What the copies of a device go through: open, shut, or failing, by direction.
class CopyGate {
 public:
  using Direction = HostDevice::Direction;

  HostDevice::CopyGate AsGate() {
    return [this](const HostDevice::Copy& copy) {
      std::unique_lock lock(mutex_);
      Way& way = Of(copy.direction);
      ++way.waiting;
      changed_.notify_all();
      changed_.wait(lock, [&] { return way.is_open; });
      --way.waiting;
      if (way.fails) throw Error(ErrorCode::kIo, "the copy failed, since the test wants it to");
    };
  }
  void Shut(Direction direction) { Set(direction, false, false); }
  void Open(Direction direction) { Set(direction, true, false); }
  void Fail(Direction direction) { Set(direction, true, true); }
  // Until a copy waits at the shut gate.
  void AwaitCopy(Direction direction) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return Of(direction).waiting > 0; });
  }

 private:
  struct Way {
    bool is_open = true;
    bool fails = false;
    int waiting = 0;
  };
  Way& Of(Direction direction) { return direction == Direction::kIn ? in_ : out_; }
  void Set(Direction direction, bool is_open, bool fails) {
    const std::scoped_lock lock(mutex_);
    Of(direction).is_open = is_open;
    Of(direction).fails = fails;
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  Way in_, out_;
};

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_COPY_GATE_H_
