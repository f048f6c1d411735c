#include "executor/database.h"

#include <unistd.h>

#include <utility>

#include "auth/secrets.h"
#include "base/nearest_name.h"
#include "device/device_compute.h"
#include "executor/chat_states.h"
#include "executor/machine_analysis.h"
#include "executor/module_selection.h"
#include "executor/threads.h"

namespace promptdb {

namespace {

// A quarter of the machine's memory, in whole MiB: for states that are kept, and as much again for
// what queries work with.
int64_t QuarterOfMemory() {
  constexpr int64_t kMebibyte = int64_t{1} << 20;
  return int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE) / 4 / kMebibyte * kMebibyte;
}

// What is there, and a quarter of what is free on the disk, in whole MiB.
int64_t DefaultDiskCacheBytes(const std::filesystem::path& folder, int64_t used) {
  constexpr int64_t kMebibyte = int64_t{1} << 20;
  std::error_code failure;
  const std::filesystem::space_info space = std::filesystem::space(folder, failure);
  if (failure) return 0;  // no limit
  return (used + static_cast<int64_t>(space.available) / 4) / kMebibyte * kMebibyte;
}

CostModel CostsOf(const std::optional<MachineRates>& rates, const OpenModel& model,
                  Devices& devices) {
  if (!rates || !AreOfThisMachine(*rates)) return CostModel();
  if (model.home() == Tier::kCpu) return CostModel(*rates);
  // Of another device the figures say nothing.
  const bool is_of_device = rates->device == devices.current().memory().description();
  return is_of_device ? CostModel(RatesOnDevice(*rates)) : CostModel();
}

std::optional<LoginUser> LoginUserOf(const std::optional<UserDefinition>& user) {
  if (!user) return std::nullopt;
  return LoginUser{user->name, user->verifier, user->is_admin, user->is_disabled};
}

}  // namespace

Database::Rep::Rep(const std::filesystem::path& folder)
    : rocks(folder),
      pool(QuarterOfMemory(), EvictionPolicyNamed(DefaultEvictionPolicyName())),
      device_pool(&devices.current().memory(), &pool, /*budget_bytes=*/0,
                  EvictionPolicyNamed(DefaultEvictionPolicyName())),
      cache(&rocks, &pool, &device_pool),
      catalog(&rocks),
      models(&catalog, &devices),
      query_memory(QuarterOfMemory()),
      default_budgets{QuarterOfMemory(), DefaultDiskCacheBytes(folder, cache.stats().disk_bytes),
                      QuarterOfMemory() / 2, QuarterOfMemory()} {
  devices.Attach(&device_pool);
  cache.SetDiskBudget(default_budgets.disk);
  cache.SetPinBudget(default_budgets.pins);
  ApplyOwnerBudgets();
  CollectChatStates(catalog, cache);
}

void Database::Rep::ApplyOwnerBudgets() {
  for (const UserDefinition& user : catalog.Users()) {
    cache.SetOwnerBudget(user.id, user.state_bytes);
  }
}

std::string ChatNotice(const std::string& model, const std::string& note) {
  return "the chat template of model \"" + model + "\" " + note;
}

std::shared_ptr<const OpenSchema> Database::Rep::Open(const ast::Name& name, ResultSink& sink) {
  const auto definition = catalog.FindSchema(name.text);
  if (!definition) {
    throw UnknownName("schema", name.text, name.range, SchemaNames(),
                      "SHOW SCHEMAS lists what there is.");
  }
  const auto model_definition = catalog.FindModel(definition->model);
  if (!model_definition) {
    throw Error(ErrorCode::kUnknownName,
                "schema \"" + name.text + "\" uses model \"" + definition->model +
                    "\", which does not exist",
                "CREATE MODEL " + definition->model + " FROM '…';", name.range);
  }
  std::shared_ptr<const OpenModel> model = Open(*model_definition, name.range, sink);
  {
    const std::lock_guard lock(mutex_);
    const auto found = schemas_.find(name.text);
    if (found != schemas_.end() && found->second->model == model) return found->second;
  }
  auto open = std::make_shared<OpenSchema>();
  open->layout = LayOut(*definition, model->tokenizer(), model->chat_template());
  open->definition = *definition;
  open->model = std::move(model);
  if (!definition->policies.empty()) ApplyPolicies(*open, cache);
  const std::lock_guard lock(mutex_);
  schemas_[name.text] = open;
  return open;
}

std::shared_ptr<const OpenSchema> Database::Rep::OpenBare(const ast::Name& model,
                                                          ResultSink& sink) {
  auto open = std::make_shared<OpenSchema>();
  open->model = Open(FindModel(model), model.range, sink);
  // No schema can be called so, since a name is never empty.
  open->definition.model = model.text;
  open->layout = LayOut(open->definition, open->model->tokenizer(), open->model->chat_template());
  return open;
}

std::shared_ptr<const OpenModel> Database::Rep::Open(const ModelDefinition& definition,
                                                     SourceRange place, ResultSink& sink) {
  bool changed = false;
  std::shared_ptr<const OpenModel> model;
  try {
    model = models.Open(definition, &sink, &changed);
  } catch (const Error& error) {
    throw error.At(place);
  }
  if (changed) {
    sink.OnNotice("the files of model \"" + definition.name +
                  "\" have changed; its cached states are computed again");
    for (const std::string& note : model->definition().chat_notes) {
      sink.OnNotice(ChatNotice(definition.name, note));
    }
  }
  return model;
}

SchemaDefinition Database::Rep::FindSchema(const ast::Name& name) const {
  if (auto found = catalog.FindSchema(name.text)) return *std::move(found);
  throw UnknownName("schema", name.text, name.range, SchemaNames());
}

ModelDefinition Database::Rep::FindModel(const ast::Name& name) const {
  if (auto found = catalog.FindModel(name.text)) return *std::move(found);
  throw UnknownName("model", name.text, name.range, ModelNames());
}

PlanContext Database::Rep::ContextOf(const OpenModel& model) {
  const std::optional<MachineRates> rates = catalog.Rates();
  return {cache,
          model.config(),
          model.fingerprint(),
          model.kv_shape(),
          model.weight_bytes(),
          CostsOf(rates, model, devices),
          model.home()};
}

void Database::Rep::TellOfForeignRates(ResultSink& sink) {
  const std::optional<MachineRates> rates = catalog.Rates();
  if (!rates || AreOfThisMachine(*rates)) return;
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(told_of_foreign_rates_, true)) return;
  }
  const auto machine = [](const std::string& processor, int threads) {
    return processor + " with " + std::to_string(threads) + (threads == 1 ? " thread" : " threads");
  };
  sink.OnNotice("estimates are by default rates, since those of ANALYZE are of " +
                machine(rates->processor, rates->threads) + ", and this is " +
                machine(ProcessorName(), Threads()) + "; ANALYZE; measures anew");
}

std::vector<std::string> Database::Rep::ModelNames() const {
  std::vector<std::string> names;
  for (const ModelDefinition& model : catalog.Models()) names.push_back(model.name);
  return names;
}

std::vector<std::string> Database::Rep::SchemaNames() const {
  std::vector<std::string> names;
  for (const SchemaDefinition& schema : catalog.Schemas()) names.push_back(schema.name);
  return names;
}

std::vector<std::string> Database::Rep::ChatNames() const {
  std::vector<std::string> names;
  for (const ChatDefinition& chat : catalog.Chats()) names.push_back(chat.name);
  return names;
}

void Database::Rep::ForgetLayouts() {
  const std::lock_guard lock(mutex_);
  schemas_.clear();
}

ChatHold Database::Rep::HoldChat(const std::string& name, SourceRange place) {
  const std::lock_guard lock(mutex_);
  if (!held_chats_.insert(name).second) {
    throw Error(ErrorCode::kBusy, "chat \"" + name + "\" is in use by another session",
                "Wait until that is done, or FORK the chat and continue the fork.", place);
  }
  return {this, name};
}

ChatHold::ChatHold(ChatHold&& other) noexcept
    : database_(std::exchange(other.database_, nullptr)), name_(std::move(other.name_)) {}

ChatHold::~ChatHold() {
  if (database_ == nullptr) return;
  const std::lock_guard lock(database_->mutex_);
  database_->held_chats_.erase(name_);
}

Database::Database(const std::filesystem::path& folder) : rep_(std::make_unique<Rep>(folder)) {}
Database::~Database() = default;

const std::filesystem::path& Database::folder() const { return rep_->rocks.folder(); }

Database::QueryLoad Database::query_load() const {
  const QueryMemory::Stats stats = rep_->query_memory.stats();
  return {stats.budget, stats.reserved, stats.waiting};
}

bool Database::HasUsers() const { return rep_->catalog.HasUsers(); }

std::optional<LoginUser> Database::FindUser(std::string_view name) const {
  return LoginUserOf(rep_->catalog.FindUser(name));
}

std::optional<LoginUser> Database::FindUserOfKey(std::string_view api_key) const {
  return LoginUserOf(rep_->catalog.FindUserOfKey(HexOf(Sha256(api_key))));
}

void Database::SetConnectionSource(ConnectionSource source) {
  rep_->connections = std::move(source);
}

}  // namespace promptdb
