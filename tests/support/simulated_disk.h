// A disk that fails, and one that loses its power, under a real database: a
// shared library that stands between a program and the C library's file calls.
//
// A program that is linked with it calls the functions below; any other program
// (pcsh) is run with it in LD_PRELOAD and these variables:
//
//   PROMPTDB_DISK_FOLDER  the folder that is watched
//   PROMPTDB_DISK_FAULT   "CALL AT ERROR LASTS", as in DiskFault: "write 17 5
//   0"
//
// What a power cut leaves is worked out from what was synced, as POSIX promises
// it and no more: a file's bytes are safe after fsync or fdatasync of the file,
// its name after fsync of its folder. What was not synced is lost, or kept in
// part: an appended tail up to any byte, changes of names up to any of them in
// their order. Folders are taken to be safe once they are made. Files are only
// appended to, as RocksDB's are.
//
// Thread-safe. One folder is watched at a time.
#ifndef PROMPTDB_TESTS_SUPPORT_SIMULATED_DISK_H_
#define PROMPTDB_TESTS_SUPPORT_SIMULATED_DISK_H_

#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace promptdb {

// By what they do: kName is rename, link, unlink and the making of folders.
enum class DiskCall { kOpen, kRead, kMap, kWrite, kSync, kName };
inline constexpr int kDiskCalls = 6;

std::string_view DiskCallName(DiskCall call);  // "open", "read", "map", "write", "sync", "name"

struct DiskFault {
  DiskCall call = DiskCall::kRead;
  int64_t at = 1;      // which of these calls fails, from 1 on
  int error = EIO;     // 0: a read or a write does half of what it was asked for
  bool lasts = false;  // so do all later ones of this kind
};

// From now on, calls on files in `folder` and below are watched; what is there
// is on the disk. An empty path ends it.
void WatchDisk(const std::filesystem::path& folder);

// Counts from 1 again. nullopt: nothing fails.
void SetDiskFault(const std::optional<DiskFault>& fault);
// Calls of a kind since the last SetDiskFault or WatchDisk.
int64_t DiskCallsMade(DiskCall call);
// Whether the fault has come.
bool HasDiskFailed();

// Called before each call that changes something on the disk, with what no
// other call can change meanwhile. Empty: nobody.
void OnDiskChange(std::function<void()> callback);

// Writes the folder as a power cut at this moment would leave it. `seed`
// decides how much of what was not synced is kept: nothing where it is
// divisible by 3.
void WriteWhatPowerLossLeaves(const std::filesystem::path& to, uint32_t seed);

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_SUPPORT_SIMULATED_DISK_H_
