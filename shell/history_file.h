// The statements that were typed at the prompt, kept between runs of the shell.
//
// One entry a line, oldest first; in an entry a line break is written \n and a backslash \\.
// Several shells may append at once, since each entry is one write. Thread-safe but for the file
// itself.
#ifndef PROMPTDB_SHELL_HISTORY_FILE_H_
#define PROMPTDB_SHELL_HISTORY_FILE_H_

#include <filesystem>
#include <string>
#include <vector>

namespace promptdb {

inline constexpr size_t kHistoryEntries = 1000;
inline constexpr size_t kHistoryEntryBytes = 64 << 10;  // longer ones aren't kept

// $PCSH_HISTORY, else ~/.pcsh_history; empty (no history is kept) where neither is set.
std::filesystem::path DefaultHistoryFile();

// The newest kHistoryEntries, oldest first. A file that has grown far over that is cut. A file that
// can't be read is an empty history.
std::vector<std::string> LoadHistory(const std::filesystem::path& file);

// Makes the file, readable by its owner only, where it is absent. False when it can't be written.
bool AppendHistory(const std::filesystem::path& file, const std::string& entry);

}  // namespace promptdb

#endif  // PROMPTDB_SHELL_HISTORY_FILE_H_
