// How fast module states are written and read back, beside memcpy, a plain file, and RocksDB's own
// way with large values (BlobDB, its defaults), on the same disk in one run:
//
//   store [FOLDER] [--megabytes N] [--runs N]
//
// States are those of a 1.1B Llama (22 layers, 4 KV heads of 64, bf16), 512 tokens each. Reading is
// from a warm page cache, in a database that has just been opened, with every check; medians.
#include <fcntl.h>
#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/stopwatch.h"
#include "bench/program.h"
#include "storage/block_memory.h"
#include "storage/state_cache.h"

namespace promptdb {
namespace {

constexpr KvShape kShape{22, 4, 64, KvDtype::kBf16};
constexpr int kTokens = 512;
constexpr size_t kValueBytes = size_t{1} << 20;

// Bytes a second, of several runs.
double Rate(int64_t bytes, int runs, const std::function<void()>& run) {
  std::vector<double> rates;
  for (int i = 0; i < runs; ++i) {
    const Stopwatch watch;
    run();
    rates.push_back(static_cast<double>(bytes) / (watch.Milliseconds() / 1e3));
  }
  return Median(rates);
}

Digest KeyOf(int state) { return Hasher().Add("state").Add(state).Finish(); }

StateManifest ManifestOf(int state) {
  StateManifest manifest;
  manifest.key = KeyOf(state);
  manifest.shape = kShape;
  manifest.tokens = kTokens;
  manifest.label = "bench.m" + std::to_string(state);
  manifest.token_ids.assign(kTokens, state);
  return manifest;
}

KvSegment Filled(int state) {
  KvSegment segment(kShape, 0, kTokens);
  segment.Grow(kTokens);
  std::vector<KvMutableSlice> slices;
  for (int layer = 0; layer < kShape.layers; ++layer) {
    segment.AppendMutableSlices(layer, 0, kTokens, slices);
  }
  for (const KvMutableSlice& slice : slices) {
    const size_t bytes = static_cast<size_t>(slice.head_stride) * kShape.kv_heads * 2;
    std::memset(slice.k, state + 1, bytes);
    std::memset(slice.v, state + 2, bytes);
  }
  return segment;
}

void Check(const rocksdb::Status& status) {
  if (!status.ok()) throw Error(ErrorCode::kIo, status.ToString());
}

// `threads` copy a share each.
void CopyAll(const std::byte* from, std::byte* to, size_t bytes, int threads) {
  const size_t share = bytes / static_cast<size_t>(threads);
  std::vector<std::jthread> others;
  for (int i = 0; i < threads; ++i) {
    const size_t at = share * static_cast<size_t>(i);
    others.emplace_back([=] { std::memcpy(to + at, from + at, share); });
  }
}

void WriteFile(const std::filesystem::path& path, const std::byte* data, size_t bytes) {
  const int file = open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0644);
  for (size_t done = 0; file >= 0 && done < bytes;) {
    const ssize_t count = write(file, data + done, std::min(bytes - done, kValueBytes));
    if (count <= 0) break;
    done += static_cast<size_t>(count);
  }
  if (file < 0 || fsync(file) != 0 || close(file) != 0) {
    throw Error(ErrorCode::kIo, "can't write " + path.string());
  }
}

struct Options {
  std::filesystem::path folder = "store-bench";
  int64_t megabytes = 256;
  int runs = 5;
};

Options ReadOptions(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    const bool has_value = i + 1 < argc;
    if (word == "--megabytes" && has_value) {
      options.megabytes = std::max(1, std::atoi(argv[++i]));
    } else if (word == "--runs" && has_value) {
      options.runs = std::max(1, std::atoi(argv[++i]));
    } else if (!word.starts_with("-")) {
      options.folder = word;
    } else {
      throw Error(ErrorCode::kInvalidArgument, "unknown option " + std::string(word),
                  "usage: store [FOLDER] [--megabytes N] [--runs N]");
    }
  }
  return options;
}

void Print(const char* what, double bytes_per_second, double peer = 0, const char* peer_name = "") {
  std::printf("%-52s %7.2f GB/s", what, bytes_per_second / 1e9);
  if (peer > 0) std::printf("  %6.2f of %s", bytes_per_second / peer, peer_name);
  std::printf("\n");
  std::fflush(stdout);
}

int Main(int argc, char** argv) {
  const Options options = ReadOptions(argc, argv);
  if (std::filesystem::exists(options.folder)) {
    throw Error(ErrorCode::kInvalidArgument, options.folder.string() + " exists already",
                "Name a folder that does not.");
  }
  std::filesystem::create_directories(options.folder);
  const int64_t state_bytes = BlockGrid(kShape, kTokens).TotalBytes();
  const int states =
      static_cast<int>(std::max<int64_t>(1, (options.megabytes << 20) / state_bytes));
  const int64_t bytes = state_bytes * states;
  const int threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  std::printf("%d states of %.1f MB, %d runs, %d threads\n", states, state_bytes / 1e6,
              options.runs, threads);

  const auto size = static_cast<size_t>(bytes);
  std::byte* from = AllocateBlockMemory(size);
  std::byte* to = AllocateBlockMemory(size);
  std::memset(from, 1, size);
  std::memset(to, 2, size);
  const double one_copy = Rate(bytes, options.runs, [&] { CopyAll(from, to, size, 1); });
  const double copy = Rate(bytes, options.runs, [&] { CopyAll(from, to, size, threads); });
  Print("memcpy, one thread", one_copy);
  Print("memcpy, all threads", copy);
  int file = 0;
  const double plain_write = Rate(bytes, options.runs, [&] {
    WriteFile(options.folder / ("plain" + std::to_string(file++)), from, size);
  });
  Print("a plain file, written and synced", plain_write);

  std::vector<double> writes, reads, rereads, pinned;
  for (int run = 0; run < options.runs; ++run) {
    const std::filesystem::path folder = options.folder / ("states" + std::to_string(run));
    {
      Rocks rocks(folder);
      BufferPool pool(2 * bytes, MakeLruPolicy);
      StateCache cache(&rocks, &pool);
      std::vector<KvSegment> segments;
      for (int i = 0; i < states; ++i) segments.push_back(Filled(i));
      const Stopwatch watch;
      for (int i = 0; i < states; ++i) {
        cache.Publish(ManifestOf(i), std::move(segments[static_cast<size_t>(i)]));
      }
      writes.push_back(static_cast<double>(bytes) / (watch.Milliseconds() / 1e3));
    }
    Rocks rocks(folder);
    BufferPool pool(2 * bytes, MakeLruPolicy);
    StateCache cache(&rocks, &pool);
    const auto acquire_all = [&] {
      const Stopwatch watch;
      for (int i = 0; i < states; ++i) {
        bool no_room = false;
        if (!cache.Acquire(KeyOf(i), &no_room))
          throw Error(ErrorCode::kInternal, "a state is gone");
      }
      return static_cast<double>(bytes) / (watch.Milliseconds() / 1e3);
    };
    reads.push_back(acquire_all());
    pinned.push_back(acquire_all());
    // Half the states have room now, so that each read takes the memory of states that leave.
    pool.SetBudget(bytes / 2);
    acquire_all();
    rereads.push_back(acquire_all());
    std::filesystem::remove_all(folder);
  }

  rocksdb::Options blob;
  blob.create_if_missing = true;
  blob.enable_blob_files = true;
  rocksdb::DB* opened = nullptr;
  Check(rocksdb::DB::Open(blob, (options.folder / "blob").string(), &opened));
  std::unique_ptr<rocksdb::DB> database(opened);
  const size_t values = size / kValueBytes;
  rocksdb::WriteOptions sync;
  sync.sync = true;
  const Stopwatch blob_watch;
  for (size_t i = 0; i < values; ++i) {
    Check(database->Put(sync, "key" + std::to_string(i),
                        {reinterpret_cast<const char*>(from) + i * kValueBytes, kValueBytes}));
  }
  Check(database->Flush(rocksdb::FlushOptions()));
  const double blob_write =
      static_cast<double>(values * kValueBytes) / (blob_watch.Milliseconds() / 1e3);
  const double blob_read = Rate(static_cast<int64_t>(values * kValueBytes), options.runs, [&] {
    std::string value;
    for (size_t i = 0; i < values; ++i) {
      Check(database->Get(rocksdb::ReadOptions(), "key" + std::to_string(i), &value));
    }
  });
  database.reset();
  Print("RocksDB's BlobDB, 1 MiB values, written and synced", blob_write);
  Print("RocksDB's BlobDB, read", blob_read);
  Print("states, written and synced", Median(writes), plain_write, "the plain file's rate");
  const auto print_read = [&](const char* what, double rate) {
    Print(what, rate, copy, "memcpy by all threads");
    Print("", rate, one_copy, "memcpy by one thread");
    Print("", rate, blob_read, "BlobDB's rate");
  };
  print_read("states, read the first time, and checked", Median(reads));
  print_read("states, read again after they left memory", Median(rereads));
  Print("states, in memory already: pins alone", Median(pinned));
  FreeBlockMemory(from, size);
  FreeBlockMemory(to, size);
  std::filesystem::remove_all(options.folder);
  return 0;
}

}  // namespace
}  // namespace promptdb

int main(int argc, char** argv) { return promptdb::RunProgram(promptdb::Main, argc, argv, 2); }
