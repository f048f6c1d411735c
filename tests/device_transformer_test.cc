// The forward pass on a device, by the stand-in that runs the kernels of GPUs on the processor.
#include <gtest/gtest.h>

#include <atomic>

#include "base/error.h"
#include "device/host_compute.h"
#include "tests/device_bench.h"

namespace promptdb {
namespace {

HostCompute MakeDevice(const HostCompute::Options& options) {
  return HostCompute(std::make_unique<HostDevice>(), options);
}

class DeviceTransformerTest : public testing::TestWithParam<Kind> {};

TEST_P(DeviceTransformerTest, EqualsTheReferenceInEveryDtype) {
  HostCompute device = MakeDevice({});
  CheckKind(device, GetParam().model);
}

INSTANTIATE_TEST_SUITE_P(Kinds, DeviceTransformerTest, testing::ValuesIn(Kinds()),
                         [](const auto& info) { return info.param.name; });

// A scheme of positions each.
class DeviceFamilyTest : public testing::TestWithParam<const char*> {};

TEST_P(DeviceFamilyTest, EveryWayOfRunningAPromptEqualsTheReference) {
  for (const ThreadOrder order : {ThreadOrder::kForward, ThreadOrder::kBackward}) {
    SCOPED_TRACE(order == ThreadOrder::kForward ? "forward" : "backward");
    HostCompute device = MakeDevice({.order = order});
    CheckBlockMasks(device, GetParam());
  }
}

TEST_P(DeviceFamilyTest, StoredStatesOfEveryDtypeAreReadAsOnTheProcessor) {
  HostCompute device = MakeDevice({});
  CheckStoredStates(device, GetParam());
}

INSTANTIATE_TEST_SUITE_P(Families, DeviceFamilyTest,
                         testing::Values("llama", "falcon", "mpt", "gpt2"),
                         [](const auto& info) { return std::string(info.param); });

TEST(DeviceTransformer, AttentionIsRightForHeadsOfEverySize) {
  for (const ThreadOrder order : {ThreadOrder::kForward, ThreadOrder::kBackward}) {
    // A GPU with much shared memory, and one with little.
    HostCompute large = MakeDevice({.order = order, .shared_bytes = 227 << 10, .busy_blocks = 1});
    CheckAttention(large);
    HostCompute small = MakeDevice({.order = order, .shared_bytes = 70 << 10, .busy_blocks = 500});
    CheckAttention(small);
  }
}

TEST(DeviceTransformer, KeysThatAreSharedOutAreMerged) {
  for (const int busy_blocks : {1, 1000}) {
    HostCompute device = MakeDevice({.busy_blocks = busy_blocks});
    CheckLongContexts(device);
  }
}

// With a tiny Llama.
class DeviceLlamaTest : public testing::Test {
 protected:
  DeviceLlamaTest() { WriteGguf(tiny_, path_, TensorDtype::kF32); }

  std::unique_ptr<Transformer> OnHost() const { return LoadWith(path_, KvDtype::kF32); }
  std::unique_ptr<Transformer> On(DeviceCompute& device) const {
    return LoadOn(device, path_, KvDtype::kF32);
  }

  const TinyModel tiny_ = TinyModel::Of("llama");

 private:
  const TemporaryFolder folder_{"device"};
  const std::filesystem::path path_ = folder_ / "m.gguf";
};

// A smaller kernel does where thread blocks have little memory; where none does, that is said.
TEST_F(DeviceLlamaTest, LittleSharedMemoryIsEnoughOrAnError) {
  HostCompute small = MakeDevice({.shared_bytes = 12 << 10});
  CheckKind(small, tiny_);
  HostCompute tiny = MakeDevice({.shared_bytes = 1 << 10});
  try {
    On(tiny);
    ADD_FAILURE() << "loaded";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported) << error.message();
  }
}

// What is stored of a pass is what the device wrote.
TEST_F(DeviceLlamaTest, StatesComeBackToTheHost) {
  HostCompute device = MakeDevice({});
  const auto on_device = On(device);
  const auto on_host = OnHost();
  std::mt19937 random(54);
  const std::vector<int32_t> tokens = RandomTokens(60, tiny_.vocab, random);
  const std::vector<int32_t> more = RandomTokens(7, tiny_.vocab, random);
  // Begun on one, continued on the other.
  KvSegment states(on_device->kv_shape(), 5, 67);
  Extend(*on_device, states, tokens);
  KvSegment copy = states.CopyOf(60), wanted(on_host->kv_shape(), 5, 67);
  Extend(*on_host, wanted, tokens);
  const Logits next = Extend(*on_host, wanted, more);
  EXPECT_LT(LargestDifference(Extend(*on_host, copy, more), next), 1e-4);
  EXPECT_LT(LargestDifference(Extend(*on_device, states, more), next), 1e-4);
  KvSegment again(on_device->kv_shape(), 5, 67, states.TakeBlocks());
  EXPECT_EQ(again.tokens(), 67);
  KvSegment from_host = wanted.CopyOf(60);
  EXPECT_LT(LargestDifference(Extend(*on_device, from_host, more), next), 1e-4);
}

// Memory that becomes too small for an answer is another's from then on, on both sides.
TEST_F(DeviceLlamaTest, StatesGrowOnTheDevice) {
  HostCompute device = MakeDevice({});
  const auto on_device = On(device);
  const auto on_host = OnHost();
  std::mt19937 random(63);
  constexpr int kExpected = 9;
  KvSegment states(on_device->kv_shape(), 2, kExpected), wanted(on_host->kv_shape(), 2, kExpected);
  ASSERT_EQ(BlockGrid(states.shape(), 0).chunk_tokens(), 512);
  // Within, up to and past each size of the first chunk, and into the second.
  for (const int count : {kExpected, 1, 62, 1, 1, 63, 1, 190, 195, 1, 1, 20}) {
    const std::vector<int32_t> tokens = RandomTokens(count, tiny_.vocab, random);
    EXPECT_LT(
        LargestDifference(Extend(*on_device, states, tokens), Extend(*on_host, wanted, tokens)),
        1e-4)
        << wanted.tokens();
    EXPECT_EQ(states.bytes(), wanted.bytes());
  }
  KvSegment on = states.CopyOf(states.tokens()), off = wanted.CopyOf(wanted.tokens());
  const std::vector<int32_t> more = RandomTokens(3, tiny_.vocab, random);
  EXPECT_LT(LargestDifference(Extend(*on_host, on, more), Extend(*on_host, off, more)), 1e-4);
}

TEST_F(DeviceLlamaTest, ADeviceWithoutRoomIsAnError) {
  int64_t weights = 0;
  {
    HostCompute device = MakeDevice({});
    weights = On(device)->weight_bytes();
  }
  std::mt19937 random(55);
  int errors = 0;
  // From too little for the weights to enough for a pass.
  for (int64_t bytes = weights / 2; bytes < 3 * weights; bytes += weights / 20) {
    HostCompute device(std::make_unique<HostDevice>(bytes));
    try {
      const auto model = On(device);
      KvSegment own(model->kv_shape(), 0, 30);
      Extend(*model, own, RandomTokens(30, tiny_.vocab, random));
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kResource) << error.message();
      ++errors;
    }
  }
  EXPECT_GT(errors, 10);
  EXPECT_LT(errors, 45);
}

// A copy that fails is an error or does no harm: logits are never wrong.
TEST_F(DeviceLlamaTest, CopiesThatFailAreErrors) {
  const auto on_host = OnHost();
  std::atomic<int> until_failure = 1 << 30;
  HostCompute device(std::make_unique<HostDevice>(std::nullopt, [&](const HostDevice::Copy&) {
    if (until_failure-- == 0) throw Error(ErrorCode::kIo, "this copy fails");
  }));
  const auto on_device = On(device);
  std::mt19937 random(56);
  const std::vector<int32_t> first = RandomTokens(40, tiny_.vocab, random);
  const std::vector<int32_t> then = RandomTokens(3, tiny_.vocab, random);
  KvSegment states(on_host->kv_shape(), 0, 43);
  Extend(*on_host, states, first);
  KvSegment copy = states.CopyOf(40);
  const Logits wanted = Extend(*on_host, copy, then);
  int errors = 0;
  for (int failing = 0; failing < 6; ++failing) {
    SCOPED_TRACE("copy " + std::to_string(failing));
    KvSegment own = states.CopyOf(40);
    until_failure = failing;
    try {
      const Logits got = Extend(*on_device, own, then);
      EXPECT_LT(LargestDifference(got, wanted), 1e-4);
      // To the host, and on from there.
      KvSegment back = own.CopyOf(43);
      EXPECT_EQ(back.tokens(), 43);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kIo);
      ++errors;
    }
    until_failure = 1 << 30;
  }
  EXPECT_GE(errors, 2);
  EXPECT_LT(errors, 6);
}

// States in the device tier are read where they lie; one whose copy failed is copied once more.
TEST_F(DeviceLlamaTest, StatesAreReadInTheDeviceTier) {
  const auto on_host = OnHost();
  std::mt19937 random(58);
  const std::vector<int32_t> context = RandomTokens(40, tiny_.vocab, random);
  const std::vector<int32_t> tokens = RandomTokens(5, tiny_.vocab, random);
  KvSegment states(on_host->kv_shape(), 0, 40);
  Extend(*on_host, states, context);
  const auto after = [&](const Transformer& model, const KvSegment& seen) {
    KvSegment own(model.kv_shape(), 40, 5);
    ForwardBatch batch;
    batch.tokens = tokens;
    batch.positions = Range(40, 5);
    batch.groups = {{5, {{&seen, 0, 40}}, &own}};
    batch.logits_of = Range(0, 5);
    return model.Forward(batch);
  };
  const Logits wanted = after(*on_host, states);
  for (const bool fails : {false, true}) {
    SCOPED_TRACE(fails ? "the copy fails" : "the copy arrives");
    std::atomic<bool> fails_next = false;
    std::atomic<int> copies = 0;
    HostCompute device(std::make_unique<HostDevice>(std::nullopt, [&](const HostDevice::Copy&) {
      ++copies;
      if (fails_next.exchange(false)) throw Error(ErrorCode::kIo, "this copy fails");
    }));
    const auto on_device = On(device);
    BufferPool cpu(1 << 20, MakeLruPolicy);
    DevicePool pool(&device.memory(), &cpu, 1 << 20, MakeLruPolicy);
    std::vector<BlockBuffer> blocks = states.CopyOf(40).TakeBlocks();
    fails_next = fails;
    copies = 0;
    std::vector<DevicePin> pins;
    for (size_t i = 0; i < blocks.size(); ++i) {
      const BlockId id{Digest{1, 2}, static_cast<int>(i)};
      pins.push_back(pool.Insert(id, std::move(blocks[i]), 0).value());
    }
    const KvSegment there(on_host->kv_shape(), 0, 40, std::move(pins));
    EXPECT_LT(LargestDifference(after(*on_device, there), wanted), 1e-4);
    EXPECT_LT(LargestDifference(after(*on_device, there), wanted), 1e-4);
    EXPECT_EQ(copies, static_cast<int>(blocks.size()) + (fails ? 1 : 0));
  }
}

class CancelsLater : public ProgressListener {
 public:
  explicit CancelsLater(int asked) : left_(asked) {}
  void OnProgress(std::string_view, int64_t, int64_t, std::string_view) override {}
  bool IsCanceled() const override { return left_-- <= 0; }

 private:
  mutable int left_;
};

TEST_F(DeviceLlamaTest, PassesAreCanceledBetweenLayers) {
  HostCompute device = MakeDevice({});
  const auto model = On(device);
  for (int asked = 0; asked <= tiny_.layers; ++asked) {
    CancelsLater listener(asked);
    KvSegment own(model->kv_shape(), 0, 30);
    ForwardBatch batch;
    batch.tokens = Range(70, 30);
    batch.positions = Range(0, 30);
    batch.groups = {{30, {}, &own}};
    if (asked == tiny_.layers) {
      EXPECT_NO_THROW(model->HiddenStates(batch, &listener));
      continue;
    }
    try {
      model->HiddenStates(batch, &listener);
      ADD_FAILURE() << "was not canceled after " << asked << " layers";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCanceled);
    }
  }
}

}  // namespace
}  // namespace promptdb
