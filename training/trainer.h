// Trains a network on the curriculum: AdamW (Loshchilov and Hutter, 2019), a learning rate that
// rises, then falls along a cosine, gradients clipped by their norm. Saves all that it needs to go
// on where it was, so that it may be stopped at any time.
//
// The same seed gives the same weights on the same machine, however often it was stopped.
//
// Not thread-safe.
#ifndef PROMPTDB_TRAINING_TRAINER_H_
#define PROMPTDB_TRAINING_TRAINER_H_

#include <torch/torch.h>

#include <filesystem>
#include <memory>

#include "training/curriculum.h"
#include "training/network.h"

namespace promptdb {

struct TrainerOptions {
  int steps = 7000;
  int warm_up = 200;            // steps
  double learning_rate = 2e-3;  // the highest
  double last_share = 0.02;     // of it, at the end
  double weight_decay = 0.05;   // of matrices
  double clip = 1.0;            // the gradient's norm, at most
  uint64_t seed = 1;
};

struct StepResult {
  double loss = 0;           // weighted, over all tokens: nats
  double answer_loss = 0;    // a token of an answer: nats; 0 without one
  double answers_right = 0;  // share of the answers of which every token was the likeliest
  int rows = 0;
};

class Trainer {
 public:
  // `curriculum` is borrowed.
  Trainer(const NetworkShape& shape, const TrainerOptions& options, const Curriculum& curriculum);

  int step() const { return step_; }  // that comes next
  double LearningRate() const;
  const Network& network() const { return *network_; }

  StepResult Step();
  // The figures of a batch, from which nothing is learnt.
  StepResult Evaluate(const TrainingBatch& batch);

  // All or nothing. Throws Error(kIo).
  void Save(const std::filesystem::path& path) const;
  // Throws Error(kCorrupt) for a file that is none of ours, Error(kInvalidArgument) for one of
  // another shape or seed.
  void Load(const std::filesystem::path& path);

 private:
  // The loss to go downhill on, and its figures.
  torch::Tensor Loss(const TrainingBatch& batch, StepResult& result);

  TrainerOptions options_;
  const Curriculum& curriculum_;
  std::shared_ptr<Network> network_;
  std::unique_ptr<torch::optim::AdamW> optimizer_;
  int step_ = 0;
};

}  // namespace promptdb

#endif  // PROMPTDB_TRAINING_TRAINER_H_
