#include "training/trainer.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <sstream>
#include <string>

#include "base/error.h"
#include "base/whole_file.h"

namespace promptdb {

using torch::Tensor;

Trainer::Trainer(const NetworkShape& shape, const TrainerOptions& options,
                 const Curriculum& curriculum)
    : options_(options), curriculum_(curriculum) {
  torch::manual_seed(options.seed);
  network_ = std::make_shared<Network>(shape);
  const auto group = [&](std::vector<Tensor> parameters, double decay) {
    return torch::optim::OptimizerParamGroup(std::move(parameters),
                                             std::make_unique<torch::optim::AdamWOptions>(
                                                 torch::optim::AdamWOptions(options.learning_rate)
                                                     .betas({0.9, 0.98})
                                                     .weight_decay(decay)));
  };
  optimizer_ = std::make_unique<torch::optim::AdamW>(std::vector<torch::optim::OptimizerParamGroup>{
      group(network_->Matrices(), options.weight_decay), group(network_->Vectors(), 0)});
}

double Trainer::LearningRate() const {
  if (step_ < options_.warm_up) return options_.learning_rate * (step_ + 1) / options_.warm_up;
  const double done = static_cast<double>(step_ - options_.warm_up) /
                      std::max(1, options_.steps - options_.warm_up);
  const double cosine = (1 + std::cos(std::numbers::pi * std::min(1.0, done))) / 2;
  return options_.learning_rate * (options_.last_share + (1 - options_.last_share) * cosine);
}

StepResult Trainer::Step() {
  const TrainingBatch batch = curriculum_.BatchOf(step_);
  for (auto& group : optimizer_->param_groups()) group.options().set_lr(LearningRate());
  StepResult result;
  optimizer_->zero_grad();
  Loss(batch, result).backward();
  torch::nn::utils::clip_grad_norm_(network_->parameters(), options_.clip);
  optimizer_->step();
  ++step_;
  return result;
}

StepResult Trainer::Evaluate(const TrainingBatch& batch) {
  const torch::NoGradGuard no_gradients;
  StepResult result;
  Loss(batch, result);
  return result;
}

Tensor Trainer::Loss(const TrainingBatch& batch, StepResult& result) {
  // Rows that predict nothing need no scores, which are most of a step's memory.
  std::vector<int64_t> rows, targets;
  std::vector<float> weights;
  std::vector<int> place(batch.rows(), -1);
  for (int row = 0; row < batch.rows(); ++row) {
    if (batch.weights[row] == 0) continue;
    place[row] = static_cast<int>(rows.size());
    rows.push_back(row);
    targets.push_back(batch.targets[row]);
    weights.push_back(batch.weights[row]);
  }
  const Tensor target = torch::tensor(targets);
  const Tensor weight = torch::tensor(weights);
  const Tensor logits =
      network_->Logits(network_->Forward(batch).index_select(0, torch::tensor(rows)));
  const Tensor losses = torch::nn::functional::cross_entropy(
      logits, target, torch::nn::functional::CrossEntropyFuncOptions().reduction(torch::kNone));
  const Tensor loss = (losses * weight).sum() / weight.sum();

  result.rows = batch.rows();
  result.loss = loss.item<double>();
  if (!batch.answers.empty()) {
    const Tensor likeliest = logits.detach().argmax(1);
    const Tensor each = losses.detach();
    double sum = 0;
    int tokens = 0, right = 0;
    for (const RowSpan& answer : batch.answers) {
      bool is_right = true;
      for (int row = answer.begin; row < answer.end; ++row) {
        sum += each.data_ptr<float>()[place[row]];
        is_right &= likeliest.data_ptr<int64_t>()[place[row]] == batch.targets[row];
      }
      tokens += answer.size();
      right += is_right;
    }
    result.answer_loss = sum / tokens;
    result.answers_right = static_cast<double>(right) / static_cast<double>(batch.answers.size());
  }
  return loss;
}

namespace {

// What has to be the same where a training goes on.
std::string Description(const NetworkShape& shape, const TrainerOptions& options) {
  std::ostringstream text;
  text << shape.layers << " " << shape.dim << " " << shape.hidden << " " << shape.heads << " "
       << shape.kv_heads << " " << shape.vocab << " " << shape.context << " seed " << options.seed;
  return text.str();
}

}  // namespace

void Trainer::Save(const std::filesystem::path& path) const {
  torch::serialize::OutputArchive archive, network, optimizer;
  network_->save(network);
  optimizer_->save(optimizer);
  archive.write("network", network);
  archive.write("optimizer", optimizer);
  archive.write("step", torch::IValue(static_cast<int64_t>(step_)));
  archive.write("description", torch::IValue(Description(network_->shape(), options_)));
  std::ostringstream bytes;
  archive.save_to(bytes);
  WriteWholeFile(path, bytes.str());
}

void Trainer::Load(const std::filesystem::path& path) {
  try {
    torch::serialize::InputArchive archive, network, optimizer;
    archive.load_from(path.string());
    torch::IValue step, description;
    archive.read("step", step);
    archive.read("description", description);
    const std::string wanted = Description(network_->shape(), options_);
    if (description.toStringRef() != wanted) {
      throw Error(ErrorCode::kInvalidArgument,
                  "the training was begun with other options: " + description.toStringRef(),
                  "Give the same options, or another folder.");
    }
    archive.read("network", network);
    archive.read("optimizer", optimizer);
    network_->load(network);
    optimizer_->load(optimizer);
    step_ = static_cast<int>(step.toInt());
  } catch (const c10::Error& error) {
    throw Error(
        ErrorCode::kCorrupt,
        "not a state of a training: " + path.string() + ": " + error.what_without_backtrace(),
        "Delete it to begin anew.");
  }
}

}  // namespace promptdb
