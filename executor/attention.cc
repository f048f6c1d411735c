#include "executor/attention.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include "base/error.h"
#include "executor/threads.h"

namespace promptdb {
namespace {

// Virtual rows up to which keys are cheaper read in place than packed and transposed, though every
// four of them read them anew (from L1).
constexpr int kMostDotRows = 12;
// Virtual rows of a task: enough that packing a key block is a few percent of using it.
constexpr int kTaskRows = 192;
// A part of the keys that is worth a task of its own.
constexpr int kLeastKeys = 256;
// Tasks per thread that let them end at about the same time.
constexpr int kTasksPerThread = 8;
// Multiplications below which waking another thread costs more than it saves.
constexpr double kLeastParallelWork = 1 << 17;

// Grows, never shrinks; 64-byte aligned.
class FloatBuffer {
 public:
  float* AtLeast(size_t floats) {
    if (floats > size_) {
      data_.reset(
          static_cast<float*>(::operator new(floats * sizeof(float), std::align_val_t(64))));
      size_ = floats;
    }
    return data_.get();
  }

 private:
  struct Free {
    void operator()(float* data) const { ::operator delete(data, std::align_val_t(64)); }
  };
  std::unique_ptr<float, Free> data_;
  size_t size_ = 0;
};

// Rows of a group and one KV head, whose keys are read in `parts` tasks.
struct Block {
  const AttentionGroup* group = nullptr;
  int kv_head = 0;
  int first_row = 0;
  int rows = 0;
  int keys = 0;  // that its last row sees
  int parts = 1;
  int keys_per_part = 0;
  size_t partial = 0;  // where its parts' results start; used if parts > 1
};

struct Task {
  int block = 0;
  int part = 0;
};

int TokensOf(std::span<const KvSlice> slices) {
  int tokens = 0;
  for (const KvSlice& slice : slices) tokens += slice.tokens;
  return tokens;
}

class Attention {
 public:
  Attention(AttentionPath path, const SimdKernels& kernels, const AttentionShape& shape)
      : path_(path),
        kernels_(kernels),
        shape_(shape),
        heads_(shape.heads / shape.kv_heads),
        wide_(kernels.AccWidth(shape.head_dim)) {}

  void Run(std::span<const AttentionGroup> groups) {
    Plan(groups);
    const int threads = threads_;
    const int task_count = static_cast<int>(tasks_.size());
    const int block_count = static_cast<int>(blocks_.size());
    std::unique_ptr<float[]> partials(partial_floats_ > 0 ? new float[partial_floats_] : nullptr);
#pragma omp parallel num_threads(threads) if (threads > 1 && task_count > 1)
    {
      thread_local FloatBuffer scratch;
      thread_local FloatBuffer result;
#pragma omp for schedule(dynamic, 1)
      for (int i = 0; i < task_count; ++i) RunTask(tasks_[i], partials.get(), scratch, result);
      if (partial_floats_ > 0) {
#pragma omp for schedule(dynamic, 1)
        for (int i = 0; i < block_count; ++i) {
          if (blocks_[i].parts > 1) Merge(blocks_[i], partials.get() + blocks_[i].partial);
        }
      }
    }
  }

 private:
  void Plan(std::span<const AttentionGroup> groups) {
    double work = 0;
    for (const AttentionGroup& group : groups) {
      work += static_cast<double>(group.rows) * TokensOf(group.slices) * shape_.kv_heads;
    }
    threads_ = 2 * work * heads_ * shape_.head_dim < kLeastParallelWork ? 1 : Threads();
    // No task is larger than its share, so that all threads are busy: the keys of those that would
    // be are split.
    const double share = threads_ == 1 ? work : work / (threads_ * kTasksPerThread);
    for (const AttentionGroup& group : groups) {
      if (group.rows == 0) continue;
      const int tokens = TokensOf(group.slices);
      Check(group.causal_tokens == 0 || group.causal_tokens >= group.rows,
            "the causal part holds the group's own rows");
      Check(group.causal_tokens <= tokens, "the causal part is in the slices");
      const int most_rows = std::max(1, kTaskRows / heads_);
      for (int kv_head = 0; kv_head < shape_.kv_heads; ++kv_head) {
        for (int row = 0; row < group.rows; row += most_rows) {
          Block block;
          block.group = &group;
          block.kv_head = kv_head;
          block.first_row = row;
          block.rows = std::min(most_rows, group.rows - row);
          block.keys = group.causal_tokens == 0 ? tokens : tokens - group.rows + row + block.rows;
          const double block_work = static_cast<double>(block.rows) * block.keys;
          const int parts = std::clamp(static_cast<int>(std::ceil(block_work / share)), 1,
                                       std::max(1, block.keys / kLeastKeys));
          block.keys_per_part = (block.keys + parts - 1) / parts;
          if (parts > 1) block.keys_per_part = (block.keys_per_part + 127) / 128 * 128;
          block.parts =
              block.keys == 0 ? 1 : (block.keys + block.keys_per_part - 1) / block.keys_per_part;
          if (block.parts > 1) {
            block.partial = partial_floats_;
            partial_floats_ += block.parts * PartialFloats(block);
          }
          blocks_.push_back(block);
        }
      }
    }
    for (int i = 0; i < static_cast<int>(blocks_.size()); ++i) {
      for (int part = 0; part < blocks_[i].parts; ++part) tasks_.push_back({i, part});
    }
    // The longest first, so that the short ones even the ends out.
    std::stable_sort(tasks_.begin(), tasks_.end(),
                     [this](const Task& a, const Task& b) { return Cost(a) > Cost(b); });
  }

  double Cost(const Task& task) const {
    const Block& block = blocks_[task.block];
    return static_cast<double>(block.rows) * std::min(block.keys, block.keys_per_part);
  }

  int VirtualRows(const Block& block) const { return kernels_.PaddedRows(block.rows * heads_); }
  size_t PartialFloats(const Block& block) const {
    return static_cast<size_t>(VirtualRows(block)) * (wide_ + 2);
  }

  void RunTask(const Task& planned, float* partials, FloatBuffer& scratch,
               FloatBuffer& result) const {
    const Block& block = blocks_[planned.block];
    const AttentionGroup& group = *block.group;
    const int virtual_rows = VirtualRows(block);
    float* out = block.parts > 1 ? partials + block.partial + planned.part * PartialFloats(block)
                                 : result.AtLeast(PartialFloats(block));
    AttentionTask task;
    task.q = group.q + (static_cast<int64_t>(block.first_row) * shape_.heads +
                        static_cast<int64_t>(block.kv_head) * heads_) *
                           shape_.head_dim;
    task.q_stride = static_cast<int64_t>(shape_.heads) * shape_.head_dim;
    task.rows = block.rows;
    task.heads = heads_;
    task.head_dim = shape_.head_dim;
    task.scale = shape_.scale;
    task.bf16 = shape_.dtype == KvDtype::kBf16;
    task.slices = group.slices.data();
    task.slice_count = static_cast<int>(group.slices.size());
    task.kv_head = block.kv_head;
    if (!shape_.slopes.empty()) {
      task.slopes = shape_.slopes.data() + static_cast<size_t>(block.kv_head) * heads_;
      task.first_position = group.first_position + block.first_row;
    }
    task.first_key = planned.part * block.keys_per_part;
    task.last_key = std::min(block.keys, task.first_key + block.keys_per_part);
    task.limit_step = group.causal_tokens == 0 ? 0 : 1;
    task.first_limit = task.limit_step == 0 ? block.keys : block.keys - block.rows + 1;
    task.acc = out;
    task.maximum = out + static_cast<int64_t>(virtual_rows) * wide_;
    task.sum = task.maximum + virtual_rows;
    task.scratch =
        scratch.AtLeast(kernels_.attention_scratch(block.rows * heads_, shape_.head_dim));
    if (task.last_key == 0) {
      std::fill_n(out, PartialFloats(block), 0.0f);  // nothing to see
    } else if (path_ == AttentionPath::kDots ||
               (path_ == AttentionPath::kByRows && block.rows * heads_ <= kMostDotRows)) {
      kernels_.attend_dots(task);
    } else {
      kernels_.attend_tiles(task);
    }
    if (block.parts == 1) {
      for (int row = 0; row < block.rows * heads_; ++row) {
        const float factor = task.sum[row] > 0 ? 1.0f / task.sum[row] : 0.0f;
        const float* from = out + static_cast<int64_t>(row) * wide_;
        float* to = OutRow(block, row);
        for (int d = 0; d < shape_.head_dim; ++d) to[d] = from[d] * factor;
      }
    }
  }

  // Each part's sums are relative to its own maximum.
  void Merge(const Block& block, const float* partials) const {
    const int virtual_rows = VirtualRows(block);
    const auto acc = [&](int part) { return partials + part * PartialFloats(block); };
    const auto maximum = [&](int part) {
      return acc(part) + static_cast<int64_t>(virtual_rows) * wide_;
    };
    std::vector<float> factors(block.parts);
    for (int row = 0; row < block.rows * heads_; ++row) {
      float most = maximum(0)[row];
      for (int part = 1; part < block.parts; ++part) most = std::max(most, maximum(part)[row]);
      float sum = 0;
      for (int part = 0; part < block.parts; ++part) {
        factors[part] = std::exp2(maximum(part)[row] - most);
        sum += factors[part] * maximum(part)[virtual_rows + row];
      }
      float* to = OutRow(block, row);
      std::fill_n(to, shape_.head_dim, 0.0f);
      for (int part = 0; part < block.parts; ++part) {
        const float factor = factors[part] / sum;
        const float* from = acc(part) + static_cast<int64_t>(row) * wide_;
        for (int d = 0; d < shape_.head_dim; ++d) to[d] += from[d] * factor;
      }
    }
  }

  float* OutRow(const Block& block, int virtual_row) const {
    const int64_t row = block.first_row + virtual_row / heads_;
    const int64_t head = static_cast<int64_t>(block.kv_head) * heads_ + virtual_row % heads_;
    return block.group->out + (row * shape_.heads + head) * shape_.head_dim;
  }

  const AttentionPath path_;
  const SimdKernels& kernels_;
  const AttentionShape shape_;
  const int heads_;  // query heads of one KV head
  const int wide_;
  std::vector<Block> blocks_;
  std::vector<Task> tasks_;
  size_t partial_floats_ = 0;
  int threads_ = 1;
};

}  // namespace

void AttendBy(AttentionPath path, CpuPath cpu, const AttentionShape& shape,
              std::span<const AttentionGroup> groups) {
  Check(shape.kv_heads > 0 && shape.heads % shape.kv_heads == 0,
        "query heads are shared out evenly");
  Check(shape.slopes.empty() || static_cast<int>(shape.slopes.size()) == shape.heads,
        "a slope for each head");
  Attention(path, KernelsFor(cpu), shape).Run(groups);
}

void Attend(const AttentionShape& shape, std::span<const AttentionGroup> groups) {
  AttendBy(AttentionPath::kByRows, BestCpuPath(), shape, groups);
}

}  // namespace promptdb
