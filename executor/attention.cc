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

// Rows and one KV head, whose keys are read in `parts` tasks. The rows are a group's; or those of
// several, one after the other, with the keys that these share.
struct Block {
  const AttentionGroup* group = nullptr;  // whose slices are read; of several, the first
  int kv_head = 0;
  int first_row = 0;  // in the group
  int rows = 0;
  int first_key = 0;  // in the slices
  int last_key = 0;   // the end of what its last row sees
  bool is_causal = false;
  bool is_whole = true;  // no other block has more keys of its rows
  int parts = 1;
  int keys_per_part = 0;
  size_t partial = 0;  // where its parts' results start; used if there are several, or other blocks

  int keys() const { return last_key - first_key; }
};

struct Task {
  int block = 0;
  int part = 0;
};

// Rows whose results come from the parts of their own block, and those of a block that they share
// with other groups.
struct Sum {
  int block = 0;
  int shared_block = -1;  // -1: none
  int row_of_shared = 0;  // of the shared block, that is the own one's first
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
    const int sum_count = static_cast<int>(sums_.size());
    // Kept, since fresh memory for every layer costs more page faults than its use.
    thread_local FloatBuffer partial_results;
    float* partials = partial_floats_ > 0 ? partial_results.AtLeast(partial_floats_) : nullptr;
#pragma omp parallel num_threads(threads) if (threads > 1 && task_count > 1)
    {
      thread_local FloatBuffer scratch;
      thread_local FloatBuffer result;
#pragma omp for schedule(dynamic, 1)
      for (int i = 0; i < task_count; ++i) RunTask(tasks_[i], partials, scratch, result);
      if (partial_floats_ > 0) {
#pragma omp for schedule(dynamic, 1)
        for (int i = 0; i < sum_count; ++i) Merge(sums_[i], partials);
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
    share_ = threads_ == 1 ? work : work / (threads_ * kTasksPerThread);
    for (size_t i = 0; i < groups.size();) {
      const size_t end = EndOfSharing(groups, i);
      if (end > i + 1) {
        AddSharing(groups.subspan(i, end - i));
      } else if (groups[i].rows > 0) {
        AddGroup(groups[i]);
      }
      i = end;
    }
    for (int i = 0; i < static_cast<int>(blocks_.size()); ++i) {
      for (int part = 0; part < blocks_[i].parts; ++part) tasks_.push_back({i, part});
    }
    // The longest first, so that the short ones even the ends out.
    std::stable_sort(tasks_.begin(), tasks_.end(),
                     [this](const Task& a, const Task& b) { return Cost(a) > Cost(b); });
  }

  int MostRows() const { return std::max(1, kTaskRows / heads_); }

  // The end of the groups from `begin` on whose shared keys are worth reading once: each alone has
  // too few rows to fill a task. With slopes a task's rows have positions that follow one another.
  size_t EndOfSharing(std::span<const AttentionGroup> groups, size_t begin) const {
    size_t end = begin + 1;
    if (!shape_.slopes.empty()) return end;
    const auto is_small = [&](const AttentionGroup& group) {
      return group.rows > 0 && group.rows < MostRows() && group.causal_tokens > 0;
    };
    if (!is_small(groups[begin])) return end;
    while (end < groups.size() && is_small(groups[end]) &&
           groups[end].shared_tokens >= kLeastKeys &&
           groups[end].shared_tokens == groups[begin + 1].shared_tokens) {
      ++end;
    }
    return end;
  }

  void AddGroup(const AttentionGroup& group) {
    const int tokens = TokensOf(group.slices);
    Check(group.causal_tokens == 0 || group.causal_tokens >= group.rows,
          "the causal part holds the group's own rows");
    Check(group.causal_tokens <= tokens, "the causal part is in the slices");
    const bool is_causal = group.causal_tokens > 0;
    for (int kv_head = 0; kv_head < shape_.kv_heads; ++kv_head) {
      for (int row = 0; row < group.rows; row += MostRows()) {
        const int rows = std::min(MostRows(), group.rows - row);
        const int last_key = is_causal ? tokens - group.rows + row + rows : tokens;
        const int block = AddBlock({.group = &group,
                                    .kv_head = kv_head,
                                    .first_row = row,
                                    .rows = rows,
                                    .last_key = last_key,
                                    .is_causal = is_causal});
        if (blocks_[block].parts > 1) sums_.push_back({.block = block});
      }
    }
  }

  // Blocks over the keys that the groups share, of as many whole groups as fit, and one over each
  // group's own.
  void AddSharing(std::span<const AttentionGroup> groups) {
    const int shared = groups[1].shared_tokens;
    for (int kv_head = 0; kv_head < shape_.kv_heads; ++kv_head) {
      for (size_t first = 0; first < groups.size();) {
        int rows = 0;
        size_t end = first;
        while (end < groups.size() && rows + groups[end].rows <= MostRows()) {
          rows += groups[end++].rows;
        }
        const int shared_block = AddBlock({.group = &groups[first],
                                           .kv_head = kv_head,
                                           .rows = rows,
                                           .last_key = shared,
                                           .is_whole = false});
        const AttentionGroup& leader = groups[first];
        int row = 0;
        for (; first < end; row += groups[first++].rows) {
          const AttentionGroup& group = groups[first];
          const int tokens = TokensOf(group.slices);
          Check(group.q == leader.q + int64_t{row} * shape_.heads * shape_.head_dim &&
                    tokens - shared >= group.rows,
                "rows that share keys follow one another, and have their own keys behind those");
          sums_.push_back({.block = AddBlock({.group = &group,
                                              .kv_head = kv_head,
                                              .rows = group.rows,
                                              .first_key = shared,
                                              .last_key = tokens,
                                              .is_causal = true,
                                              .is_whole = false}),
                           .shared_block = shared_block,
                           .row_of_shared = row});
        }
      }
    }
  }

  int AddBlock(Block block) {
    const double work = static_cast<double>(block.rows) * block.keys();
    const int parts = std::clamp(static_cast<int>(std::ceil(work / share_)), 1,
                                 std::max(1, block.keys() / kLeastKeys));
    block.keys_per_part = (block.keys() + parts - 1) / parts;
    if (parts > 1) block.keys_per_part = (block.keys_per_part + 127) / 128 * 128;
    block.parts =
        block.keys() == 0 ? 1 : (block.keys() + block.keys_per_part - 1) / block.keys_per_part;
    if (block.parts > 1 || !block.is_whole) {
      block.partial = partial_floats_;
      partial_floats_ += block.parts * PartialFloats(block);
    }
    blocks_.push_back(block);
    return static_cast<int>(blocks_.size()) - 1;
  }

  double Cost(const Task& task) const {
    const Block& block = blocks_[task.block];
    return static_cast<double>(block.rows) * std::min(block.keys(), block.keys_per_part);
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
    const bool is_partial = block.parts > 1 || !block.is_whole;
    float* out = is_partial ? partials + block.partial + planned.part * PartialFloats(block)
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
    task.first_key = block.first_key + planned.part * block.keys_per_part;
    task.last_key = std::min(block.last_key, task.first_key + block.keys_per_part);
    task.limit_step = block.is_causal ? 1 : 0;
    task.first_limit = block.is_causal ? block.last_key - block.rows + 1 : block.last_key;
    task.acc = out;
    task.maximum = out + static_cast<int64_t>(virtual_rows) * wide_;
    task.sum = task.maximum + virtual_rows;
    task.scratch =
        scratch.AtLeast(kernels_.attention_scratch(block.rows * heads_, shape_.head_dim));
    if (block.keys() == 0) {
      std::fill_n(out, PartialFloats(block), 0.0f);  // nothing to see
    } else if (path_ == AttentionPath::kDots ||
               (path_ == AttentionPath::kByRows && block.rows * heads_ <= kMostDotRows)) {
      kernels_.attend_dots(task);
    } else {
      kernels_.attend_panels(task);
    }
    if (!is_partial) {
      for (int row = 0; row < block.rows * heads_; ++row) {
        const float factor = task.sum[row] > 0 ? 1.0f / task.sum[row] : 0.0f;
        const float* from = out + static_cast<int64_t>(row) * wide_;
        float* to = OutRow(block, row);
        for (int d = 0; d < shape_.head_dim; ++d) to[d] = from[d] * factor;
      }
    }
  }

  // One part's results for all rows of a sum.
  struct Source {
    const float* acc;  // [virtual rows, wide_]
    const float* maximum;
    const float* sum;
  };

  void AddSources(const Block& block, int first_row, const float* partials,
                  std::vector<Source>& sources) const {
    const int virtual_rows = VirtualRows(block);
    const int64_t row = int64_t{first_row} * heads_;
    for (int part = 0; part < block.parts; ++part) {
      const float* acc = partials + block.partial + part * PartialFloats(block);
      const float* maximum = acc + static_cast<int64_t>(virtual_rows) * wide_;
      sources.push_back({acc + row * wide_, maximum + row, maximum + virtual_rows + row});
    }
  }

  // Each part's sums are relative to its own maximum.
  void Merge(const Sum& merged, const float* partials) const {
    const Block& block = blocks_[merged.block];
    std::vector<Source> sources;
    AddSources(block, 0, partials, sources);
    if (merged.shared_block >= 0) {
      AddSources(blocks_[merged.shared_block], merged.row_of_shared, partials, sources);
    }
    std::vector<float> factors(sources.size());
    for (int row = 0; row < block.rows * heads_; ++row) {
      float most = sources[0].maximum[row];
      for (const Source& source : sources) most = std::max(most, source.maximum[row]);
      float sum = 0;
      for (size_t i = 0; i < sources.size(); ++i) {
        factors[i] = std::exp2(sources[i].maximum[row] - most);
        sum += factors[i] * sources[i].sum[row];
      }
      float* to = OutRow(block, row);
      std::fill_n(to, shape_.head_dim, 0.0f);
      for (size_t i = 0; i < sources.size(); ++i) {
        const float factor = factors[i] / sum;
        const float* from = sources[i].acc + static_cast<int64_t>(row) * wide_;
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
  std::vector<Sum> sums_;
  double share_ = 0;  // of the work, that a task has at most
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
