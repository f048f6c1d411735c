#include "tests/support/simulated_disk.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <random>
#include <sstream>
#include <vector>

namespace promptdb {

namespace {

namespace fs = std::filesystem;

// `real` is the C library's own function of that name.
#define PROMPTDB_REAL(name)               \
  static __typeof__(::name)* const real = \
      reinterpret_cast<__typeof__(::name)*>(dlsym(RTLD_NEXT, #name))

// A file, whatever its names.
struct File {
  std::string safe;       // its bytes as of the last sync
  std::string folder;     // for a folder that was opened: its path
  std::string last_path;  // where its bytes can be read, until it has no name
  bool has_name = true;
};

using Names = std::map<std::string, int>;  // full path to file

struct NameChange {
  std::string path;
  int file = 0;         // 0: the name is gone
  std::string renamed;  // the name that it had before, if any: gone at the same moment
};

struct Disk {
  std::recursive_mutex mutex;
  // All that follows: guarded by mutex.
  std::string folder;
  std::vector<File> files{1};  // 0 is none
  Names names;                 // as they are now
  Names safe_names;            // as of the last sync of their folders
  std::vector<NameChange> unsafe_changes;
  std::array<int64_t, kDiskCalls> calls{};
  std::optional<DiskFault> fault;
  bool has_failed = false;
  std::function<void()> on_change;
};

std::atomic<bool> is_watching = false;
constexpr int kMostDescriptors = 1 << 16;
std::array<std::atomic<int>, kMostDescriptors> file_of;  // by descriptor

// Never destroyed: files are closed by destructors that run late.
Disk& TheDisk() {
  static Disk* const disk = new Disk;
  return *disk;
}

using Lock = std::unique_lock<std::recursive_mutex>;

bool IsBelow(const Disk& disk, std::string_view path) {
  return !disk.folder.empty() && path.starts_with(disk.folder) &&
         (path.size() == disk.folder.size() || path[disk.folder.size()] == '/');
}

int FileOf(int descriptor) {
  return descriptor >= 0 && descriptor < kMostDescriptors && is_watching
             ? file_of[static_cast<size_t>(descriptor)].load()
             : 0;
}

std::string ReadWhole(const std::string& path) {
  std::string bytes;
  // The C library's streams call its own functions, not ours.
  FILE* const file = fopen(path.c_str(), "rbe");
  if (file == nullptr) return bytes;
  char buffer[1 << 16];
  for (size_t got; (got = fread(buffer, 1, sizeof buffer, file)) > 0;) bytes.append(buffer, got);
  fclose(file);
  return bytes;
}

// Counts a call. The error it must fail with; 0: it does half; -1: none.
int FaultOf(Disk& disk, DiskCall call) {
  const int64_t count = ++disk.calls[static_cast<size_t>(call)];
  if (!disk.fault || disk.fault->call != call) return -1;
  if (count != disk.fault->at && !(disk.fault->lasts && count > disk.fault->at)) return -1;
  disk.has_failed = true;
  return disk.fault->error;
}

void TellOfChange(Disk& disk) {
  if (disk.on_change) disk.on_change();
}

int AddFile(Disk& disk, const std::string& path) {
  disk.files.push_back({"", "", path, true});
  return static_cast<int>(disk.files.size()) - 1;
}

void SetName(Disk& disk, const std::string& path, int file, const std::string& renamed = "") {
  const auto found = disk.names.find(path);
  if (found != disk.names.end()) {
    File& before = disk.files[static_cast<size_t>(found->second)];
    if (before.last_path == path) before.has_name = false;
    disk.names.erase(found);
  }
  if (file != 0) {
    disk.names[path] = file;
    disk.files[static_cast<size_t>(file)].last_path = path;
    disk.files[static_cast<size_t>(file)].has_name = true;
  }
  disk.names.erase(renamed);
  disk.unsafe_changes.push_back({path, file, renamed});
}

int NameOf(const Disk& disk, const std::string& path) {
  const auto found = disk.names.find(path);
  return found == disk.names.end() ? 0 : found->second;
}

std::string FolderOf(const std::string& path) { return path.substr(0, path.rfind('/')); }

void Apply(const NameChange& change, Names& names) {
  if (change.file == 0) {
    names.erase(change.path);
  } else {
    names[change.path] = change.file;
  }
  names.erase(change.renamed);
}

void SyncFile(Disk& disk, int descriptor, int file) {
  File& synced = disk.files[static_cast<size_t>(file)];
  if (synced.folder.empty()) {
    synced.safe = ReadWhole("/proc/self/fd/" + std::to_string(descriptor));
    return;
  }
  std::erase_if(disk.unsafe_changes, [&](const NameChange& change) {
    if (FolderOf(change.path) != synced.folder) return false;
    Apply(change, disk.safe_names);
    return true;
  });
}

int Opened(Disk& disk, const std::string& path, int flags, bool was_there, int descriptor) {
  if (descriptor < 0 || descriptor >= kMostDescriptors) return descriptor;
  int file = NameOf(disk, path);
  struct stat status {};
  const bool is_folder = fstat(descriptor, &status) == 0 && S_ISDIR(status.st_mode);
  if (is_folder) {
    file = AddFile(disk, path);
    disk.files[static_cast<size_t>(file)].folder = path;
  } else if (file == 0 || ((flags & O_CREAT) != 0 && !was_there)) {
    file = AddFile(disk, path);
    SetName(disk, path, file);
  }
  file_of[static_cast<size_t>(descriptor)] = file;
  return descriptor;
}

template <typename OpenIt>
int Open(const char* path, int flags, OpenIt open_it) {
  if (!is_watching) return open_it();
  Disk& disk = TheDisk();
  const Lock lock(disk.mutex);
  if (!IsBelow(disk, path)) return open_it();
  const int error = FaultOf(disk, DiskCall::kOpen);
  if (error > 0) {
    errno = error;
    return -1;
  }
  struct stat status {};
  const bool was_there = stat(path, &status) == 0;
  if ((flags & O_CREAT) != 0 && !was_there) TellOfChange(disk);
  return Opened(disk, path, flags, was_there, open_it());
}

// read and its kin: `transfer(bytes)` does it.
template <typename Transfer>
ssize_t Read(int descriptor, size_t bytes, Transfer transfer) {
  if (FileOf(descriptor) == 0) return transfer(bytes);
  Disk& disk = TheDisk();
  const Lock lock(disk.mutex);
  const int error = FaultOf(disk, DiskCall::kRead);
  if (error > 0) {
    errno = error;
    return -1;
  }
  return transfer(error == 0 && bytes > 1 ? bytes / 2 : bytes);
}

template <typename Transfer>
ssize_t Write(int descriptor, size_t bytes, Transfer transfer) {
  if (FileOf(descriptor) == 0) return transfer(bytes);
  Disk& disk = TheDisk();
  const Lock lock(disk.mutex);
  TellOfChange(disk);
  const int error = FaultOf(disk, DiskCall::kWrite);
  if (error > 0) {
    errno = error;
    return -1;
  }
  return transfer(error == 0 && bytes > 1 ? bytes / 2 : bytes);
}

template <typename SyncIt>
int Sync(int descriptor, SyncIt sync_it) {
  const int file = FileOf(descriptor);
  if (file == 0) return sync_it();
  Disk& disk = TheDisk();
  const Lock lock(disk.mutex);
  TellOfChange(disk);
  const int error = FaultOf(disk, DiskCall::kSync);
  if (error > 0) {
    errno = error;
    return -1;
  }
  // The disk is simulated; there is no need to wait for the real one.
  SyncFile(disk, descriptor, file);
  return 0;
}

template <typename MapIt>
void* Map(int descriptor, MapIt map_it) {
  if (FileOf(descriptor) == 0) return map_it();
  Disk& disk = TheDisk();
  const Lock lock(disk.mutex);
  const int error = FaultOf(disk, DiskCall::kMap);
  if (error > 0) {
    errno = error;
    return MAP_FAILED;
  }
  return map_it();
}

// A change of names that `change_it` does and `note` then notes.
template <typename ChangeIt, typename Note>
int ChangeNames(const char* path, ChangeIt change_it, Note note) {
  if (!is_watching) return change_it();
  Disk& disk = TheDisk();
  const Lock lock(disk.mutex);
  if (!IsBelow(disk, path)) return change_it();
  TellOfChange(disk);
  const int error = FaultOf(disk, DiskCall::kName);
  if (error > 0) {
    errno = error;
    return -1;
  }
  const int result = change_it();
  if (result == 0) note(disk);
  return result;
}

// Of LD_PRELOAD.
__attribute__((constructor)) void ReadEnvironment() {
  const char* folder = std::getenv("PROMPTDB_DISK_FOLDER");
  if (folder == nullptr) return;
  WatchDisk(folder);
  const char* text = std::getenv("PROMPTDB_DISK_FAULT");
  if (text == nullptr) return;
  std::istringstream words(text);
  std::string call;
  DiskFault fault;
  words >> call >> fault.at >> fault.error >> fault.lasts;
  for (int i = 0; i < kDiskCalls; ++i) {
    if (DiskCallName(static_cast<DiskCall>(i)) != call) continue;
    fault.call = static_cast<DiskCall>(i);
    SetDiskFault(fault);
  }
}

}  // namespace

std::string_view DiskCallName(DiskCall call) {
  constexpr std::array<std::string_view, kDiskCalls> kNames = {"open",  "read", "map",
                                                               "write", "sync", "name"};
  return kNames[static_cast<size_t>(call)];
}

void WatchDisk(const fs::path& folder) {
  Disk& disk = TheDisk();
  const Lock lock(disk.mutex);
  is_watching = false;
  for (auto& file : file_of) file = 0;
  disk.folder = folder.string();
  disk.files.assign(1, {});
  disk.names.clear();
  disk.unsafe_changes.clear();
  disk.calls.fill(0);
  disk.fault.reset();
  disk.has_failed = false;
  if (folder.empty()) return;
  if (fs::exists(folder)) {
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      if (!entry.is_regular_file()) continue;
      const std::string path = entry.path().string();
      const int file = AddFile(disk, path);
      disk.files[static_cast<size_t>(file)].safe = ReadWhole(path);
      disk.names[path] = file;
    }
  }
  disk.safe_names = disk.names;
  is_watching = true;
}

void SetDiskFault(const std::optional<DiskFault>& fault) {
  Disk& disk = TheDisk();
  const Lock lock(disk.mutex);
  disk.calls.fill(0);
  disk.fault = fault;
  disk.has_failed = false;
}

int64_t DiskCallsMade(DiskCall call) {
  Disk& disk = TheDisk();
  const Lock lock(disk.mutex);
  return disk.calls[static_cast<size_t>(call)];
}

bool HasDiskFailed() {
  Disk& disk = TheDisk();
  const Lock lock(disk.mutex);
  return disk.has_failed;
}

void OnDiskChange(std::function<void()> callback) {
  Disk& disk = TheDisk();
  const Lock lock(disk.mutex);
  disk.on_change = std::move(callback);
}

void WriteWhatPowerLossLeaves(const fs::path& to, uint32_t seed) {
  Disk& disk = TheDisk();
  const Lock lock(disk.mutex);
  std::mt19937 random(seed);
  const bool keeps_some = seed % 3 != 0;
  Names names = disk.safe_names;
  const size_t kept = keeps_some ? random() % (disk.unsafe_changes.size() + 1) : 0;
  for (size_t i = 0; i < kept; ++i) Apply(disk.unsafe_changes[i], names);
  fs::create_directories(to);
  for (const auto& entry : fs::recursive_directory_iterator(disk.folder)) {
    if (entry.is_directory()) {
      fs::create_directories(to / entry.path().lexically_relative(disk.folder));
    }
  }
  for (const auto& [path, number] : names) {
    const File& file = disk.files[static_cast<size_t>(number)];
    std::string bytes = file.safe;
    if (keeps_some && file.has_name) {
      const std::string now = ReadWhole(file.last_path);
      // Preallocated files end in zeros, until they are cut.
      if (now.starts_with(bytes) && now.size() > bytes.size()) {
        bytes = now.substr(0, bytes.size() + random() % (now.size() - bytes.size() + 1));
      }
    }
    FILE* const out = fopen((to / fs::path(path).lexically_relative(disk.folder)).c_str(), "wb");
    if (out == nullptr || fwrite(bytes.data(), 1, bytes.size(), out) != bytes.size() ||
        fclose(out) != 0) {
      std::abort();
    }
  }
}

}  // namespace promptdb

// ---- What stands in the place of the C library's functions
// -------------------------------------

extern "C" {

#define PROMPTDB_OPEN(name)                                                           \
  int name(const char* path, int flags, ...) {                                        \
    PROMPTDB_REAL(name);                                                              \
    va_list arguments;                                                                \
    va_start(arguments, flags);                                                       \
    const bool has_mode = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE; \
    const mode_t mode = has_mode ? va_arg(arguments, mode_t) : mode_t{0};             \
    va_end(arguments);                                                                \
    return promptdb::Open(path, flags, [&] { return real(path, flags, mode); });      \
  }
PROMPTDB_OPEN(open)
PROMPTDB_OPEN(open64)
#undef PROMPTDB_OPEN

int close(int descriptor) {
  PROMPTDB_REAL(close);
  if (promptdb::FileOf(descriptor) != 0) {
    promptdb::file_of[static_cast<size_t>(descriptor)] = 0;
  }
  return real(descriptor);
}

ssize_t read(int descriptor, void* buffer, size_t bytes) {
  PROMPTDB_REAL(read);
  return promptdb::Read(descriptor, bytes,
                        [&](size_t count) { return real(descriptor, buffer, count); });
}

ssize_t pread(int descriptor, void* buffer, size_t bytes, off_t offset) {
  PROMPTDB_REAL(pread);
  return promptdb::Read(descriptor, bytes,
                        [&](size_t count) { return real(descriptor, buffer, count, offset); });
}

ssize_t pread64(int descriptor, void* buffer, size_t bytes, off64_t offset) {
  PROMPTDB_REAL(pread64);
  return promptdb::Read(descriptor, bytes,
                        [&](size_t count) { return real(descriptor, buffer, count, offset); });
}

// RocksDB reads logs and manifests by streams. A stream knows no half reads.
#define PROMPTDB_FREAD(name)                                            \
  size_t name(void* buffer, size_t size, size_t count, FILE* stream) {  \
    PROMPTDB_REAL(name);                                                \
    const ssize_t got = promptdb::Read(fileno(stream), 1, [&](size_t) { \
      return static_cast<ssize_t>(real(buffer, size, count, stream));   \
    });                                                                 \
    return got < 0 ? 0 : static_cast<size_t>(got);                      \
  }
PROMPTDB_FREAD(fread)
PROMPTDB_FREAD(fread_unlocked)
#undef PROMPTDB_FREAD

ssize_t write(int descriptor, const void* buffer, size_t bytes) {
  PROMPTDB_REAL(write);
  return promptdb::Write(descriptor, bytes,
                         [&](size_t count) { return real(descriptor, buffer, count); });
}

ssize_t pwrite(int descriptor, const void* buffer, size_t bytes, off_t offset) {
  PROMPTDB_REAL(pwrite);
  return promptdb::Write(descriptor, bytes,
                         [&](size_t count) { return real(descriptor, buffer, count, offset); });
}

ssize_t pwrite64(int descriptor, const void* buffer, size_t bytes, off64_t offset) {
  PROMPTDB_REAL(pwrite64);
  return promptdb::Write(descriptor, bytes,
                         [&](size_t count) { return real(descriptor, buffer, count, offset); });
}

int fsync(int descriptor) {
  PROMPTDB_REAL(fsync);
  return promptdb::Sync(descriptor, [&] { return real(descriptor); });
}

int fdatasync(int descriptor) {
  PROMPTDB_REAL(fdatasync);
  return promptdb::Sync(descriptor, [&] { return real(descriptor); });
}

void* mmap(void* address, size_t bytes, int protection, int flags, int descriptor, off_t offset) {
  PROMPTDB_REAL(mmap);
  return promptdb::Map(descriptor,
                       [&] { return real(address, bytes, protection, flags, descriptor, offset); });
}

void* mmap64(void* address, size_t bytes, int protection, int flags, int descriptor,
             off64_t offset) {
  PROMPTDB_REAL(mmap64);
  return promptdb::Map(descriptor,
                       [&] { return real(address, bytes, protection, flags, descriptor, offset); });
}

int rename(const char* from, const char* to) {
  PROMPTDB_REAL(rename);
  return promptdb::ChangeNames(
      to, [&] { return real(from, to); },
      [&](promptdb::Disk& disk) {
        const int file = promptdb::NameOf(disk, from);
        if (file == 0) return;  // a folder
        promptdb::SetName(disk, to, file, from);
      });
}

int link(const char* from, const char* to) {
  PROMPTDB_REAL(link);
  return promptdb::ChangeNames(
      to, [&] { return real(from, to); },
      [&](promptdb::Disk& disk) { promptdb::SetName(disk, to, promptdb::NameOf(disk, from)); });
}

int unlink(const char* path) {
  PROMPTDB_REAL(unlink);
  return promptdb::ChangeNames(
      path, [&] { return real(path); },
      [&](promptdb::Disk& disk) { promptdb::SetName(disk, path, 0); });
}

int remove(const char* path) {
  PROMPTDB_REAL(remove);
  return promptdb::ChangeNames(
      path, [&] { return real(path); },
      [&](promptdb::Disk& disk) {
        if (promptdb::NameOf(disk, path) != 0) promptdb::SetName(disk, path, 0);
      });
}

int mkdir(const char* path, mode_t mode) {
  PROMPTDB_REAL(mkdir);
  return promptdb::ChangeNames(
      path, [&] { return real(path, mode); }, [](promptdb::Disk&) {});
}

}  // extern "C"
