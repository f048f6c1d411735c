#include "executor/model_registry.h"

#include "base/error.h"
#include "executor/device_transformer.h"
#include "planner/cost.h"
#include "planner/state_key.h"
#include "planner/template_words.h"

namespace promptdb {

namespace {

std::unique_ptr<Tokenizer> OpenTokenizer(const Checkpoint& checkpoint) {
  if (const GgufVocabulary* vocabulary = checkpoint.gguf_vocabulary()) {
    return Tokenizer::FromGguf(*vocabulary);
  }
  return Tokenizer::FromHuggingFace(checkpoint.path());
}

// `is_known`: the definition is of the same files, so that what it says of their template holds.
// Else the template is rendered, which starts a process, and the definition learns its words.
ChatTemplate ChooseTemplate(const Tokenizer& tokenizer, bool is_known,
                            ModelDefinition& definition) {
  const std::string& jinja = tokenizer.chat_template();
  if (!is_known || definition.chat_template != "auto") {
    definition.chat_words.reset();
    definition.chat_notes.clear();
  }
  if (definition.chat_template != "auto") return ChatTemplate::Named(definition.chat_template);
  if (!is_known && !jinja.empty()) {
    const auto spelling = [&](std::optional<TokenId> id) {
      return id ? tokenizer.TokenSpelling(*id) : std::string();
    };
    OwnTemplate own = ReadOwnTemplate(
        JinjaRenderer(), {jinja, spelling(tokenizer.bos_id()), spelling(tokenizer.eos_id())},
        tokenizer.adds_bos());
    definition.chat_words = std::move(own.words);
    definition.chat_notes = std::move(own.notes);
  }
  if (definition.chat_words) return ChatTemplate::Own(*definition.chat_words);
  // Nothing is lost where a template of an older release's row has no built-in's marks: that
  // release would not have created the model.
  return ChatTemplate::Recognise(jinja).value_or(ChatTemplate());
}

std::string_view WeightDtypeName(WeightDtype dtype) {
  return dtype == WeightDtype::kBf16 ? "bf16" : "f32";
}

// Devices have no form for f16 and for quantized weights, which are rounded there.
WeightDtype WeightDtypeOf(const ModelDefinition& definition, TensorDtype stored) {
  if (definition.dtype != "stored") {
    return definition.dtype == "bf16" ? WeightDtype::kBf16 : WeightDtype::kF32;
  }
  const bool is_rounded = definition.device != kCpuDevice && stored != TensorDtype::kF32;
  return stored == TensorDtype::kBf16 || is_rounded ? WeightDtype::kBf16 : WeightDtype::kF32;
}

// Bytes of weights that one token reads, taking each parameter for an average one.
int64_t WeightBytes(const Checkpoint& checkpoint, WeightDtype wanted) {
  double bytes = 0, elements = 0;
  for (const auto& [name, tensor] : checkpoint.tensors()) {
    if (tensor.shape.size() != 2) continue;
    elements += static_cast<double>(tensor.elements());
    bytes += static_cast<double>(TensorBytes(KeptAs(tensor, wanted), tensor.elements()));
  }
  return static_cast<int64_t>(static_cast<double>(ActiveParameters(checkpoint.config())) * bytes /
                              elements);
}

}  // namespace

OpenModel::OpenModel(ModelDefinition definition, Devices* devices, ProgressListener* progress)
    : definition_(std::move(definition)),
      checkpoint_(Checkpoint::Open(definition_.path)),
      tokenizer_(OpenTokenizer(*checkpoint_)) {
  const ModelConfig& config = checkpoint_->config();
  if (tokenizer_->vocab_size() > config.vocab) {
    throw Error(ErrorCode::kCorrupt,
                "the tokenizer has " + std::to_string(tokenizer_->vocab_size()) +
                    " tokens, the model's embedding table " + std::to_string(config.vocab));
  }
  if (definition_.device != kCpuDevice) device_ = &devices->Open(definition_.device);
  weight_dtype_ = WeightDtypeOf(definition_, checkpoint_->weight_dtype());
  weight_bytes_ = device_ == nullptr
                      ? WeightBytes(*checkpoint_, weight_dtype_)
                      : ActiveParameters(config) * (weight_dtype_ == WeightDtype::kF32 ? 4 : 2);
  // States as exact as the weights, unless told otherwise: f32 weights are a user's wish for
  // exactness.
  if (definition_.kv_dtype == "auto") {
    definition_.kv_dtype = checkpoint_->weight_dtype() == TensorDtype::kF32 ? "f32" : "bf16";
  }
  kv_shape_ = {config.layers, config.kv_heads, config.head_dim,
               KvDtypeNamed(definition_.kv_dtype).value_or(KvDtype::kBf16)};
  if (!IsValid(kv_shape_)) {
    throw Error(ErrorCode::kUnsupported, "attention states of " + std::to_string(config.kv_heads) +
                                             " KV heads of " + std::to_string(config.head_dim) +
                                             " elements can't be " + definition_.kv_dtype);
  }

  definition_.architecture = config.architecture;
  definition_.context_length = config.context_length;
  definition_.parameters = 0;
  for (const auto& [name, tensor] : checkpoint_->tensors())
    definition_.parameters += tensor.elements();

  const std::string fingerprint = CheckpointFingerprint(definition_.path);
  const bool is_known =
      fingerprint == definition_.fingerprint && !definition_.content_digest.empty();
  chat_template_ = ChooseTemplate(*tokenizer_, is_known, definition_);
  if (!is_known) {
    if (progress != nullptr) progress->OnProgress("reading " + definition_.name, 0, 1, "files");
    definition_.content_digest = checkpoint_->ContentDigest().ToHex();
    definition_.fingerprint = fingerprint;
    if (progress != nullptr) progress->OnProgress("reading " + definition_.name, 1, 1, "files");
  }
  fingerprint_ =
      ModelFingerprint(Digest::FromHex(definition_.content_digest), config, tokenizer_->digest(),
                       chat_template_, WeightDtypeName(weight_dtype_), kv_shape_);
}

OpenModel::OpenModel(const OpenModel& other, std::string name, KvDtype states)
    : definition_(other.definition_),
      checkpoint_(other.checkpoint_),
      tokenizer_(other.tokenizer_),
      chat_template_(other.chat_template_),
      device_(other.device_),
      weight_dtype_(other.weight_dtype_),
      weight_bytes_(other.weight_bytes_),
      kv_shape_(other.kv_shape_),
      weights_(other.weights_) {
  definition_.name = std::move(name);
  definition_.kv_dtype = KvDtypeName(states);
  kv_shape_.dtype = states;
  fingerprint_ =
      ModelFingerprint(Digest::FromHex(definition_.content_digest), config(), tokenizer_->digest(),
                       chat_template_, WeightDtypeName(weight_dtype_), kv_shape_);
}

std::string_view OpenModel::dtype_in_memory() const {
  if (device_ != nullptr) return WeightDtypeName(weight_dtype_);
  return TensorDtypeName(KeptAs(checkpoint_->weight_dtype(), weight_dtype_));
}

std::shared_ptr<const VocabularyTrie> OpenModel::vocabulary_trie() const {
  const std::lock_guard lock(vocabulary_mutex_);
  if (vocabulary_trie_ == nullptr) vocabulary_trie_ = std::make_shared<VocabularyTrie>(*tokenizer_);
  return vocabulary_trie_;
}

ForwardScheduler& OpenModel::Scheduler(ProgressListener* progress) const {
  const std::lock_guard lock(weights_->mutex);
  if (weights_->loaded == nullptr) {
    Transformer::Options options;
    options.dtype = weight_dtype_;
    options.kv_dtype = working_kv_shape().dtype;
    weights_->loaded = device_ == nullptr ? Transformer::Load(checkpoint_, options, progress)
                                          : LoadOnDevice(checkpoint_, options, *device_, progress);
    weights_->scheduler = std::make_unique<ForwardScheduler>(weights_->loaded.get());
  }
  return *weights_->scheduler;
}

bool OpenModel::has_weights() const {
  const std::lock_guard lock(weights_->mutex);
  return weights_->loaded != nullptr;
}

std::shared_ptr<const OpenModel> ModelRegistry::Open(const ModelDefinition& definition,
                                                     ProgressListener* progress, bool* changed) {
  const std::lock_guard lock(mutex_);
  *changed = false;
  const auto found = models_.find(definition.name);
  const std::string fingerprint = CheckpointFingerprint(definition.path);
  if (found != models_.end() && found->second->definition().fingerprint == fingerprint) {
    return found->second;
  }
  auto model = std::make_shared<const OpenModel>(definition, devices_, progress);
  if (model->definition().content_digest != definition.content_digest) *changed = true;
  if (model->definition().fingerprint != definition.fingerprint) {
    catalog_->PutModel(model->definition());
  }
  models_[definition.name] = model;
  return model;
}

void ModelRegistry::Put(std::shared_ptr<const OpenModel> model) {
  const std::lock_guard lock(mutex_);
  const std::string name = model->definition().name;
  models_[name] = std::move(model);
}

void ModelRegistry::Forget(const std::string& name) {
  const std::lock_guard lock(mutex_);
  models_.erase(name);
}

}  // namespace promptdb
