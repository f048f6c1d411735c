// What a forward pass must give on every device that computes: what the slow reference gives, for
// every kind of model, wherever states are. For the stand-in and for GPUs.
//
// Not thread-safe: functions of their arguments.
#ifndef PROMPTDB_TESTS_DEVICE_BENCH_H_
#define PROMPTDB_TESTS_DEVICE_BENCH_H_

#include <span>

#include "base/bfloat16.h"
#include "executor/device_attention.h"
#include "executor/device_transformer.h"
#include "storage/kv_quantization.h"
#include "tests/forward_bench.h"
#include "tests/kv_codes.h"

namespace promptdb {

inline std::unique_ptr<Transformer> LoadOn(DeviceCompute& device, const std::filesystem::path& path,
                                           KvDtype kv_dtype,
                                           std::optional<WeightDtype> dtype = std::nullopt) {
  return LoadOnDevice(Checkpoint::Open(path), {.dtype = dtype, .kv_dtype = kv_dtype}, device,
                      nullptr);
}

// Weights and states of every dtype; all at once, and a token at a time.
inline void CheckKind(DeviceCompute& device, const TinyModel& tiny) {
  const TemporaryFolder folder("device");
  std::mt19937 random(51);
  const auto tokens = RandomTokens(70, tiny.vocab, random);
  WriteGguf(tiny, folder / "m.gguf", TensorDtype::kF32);
  const Logits wanted =
      ReferenceForward(*Checkpoint::Open(folder / "m.gguf"), tokens, Range(0, 70), CausalMask(70));
  const auto exact = LoadOn(device, folder / "m.gguf", KvDtype::kF32);
  KvSegment own(exact->kv_shape(), 0, 70);
  EXPECT_LT(LargestDifference(Extend(*exact, own, tokens), wanted), 1e-4);
  KvSegment grown(exact->kv_shape(), 0, 3);
  EXPECT_LT(LargestDifference(ExtendOneByOne(*exact, grown, tokens), wanted), 1e-4)
      << "a token at a time";

  // States in bf16 take the tensor cores' kernel.
  const auto rounded = LoadOn(device, folder / "m.gguf", KvDtype::kBf16);
  KvSegment bf16(rounded->kv_shape(), 0, 70);
  EXPECT_LT(RelativeDifference(Extend(*rounded, bf16, tokens), wanted), kBf16Tolerance);
  // Weights, and activations on their way into products, too.
  const auto narrow = LoadOn(device, folder / "m.gguf", KvDtype::kBf16, WeightDtype::kBf16);
  KvSegment all_bf16(narrow->kv_shape(), 0, 70);
  EXPECT_LT(RelativeDifference(Extend(*narrow, all_bf16, tokens), wanted), 2 * kBf16Tolerance);
}

// Prompts of segments with block masks, as one batch and cut anywhere.
inline void CheckBlockMasks(DeviceCompute& device, const std::string& family) {
  const TemporaryFolder folder("device");
  const TinyModel tiny = TinyModel::Of(family);
  WriteGguf(tiny, folder / "m.gguf", TensorDtype::kF32);
  const auto checkpoint = Checkpoint::Open(folder / "m.gguf");
  const auto model = LoadOn(device, folder / "m.gguf", KvDtype::kF32);
  const auto bf16 = LoadOn(device, folder / "m.gguf", KvDtype::kBf16);
  for (uint32_t seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    const Prompt prompt = Prompt::Random(tiny.vocab, 40, random);
    const Logits wanted =
        ReferenceForward(*checkpoint, prompt.tokens, prompt.Positions(), prompt.Mask());
    std::vector<int> anywhere;
    for (int row = 1; row < static_cast<int>(prompt.tokens.size()); ++row) {
      if (random() % 10 == 0) anywhere.push_back(row);
    }
    EXPECT_LT(LargestDifference(RunInBatches(*model, prompt, {}), wanted), 1e-4) << "one batch";
    EXPECT_LT(LargestDifference(RunInBatches(*model, prompt, anywhere), wanted), 1e-4)
        << "cut anywhere";
    EXPECT_LT(RelativeDifference(RunInBatches(*bf16, prompt, anywhere), wanted), kBf16Tolerance)
        << "bf16";
  }
}

// Contexts that are long enough to be shared out among thread blocks, and put together again.
inline void CheckLongContexts(DeviceCompute& device) {
  const TemporaryFolder folder("device");
  TinyModel tiny = TinyModel::Of("llama");
  tiny.layers = 1;
  tiny.context = 4096;
  WriteGguf(tiny, folder / "m.gguf", TensorDtype::kF32);
  Prompt prompt;
  prompt.parts = {{0, 700, {}}, {800, 300, {{0, 0, 700}}}, {1100, 2, {{0, 5, 698}, {1, 0, 300}}}};
  std::mt19937 random(52);
  prompt.tokens = RandomTokens(1002, tiny.vocab, random);
  const Logits wanted = ReferenceForward(*Checkpoint::Open(folder / "m.gguf"), prompt.tokens,
                                         prompt.Positions(), prompt.Mask());
  const auto model = LoadOn(device, folder / "m.gguf", KvDtype::kF32);
  EXPECT_LT(LargestDifference(RunInBatches(*model, prompt, {700, 1000, 1001}), wanted), 1e-4);
  const auto bf16 = LoadOn(device, folder / "m.gguf", KvDtype::kBf16);
  EXPECT_LT(RelativeDifference(RunInBatches(*bf16, prompt, {700, 1000, 1001}), wanted),
            kBf16Tolerance);
}

// Logits of `tokens` over the states of others, which are moved, and quantized if `dtype` says so:
// on the device, and on the processor.
inline void CheckStoredStates(DeviceCompute& device, const std::string& family, KvDtype dtype,
                              double tolerance) {
  const TemporaryFolder folder("device");
  const TinyModel tiny = TinyModel::Of(family);
  WriteGguf(tiny, folder / "m.gguf", TensorDtype::kF32);
  const KvDtype working = IsQuantized(dtype) ? KvDtype::kBf16 : dtype;
  const auto on_device = LoadOn(device, folder / "m.gguf", working);
  const auto on_host = LoadWith(folder / "m.gguf", working, WeightDtype::kF32);
  std::mt19937 random(53);
  // Two modules of more than the tokens that share scales, one of them moved, and a question.
  std::vector<KvSegment> modules;
  int position = 0;
  for (const int tokens : {90, 70}) {
    KvSegment states(on_host->kv_shape(), 0, tokens);
    Extend(*on_host, states, RandomTokens(tokens, tiny.vocab, random));
    if (IsQuantized(dtype)) states = Quantize(states, dtype);
    states.PlaceAt(position);
    modules.push_back(std::move(states));
    position += tokens + 11;
  }
  for (const int rows : {1, 3, 40}) {
    SCOPED_TRACE(std::to_string(rows) + " rows");
    const std::vector<int32_t> tokens = RandomTokens(rows, tiny.vocab, random);
    std::vector<Logits> both;
    for (const Transformer* model : {on_host.get(), on_device.get()}) {
      KvSegment own(model->kv_shape(), position, rows);
      ForwardBatch batch;
      batch.tokens = tokens;
      batch.positions = Range(position, rows);
      batch.groups = {{rows, {{&modules[0], 0, 90}, {&modules[1], 3, 70}}, &own}};
      batch.logits_of = Range(0, rows);
      both.push_back(model->Forward(batch));
    }
    EXPECT_LT(RelativeDifference(both[1], both[0]), tolerance);
  }
}

// In every dtype.
inline void CheckStoredStates(DeviceCompute& device, const std::string& family) {
  CheckStoredStates(device, family, KvDtype::kF32, 1e-5);
  for (const KvDtype dtype : {KvDtype::kBf16, KvDtype::kInt8, KvDtype::kInt4}) {
    SCOPED_TRACE(KvDtypeName(dtype));
    CheckStoredStates(device, family, dtype, kBf16Tolerance);
  }
}

// The attention kernels alone, over heads of a size that no tiny model has: a plan's results
// against plain loops over what the slices mean.
inline void CheckAttention(DeviceCompute& device, int head_dim, KvDtype dtype, int rows) {
  constexpr int kHeads = 6, kKvHeads = 2;
  const int context = 90, tokens = rows;
  std::mt19937 random(57);
  const auto noise = [&] { return static_cast<float>(random() % 2001) / 1000 - 1; };
  const auto segment_of = [&](int length, KvDtype of) {
    const KvShape shape{1, kKvHeads, head_dim, IsQuantized(of) ? KvDtype::kBf16 : of};
    KvSegment segment(shape, 0, length);
    segment.Grow(length);
    for (int token = 0; token < length; ++token) {
      for (int head = 0; head < kKvHeads; ++head) {
        for (std::byte* to : {segment.MutableK(0, head, token), segment.MutableV(0, head, token)}) {
          for (int d = 0; d < head_dim; ++d) {
            if (shape.dtype == KvDtype::kF32) {
              reinterpret_cast<float*>(to)[d] = noise();
            } else {
              reinterpret_cast<uint16_t*>(to)[d] = Bf16FromFloat(noise());
            }
          }
        }
      }
    }
    return IsQuantized(of) ? Quantize(segment, of) : std::move(segment);
  };
  const KvSegment stored = segment_of(context, dtype);
  const KvSegment own = segment_of(tokens, IsQuantized(dtype) ? KvDtype::kBf16 : dtype);
  std::vector<KvSlice> on_host, on_device;
  stored.AppendSlices(0, 5, context - 2, on_host);
  own.AppendSlices(0, 0, tokens, on_host);
  for (const KvSegment* segment : {&stored, &own}) segment->BringTo(device.memory());
  stored.AppendDeviceSlices(device.memory(), 0, 5, context - 2, on_device);
  own.AppendDeviceSlices(device.memory(), 0, 0, tokens, on_device);

  DevicePart part;
  part.rows = rows;
  part.rounds = dtype != KvDtype::kF32;
  std::vector<AttentionSlice> slices;
  int keys = 0;
  for (const KvSlice& slice : on_device) {
    slices.push_back(DeviceSliceOf(slice, keys, -1));
    part.slice_tokens.push_back(slice.tokens);
    keys += slice.tokens;
  }
  const DeviceAttentionPlan plan = PlanAttention({.heads = kHeads,
                                                  .kv_heads = kKvHeads,
                                                  .head_dim = head_dim,
                                                  .busy_blocks = device.busy_blocks(),
                                                  .shared_bytes = device.shared_bytes()},
                                                 {&part, 1});
  Logits q(static_cast<size_t>(rows) * kHeads * head_dim), got(q.size()), wanted(q.size());
  for (float& value : q) value = noise();
  const auto lock = device.Use();
  const auto upload = [&](const auto& values) {
    const auto bytes = static_cast<int64_t>(std::as_bytes(std::span(values)).size());
    DeviceBlock block(device.memory(), std::max<int64_t>(1, bytes));
    device.Upload(block.data(), values.data(), bytes);
    return block;
  };
  const DeviceBlock q_there = upload(q), slices_there = upload(slices);
  const DeviceBlock tasks_there = upload(TablesOf(plan)), out_there = upload(got);
  const int64_t partial_floats = PartialFloats(plan, kKvHeads, head_dim);
  const DeviceBlock partials_there = upload(Logits(static_cast<size_t>(partial_floats) + 1));
  AttentionArgs args;
  args.q = reinterpret_cast<const float*>(q_there.data());
  args.slices = reinterpret_cast<const AttentionSlice*>(slices_there.data());
  args.heads = kHeads;
  args.kv_heads = kKvHeads;
  args.head_dim = head_dim;
  args.scale = 1 / std::sqrt(static_cast<float>(head_dim));
  args.out = out_there.data();
  PlacePartials(plan, reinterpret_cast<float*>(partials_there.data()), args);
  QueueAttention(plan, args, tasks_there.data(), device);
  device.Download(got.data(), out_there.data(), static_cast<int64_t>(got.size() * sizeof(float)));
  device.Finish();

  for (int row = 0; row < rows; ++row) {
    for (int head = 0; head < kHeads; ++head) {
      const size_t at = (static_cast<size_t>(row) * kHeads + head) * head_dim;
      const int kv_head = head / (kHeads / kKvHeads);
      std::vector<double> weights;
      double most = -INFINITY, total = 0;
      const int sees = keys - rows + 1 + row;
      const auto for_keys = [&](const auto& work) {
        int key = 0;
        for (const KvSlice& slice : on_host) {
          for (int token = 0; token < slice.tokens && key < sees; ++token) {
            work(key++, slice, token);
          }
        }
      };
      for_keys([&](int, const KvSlice& slice, int token) {
        double score = 0;
        for (int d = 0; d < head_dim; ++d) {
          score +=
              static_cast<double>(q[at + d]) * ElementOf(slice, head_dim, kv_head, token, d, false);
        }
        weights.push_back(score / std::sqrt(static_cast<double>(head_dim)));
        most = std::max(most, weights.back());
      });
      for (double& weight : weights) total += weight = std::exp(weight - most);
      for (int d = 0; d < head_dim; ++d) {
        double sum = 0;
        for_keys([&](int key, const KvSlice& slice, int token) {
          sum += weights[static_cast<size_t>(key)] / total *
                 ElementOf(slice, head_dim, kv_head, token, d, true);
        });
        wanted[at + d] = static_cast<float>(sum);
      }
    }
  }
  EXPECT_LT(LargestDifference(got, wanted), dtype == KvDtype::kF32 ? 1e-5 : 1e-2);
}

// Heads of every size that models have, and one that the tensor cores don't take; states of every
// dtype; so many rows that every kernel has some.
inline void CheckAttention(DeviceCompute& device) {
  for (const int head_dim : {24, 64, 80, 128, 256}) {
    for (const KvDtype dtype : kAllKvDtypes) {
      for (const int rows : {1, 2, 45}) {
        SCOPED_TRACE("heads of " + std::to_string(head_dim) + ", " +
                     std::string(KvDtypeName(dtype)) + ", " + std::to_string(rows) + " rows");
        CheckAttention(device, head_dim, dtype, rows);
      }
    }
  }
}

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_DEVICE_BENCH_H_
