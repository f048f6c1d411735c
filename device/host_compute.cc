#include "device/host_compute.h"

#include <cstdlib>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "base/error.h"

namespace promptdb {

namespace {

// Shared memory begins at a multiple of this, as on a GPU.
constexpr size_t kSharedAlignment = 128;

struct FreeShared {
  void operator()(char* memory) const { std::free(memory); }
};

template <typename Args>
void RunGrid(const Args& args, ThreadOrder order) {
  const Grid grid = args.grid();
  const auto bytes = static_cast<size_t>(grid.shared_bytes + 1);
  const std::unique_ptr<char, FreeShared> shared(static_cast<char*>(std::aligned_alloc(
      kSharedAlignment, (bytes + kSharedAlignment - 1) / kSharedAlignment * kSharedAlignment)));
  if (shared == nullptr) throw std::bad_alloc();
  for (int64_t i = 0; i < grid.blocks; ++i) {
    // NaNs, so that tests see who reads what no thread has written.
    std::memset(shared.get(), 0xff, bytes);
    HostThreadBlock<Args::kThreads> block(order == ThreadOrder::kForward ? i : grid.blocks - 1 - i,
                                          shared.get(), order);
    Run(args, block);
  }
}

void Multiply(const MultiplyArgs& args) {
  // Several sums, since a single one would wait for itself.
  constexpr int kSums = 8;
  const auto widen = [&](const void* from, int64_t first) {
    std::vector<float> values(static_cast<size_t>(args.in));
    for (int i = 0; i < args.in; ++i) {
      values[static_cast<size_t>(i)] = LoadNumber(from, args.number, first + i);
    }
    return values;
  };
  std::vector<std::vector<float>> x;
  for (int64_t row = 0; row < args.rows; ++row) x.push_back(widen(args.x, row * args.in));
  for (int64_t o = 0; o < args.out; ++o) {
    const std::vector<float> w = widen(args.w, o * args.in);
    for (int64_t row = 0; row < args.rows; ++row) {
      const std::vector<float>& left = x[static_cast<size_t>(row)];
      float sums[kSums] = {};
      size_t i = 0;
      for (; i + kSums <= left.size(); i += kSums) {
        for (size_t j = 0; j < kSums; ++j) sums[j] += left[i + j] * w[i + j];
      }
      for (; i < left.size(); ++i) sums[0] += left[i] * w[i];
      float sum = 0;
      for (const float part : sums) sum += part;
      args.y[row * args.out + o] = sum;
    }
  }
}

}  // namespace

template <typename Args>
void HostCompute::QueueKernel(const Args& args) {
  const Grid grid = args.grid();
  if (grid.blocks == 0) return;
  Check(grid.shared_bytes <= options_.shared_bytes, "a kernel is queued that the device can run");
  stream_.Add([args, order = options_.order] { RunGrid(args, order); });
}

void HostCompute::Queue(const KernelArgs& args) {
  std::visit([&](const auto& of_kernel) { QueueKernel(of_kernel); }, args);
}

void HostCompute::Queue(const MultiplyArgs& args) {
  stream_.Add([args] { Multiply(args); });
}

void HostCompute::Upload(std::byte* to, const void* from, int64_t bytes) {
  const auto* begin = static_cast<const std::byte*>(from);
  stream_.Add([to, values = std::vector<std::byte>(begin, begin + bytes)] {
    std::memcpy(to, values.data(), values.size());
  });
}

void HostCompute::Download(void* to, const std::byte* from, int64_t bytes) {
  stream_.Add([to, from, bytes] { std::memcpy(to, from, static_cast<size_t>(bytes)); });
}

}  // namespace promptdb
