#include "executor/device_analysis.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "base/stopwatch.h"
#include "executor/device_attention.h"
#include "storage/device_block.h"

namespace promptdb {

namespace {

constexpr int kRows[] = {1, 16, 32, 128, 512};

// What is measured with: products of dim x dim weights, and states of heads of 64 elements.
struct Sizes {
  int dim = 0;
  int weights = 0;  // so many of them
  int keys = 0;
};
constexpr Sizes kLarge = {4096, 8, 4096};
constexpr Sizes kToy = {128, 2, 64};
constexpr int kHeadDim = 64;
// A row by the large weights takes a slow device longer than this.
constexpr double kSlowMs = 5;
// A measurement goes on for so long, and so many calls at least. Calls are queued together, since
// passes are.
constexpr double kLeastMs = 20;
constexpr int kCalls = 10;

class DeviceAnalysis {
 public:
  DeviceAnalysis(DeviceCompute& device, const std::function<void()>& check)
      : device_(device), check_(check) {}

  std::optional<ComputeRates> Run() {
    const auto lock = device_.Use();
    if (!TakeSpace()) return std::nullopt;
    sizes_ = kLarge;
    Product(1, 0);
    device_.Finish();  // which has made the device ready
    const Stopwatch watch;
    Product(1, 0);
    device_.Finish();
    if (watch.Milliseconds() > kSlowMs) {
      sizes_ = kToy;
      calls_ = 1;
    }

    rates_.call_seconds = SecondsOf(
        [&] { device_.Queue(AddArgs{.x = Floats(x_), .dim = 1, .rows = 1, .to = Floats(y_)}); });
    MeasureElements();
    MeasureProducts();
    MeasureAttention();
    return rates_;
  }

 private:
  // The largest of what follows; bf16 of zeros everywhere.
  bool TakeSpace() {
    const int64_t rows = kRows[4];
    const int64_t dim = kLarge.dim;
    weights_ = DeviceBlock(device_.memory(), kLarge.weights * dim * dim * 2);
    for (DeviceBlock* block : {&x_, &y_}) {
      *block = DeviceBlock(device_.memory(), 2 * rows * dim * 4);
    }
    tables_ = DeviceBlock(device_.memory(), int64_t{1} << 20);
    if (!weights_.is_there() || !x_.is_there() || !y_.is_there() || !tables_.is_there()) {
      return false;
    }
    const std::vector<std::byte> zeros(size_t{4} << 20);
    for (DeviceBlock* block : {&weights_, &x_, &y_}) {
      for (int64_t done = 0; done < block->bytes();) {
        const int64_t part =
            std::min<int64_t>(static_cast<int64_t>(zeros.size()), block->bytes() - done);
        device_.Upload(block->data() + done, zeros.data(), part);
        device_.Finish();
        done += part;
      }
    }
    return true;
  }

  static float* Floats(const DeviceBlock& block) { return reinterpret_cast<float*>(block.data()); }

  // Of one call of `queue`: the least of many. Nothing is queued before and after.
  double SecondsOf(const std::function<void()>& queue) const {
    queue();
    device_.Finish();
    double least = 1e9;
    const Stopwatch all;
    for (int rounds = 0; rounds < 2 || all.Milliseconds() < kLeastMs; ++rounds) {
      check_();
      const Stopwatch watch;
      for (int i = 0; i < calls_; ++i) queue();
      device_.Finish();
      least = std::min(least, watch.Milliseconds() / calls_);
    }
    return std::max(1e-9, least / 1e3);
  }

  void Product(int rows, int which) {
    const int64_t dim = sizes_.dim;
    device_.Queue(MultiplyArgs{.x = x_.data(),
                               .w = weights_.data() + which % sizes_.weights * dim * dim * 2,
                               .number = NumberType::kBf16,
                               .rows = rows,
                               .in = sizes_.dim,
                               .out = sizes_.dim,
                               .y = Floats(y_)});
  }

  void MeasureElements() {
    const int rows = sizes_.dim == kLarge.dim ? kRows[4] : 16;
    const double seconds = SecondsOf([&] {
      device_.Queue(ActivateArgs{.up = Floats(x_),
                                 .number = NumberType::kF32,
                                 .hidden = sizes_.dim,
                                 .rows = rows,
                                 .out = y_.data()});
      device_.Queue(AddArgs{.x = Floats(x_), .dim = sizes_.dim, .rows = rows, .to = Floats(y_)});
      device_.Queue(NormArgs{.x = Floats(x_),
                             .weight = Floats(x_),
                             .eps = 1e-5f,
                             .dim = sizes_.dim,
                             .rows = rows,
                             .out = y_.data()});
    });
    // The activation reads twice the width.
    rates_.elements_per_second = 4.0 * sizes_.dim * rows / seconds;
  }

  void MeasureProducts() {
    const double dim = sizes_.dim;
    int which = 0;
    for (const int rows : kRows) {
      const double seconds = SecondsOf([&] { Product(rows, which++); });
      rates_.linear.push_back({rows, 2 * rows * dim * dim / seconds});
      // What goes in and out is read and written as between products.
      rates_.linear_values.push_back({rows, rates_.elements_per_second});
    }
    for (const int count : {1, sizes_.weights}) {
      const double seconds = SecondsOf([&] {
        for (int i = 0; i < count; ++i) Product(1, i);
      });
      const auto bytes = static_cast<int64_t>(count * dim * dim * 2);
      rates_.weights.push_back({bytes, static_cast<double>(bytes) / seconds});
    }
  }

  // Over one slice of bf16 zeros, where the weights lie; query heads as many as KV heads.
  void MeasureAttention() {
    const int heads = std::max(1, sizes_.dim / kHeadDim / 2);
    const int64_t width = int64_t{heads} * kHeadDim;
    for (const int rows : kRows) {
      const int keys = sizes_.keys / 2 + rows;
      const double seconds = SecondsOfAttention(heads, rows, keys);
      const double seen = sizes_.keys / 2 + (rows + 1) / 2.0;
      rates_.attention.push_back({rows, 4.0 * static_cast<double>(width) * rows * seen / seconds});
    }
    for (const int keys : {sizes_.keys / 4, sizes_.keys}) {
      const double seconds = SecondsOfAttention(heads, 1, keys);
      const int64_t bytes = 2 * 2 * width * keys;
      rates_.states.push_back({bytes, static_cast<double>(bytes) / seconds});
    }
  }

  double SecondsOfAttention(int heads, int rows, int keys) {
    DevicePart part;
    part.rows = rows;
    part.rounds = true;
    part.slice_tokens = {keys};
    const DeviceAttentionPlan plan = PlanAttention({.heads = heads,
                                                    .kv_heads = heads,
                                                    .head_dim = kHeadDim,
                                                    .busy_blocks = device_.busy_blocks(),
                                                    .shared_bytes = device_.shared_bytes()},
                                                   {&part, 1});
    const int64_t floats = std::max<int64_t>(1, PartialFloats(plan, heads, kHeadDim));
    const DeviceBlock partials =
        AllocateOrThrow(device_.memory(), floats * static_cast<int64_t>(sizeof(float)),
                        "being measured", "A smaller gpu_cache leaves more.");
    KvSlice slice;
    slice.k = weights_.data();
    slice.v = weights_.data() + int64_t{heads} * keys * kHeadDim * 2;
    slice.head_stride = int64_t{keys} * kHeadDim;
    slice.tokens = keys;
    slice.dtype = KvDtype::kBf16;
    const AttentionSlice on_device = DeviceSliceOf(slice, 0, -1);
    device_.Upload(tables_.data(), &on_device, sizeof on_device);
    constexpr int64_t kTasksAt = 128;
    const std::vector<std::byte> tasks = TablesOf(plan);
    Check(kTasksAt + static_cast<int64_t>(tasks.size()) <= tables_.bytes(), "the tables have room");
    device_.Upload(tables_.data() + kTasksAt, tasks.data(), static_cast<int64_t>(tasks.size()));
    AttentionArgs args;
    args.q = Floats(x_);
    args.slices = reinterpret_cast<const AttentionSlice*>(tables_.data());
    args.heads = args.kv_heads = heads;
    args.head_dim = kHeadDim;
    args.scale = 1.0f / std::sqrt(static_cast<float>(kHeadDim));
    args.out = y_.data();
    PlacePartials(plan, Floats(partials), args);
    return SecondsOf([&] { QueueAttention(plan, args, tables_.data() + kTasksAt, device_); });
  }

  DeviceCompute& device_;
  const std::function<void()>& check_;
  ComputeRates rates_;
  Sizes sizes_;
  int calls_ = kCalls;
  DeviceBlock weights_;
  DeviceBlock x_;  // [512, 2 dim] f32
  DeviceBlock y_;
  DeviceBlock tables_;
};

}  // namespace

std::optional<ComputeRates> MeasureDevice(DeviceCompute& device,
                                          const std::function<void()>& check) {
  return DeviceAnalysis(device, check).Run();
}

}  // namespace promptdb
