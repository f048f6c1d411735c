// The forward pass on a GPU: what device_transformer_test.cc asks of the stand-in. Needs a build
// with -DPROMPTDB_CUDA=ON; without a GPU only the error is tested.
#include "cuda/cuda_compute.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "cuda/cuda_device.h"
#include "tests/device_bench.h"

namespace promptdb {
namespace {

TEST(CudaComputeTest, ADeviceThatIsNotThereIsAnError) {
  for (const int number : {-1, CudaDevices()}) {
    try {
      OpenCudaCompute(number);
      ADD_FAILURE() << "opened device " << number;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kResource) << error.message();
    }
  }
}

class CudaTransformerTest : public testing::Test {
 protected:
  void SetUp() override {
    if (CudaDevices() == 0) GTEST_SKIP() << "there is no GPU";
    device_ = OpenCudaCompute(0);
  }

  std::unique_ptr<DeviceCompute> device_;
};

TEST_F(CudaTransformerTest, EqualsTheReferenceInEveryDtype) {
  for (const Kind& kind : Kinds()) {
    SCOPED_TRACE(kind.name);
    CheckKind(*device_, kind.model);
  }
}

TEST_F(CudaTransformerTest, EveryWayOfRunningAPromptEqualsTheReference) {
  for (const char* family : {"llama", "falcon", "mpt", "gpt2"}) {
    SCOPED_TRACE(family);
    CheckBlockMasks(*device_, family);
  }
}

TEST_F(CudaTransformerTest, AttentionIsRightForHeadsOfEverySize) { CheckAttention(*device_); }

TEST_F(CudaTransformerTest, KeysThatAreSharedOutAreMerged) { CheckLongContexts(*device_); }

TEST_F(CudaTransformerTest, StoredStatesOfEveryDtypeAreReadAsOnTheProcessor) {
  for (const char* family : {"llama", "falcon", "mpt", "gpt2"}) {
    SCOPED_TRACE(family);
    CheckStoredStates(*device_, family);
  }
}

}  // namespace
}  // namespace promptdb
