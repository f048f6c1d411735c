#include "shell/progress_bar.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "shell/display_text.h"

namespace promptdb {

namespace {

constexpr std::chrono::milliseconds kQuietTime{300};
constexpr std::chrono::milliseconds kRedrawInterval{100};
// A rate over less than this says nothing yet.
constexpr double kRateSeconds = 0.2;
constexpr size_t kBarWidth = 20;

// "3.2 GiB" for bytes; other units as they are: "512 tokens".
std::string Amount(double value, std::string_view unit) {
  char text[48];
  if (unit == "bytes") {
    constexpr std::array<const char*, 5> kUnits = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    size_t step = 0;
    while (value >= 1024 && step + 1 < kUnits.size()) value /= 1024, ++step;
    std::snprintf(text, sizeof text, value < 10 && step > 0 ? "%.1f %s" : "%.0f %s", value,
                  kUnits[step]);
    return text;
  }
  std::snprintf(text, sizeof text, value < 10 && value != std::floor(value) ? "%.1f " : "%.0f ",
                value);
  return text + std::string(unit);
}

std::string TimeLeft(double seconds) {
  if (seconds >= 359999) return "";  // a guess of days helps nobody
  const auto whole = static_cast<int64_t>(std::ceil(seconds));
  char text[32];
  if (whole < 60) {
    std::snprintf(text, sizeof text, "%d s left", static_cast<int>(whole));
  } else if (whole < 3600) {
    std::snprintf(text, sizeof text, "%d min %d s left", static_cast<int>(whole / 60),
                  static_cast<int>(whole % 60));
  } else {
    std::snprintf(text, sizeof text, "%d h %d min left", static_cast<int>(whole / 3600),
                  static_cast<int>(whole % 3600 / 60));
  }
  return text;
}

}  // namespace

ProgressBar::ProgressBar(Style style, std::function<void(std::string_view)> write,
                         std::function<int()> columns, std::function<Clock::time_point()> now)
    : style_(style), write_(std::move(write)), columns_(std::move(columns)), now_(std::move(now)) {
  Begin();
}

void ProgressBar::Begin() {
  Erase();
  statement_begin_ = now_();
  last_drawn_ = {};
  stage_.clear();
}

void ProgressBar::Update(std::string_view stage, int64_t done, int64_t total,
                         std::string_view unit) {
  const Clock::time_point now = now_();
  if (stage != stage_) {
    stage_ = stage;
    stage_begin_ = now;
    stage_first_done_ = done;
  }
  if (now - statement_begin_ < kQuietTime || now - last_drawn_ < kRedrawInterval) return;
  last_drawn_ = now;
  // The last column stays free: writing there makes some terminals begin a new line.
  const size_t width = static_cast<size_t>(std::max(columns_() - 1, 1));
  std::string line = CutToWidth(Line(now, done, total, unit), width);
  const size_t line_width = DisplayWidth(line);
  if (style_.color) {
    // Only the bar itself is coloured, and only when the cut left all of it.
    const std::string_view full = style_.unicode ? "█" : "#";
    const size_t bar_begin = line.find(full, EscapeControls(stage_).size());
    const size_t bar_end = line.rfind(full);
    if (bar_begin != std::string::npos) {
      line.insert(bar_end + full.size(), "\x1b[0m");
      line.insert(bar_begin, "\x1b[32m");
    }
  }
  std::string out = "\r" + line;
  if (style_.erase) {
    out += "\x1b[K";
  } else if (line_width < drawn_width_) {
    out.append(drawn_width_ - line_width, ' ');
  }
  write_(out);
  drawn_width_ = line_width;
}

void ProgressBar::Erase() {
  if (drawn_width_ == 0) return;
  write_(style_.erase ? "\r\x1b[K" : "\r" + std::string(drawn_width_, ' ') + "\r");
  drawn_width_ = 0;
}

std::string ProgressBar::Line(Clock::time_point now, int64_t done, int64_t total,
                              std::string_view unit) const {
  std::string line = EscapeControls(stage_);
  const double seconds = std::chrono::duration<double>(now - stage_begin_).count();
  const double rate =
      seconds >= kRateSeconds ? static_cast<double>(done - stage_first_done_) / seconds : 0;
  if (total > 0) {
    const double share =
        std::clamp(static_cast<double>(done) / static_cast<double>(total), 0.0, 1.0);
    const auto filled = static_cast<size_t>(share * kBarWidth);
    line += "  ";
    for (size_t i = 0; i < kBarWidth; ++i) {
      line += i < filled ? (style_.unicode ? "█" : "#") : (style_.unicode ? "░" : "-");
    }
    char percent[8];
    std::snprintf(percent, sizeof percent, " %3d%%", static_cast<int>(share * 100));
    line += percent;
  } else {
    line += "  " + Amount(static_cast<double>(done), unit);
  }
  if (rate > 0) {
    line += "  " + Amount(rate, unit) + "/s";
    if (total > done) {
      const std::string left = TimeLeft(static_cast<double>(total - done) / rate);
      if (!left.empty()) line += "  " + left;
    }
  }
  return line;
}

}  // namespace promptdb
