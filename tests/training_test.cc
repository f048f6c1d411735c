// The trainer's own gradients against libtorch's, and batches against what a query sees.
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "executor/reference.h"
#include "model/checkpoint.h"
#include "tests/support/expect_error.h"
#include "tests/support/test_folder.h"
#include "training/group_attention.h"
#include "training/trainer.h"

namespace promptdb {
namespace {

using torch::Tensor;

// Two samples: a text with a module's gap, and modules with a question.
TrainingBatch SmallBatch() {
  TrainingBatch batch;
  const auto tokens = [](int count) { return std::vector<TokenId>(count, 3); };
  {
    SampleWriter writer(batch);
    const RowSpan first = writer.Add(tokens(70), 0, {}, 1);
    writer.Add(tokens(9), 100, {first}, 1);
  }
  SampleWriter writer(batch);
  const RowSpan root = writer.Add(tokens(3), 0, {}, 1);
  const RowSpan one = writer.Add(tokens(8), 3, {root}, 1);
  const RowSpan two = writer.Add(tokens(66), 40, {root}, 1);
  const RowSpan asked = writer.Add(tokens(5), 106, {{root.begin, two.end}}, 1);
  writer.Add(tokens(4), 106, {root, {two.begin, two.end}}, 1);
  writer.Add(tokens(4), 111, {{root.begin, one.end}, asked}, 1);
  return batch;
}

// Whether the row sees the column, of all rows.
AttentionMask SeenBy(const TrainingBatch& batch) {
  AttentionMask mask(batch.rows(), std::vector<bool>(batch.rows(), false));
  for (const SampleRows& sample : batch.samples) {
    for (const RowGroup& group : sample.groups) {
      for (int row = group.rows.begin; row < group.rows.end; ++row) {
        for (const RowSpan& span : group.seen) {
          for (int seen = span.begin; seen < std::min(span.end, row + 1); ++seen) {
            mask[row][seen] = true;
          }
        }
      }
    }
  }
  return mask;
}

// [rows, rows]: 0 where the row sees the column, else -infinity.
Tensor MaskOf(const TrainingBatch& batch) {
  const AttentionMask seen = SeenBy(batch);
  Tensor mask = torch::full({batch.rows(), batch.rows()}, -INFINITY);
  for (int row = 0; row < batch.rows(); ++row) {
    for (int column = 0; column < batch.rows(); ++column) {
      if (seen[row][column]) mask[row][column] = 0;
    }
  }
  return mask;
}

// x: [rows, head_dim]
Tensor Rotated(const Tensor& x, const TrainingBatch& batch, const Tensor& frequencies) {
  const int64_t dim = x.size(1);
  const Tensor positions =
      torch::tensor(std::vector<int64_t>(batch.positions.begin(), batch.positions.end()))
          .to(torch::kFloat64);
  const Tensor angles = torch::outer(positions, frequencies);
  const Tensor a = x.slice(1, 0, dim, 2), b = x.slice(1, 1, dim, 2);
  return torch::stack({a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()}, 2)
      .reshape({x.size(0), dim});
}

Tensor SlowAttention(const Tensor& qkv, const TrainingBatch& batch, const AttentionShape& shape,
                     const Tensor& frequencies) {
  const int dim = shape.head_dim;
  const Tensor mask = MaskOf(batch).to(torch::kFloat64);
  std::vector<Tensor> heads;
  for (int head = 0; head < shape.heads; ++head) {
    const int kv_head = head / (shape.heads / shape.kv_heads);
    const Tensor q = Rotated(qkv.narrow(1, head * dim, dim), batch, frequencies);
    const Tensor k = Rotated(qkv.narrow(1, (shape.heads + kv_head) * dim, dim), batch, frequencies);
    const Tensor v = qkv.narrow(1, (shape.heads + shape.kv_heads + kv_head) * dim, dim);
    heads.push_back(torch::softmax(q.mm(k.t()) / std::sqrt(dim) + mask, 1).mm(v));
  }
  return torch::cat(heads, 1);
}

TEST(GroupAttentionTest, ResultAndGradientAreThoseOfAMaskedSoftmax) {
  const TrainingBatch batch = SmallBatch();
  const AttentionShape shape{.heads = 4, .kv_heads = 2, .head_dim = 6};
  torch::manual_seed(1);
  const Tensor values = torch::randn({batch.rows(), 8 * 6});
  const Tensor weights = torch::randn({batch.rows(), 4 * 6});

  // One pair is not turned.
  const std::vector<double> frequencies{1.0, 0.2, 0.0};

  const Tensor fast_input = values.clone().requires_grad_(true);
  const Tensor fast =
      GroupAttention(fast_input, std::make_shared<const AttentionPlan>(batch, shape, frequencies));
  (fast * weights).sum().backward();
  const Tensor slow_input = values.to(torch::kFloat64).requires_grad_(true);
  const Tensor slow =
      SlowAttention(slow_input, batch, shape, torch::tensor(frequencies, torch::kFloat64));
  (slow * weights).sum().backward();

  EXPECT_LT((fast - slow).abs().max().item<double>(), 1e-5);
  EXPECT_LT((fast_input.grad() - slow_input.grad()).abs().max().item<double>(), 1e-5);
}

class TrainingTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    vocabulary_ = TrainCorpusVocabulary(400, 1);
    tokenizer_ = Tokenizer::FromGguf(ToGgufVocabulary(vocabulary_));
  }

  const NetworkShape shape_{.layers = 2,
                            .dim = 16,
                            .hidden = 24,
                            .heads = 2,
                            .kv_heads = 1,
                            .vocab = 400,
                            .turned_pairs = 3};
  const TrainerOptions options_{.steps = 6, .warm_up = 2};
  TemporaryFolder folder_;
  static BpeVocabulary vocabulary_;
  static std::unique_ptr<Tokenizer> tokenizer_;
  const Curriculum curriculum_{*tokenizer_, shape_.context, 300, 1};
};

BpeVocabulary TrainingTest::vocabulary_;
std::unique_ptr<Tokenizer> TrainingTest::tokenizer_;

// The mask and the positions of a batch are a query's: the engine's own reference, given them and
// the file that was written, finds the same scores.
TEST_F(TrainingTest, TheFileThatIsWrittenComputesTheSame) {
  Trainer trainer(shape_, options_, curriculum_);
  trainer.Step();
  const std::filesystem::path path = folder_.path() / "m.gguf";
  trainer.network().WriteGguf(vocabulary_, "test", path);
  const auto checkpoint = Checkpoint::Open(path);
  EXPECT_EQ(checkpoint->weight_dtype(), TensorDtype::kBf16);
  EXPECT_EQ(Tokenizer::FromGguf(*checkpoint->gguf_vocabulary())->digest(), tokenizer_->digest());

  const TrainingBatch batch = SmallBatch();
  const std::vector<float> expected = ReferenceForward(
      *checkpoint, {batch.tokens.begin(), batch.tokens.end()}, batch.positions, SeenBy(batch));
  // What the file has of the weights.
  const torch::NoGradGuard no_gradients;
  auto network = std::make_shared<Network>(trainer.network());
  for (const Tensor& matrix : network->Matrices()) {
    Tensor(matrix).copy_(matrix.to(torch::kBFloat16).to(torch::kFloat32));
  }
  const Tensor logits = network->Logits(network->Forward(batch)).contiguous();
  ASSERT_EQ(static_cast<size_t>(logits.numel()), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_NEAR(logits.data_ptr<float>()[i], expected[i], 1e-4) << i;
  }
}

TEST_F(TrainingTest, GoesOnWhereItWasStopped) {
  Trainer whole(shape_, options_, curriculum_);
  Trainer half(shape_, options_, curriculum_);
  for (int i = 0; i < 3; ++i) {
    whole.Step();
    half.Step();
  }
  const std::filesystem::path path = folder_.path() / "state.pt";
  half.Save(path);
  Trainer other(shape_, options_, curriculum_);
  other.Load(path);
  EXPECT_EQ(other.step(), 3);
  for (int i = 0; i < 3; ++i) {
    const StepResult expected = whole.Step();
    const StepResult result = other.Step();
    EXPECT_EQ(result.loss, expected.loss);
    EXPECT_EQ(result.rows, expected.rows);
  }
  for (size_t i = 0; i < whole.network().parameters().size(); ++i) {
    EXPECT_TRUE(torch::equal(whole.network().parameters()[i], other.network().parameters()[i]));
  }
}

TEST_F(TrainingTest, ForeignStatesAreRefused) {
  Trainer trainer(shape_, options_, curriculum_);
  const std::filesystem::path path = folder_.path() / "state.pt";
  trainer.Save(path);
  NetworkShape wider = shape_;
  wider.hidden = 32;
  ExpectError(ErrorCode::kInvalidArgument, {"other options"},
              [&] { Trainer(wider, options_, curriculum_).Load(path); });
  std::filesystem::resize_file(path, 100);
  ExpectError(ErrorCode::kCorrupt, {"state.pt"},
              [&] { Trainer(shape_, options_, curriculum_).Load(path); });
  EXPECT_EQ(trainer.step(), 0);
}

TEST_F(TrainingTest, LearnsWhatABatchHolds) {
  TrainerOptions options = options_;
  options.steps = 60;
  options.learning_rate = 0.01;
  Trainer trainer(shape_, options, curriculum_);
  const double before = trainer.Step().loss;
  double after = 0;
  while (trainer.step() < options.steps) after = trainer.Step().loss;
  EXPECT_LT(after, before - 0.5);
}

// Answers are predicted from the question's last token on, and end with the end of the sequence.
TEST_F(TrainingTest, BatchesOfEveryLayoutHoldTheirAnswers) {
  for (const DocumentLayout layout :
       {DocumentLayout::kPlain, DocumentLayout::kGaps, DocumentLayout::kModules}) {
    const TrainingBatch batch = curriculum_.Evaluation(layout, 30);
    EXPECT_GE(batch.answers.size(), 30u);
    const AttentionMask mask = SeenBy(batch);
    for (const RowSpan& answer : batch.answers) {
      EXPECT_EQ(batch.targets[answer.end - 1], *tokenizer_->eos_id());
      for (int row = answer.begin; row + 1 < answer.end; ++row) {
        EXPECT_EQ(batch.targets[row], batch.tokens[row + 1]);
      }
    }
    for (const SampleRows& sample : batch.samples) {
      EXPECT_EQ(batch.tokens[sample.rows.begin], *tokenizer_->bos_id());
      for (int row = sample.rows.begin; row < sample.rows.end; ++row) {
        EXPECT_TRUE(mask[row][row]);
        EXPECT_TRUE(mask[row][sample.rows.begin]);
        EXPECT_LT(batch.positions[row], shape_.context);
        for (int seen = 0; seen < batch.rows(); ++seen) {
          if (!mask[row][seen]) continue;
          EXPECT_GE(seen, sample.rows.begin);
          EXPECT_LE(batch.positions[seen], batch.positions[row]);
        }
      }
      // The last question sees its documents, modules or not.
      const int last = sample.rows.end - 1;
      int seen = 0;
      for (int row = sample.rows.begin; row < last; ++row) seen += mask[last][row];
      EXPECT_GT(seen, 100);
    }
  }
}

}  // namespace
}  // namespace promptdb
