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

// Keys of a list that queries meet in one form.
struct KeyRun {
  int first_key = 0;
  int last_key = 0;
  KvDtype dtype = KvDtype::kF32;
  const QueryTurn* turn = nullptr;  // of the queries; nullptr: none
};

// Rows and one KV head, whose keys, of one run, are read in `parts` tasks. The rows are a group's;
// or those of several, one after the other, with the keys that these share.
struct Block {
  const AttentionGroup* group = nullptr;  // whose slices are read; of several, the first
  KvDtype dtype = KvDtype::kF32;
  const QueryTurn* turn = nullptr;
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

// Rows whose results come from the parts of several blocks, or of one.
struct Sum {
  // A block that has these rows among its own, from `first_row` on.
  struct Source {
    int block = 0;
    int first_row = 0;
  };
  std::vector<Source> sources;  // the last one's rows are these
};

// What a thread keeps from task to task.
struct TaskMemory {
  FloatBuffer scratch;
  FloatBuffer result;
  FloatBuffer turned;  // queries
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
      thread_local TaskMemory memory;
#pragma omp for schedule(dynamic, 1)
      for (int i = 0; i < task_count; ++i) RunTask(tasks_[i], partials, memory);
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
    const std::vector<KeyRun> runs = RunsOf(group.slices);
    for (int kv_head = 0; kv_head < shape_.kv_heads; ++kv_head) {
      for (int row = 0; row < group.rows; row += MostRows()) {
        Sum sum;
        AddRows(group, kv_head, row, std::min(MostRows(), group.rows - row), 0, runs, sum);
      }
    }
  }

  // Blocks over the keys from `first_key` on, for some rows of a group. `sum` has what else these
  // rows see.
  void AddRows(const AttentionGroup& group, int kv_head, int row, int rows, int first_key,
               const std::vector<KeyRun>& runs, Sum& sum) {
    const int tokens = runs.back().last_key;
    const bool is_causal = group.causal_tokens > 0;
    const int last_key = is_causal ? tokens - group.rows + row + rows : tokens;
    const bool is_whole = sum.sources.empty() && runs.size() == 1;
    bool is_in_parts = false;
    for (const KeyRun& run : runs) {
      if (run.last_key <= first_key && runs.size() > 1) continue;
      // The causal part is the rows' own segment, and so of one run.
      const bool is_last = &run == &runs.back();
      const int block = AddBlock({.group = &group,
                                  .dtype = run.dtype,
                                  .turn = run.turn,
                                  .kv_head = kv_head,
                                  .first_row = row,
                                  .rows = rows,
                                  .first_key = std::max(first_key, run.first_key),
                                  .last_key = is_last ? last_key : run.last_key,
                                  .is_causal = is_causal && is_last,
                                  .is_whole = is_whole});
      sum.sources.push_back({block, 0});
      is_in_parts = is_in_parts || blocks_[block].parts > 1;
    }
    if (!is_whole || is_in_parts) sums_.push_back(sum);
  }

  // Blocks over the keys that the groups share, of as many whole groups as fit, and those over each
  // group's own.
  void AddSharing(std::span<const AttentionGroup> groups) {
    const int shared = groups[1].shared_tokens;
    std::vector<std::vector<KeyRun>> runs;
    for (const AttentionGroup& group : groups) runs.push_back(RunsOf(group.slices));
    for (int kv_head = 0; kv_head < shape_.kv_heads; ++kv_head) {
      for (size_t first = 0; first < groups.size();) {
        int rows = 0;
        size_t end = first;
        while (end < groups.size() && rows + groups[end].rows <= MostRows()) {
          rows += groups[end++].rows;
        }
        const AttentionGroup& leader = groups[first];
        Sum sum;
        for (const KeyRun& run : runs[first]) {
          if (run.first_key >= shared) break;
          sum.sources.push_back({AddBlock({.group = &leader,
                                           .dtype = run.dtype,
                                           .turn = run.turn,
                                           .kv_head = kv_head,
                                           .rows = rows,
                                           .first_key = run.first_key,
                                           .last_key = std::min(run.last_key, shared),
                                           .is_whole = false}),
                                 0});
        }
        int row = 0;
        for (; first < end; row += groups[first++].rows) {
          const AttentionGroup& group = groups[first];
          Check(group.q == leader.q + int64_t{row} * shape_.heads * shape_.head_dim &&
                    TokensOf(group.slices) - shared >= group.rows,
                "rows that share keys follow one another, and have their own keys behind those");
          Sum of_group = sum;
          for (Sum::Source& source : of_group.sources) source.first_row = row;
          AddRows(group, kv_head, 0, group.rows, shared, runs[first], of_group);
        }
      }
    }
  }

  // The list's keys as few runs: at least one, which may be empty.
  std::vector<KeyRun> RunsOf(std::span<const KvSlice> slices) const {
    std::vector<KeyRun> runs;
    int key = 0;
    for (const KvSlice& slice : slices) {
      if (slice.tokens == 0) continue;
      const QueryTurn* turn = TurnFor(slice.moved_by);
      if (runs.empty() || runs.back().turn != turn || runs.back().dtype != slice.dtype) {
        runs.push_back({key, key, slice.dtype, turn});
      }
      key = runs.back().last_key = key + slice.tokens;
    }
    if (runs.empty()) runs.emplace_back();
    return runs;
  }

  const QueryTurn* TurnFor(int moved_by) const {
    if (moved_by == 0 || shape_.rope == nullptr) return nullptr;
    const auto found = std::ranges::lower_bound(shape_.turns, moved_by, {}, &QueryTurn::moved_by);
    Check(found != shape_.turns.end() && found->moved_by == moved_by,
          "keys that were moved come with the turn for it");
    return &*found;
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

  void RunTask(const Task& planned, float* partials, TaskMemory& memory) const {
    const Block& block = blocks_[planned.block];
    const AttentionGroup& group = *block.group;
    const int virtual_rows = VirtualRows(block);
    const bool is_partial = block.parts > 1 || !block.is_whole;
    float* out = is_partial ? partials + block.partial + planned.part * PartialFloats(block)
                            : memory.result.AtLeast(PartialFloats(block));
    AttentionTask task;
    task.q = group.q + (static_cast<int64_t>(block.first_row) * shape_.heads +
                        static_cast<int64_t>(block.kv_head) * heads_) *
                           shape_.head_dim;
    task.q_stride = static_cast<int64_t>(shape_.heads) * shape_.head_dim;
    task.rows = block.rows;
    if (block.turn != nullptr) TurnQueries(block, memory.turned, task);
    task.heads = heads_;
    task.head_dim = shape_.head_dim;
    task.scale = shape_.scale;
    task.dtype = block.dtype;
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
        memory.scratch.AtLeast(kernels_.attention_scratch(block.rows * heads_, shape_.head_dim));
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

  // Points the task at queries that are turned to meet its keys.
  void TurnQueries(const Block& block, FloatBuffer& turned, AttentionTask& task) const {
    const int64_t row_floats = int64_t{heads_} * shape_.head_dim;
    float* to = turned.AtLeast(static_cast<size_t>(block.rows * row_floats));
    for (int row = 0; row < block.rows; ++row) {
      const float* from = task.q + row * task.q_stride;
      for (int64_t at = 0; at < row_floats; at += shape_.head_dim) {
        shape_.rope->Rotate(block.turn->turns, 0, from + at, to + row * row_floats + at);
      }
    }
    task.q = to;
    task.q_stride = row_floats;
  }

  // One part's results for all rows of a sum.
  struct PartialResult {
    const float* acc;  // [virtual rows, wide_]
    const float* maximum;
    const float* sum;
  };

  // Each part's sums are relative to its own maximum.
  void Merge(const Sum& merged, const float* partials) const {
    const Block& own = blocks_[merged.sources.back().block];
    std::vector<PartialResult> results;
    for (const Sum::Source& source : merged.sources) {
      const Block& block = blocks_[source.block];
      const int virtual_rows = VirtualRows(block);
      const int64_t row = int64_t{source.first_row} * heads_;
      for (int part = 0; part < block.parts; ++part) {
        const float* acc = partials + block.partial + part * PartialFloats(block);
        const float* maximum = acc + static_cast<int64_t>(virtual_rows) * wide_;
        results.push_back({acc + row * wide_, maximum + row, maximum + virtual_rows + row});
      }
    }
    std::vector<float> factors(results.size());
    for (int row = 0; row < own.rows * heads_; ++row) {
      float most = results[0].maximum[row];
      for (const PartialResult& result : results) most = std::max(most, result.maximum[row]);
      float sum = 0;
      for (size_t i = 0; i < results.size(); ++i) {
        factors[i] = std::exp2(results[i].maximum[row] - most);
        sum += factors[i] * results[i].sum[row];
      }
      float* to = OutRow(own, row);
      std::fill_n(to, shape_.head_dim, 0.0f);
      for (size_t i = 0; i < results.size(); ++i) {
        const float factor = factors[i] / sum;
        const float* from = results[i].acc + static_cast<int64_t>(row) * wide_;
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
