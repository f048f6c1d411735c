#include "shell/history_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

namespace promptdb {

namespace {

std::string Escape(const std::string& entry) {
  std::string line;
  for (const char c : entry) {
    if (c == '\\') {
      line += "\\\\";
    } else if (c == '\n') {
      line += "\\n";
    } else {
      line += c;
    }
  }
  return line + '\n';
}

std::string Unescape(const std::string& line) {
  std::string entry;
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '\\' && i + 1 < line.size()) {
      entry += line[++i] == 'n' ? '\n' : line[i];
    } else {
      entry += line[i];
    }
  }
  return entry;
}

// What people ask a model is nobody else's to read.
bool WriteAll(const std::filesystem::path& file, int flags, const std::string& text) {
  const int fd = open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);
  if (fd < 0) return false;
  const bool written = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  close(fd);
  return written;
}

}  // namespace

std::filesystem::path DefaultHistoryFile() {
  if (const char* file = std::getenv("PCSH_HISTORY")) return file;
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home == '\0') return {};
  return std::filesystem::path(home) / ".pcsh_history";
}

std::vector<std::string> LoadHistory(const std::filesystem::path& file) {
  std::vector<std::string> entries;
  std::ifstream in(file, std::ios::binary);
  for (std::string line; std::getline(in, line);) {
    if (!line.empty()) entries.push_back(Unescape(line));
  }
  if (entries.size() <= kHistoryEntries) return entries;
  const bool far_over = entries.size() > 2 * kHistoryEntries;
  entries.erase(entries.begin(), entries.end() - kHistoryEntries);
  if (far_over) {
    std::string text;
    for (const std::string& entry : entries) text += Escape(entry);
    std::filesystem::path fresh = file;
    fresh += ".new";
    std::error_code ignored;
    if (WriteAll(fresh, O_TRUNC, text)) std::filesystem::rename(fresh, file, ignored);
  }
  return entries;
}

bool AppendHistory(const std::filesystem::path& file, const std::string& entry) {
  return WriteAll(file, O_APPEND, Escape(entry));
}

}  // namespace promptdb
