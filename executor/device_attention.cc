#include "executor/device_attention.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/error.h"

namespace promptdb {

namespace {

using Kernel = DeviceTasks::Kernel;

// Virtual rows from which the tensor cores are worth their tiles of 64 rows.
constexpr int kLeastMany = 32;
// A part of the keys that is worth a task of its own, and what such parts are multiples of.
constexpr int kLeastKeys = 256;
constexpr int kKeyStep = 32;

int RowsOf(Kernel kernel) {
  switch (kernel) {
    case Kernel::kFew1:
      return 1;
    case Kernel::kFew4:
      return 4;
    case Kernel::kFew16:
      return 16;
    case Kernel::kMany:
      return AttendManyArgs::kRows;
  }
  return 0;
}

int64_t SharedBytesOf(Kernel kernel, int head_dim) {
  switch (kernel) {
    case Kernel::kFew1:
      return AttendFewArgs<1>::SharedBytes(head_dim);
    case Kernel::kFew4:
      return AttendFewArgs<4>::SharedBytes(head_dim);
    case Kernel::kFew16:
      return AttendFewArgs<16>::SharedBytes(head_dim);
    case Kernel::kMany:
      return AttendManyArgs::SharedBytes(head_dim);
  }
  return 0;
}

class Planner {
 public:
  explicit Planner(const DeviceAttentionShape& shape)
      : shape_(shape), shared_heads_(shape.heads / shape.kv_heads) {}

  DeviceAttentionPlan Plan(std::span<const DevicePart> parts) {
    int64_t blocks = 0;  // with all keys in one task
    for (const DevicePart& part : parts) {
      const int rows = RowsOf(KernelFor(part));
      blocks += int64_t{shape_.kv_heads} * ((VirtualsOf(part) + rows - 1) / rows);
    }
    // Enough parts of the keys that all of the device has something to do.
    const int key_parts =
        static_cast<int>(std::max<int64_t>(1, shape_.busy_blocks / std::max<int64_t>(1, blocks)));
    int first_slice = 0;
    for (const DevicePart& part : parts) {
      AddPart(part, first_slice, key_parts);
      first_slice += static_cast<int>(part.slice_tokens.size());
    }
    return std::move(plan_);
  }

 private:
  int VirtualsOf(const DevicePart& part) const { return part.rows * shared_heads_; }
  bool Fits(Kernel kernel) const {
    return SharedBytesOf(kernel, shape_.head_dim) <= shape_.shared_bytes;
  }

  Kernel KernelFor(const DevicePart& part) const {
    const int virtuals = VirtualsOf(part);
    if (part.rounds && virtuals >= kLeastMany && shape_.head_dim % 16 == 0 && Fits(Kernel::kMany)) {
      return Kernel::kMany;
    }
    if (virtuals > 4 && Fits(Kernel::kFew16)) return Kernel::kFew16;
    return virtuals > 1 && Fits(Kernel::kFew4) ? Kernel::kFew4 : Kernel::kFew1;
  }

  std::vector<DeviceAttentionTask>& TasksOf(Kernel kernel) {
    const auto found = std::ranges::find(plan_.kernels, kernel, &DeviceTasks::kernel);
    if (found != plan_.kernels.end()) return found->tasks;
    return plan_.kernels.emplace_back(DeviceTasks{kernel, {}}).tasks;
  }

  void AddPart(const DevicePart& part, int first_slice, int key_parts) {
    const Kernel kernel = KernelFor(part);
    const int keys = std::accumulate(part.slice_tokens.begin(), part.slice_tokens.end(), 0);
    Check(part.rows <= keys, "a part's rows are among its keys");
    const int virtuals = VirtualsOf(part);
    for (int first = 0; first < virtuals; first += RowsOf(kernel)) {
      DeviceAttentionTask task;
      task.part_row = part.first_row;
      task.first_virtual = first;
      task.virtuals = std::min(RowsOf(kernel), virtuals - first);
      task.first_limit = keys - part.rows + 1;
      task.first_position = part.first_position;
      // What the last of its rows sees.
      const int seen = task.first_limit + (first + task.virtuals - 1) / shared_heads_;
      const int parts = std::clamp(key_parts, 1, std::max(1, seen / kLeastKeys));
      AddTasks(part, first_slice, seen, parts, task, TasksOf(kernel));
    }
  }

  void AddTasks(const DevicePart& part, int first_slice, int keys, int parts,
                DeviceAttentionTask task, std::vector<DeviceAttentionTask>& tasks) {
    const int step = ((keys + parts - 1) / parts + kKeyStep - 1) / kKeyStep * kKeyStep;
    const int count = (keys + step - 1) / step;
    for (int i = 0; i < count; ++i) {
      task.first_key = i * step;
      task.last_key = std::min(keys, (i + 1) * step);
      if (count > 1) task.partial = plan_.partials + i * task.virtuals;
      task.slices = 0;
      int key = 0;
      for (size_t slice = 0; slice < part.slice_tokens.size(); ++slice) {
        const int end = key + part.slice_tokens[slice];
        if (end > task.first_key && key < task.last_key) {
          if (task.slices++ == 0) task.first_slice = first_slice + static_cast<int>(slice);
        }
        key = end;
      }
      tasks.push_back(task);
    }
    if (count == 1) return;
    for (int i = 0; i < task.virtuals; ++i) {
      const int at = task.first_virtual + i;
      plan_.merged.push_back({.row = task.part_row + at / shared_heads_,
                              .head = at % shared_heads_,
                              .partial = plan_.partials + i,
                              .parts = count,
                              .stride = task.virtuals});
    }
    plan_.partials += count * task.virtuals;
  }

  const DeviceAttentionShape shape_;
  const int shared_heads_;  // query heads of one KV head
  DeviceAttentionPlan plan_;
};

template <typename Value>
void Append(const std::vector<Value>& values, std::vector<std::byte>& out) {
  static_assert(alignof(Value) <= 8 && sizeof(Value) % 4 == 0);
  const auto bytes = std::as_bytes(std::span(values));
  out.insert(out.end(), bytes.begin(), bytes.end());
}

StateDtype StateDtypeOf(KvDtype dtype) {
  switch (dtype) {
    case KvDtype::kF32:
      return StateDtype::kF32;
    case KvDtype::kBf16:
      return StateDtype::kBf16;
    case KvDtype::kInt8:
      return StateDtype::kInt8;
    case KvDtype::kInt4:
      return StateDtype::kInt4;
  }
  return StateDtype::kF32;
}

template <typename Args>
void QueueTasks(const AttentionArgs& args, DeviceCompute& device) {
  Args of_kernel;
  static_cast<AttentionArgs&>(of_kernel) = args;
  device.Queue(of_kernel);
}

}  // namespace

DeviceAttentionPlan PlanAttention(const DeviceAttentionShape& shape,
                                  std::span<const DevicePart> parts) {
  return Planner(shape).Plan(parts);
}

int64_t PartialFloats(const DeviceAttentionPlan& plan, int kv_heads, int head_dim) {
  // Values, the largest score, the sum of weights.
  return int64_t{plan.partials} * kv_heads * (head_dim + 2);
}

void PlacePartials(const DeviceAttentionPlan& plan, float* begin, AttentionArgs& args) {
  const int64_t partials = int64_t{plan.partials} * args.kv_heads;
  args.partial_values = begin;
  args.partial_most = begin + partials * args.head_dim;
  args.partial_sums = args.partial_most + partials;
}

bool FitsDevice(int head_dim, int64_t shared_bytes) {
  return SharedBytesOf(Kernel::kFew1, head_dim) <= shared_bytes;
}

AttentionSlice DeviceSliceOf(const KvSlice& slice, int first_key, int turn) {
  return {.k = slice.k,
          .v = slice.v,
          .k_scales = slice.k_scales,
          .v_scales = slice.v_scales,
          .head_stride = slice.head_stride,
          .tokens = slice.tokens,
          .first_key = first_key,
          .position = slice.start_position,
          .turn = turn,
          .dtype = StateDtypeOf(slice.dtype),
          .first_of_chunk = slice.first_of_chunk};
}

std::vector<std::byte> TablesOf(const DeviceAttentionPlan& plan) {
  std::vector<std::byte> tables;
  for (const DeviceTasks& kernel : plan.kernels) Append(kernel.tasks, tables);
  Append(plan.merged, tables);
  return tables;
}

void QueueAttention(const DeviceAttentionPlan& plan, const AttentionArgs& args,
                    const std::byte* tables, DeviceCompute& device) {
  for (const DeviceTasks& kernel : plan.kernels) {
    AttentionArgs of_tasks = args;
    of_tasks.tasks = reinterpret_cast<const DeviceAttentionTask*>(tables);
    of_tasks.task_count = static_cast<int32_t>(kernel.tasks.size());
    tables += kernel.tasks.size() * sizeof(DeviceAttentionTask);
    switch (kernel.kernel) {
      case Kernel::kFew1:
        QueueTasks<AttendFewArgs<1>>(of_tasks, device);
        break;
      case Kernel::kFew4:
        QueueTasks<AttendFewArgs<4>>(of_tasks, device);
        break;
      case Kernel::kFew16:
        QueueTasks<AttendFewArgs<16>>(of_tasks, device);
        break;
      case Kernel::kMany:
        QueueTasks<AttendManyArgs>(of_tasks, device);
        break;
    }
  }
  if (plan.merged.empty()) return;
  MergeArgs merge;
  static_cast<AttentionArgs&>(merge) = args;
  merge.merged = reinterpret_cast<const MergedRow*>(tables);
  merge.merged_count = static_cast<int32_t>(plan.merged.size());
  device.Queue(merge);
}

}  // namespace promptdb
