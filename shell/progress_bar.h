// How far a long statement is, on one line of the terminal that is erased again.
//
// Not thread-safe. Draws nothing in a statement's first 300 ms, then at most 10 times a second.
#ifndef PROMPTDB_SHELL_PROGRESS_BAR_H_
#define PROMPTDB_SHELL_PROGRESS_BAR_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace promptdb {

class ProgressBar {
 public:
  using Clock = std::chrono::steady_clock;

  struct Style {
    bool unicode = true;  // blocks in the bar, else # and -
    bool color = true;    // NO_COLOR turns it off
    bool erase = true;    // the terminal knows "erase to the end of line"; TERM=dumb doesn't
  };

  // `write` puts text on the terminal at once; `columns` tells its width.
  ProgressBar(Style style, std::function<void(std::string_view)> write,
              std::function<int()> columns, std::function<Clock::time_point()> now = Clock::now);

  // A statement begins: the 300 ms start now.
  void Begin();
  void Update(std::string_view stage, int64_t done, int64_t total, std::string_view unit);
  // Takes the bar off the screen, so that something else can be written there.
  void Erase();

 private:
  std::string Line(Clock::time_point now, int64_t done, int64_t total, std::string_view unit) const;

  const Style style_;
  const std::function<void(std::string_view)> write_;
  const std::function<int()> columns_;
  const std::function<Clock::time_point()> now_;
  Clock::time_point statement_begin_;
  Clock::time_point stage_begin_;
  Clock::time_point last_drawn_;
  std::string stage_;
  int64_t stage_first_done_ = 0;
  size_t drawn_width_ = 0;  // 0: nothing is on the screen
};

}  // namespace promptdb

#endif  // PROMPTDB_SHELL_PROGRESS_BAR_H_
