#include "executor/machine_analysis.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <ctime>
#include <fstream>
#include <functional>
#include <utility>

#include "base/bfloat16.h"
#include "base/error.h"
#include "base/stopwatch.h"
#include "device/device_compute.h"
#include "executor/attention.h"
#include "executor/device_analysis.h"
#include "executor/linear.h"
#include "executor/simd.h"
#include "executor/threads.h"
#include "storage/device_block.h"

namespace promptdb {

namespace {

constexpr int64_t kMebibyte = int64_t{1} << 20;

constexpr int kRows[] = {1, 16, 32, 128, 512};

// A layer's product of middling size, and so many of them that they come from memory, as the layers
// of a model do.
constexpr int kIn = 1024, kOut = 2048;
constexpr int kProducts = 64;
constexpr int kSmall = 256;  // a small model's product: as many in as out

// The states: 2 kB a token and layer, 64 MiB in all.
constexpr KvShape kShape = {16, 8, 64, KvDtype::kBf16};
constexpr int kTokens = 2048;
constexpr int kContext = 1024;  // keys that all query rows see

// A measurement goes on for so long, and so many calls at least.
constexpr double kLeastMs = 40;
constexpr int kLeastCalls = 5;

// Numbers between -0.5 and 0.5, always the same.
class Numbers {
 public:
  float Next() {
    state_ = state_ * 1664525u + 1013904223u;
    return static_cast<float>(state_ >> 8) / (1 << 24) - 0.5f;
  }
  std::vector<float> Floats(int64_t count) {
    std::vector<float> values(static_cast<size_t>(count));
    for (float &value : values) value = Next();
    return values;
  }

 private:
  uint32_t state_ = 1;
};

// The states are erased whatever happens.
class TemporaryState {
 public:
  TemporaryState(StateCache &cache, int tokens) : cache_(cache), tokens_(tokens) {
    // Another session may measure at the same time.
    static std::atomic<int64_t> count = 0;
    key_ = Hasher().Add("ANALYZE").Add(std::time(nullptr)).Add(int64_t{count++}).Finish();
  }
  ~TemporaryState() {
    try {
      Erase();
    } catch (const Error &) {
      // Opening the database erases it: no chat names it.
    }
  }
  TemporaryState(const TemporaryState &) = delete;
  TemporaryState &operator=(const TemporaryState &) = delete;

  int64_t bytes() const { return BlockGrid(kShape, tokens_).TotalBytes(); }
  int blocks() const { return BlockGrid(kShape, tokens_).blocks(); }

  void Write(KvSegment states) {
    StateManifest manifest;
    manifest.key = key_;
    manifest.shape = kShape;
    manifest.tokens = tokens_;
    manifest.label = kLabel;
    // Whoever crashes here leaves a state of chats that no chat names, which is erased at opening.
    manifest.of_chat = true;
    manifest.token_ids.assign(static_cast<size_t>(tokens_), 0);
    manifest.created_at = std::time(nullptr);
    cache_.Publish(manifest, std::move(states));
  }

  // The first time, with checks, or again.
  double ReadMs(bool is_first) {
    if (is_first) cache_.ForgetChecks(key_);
    const Stopwatch watch;
    if (!cache_.Read(key_)) {
      throw Error(ErrorCode::kIo, "a state that was just written can't be read",
                  "Run ANALYZE again.");
    }
    return watch.Milliseconds();
  }

  void Erase() {
    cache_.Erase(key_);
    cache_.ForgetLabel(kLabel);
  }

 private:
  static constexpr const char *kLabel = "(ANALYZE)";

  StateCache &cache_;
  int tokens_;
  Digest key_;
};

class Analysis {
 public:
  Analysis(StateCache &cache, DeviceCompute &device, ProgressListener &progress)
      : cache_(cache), device_(device), progress_(progress) {}

  MachineRates Run() {
    ApplyThreads();
    rates_.processor = ProcessorName();
    rates_.threads = Threads();
    MeasureProducts();
    MeasureElements();
    KvSegment states = MakeStates(kTokens);
    MeasureAttention(states);
    MeasureDisk(std::move(states));
    MeasureDevice();
    Step(kSteps);
    rates_.measured_at = std::time(nullptr);
    return std::move(rates_);
  }

 private:
  static constexpr int kSteps = 18;

  void Step(int done) {
    progress_.OnProgress("measuring this machine", done, kSteps, "steps");
    CheckCanceled();
  }
  void Step() { Step(step_++); }

  void CheckCanceled() const {
    if (progress_.IsCanceled()) throw Error(ErrorCode::kCanceled, "ANALYZE was canceled");
  }

  // Seconds of one call of `work`: the least of many, which other programs have held up least.
  double SecondsOf(const std::function<void()> &work) const {
    work();  // makes threads and memory ready
    double least = 1e9;
    const Stopwatch all;
    for (int calls = 0; calls < kLeastCalls || all.Milliseconds() < kLeastMs; ++calls) {
      CheckCanceled();
      const Stopwatch watch;
      work();
      least = std::min(least, watch.Milliseconds());
    }
    return least / 1e3;
  }

  static Linear MakeProduct(int in, int out, Numbers &numbers) {
    std::vector<uint16_t> weights(static_cast<size_t>(in) * out);
    for (uint16_t &weight : weights) weight = Bf16FromFloat(numbers.Next());
    TensorView view;
    view.dtype = TensorDtype::kBf16;
    view.shape = {out, in};
    view.data = std::as_bytes(std::span(weights));
    return Linear(std::vector<const TensorView *>{&view}, std::vector<const TensorView *>{nullptr},
                  WeightDtype::kBf16);
  }

  void MeasureProducts() {
    Step();
    const int threads = Threads();
    std::vector<int> gathered(static_cast<size_t>(threads));
    rates_.call_seconds = std::max(1e-7, SecondsOf([&] {
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
                                     for (int i = 0; i < threads; ++i)
                                       gathered[static_cast<size_t>(i)] += i;
                                   }));
    std::vector<Linear> products;
    for (int i = 0; i < kProducts; ++i) {
      CheckCanceled();
      products.push_back(MakeProduct(kIn, kOut, numbers_));
    }
    const Linear small = MakeProduct(kSmall, kSmall, numbers_);
    const std::vector<float> x = numbers_.Floats(int64_t{kRows[4]} * kIn);
    std::vector<float> y(static_cast<size_t>(kRows[4]) * kOut);
    size_t next = 0;
    for (const int rows : kRows) {
      Step();
      // Several rows take weights from memory as they come; how fast those come to one row, which
      // waits for them, is measured apart.
      const size_t count = rows > 1 ? products.size() : 1;
      const double large = SecondsOf([&] {
        next = (next + 1) % count;
        products[next].Apply(x.data(), rows, y.data());
      });
      const double of_small = SecondsOf([&] { small.Apply(x.data(), rows, y.data()); });
      // On a busy machine starting the threads may have seemed to take longer than all of this.
      AddProductRates(rows, std::max(large - rates_.call_seconds, large / 2),
                      std::max(of_small - rates_.call_seconds, of_small / 2));
    }
    const int64_t bytes = int64_t{2} * kIn * kOut;
    for (const int count : {1, 4, kProducts}) {
      const double seconds = SecondsOf([&] {
        for (int i = 0; i < count; ++i) {
          products[static_cast<size_t>(i)].Apply(x.data(), 1, y.data());
        }
      });
      rates_.weights.push_back({count * bytes, static_cast<double>(count * bytes) / seconds});
    }
  }

  // seconds = operations / a + values / b, solved for two products of which the small one has more
  // values an operation. Values cost nothing where noise says that they cost less, and at most
  // half.
  void AddProductRates(int64_t rows, double large_seconds, double small_seconds) {
    const auto n = static_cast<double>(rows);
    const double large_flops = 2.0 * n * kIn * kOut, large_values = n * (kIn + kOut);
    const double small_flops = 2.0 * n * kSmall * kSmall, small_values = n * 2 * kSmall;
    const double value_seconds = (small_seconds * large_flops - large_seconds * small_flops) /
                                 (small_values * large_flops - large_values * small_flops);
    const double most_seconds = large_seconds / large_values / 2;
    const double per_value = std::clamp(value_seconds, most_seconds / 1000, most_seconds);
    rates_.linear.push_back({rows, large_flops / (large_seconds - per_value * large_values)});
    rates_.linear_values.push_back({rows, 1 / per_value});
  }

  // A norm, an activation and a sum over rows in several threads: what stands between products.
  void MeasureElements() {
    Step();
    constexpr int kWidth = 2048, kCount = 128;
    const SimdKernels &kernels = KernelsFor(BestCpuPath());
    const std::vector<float> weight = numbers_.Floats(kWidth);
    std::vector<float> x = numbers_.Floats(int64_t{kCount} * 2 * kWidth), y(x.size() / 2);
    const int threads = Threads();
    const double seconds = SecondsOf([&] {
#pragma omp parallel for schedule(dynamic, 8) num_threads(threads)
      for (int row = 0; row < kCount; ++row) {
        const float *in = x.data() + int64_t{row} * 2 * kWidth;
        float *out = y.data() + int64_t{row} * kWidth;
        kernels.swiglu(in, in + kWidth, kWidth, out);
        kernels.add(out, in, kWidth);
        kernels.rms_norm(out, weight.data(), kWidth, 1e-5f, out);
      }
    });
    // The activation reads twice the width.
    rates_.elements_per_second = 4.0 * kWidth * kCount / seconds;
  }

  KvSegment MakeStates(int tokens) {
    KvSegment states(kShape, 0, tokens);
    states.Grow(tokens);
    std::vector<KvMutableSlice> slices;
    for (int layer = 0; layer < kShape.layers; ++layer) {
      CheckCanceled();
      slices.clear();
      states.AppendMutableSlices(layer, 0, tokens, slices);
      for (const KvMutableSlice &slice : slices) {
        for (int head = 0; head < kShape.kv_heads; ++head) {
          auto *k = reinterpret_cast<uint16_t *>(slice.k) + head * slice.head_stride;
          auto *v = reinterpret_cast<uint16_t *>(slice.v) + head * slice.head_stride;
          for (int64_t i = 0; i < int64_t{slice.tokens} * kShape.head_dim; ++i) {
            k[i] = v[i] = Bf16FromFloat(numbers_.Next());
          }
        }
      }
    }
    return states;
  }

  // Query heads as many as KV heads, so that rows are what shares a KV head.
  void MeasureAttention(const KvSegment &states) {
    Step();
    const int width = kShape.kv_heads * kShape.head_dim;
    const std::vector<float> q = numbers_.Floats(int64_t{kRows[4]} * width);
    std::vector<float> out(q.size());
    const AttentionShape shape{.heads = kShape.kv_heads,
                               .kv_heads = kShape.kv_heads,
                               .head_dim = kShape.head_dim,
                               .scale = 1.0f / std::sqrt(static_cast<float>(kShape.head_dim))};
    std::vector<KvSlice> slices;
    const auto attend = [&](int layer, int keys, int rows) {
      slices.clear();
      states.AppendSlices(layer, 0, keys, slices);
      const AttentionGroup group{
          .q = q.data(), .out = out.data(), .rows = rows, .slices = slices, .causal_tokens = rows};
      Attend(shape, {&group, 1});
    };
    int layer = 0;
    for (const int rows : kRows) {
      Step();
      const double seconds = SecondsOf([&] {
        attend(layer, kContext + rows, rows);
        if (rows > 1) layer = (layer + 1) % kShape.layers;
      });
      const double keys = kContext + (rows + 1) / 2.0;
      rates_.attention.push_back({rows, 4.0 * width * rows * keys / seconds});
    }
    for (const int layers : {1, kShape.layers}) {
      const double seconds = SecondsOf([&] {
        for (int i = 0; i < layers; ++i) attend(i, kTokens, 1);
      });
      const int64_t bytes = layers * kShape.BytesPerTokenLayer() * kTokens;
      rates_.states.push_back({bytes, static_cast<double>(bytes) / seconds});
    }
  }

  void MeasureDisk(KvSegment states) {
    // One token: its blocks are so small that they cost only what a block costs.
    Step();
    TemporaryState small(cache_, 1);
    std::vector<double> store_seconds;
    for (int i = 0; i < kLeastCalls; ++i) {
      small.Erase();
      KvSegment token = states.CopyOf(1);
      const Stopwatch watch;
      small.Write(std::move(token));
      store_seconds.push_back(watch.Milliseconds() / 1e3);
    }
    std::sort(store_seconds.begin(), store_seconds.end());
    rates_.store_seconds = store_seconds[store_seconds.size() / 2];
    rates_.disk_block_seconds =
        std::max(1e-7, SecondsOf([&] { small.ReadMs(/*is_first=*/true); }) / small.blocks());

    // 128 tokens are read by one thread, the whole by several.
    Step();
    KvSegment part = states.CopyOf(128);
    for (const bool is_whole : {false, true}) {
      TemporaryState state(cache_, is_whole ? kTokens : 128);
      const Stopwatch watch;
      state.Write(std::move(is_whole ? states : part));
      const double write_seconds = watch.Milliseconds() / 1e3;
      const double bytes = static_cast<double>(state.bytes());
      if (is_whole) {
        rates_.store_bytes_per_second =
            bytes / std::max(1e-6, write_seconds - rates_.store_seconds);
      }
      const double blocks = state.blocks() * rates_.disk_block_seconds;
      for (const bool is_first : {true, false}) {
        const double seconds = SecondsOf([&] { state.ReadMs(is_first); });
        (is_first ? rates_.disk : rates_.disk_again)
            .push_back({state.bytes(), bytes / std::max(seconds - blocks, seconds / 10)});
      }
    }
  }

  // Where the device has no room for this now, the guess stays.
  void MeasureDevice() {
    Step();
    rates_.on_device = promptdb::MeasureDevice(device_, [&] { CheckCanceled(); });
    Step();
    MeasureCopies(device_.memory());
  }

  // Blocks are copied one after another, as a query has them copied.
  void MeasureCopies(DeviceMemory &device) {
    constexpr int kBlocks = 32;
    std::vector<BlockBuffer> host;
    std::vector<DeviceBlock> there;
    for (int i = 0; i < kBlocks; ++i) {
      BlockBuffer &block = host.emplace_back(kMebibyte);
      std::memset(block.data(), 0, static_cast<size_t>(block.size()));
      if (!there.emplace_back(device, block.size()).is_there()) return;
    }
    const double seconds = SecondsOf([&] {
      std::shared_ptr<CopyEvent> last;
      for (size_t i = 0; i < kBlocks; ++i) {
        last = device.CopyIn(there[i].address(), host[i].data(), host[i].size());
      }
      last->Wait();
    });
    rates_.device = device.description();
    rates_.copy_bytes_per_second = static_cast<double>(kBlocks * host[0].size()) / seconds;
  }

  StateCache &cache_;
  DeviceCompute &device_;
  ProgressListener &progress_;
  MachineRates rates_;
  Numbers numbers_;
  int step_ = 0;
};

// To three digits: more would be noise.
double ThreeDigits(double value) {
  const double unit = std::pow(10, std::floor(std::log10(value)) - 2);
  return std::round(value / unit) * unit;
}

}  // namespace

const std::string &ProcessorName() {
  static const std::string name = [] {
    std::ifstream cpuinfo("/proc/cpuinfo");
    std::string line;
    while (std::getline(cpuinfo, line)) {
      const size_t colon = line.find(": ");
      if (line.starts_with("model name") && colon != std::string::npos) {
        return line.substr(colon + 2);
      }
    }
    return std::string("unknown");
  }();
  return name;
}

bool AreOfThisMachine(const MachineRates &rates) {
  return rates.processor == ProcessorName() && rates.threads == Threads();
}

MachineRates MeasureMachine(StateCache &cache, DeviceCompute &device, ProgressListener &progress) {
  return Analysis(cache, device, progress).Run();
}

std::vector<Column> RatesColumns() {
  return {
      {"what", Column::Type::kText}, {"value", Column::Type::kReal}, {"unit", Column::Type::kText}};
}

std::vector<std::vector<Value>> RatesRows(const MachineRates &rates) {
  std::vector<std::vector<Value>> rows;
  const auto add = [&](std::string what, double value, const char *unit) {
    rows.push_back({std::move(what), ThreeDigits(value), std::string(unit)});
  };
  const auto of_rows = [](int64_t count) {
    return std::to_string(count) + (count == 1 ? " row" : " rows");
  };
  for (const RatePoint &point : rates.linear) {
    add("products of " + of_rows(point.amount), point.per_second / 1e9, "GFLOP/s");
  }
  for (const RatePoint &point : rates.attention) {
    add("attention of " + of_rows(point.amount), point.per_second / 1e9, "GFLOP/s");
  }
  const auto mebibytes = [](int64_t bytes) {
    return std::to_string((bytes + kMebibyte / 2) / kMebibyte) + " MiB ";
  };
  for (const RatePoint &point : rates.linear_values) {
    add("values of products of " + of_rows(point.amount), point.per_second / 1e9, "G values/s");
  }
  for (const RatePoint &point : rates.weights) {
    add(mebibytes(point.amount) + "of weights read by one row", point.per_second / 1e9, "GB/s");
  }
  for (const RatePoint &point : rates.states) {
    add(mebibytes(point.amount) + "of states read by one row", point.per_second / 1e9, "GB/s");
  }
  add("norms and activations", rates.elements_per_second / 1e9, "G values/s");
  add("starting the threads", rates.call_seconds * 1e6, "µs");
  for (const RatePoint &point : rates.disk) {
    add(mebibytes(point.amount) + "of states read from disk", point.per_second / 1e9, "GB/s");
  }
  for (const RatePoint &point : rates.disk_again) {
    add(mebibytes(point.amount) + "of states read again from disk", point.per_second / 1e9, "GB/s");
  }
  add("reading a block, on top", rates.disk_block_seconds * 1e6, "µs");
  if (!rates.device.empty()) {
    add("states copied to the device", rates.copy_bytes_per_second / 1e9, "GB/s");
  }
  if (rates.on_device) {
    const ComputeRates &device = *rates.on_device;
    for (const RatePoint &point : device.linear) {
      add("on the device, products of " + of_rows(point.amount), point.per_second / 1e9, "GFLOP/s");
    }
    for (const RatePoint &point : device.attention) {
      add("on the device, attention of " + of_rows(point.amount), point.per_second / 1e9,
          "GFLOP/s");
    }
    add("on the device, weights read by one row", device.weights.back().per_second / 1e9, "GB/s");
    add("on the device, states read by one row", device.states.back().per_second / 1e9, "GB/s");
    add("on the device, norms and activations", device.elements_per_second / 1e9, "G values/s");
    add("on the device, starting a kernel", device.call_seconds * 1e6, "µs");
  }
  add("states written to disk", rates.store_bytes_per_second / 1e9, "GB/s");
  add("writing a state, on top", rates.store_seconds * 1e3, "ms");
  return rows;
}

}  // namespace promptdb
