// Models that are open in this process: their files mapped, tokenizers built, weights loaded when a
// query first needs them.
//
// Thread-safe. An open model is immutable and shared: a query keeps the one it began with, even if
// the model is dropped or its file replaced meanwhile.
#ifndef PROMPTDB_EXECUTOR_MODEL_REGISTRY_H_
#define PROMPTDB_EXECUTOR_MODEL_REGISTRY_H_

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/progress.h"
#include "constraint/vocabulary_trie.h"
#include "executor/devices.h"
#include "executor/forward_scheduler.h"
#include "executor/transformer.h"
#include "model/checkpoint.h"
#include "planner/chat_template.h"
#include "storage/catalog.h"
#include "storage/kv_quantization.h"
#include "storage/state_cache.h"
#include "tokenizer/tokenizer.h"

namespace promptdb {

class OpenModel {
 public:
  // Opens the files that `definition` names; fills in what the definition tells of them
  // (architecture, parameters, context, digest, words of the chat template). Reads the whole files,
  // and renders their chat template, if their fingerprint differs from the definition's. `devices`
  // is borrowed, and null only where the model's device is the processor. Throws Error.
  OpenModel(ModelDefinition definition, Devices* devices, ProgressListener* progress);

  // The same model by another name and with states of another dtype. Both share what is in memory,
  // the weights above all.
  OpenModel(const OpenModel& other, std::string name, KvDtype states);

  const ModelDefinition& definition() const { return definition_; }
  const ModelConfig& config() const { return checkpoint_->config(); }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const ChatTemplate& chat_template() const { return chat_template_; }
  WeightDtype weight_dtype() const { return weight_dtype_; }
  const KvShape& kv_shape() const { return kv_shape_; }  // as states are stored
  // As the forward pass writes them.
  KvShape working_kv_shape() const { return WorkingShape(kv_shape_); }
  // The tier in which the model reads states.
  Tier home() const { return definition_.device == kCpuDevice ? Tier::kCpu : Tier::kGpu; }
  // Bytes of weights that one token reads.
  int64_t weight_bytes() const { return weight_bytes_; }
  // What most weights are in memory: "f32", "bf16", or what a narrower file has, which is computed
  // in f32 all the same.
  std::string_view dtype_in_memory() const;
  // See planner/state_key.h.
  const Digest& fingerprint() const { return fingerprint_; }

  // Runs forward passes. Loads the weights on the first call.
  ForwardScheduler& Scheduler(ProgressListener* progress) const;
  bool has_weights() const;
  // The vocabulary as constrained answers need it; built on the first call.
  std::shared_ptr<const VocabularyTrie> vocabulary_trie() const;

 private:
  ModelDefinition definition_;
  std::shared_ptr<const Checkpoint>
      checkpoint_;  // shared with the Transformer, which may read from it
  std::shared_ptr<const Tokenizer> tokenizer_;  // shared with models that have other states
  ChatTemplate chat_template_;
  DeviceCompute* device_ = nullptr;  // that it computes on; borrowed. Null: the processor
  WeightDtype weight_dtype_ = WeightDtype::kF32;
  int64_t weight_bytes_ = 0;
  KvShape kv_shape_;
  Digest fingerprint_;

  struct LazyWeights {
    std::mutex mutex;
    // Guarded by mutex; null until a query needs them.
    std::unique_ptr<Transformer> loaded;
    std::unique_ptr<ForwardScheduler> scheduler;
  };
  std::shared_ptr<LazyWeights> weights_ = std::make_shared<LazyWeights>();  // shared likewise
  mutable std::mutex vocabulary_mutex_;
  // Guarded by vocabulary_mutex_; shared with the constraints that were used with the model.
  mutable std::shared_ptr<const VocabularyTrie> vocabulary_trie_;
};

class ModelRegistry {
 public:
  // Both borrowed.
  ModelRegistry(Catalog* catalog, Devices* devices) : catalog_(catalog), devices_(devices) {}

  // The model of that name, opened again if its files have changed since; the catalog's row then
  // learns their new digest, and `*changed` is set.
  std::shared_ptr<const OpenModel> Open(const ModelDefinition& definition,
                                        ProgressListener* progress, bool* changed);
  // Puts a model that has just been created in place.
  void Put(std::shared_ptr<const OpenModel> model);
  void Forget(const std::string& name);

 private:
  Catalog* catalog_;
  Devices* devices_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const OpenModel>> models_;  // guarded by mutex_
};

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_MODEL_REGISTRY_H_
