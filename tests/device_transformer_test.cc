// The forward pass on a device, by the stand-in that runs the kernels of GPUs on the processor: it
// gives what the slow reference gives, for every kind of model, wherever states are, and in
// whatever order threads run.
#include "executor/device_transformer.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "device/host_compute.h"
#include "storage/kv_quantization.h"
#include "tests/forward_bench.h"

namespace promptdb {
namespace {

struct Device {
  explicit Device(const HostCompute::Options& options = {}, HostDevice::CopyGate gate = nullptr,
                  std::optional<int64_t> bytes = std::nullopt)
      : compute(std::make_unique<HostDevice>(bytes, std::move(gate)), options) {}

  std::unique_ptr<Transformer> Load(const std::filesystem::path& path, KvDtype kv_dtype,
                                    std::optional<WeightDtype> dtype = std::nullopt) {
    return LoadOnDevice(Checkpoint::Open(path), {.dtype = dtype, .kv_dtype = kv_dtype}, compute,
                        nullptr);
  }

  HostCompute compute;
};

HostCompute::Options Backward() { return {.order = ThreadOrder::kBackward}; }

class DeviceTransformerTest : public testing::TestWithParam<Kind> {};

TEST_P(DeviceTransformerTest, EqualsTheReferenceInEveryDtype) {
  const TemporaryFolder folder("device_transformer");
  const TinyModel& tiny = GetParam().model;
  std::mt19937 random(51);
  const auto tokens = RandomTokens(70, tiny.vocab, random);
  WriteGguf(tiny, folder / "m.gguf", TensorDtype::kF32);
  const Logits wanted = ReferenceForward(*Checkpoint::Open(folder / "m.gguf"), tokens,
                                         Range(0, 70), CausalMask(70));
  Device device;
  const auto exact = device.Load(folder / "m.gguf", KvDtype::kF32);
  KvSegment own(exact->kv_shape(), 0, 70);
  EXPECT_LT(LargestDifference(Extend(*exact, own, tokens), wanted), 1e-4);
  // A token at a time, over states on the device.
  KvSegment grown(exact->kv_shape(), 0, 3);
  Logits one_by_one;
  for (const int32_t token : tokens) {
    const Logits next = Extend(*exact, grown, {token});
    one_by_one.insert(one_by_one.end(), next.begin(), next.end());
  }
  EXPECT_LT(LargestDifference(one_by_one, wanted), 1e-4);

  // States in bf16 take the tensor cores' kernel.
  const auto rounded = device.Load(folder / "m.gguf", KvDtype::kBf16);
  KvSegment bf16(rounded->kv_shape(), 0, 70);
  EXPECT_LT(RelativeDifference(Extend(*rounded, bf16, tokens), wanted), kBf16Tolerance);
  // Weights and activations in bf16 too.
  const auto narrow = device.Load(folder / "m.gguf", KvDtype::kBf16, WeightDtype::kBf16);
  KvSegment all_bf16(narrow->kv_shape(), 0, 70);
  EXPECT_LT(RelativeDifference(Extend(*narrow, all_bf16, tokens), wanted), 2 * kBf16Tolerance);
}

INSTANTIATE_TEST_SUITE_P(Kinds, DeviceTransformerTest, testing::ValuesIn(Kinds()),
                         [](const auto& info) { return info.param.name; });

class DeviceBlockMasks : public testing::TestWithParam<const char*> {};

TEST_P(DeviceBlockMasks, EveryWayOfRunningAPromptEqualsTheReference) {
  const TemporaryFolder folder("device_transformer");
  const TinyModel tiny = TinyModel::Of(GetParam());
  WriteGguf(tiny, folder / "m.gguf", TensorDtype::kF32);
  const auto checkpoint = Checkpoint::Open(folder / "m.gguf");
  Device device, backward(Backward());
  const auto model = device.Load(folder / "m.gguf", KvDtype::kF32);
  const auto in_other_order = backward.Load(folder / "m.gguf", KvDtype::kF32);
  const auto bf16 = device.Load(folder / "m.gguf", KvDtype::kBf16);
  const auto bf16_in_other_order = backward.Load(folder / "m.gguf", KvDtype::kBf16);
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
    const Logits got = RunInBatches(*model, prompt, {});
    EXPECT_LT(LargestDifference(got, wanted), 1e-4) << "one batch";
    EXPECT_LT(LargestDifference(RunInBatches(*in_other_order, prompt, {}), got), 1e-5)
        << "threads in the other order";
    EXPECT_LT(LargestDifference(RunInBatches(*model, prompt, anywhere), wanted), 1e-4)
        << "cut anywhere";
    const Logits rounded = RunInBatches(*bf16, prompt, anywhere);
    EXPECT_LT(RelativeDifference(rounded, wanted), kBf16Tolerance) << "bf16";
    EXPECT_LT(
        LargestDifference(RunInBatches(*bf16_in_other_order, prompt, anywhere), rounded), 1e-5)
        << "bf16, threads in the other order";
  }
}

// A scheme of positions each.
INSTANTIATE_TEST_SUITE_P(Families, DeviceBlockMasks,
                         testing::Values("llama", "falcon", "mpt", "gpt2"),
                         [](const auto& info) { return std::string(info.param); });

// Long contexts are shared out among thread blocks, and put together again.
TEST(DeviceTransformer, KeysThatAreSharedOutAreMerged) {
  const TemporaryFolder folder("device_transformer");
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
  Device device({.busy_blocks = 1000});
  const auto model = device.Load(folder / "m.gguf", KvDtype::kF32);
  EXPECT_LT(LargestDifference(RunInBatches(*model, prompt, {700, 1000, 1001}), wanted), 1e-4);
  const auto bf16 = device.Load(folder / "m.gguf", KvDtype::kBf16);
  EXPECT_LT(RelativeDifference(RunInBatches(*bf16, prompt, {700, 1000, 1001}), wanted),
            kBf16Tolerance);
}

}  // namespace
}  // namespace promptdb
