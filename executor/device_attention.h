// Which thread blocks attend to what: a pass's parts shared out as tasks of the device's attention
// kernels, and the tables that these read.
//
// Not thread-safe: plain values.
#ifndef PROMPTDB_EXECUTOR_DEVICE_ATTENTION_H_
#define PROMPTDB_EXECUTOR_DEVICE_ATTENTION_H_

#include <span>
#include <vector>

#include "device/device_compute.h"
#include "storage/kv_segment.h"

namespace promptdb {

// Rows of one group.
struct DevicePart {
  int first_row = 0;  // in the piece
  int rows = 0;
  int first_position = 0;
  bool rounds = false;            // to bf16, which the tensor cores take: states that are not f32
  std::vector<int> slice_tokens;  // of the list that they see; the last tokens are their own
};

// What shares work out.
struct DeviceAttentionShape {
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;
  int busy_blocks = 1;
  int64_t shared_bytes = 0;
};

// The tasks of one kernel, which takes so many virtual rows.
struct DeviceTasks {
  enum class Kernel { kFew1, kFew4, kFew16, kMany };
  Kernel kernel = Kernel::kFew1;
  std::vector<DeviceAttentionTask> tasks;
};

struct DeviceAttentionPlan {
  std::vector<DeviceTasks> kernels;  // those that have tasks
  std::vector<MergedRow> merged;
  int partials = 0;  // results over parts of the keys, of each KV head
};

// REQUIRES: some kernel's shared memory fits, which holds where FitsDevice() does.
DeviceAttentionPlan PlanAttention(const DeviceAttentionShape& shape,
                                  std::span<const DevicePart> parts);

// The memory of results over parts of the keys: so many floats, and where in it
// AttentionArgs::partial_… begin. `args` has the heads.
int64_t PartialFloats(const DeviceAttentionPlan& plan, int kv_heads, int head_dim);
void PlacePartials(const DeviceAttentionPlan& plan, float* begin, AttentionArgs& args);

// Whether the device's thread blocks have the memory for heads of this size.
bool FitsDevice(int head_dim, int64_t shared_bytes);

// A slice as the kernels have it. `turn`: see AttentionSlice.
AttentionSlice DeviceSliceOf(const KvSlice& slice, int first_key, int turn);

// Queues the plan's kernels. `args` has all but the tasks and the merged rows; `tables` is where
// these lie on the device, in the order in which TablesOf() has them.
std::vector<std::byte> TablesOf(const DeviceAttentionPlan& plan);
void QueueAttention(const DeviceAttentionPlan& plan, const AttentionArgs& args,
                    const std::byte* tables, DeviceCompute& device);

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_DEVICE_ATTENTION_H_
