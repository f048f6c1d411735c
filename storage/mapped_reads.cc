#include "storage/mapped_reads.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>

#include "base/error.h"

namespace promptdb {

namespace {

std::atomic<uint64_t> failed_reads = 0;
struct sigaction handler_before;

// Lines of /proc/self/maps, without memory of the heap: "from-to rights offset
// device inode path".
class MapLines {
 public:
  MapLines() : fd_(open("/proc/self/maps", O_RDONLY | O_CLOEXEC)) {}
  ~MapLines() {
    if (fd_ >= 0) close(fd_);
  }
  MapLines(const MapLines&) = delete;
  MapLines& operator=(const MapLines&) = delete;

  // The end of a line that is too long is dropped. False behind the last.
  bool Next() {
    size_ = 0;
    for (;;) {
      const int c = Byte();
      if (c < 0) return size_ > 0;
      if (c == '\n') return true;
      if (size_ < sizeof line_ - 1) line_[size_++] = static_cast<char>(c);
    }
  }

  bool Covers(uintptr_t address) const {
    size_t at = 0;
    const uintptr_t from = Hexadecimal(&at);
    ++at;  // the dash
    return from <= address && address < Hexadecimal(&at);
  }
  bool IsOfTableFile() const {
    constexpr char kEnding[] = ".sst", kDeleted[] = ".sst (deleted)";
    return EndsWith(kEnding, sizeof kEnding - 1) || EndsWith(kDeleted, sizeof kDeleted - 1);
  }

 private:
  int Byte() {
    if (at_ == filled_) {
      const ssize_t got = fd_ < 0 ? 0 : read(fd_, buffer_, sizeof buffer_);
      if (got <= 0) return -1;
      filled_ = static_cast<size_t>(got);
      at_ = 0;
    }
    return static_cast<unsigned char>(buffer_[at_++]);
  }
  uintptr_t Hexadecimal(size_t* at) const {
    uintptr_t value = 0;
    for (; *at < size_; ++*at) {
      const char c = line_[*at];
      if (c >= '0' && c <= '9') {
        value = value * 16 + static_cast<uintptr_t>(c - '0');
      } else if (c >= 'a' && c <= 'f') {
        value = value * 16 + static_cast<uintptr_t>(c - 'a' + 10);
      } else {
        break;
      }
    }
    return value;
  }
  bool EndsWith(const char* ending, size_t bytes) const {
    return size_ >= bytes && std::memcmp(line_ + size_ - bytes, ending, bytes) == 0;
  }

  int fd_;
  char buffer_[1024];
  size_t filled_ = 0;
  size_t at_ = 0;
  char line_[4400];  // a path has up to 4096 bytes
  size_t size_ = 0;
};

bool IsInTableFile(uintptr_t address) {
  MapLines lines;
  while (lines.Next()) {
    if (lines.Covers(address)) return lines.IsOfTableFile();
  }
  return false;
}

void OnBusError(int signal, siginfo_t* info, void* context) {
  const int error = errno;
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  if (IsInTableFile(address)) {
    const auto page_bytes = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    void* const page = reinterpret_cast<void*>(address / page_bytes * page_bytes);
    // Counted first, so that whoever reads the zeros finds the count.
    ++failed_reads;
    if (mmap(page, page_bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == page) {
      errno = error;
      return;
    }
  }
  errno = error;
  if ((handler_before.sa_flags & SA_SIGINFO) != 0) {
    handler_before.sa_sigaction(signal, info, context);
  } else if (handler_before.sa_handler != SIG_DFL && handler_before.sa_handler != SIG_IGN) {
    handler_before.sa_handler(signal);
  } else {
    // The same access then ends the process, as it would have done without us.
    sigaction(SIGBUS, &handler_before, nullptr);
  }
}

}  // namespace

void HandleFailedMappedReads() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction ours {};
    ours.sa_sigaction = OnBusError;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&ours.sa_mask);
    sigaction(SIGBUS, &ours, &handler_before);
  });
}

MappedReads::MappedReads() : failed_before_(failed_reads) {}

void MappedReads::ThrowIfFailed() const {
  if (failed_reads == failed_before_) return;
  throw Error(ErrorCode::kIo, "the disk failed while the database was reading a table file",
              "Check the disk; CHECK DATABASE tells what is lost.");
}

}  // namespace promptdb
