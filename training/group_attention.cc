#include "training/group_attention.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "training/row_kernels.h"

// The single-precision matrix product of every BLAS library, as Fortran calls it.
extern "C" void sgemm_(const char* transpose_a, const char* transpose_b, const int* m, const int* n,
                       const int* k, const float* alpha, const float* a, const int* a_stride,
                       const float* b, const int* b_stride, const float* beta, float* c,
                       const int* c_stride);

namespace promptdb {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// BLAS has columns where we have rows, so that the factors are exchanged.
void Gemm(char transpose_a, char transpose_b, int m, int n, int k, const float* a, int a_stride,
          const float* b, int b_stride, float beta, float* c, int c_stride) {
  const float one = 1.0f;
  sgemm_(&transpose_a, &transpose_b, &m, &n, &k, &one, a, &a_stride, b, &b_stride, &beta, c,
         &c_stride);
}

// c [rows, columns] = a [rows, inner] · b [columns, inner]ᵀ; rows of c lie `stride` apart.
void MultiplyTransposed(const float* a, const float* b, int rows, int columns, int inner, float* c,
                        int stride) {
  Gemm('T', 'N', columns, rows, inner, b, inner, a, inner, 0.0f, c, stride);
}

// c [rows, columns] += a [rows, inner] · b [inner, columns]; rows of a lie `stride` apart.
void AddProduct(const float* a, int stride, const float* b, int rows, int columns, int inner,
                float* c) {
  Gemm('N', 'N', columns, rows, inner, b, columns, a, stride, 1.0f, c, columns);
}

// c [inner, columns] += a [rows, inner]ᵀ · b [rows, columns]; rows of a lie `stride` apart.
void AddTransposedProduct(const float* a, int stride, const float* b, int rows, int columns,
                          int inner, float* c) {
  Gemm('N', 'T', columns, inner, rows, b, columns, a, stride, 1.0f, c, columns);
}

// The rows of one sample, as one KV head and its query heads see them.
class HeadOfSample {
 public:
  HeadOfSample(const AttentionPlan& plan, const SampleRows& sample, int kv_head, const float* qkv)
      : plan_(plan),
        rows_(sample.rows),
        dim_(plan.shape.head_dim),
        group_heads_(plan.shape.heads / plan.shape.kv_heads),
        kv_head_(kv_head),
        width_((plan.shape.heads + 2 * plan.shape.kv_heads) * dim_),
        qkv_(qkv) {
    keys_.resize(static_cast<size_t>(rows_.size()) * dim_);
    values_.resize(keys_.size());
    for (int row = rows_.begin; row < rows_.end; ++row) {
      Rotate(row, qkv_ + row * width_ + KeyColumn(), 1, KeyOf(row));
      const float* value = qkv_ + row * width_ + ValueColumn();
      std::copy(value, value + dim_, values_.begin() + (row - rows_.begin) * dim_);
    }
  }

  // Fills in the output's and the sums' columns of this head's query heads.
  void Forward(const RowGroup& group, float* out, float* log_sums) {
    Score(group);
    const int stacked = Stacked(group);
    std::vector<float> sums(stacked);
    for (int i = 0; i < stacked; ++i) {
      float* row = scores_.data() + static_cast<size_t>(i) * seen_;
      const int visible = Visible(group, i);
      sums[i] = SoftmaxRow(row, visible);
      std::fill(row + visible, row + seen_, 0.0f);
    }
    std::vector<float> outputs(static_cast<size_t>(stacked) * dim_);
    int column = 0;
    for (const RowSpan& span : group.seen) {
      AddProduct(scores_.data() + column, seen_, ValueOf(span.begin), stacked, dim_, span.size(),
                 outputs.data());
      column += span.size();
    }
    for (int i = 0; i < stacked; ++i) {
      const auto [row, head] = Place(group, i);
      std::copy_n(outputs.data() + i * dim_, dim_,
                  out + (static_cast<size_t>(row) * plan_.shape.heads + head) * dim_);
      log_sums[row * plan_.shape.heads + head] = sums[i];
    }
  }

  void BeginBackward() {
    key_gradients_.assign(keys_.size(), 0.0f);
    value_gradients_.assign(keys_.size(), 0.0f);
  }

  void Backward(const RowGroup& group, const float* out, const float* log_sums,
                const float* out_gradient, float* qkv_gradient) {
    Score(group);
    const int stacked = Stacked(group);
    std::vector<float> gradients(static_cast<size_t>(stacked) * dim_);
    score_gradients_.resize(scores_.size());
    std::vector<float> products(stacked);
    for (int i = 0; i < stacked; ++i) {
      const auto [row, head] = Place(group, i);
      const size_t at = (static_cast<size_t>(row) * plan_.shape.heads + head) * dim_;
      std::copy_n(out_gradient + at, dim_, gradients.data() + i * dim_);
      float product = 0;
      for (int d = 0; d < dim_; ++d) product += out[at + d] * out_gradient[at + d];
      products[i] = product;
      float* scores = scores_.data() + static_cast<size_t>(i) * seen_;
      const int visible = Visible(group, i);
      ExpRow(scores, visible, log_sums[row * plan_.shape.heads + head]);
      std::fill(scores + visible, scores + seen_, 0.0f);
    }
    int column = 0;
    for (const RowSpan& span : group.seen) {
      AddTransposedProduct(scores_.data() + column, seen_, gradients.data(), stacked, dim_,
                           span.size(), value_gradients_.data() + Offset(span.begin));
      MultiplyTransposed(gradients.data(), ValueOf(span.begin), stacked, span.size(), dim_,
                         score_gradients_.data() + column, seen_);
      column += span.size();
    }
    for (int i = 0; i < stacked; ++i) {
      const size_t at = static_cast<size_t>(i) * seen_;
      SoftmaxGradientRow(scores_.data() + at, products[i], score_gradients_.data() + at, seen_);
    }
    std::vector<float> query_gradients(gradients.size());
    column = 0;
    for (const RowSpan& span : group.seen) {
      AddProduct(score_gradients_.data() + column, seen_, KeyOf(span.begin), stacked, dim_,
                 span.size(), query_gradients.data());
      AddTransposedProduct(score_gradients_.data() + column, seen_, queries_.data(), stacked, dim_,
                           span.size(), key_gradients_.data() + Offset(span.begin));
      column += span.size();
    }
    for (int i = 0; i < stacked; ++i) {
      const auto [row, head] = Place(group, i);
      float* gradient = query_gradients.data() + i * dim_;
      for (int d = 0; d < dim_; ++d) gradient[d] *= Scale();
      Rotate(row, gradient, -1, qkv_gradient + row * width_ + head * dim_);
    }
  }

  void FinishBackward(float* qkv_gradient) {
    for (int row = rows_.begin; row < rows_.end; ++row) {
      Rotate(row, key_gradients_.data() + Offset(row), -1,
             qkv_gradient + row * width_ + KeyColumn());
      std::copy_n(value_gradients_.data() + Offset(row), dim_,
                  qkv_gradient + row * width_ + ValueColumn());
    }
  }

 private:
  float Scale() const { return 1.0f / std::sqrt(static_cast<float>(dim_)); }
  int KeyColumn() const { return (plan_.shape.heads + kv_head_) * dim_; }
  int ValueColumn() const { return KeyColumn() + plan_.shape.kv_heads * dim_; }
  int Offset(int row) const { return (row - rows_.begin) * dim_; }
  float* KeyOf(int row) { return keys_.data() + Offset(row); }
  float* ValueOf(int row) { return values_.data() + Offset(row); }

  // The query heads of a group's rows lie one below the other: one product for all of them.
  int Stacked(const RowGroup& group) const { return group.rows.size() * group_heads_; }
  std::pair<int, int> Place(const RowGroup& group, int stacked) const {
    return {group.rows.begin + stacked % group.rows.size(),
            kv_head_ * group_heads_ + stacked / group.rows.size()};
  }
  int Visible(const RowGroup& group, int stacked) const {
    return seen_ - group.rows.size() + stacked % group.rows.size() + 1;
  }

  // `direction` -1 turns back.
  void Rotate(int row, const float* x, int direction, float* out) const {
    const int pairs = dim_ / 2;
    const float* cosines = plan_.cosines.data() + static_cast<size_t>(row) * pairs;
    const float* sines = plan_.sines.data() + static_cast<size_t>(row) * pairs;
    for (int i = 0; i < pairs; ++i) {
      const float a = x[2 * i];
      const float b = x[2 * i + 1];
      const float sine = static_cast<float>(direction) * sines[i];
      out[2 * i] = a * cosines[i] - b * sine;
      out[2 * i + 1] = a * sine + b * cosines[i];
    }
  }

  // Scores of all that the group sees, those that the causal mask forbids included.
  void Score(const RowGroup& group) {
    const int stacked = Stacked(group);
    queries_.resize(static_cast<size_t>(stacked) * dim_);
    for (int i = 0; i < stacked; ++i) {
      const auto [row, head] = Place(group, i);
      float* query = queries_.data() + i * dim_;
      Rotate(row, qkv_ + row * width_ + head * dim_, 1, query);
      for (int d = 0; d < dim_; ++d) query[d] *= Scale();
    }
    seen_ = 0;
    for (const RowSpan& span : group.seen) seen_ += span.size();
    scores_.resize(static_cast<size_t>(stacked) * seen_);
    int column = 0;
    for (const RowSpan& span : group.seen) {
      MultiplyTransposed(queries_.data(), KeyOf(span.begin), stacked, span.size(), dim_,
                         scores_.data() + column, seen_);
      column += span.size();
    }
  }

  const AttentionPlan& plan_;
  const RowSpan rows_;
  const int dim_;
  const int group_heads_;
  const int kv_head_;
  const int64_t width_;
  const float* qkv_;
  std::vector<float> keys_, values_;  // [sample's rows, head_dim]
  std::vector<float> key_gradients_, value_gradients_;
  // Of the group at hand.
  int seen_ = 0;
  std::vector<float> queries_;                   // [stacked, head_dim], rotated and scaled
  std::vector<float> scores_, score_gradients_;  // [stacked, seen]
};

// Calls work(sample, KV head) for all of them.
template <typename Work>
void ForEachHead(const AttentionPlan& plan, const Work& work) {
  const int heads = plan.shape.kv_heads;
  at::parallel_for(0, static_cast<int64_t>(plan.samples.size()) * heads, 1,
                   [&](int64_t begin, int64_t end) {
                     for (int64_t i = begin; i < end; ++i) {
                       work(plan.samples[i / heads], static_cast<int>(i % heads));
                     }
                   });
}

class GroupAttentionFunction : public torch::autograd::Function<GroupAttentionFunction> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& qkv_or_view,
                        const std::shared_ptr<const AttentionPlan>& plan) {
    const Tensor qkv = qkv_or_view.contiguous();
    const AttentionShape& shape = plan->shape;
    const Tensor out = torch::empty({qkv.size(0), shape.heads * shape.head_dim});
    const Tensor log_sums = torch::empty({qkv.size(0), shape.heads});
    ForEachHead(*plan, [&](const SampleRows& sample, int kv_head) {
      HeadOfSample head(*plan, sample, kv_head, qkv.data_ptr<float>());
      for (const RowGroup& group : sample.groups) {
        head.Forward(group, out.data_ptr<float>(), log_sums.data_ptr<float>());
      }
    });
    context->save_for_backward({qkv, out, log_sums});
    context->saved_data["plan"] =
        torch::IValue::make_capsule(c10::make_intrusive<SharedPlan>(plan));
    return out;
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto shared =
        c10::static_intrusive_pointer_cast<SharedPlan>(context->saved_data["plan"].toCapsule());
    const AttentionPlan& plan = *shared->plan;
    const Tensor gradient = gradients[0].contiguous();
    const Tensor result = torch::empty_like(saved[0]);
    ForEachHead(plan, [&](const SampleRows& sample, int kv_head) {
      HeadOfSample head(plan, sample, kv_head, saved[0].data_ptr<float>());
      head.BeginBackward();
      for (const RowGroup& group : sample.groups) {
        head.Backward(group, saved[1].data_ptr<float>(), saved[2].data_ptr<float>(),
                      gradient.data_ptr<float>(), result.data_ptr<float>());
      }
      head.FinishBackward(result.data_ptr<float>());
    });
    return {result, Tensor()};
  }

 private:
  // What libtorch keeps for the gradient has to be of a type of its own.
  struct SharedPlan : torch::CustomClassHolder {
    explicit SharedPlan(std::shared_ptr<const AttentionPlan> plan) : plan(std::move(plan)) {}
    std::shared_ptr<const AttentionPlan> plan;
  };
};

}  // namespace

AttentionPlan::AttentionPlan(const TrainingBatch& batch, const AttentionShape& attention_shape,
                             std::span<const double> frequencies)
    : shape(attention_shape), samples(batch.samples) {
  cosines.reserve(batch.positions.size() * frequencies.size());
  sines.reserve(cosines.capacity());
  for (const int32_t position : batch.positions) {
    for (const double frequency : frequencies) {
      cosines.push_back(static_cast<float>(std::cos(position * frequency)));
      sines.push_back(static_cast<float>(std::sin(position * frequency)));
    }
  }
}

Tensor GroupAttention(const Tensor& qkv, const std::shared_ptr<const AttentionPlan>& plan) {
  return GroupAttentionFunction::apply(qkv, plan);
}

}  // namespace promptdb
