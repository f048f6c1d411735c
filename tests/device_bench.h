// What a forward pass must give on every device that computes: what the slow reference gives, for
// every kind of model, wherever states are. For the stand-in and for GPUs.
//
// Not thread-safe: functions of their arguments.
#ifndef PROMPTDB_TESTS_DEVICE_BENCH_H_
#define PROMPTDB_TESTS_DEVICE_BENCH_H_

#include "executor/device_transformer.h"
#include "storage/kv_quantization.h"
#include "tests/forward_bench.h"

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
  Logits one_by_one;
  for (const int32_t token : tokens) {
    const Logits next = Extend(*exact, grown, {token});
    one_by_one.insert(one_by_one.end(), next.begin(), next.end());
  }
  EXPECT_LT(LargestDifference(one_by_one, wanted), 1e-4) << "a token at a time";

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
  const auto on_host =
      Transformer::Load(Checkpoint::Open(folder / "m.gguf"),
                        {.dtype = WeightDtype::kF32, .kv_dtype = working}, nullptr);
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

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_DEVICE_BENCH_H_
