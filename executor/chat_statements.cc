#include <ctime>

#include "base/nearest_name.h"
#include "executor/chat_states.h"
#include "executor/encode.h"
#include "executor/query_run.h"
#include "executor/statements.h"
#include "executor/working_memory.h"
#include "parser/parser.h"
#include "planner/chat_binder.h"
#include "planner/planner.h"
#include "planner/prefix_match.h"

namespace promptdb {

namespace {

ChatDefinition FindChat(const ast::Name& name, const Database::Rep& database) {
  std::optional<ChatDefinition> chat = database.catalog.FindChat(name.text);
  if (!chat) {
    throw UnknownName("chat", name.text, name.range, database.ChatNames(),
                      "SHOW CHATS lists what there is.");
  }
  return *std::move(chat);
}

void CheckIsNew(const ast::Name& name, const Database::Rep& database) {
  if (!database.catalog.FindChat(name.text)) return;
  throw Error(ErrorCode::kDuplicateName, "chat \"" + name.text + "\" exists already",
              "END CHAT " + QuoteName(name.text) + "; or take another name.", name.range);
}

void SetKeys(const std::vector<SegmentKeys>& keys, ChatDefinition& chat) {
  size_t i = 0;
  for (auto* segments : {&chat.opening, &chat.turns}) {
    for (ChatSegment& segment : *segments) segment.state = keys[i++].key;
  }
}

// Whoever continues it, a chat's states are those of the user who began it.
StateOwner OwnerOfStates(const ChatDefinition& chat, const Database::Rep& database) {
  SchemaDefinition schema;
  if (auto found = database.catalog.FindSchema(chat.schema)) schema = *std::move(found);
  return OwnerOfStates(chat.owner, schema);
}

// Of a chat without turns.
std::vector<SegmentKeys> KeysOf(const ChatDefinition& chat, const OpenModel& model,
                                const Database::Rep& database) {
  BoundPrompt prompt;
  prompt.segments = ChatSegments(chat);
  GiveTo(OwnerOfStates(chat, database), prompt);
  return ComputeSegmentKeys(prompt.segments, model.fingerprint(), model.config().positions,
                            prompt.owner.salt);
}

// The model, if the chat's tokens mean to it what they meant when they were said.
std::shared_ptr<const OpenModel> OpenModelOf(const ChatDefinition& chat, const ast::Name& name,
                                             Database::Rep& database, ResultSink& sink) {
  const auto definition = database.catalog.FindModel(chat.model);
  if (!definition) {
    throw Error(
        ErrorCode::kUnknownName,
        "chat \"" + chat.name + "\" uses model \"" + chat.model + "\", which does not exist",
        "CREATE MODEL " + QuoteName(chat.model) + " FROM '…';", name.range);
  }
  std::shared_ptr<const OpenModel> model = database.Open(*definition, name.range, sink);
  if (model->tokenizer().digest() != chat.tokenizer) {
    throw Error(
        ErrorCode::kInvalidArgument,
        "model \"" + chat.model + "\" has another tokenizer than when chat \"" + chat.name +
            "\" began, so the chat's tokens mean nothing to it",
        "Put the former model back, or END CHAT " + QuoteName(chat.name) + "; and begin it again.",
        name.range);
  }
  if (model->fingerprint() != chat.fingerprint) {
    sink.OnNotice("model \"" + chat.model + "\" has changed since chat \"" + chat.name +
                  "\" was last used; its states are computed again");
  }
  return model;
}

// The first `tokens` states of the turn: those of its first tokens may have come from the cache, as
// segments of their own.
KvSegment CopyOfTurn(int tokens, const PromptSegment& turn, const QueryState& query) {
  std::vector<KvSegment::Part> parts;
  for (size_t i = 0; i < query.segments.size(); ++i) {
    if (query.Segment(static_cast<int>(i)).start < turn.start) continue;
    const KvSegment& states = *query.segments[i];
    const bool is_last = i + 1 == query.segments.size();
    const int all = static_cast<int>(query.Segment(static_cast<int>(i)).tokens.size());
    parts.push_back({&states, is_last ? tokens : all});
    tokens -= all;
  }
  return KvSegment::CopyOf(parts);
}

// The chat after the turn that `query` has computed; `segments` are its prompt's, before they were
// cut. States first, then the row: a chat never names what is not there, though it could be
// computed again.
ChatDefinition CommitTurn(const ChatDefinition& before, std::vector<PromptSegment> segments,
                          const Generation& generation, const OpenModel& model,
                          Database::Rep& database, double encode_ms, QueryState& query) {
  const BoundPrompt& prompt = query.plan.prompt;
  const PromptSegment turn = segments.back();
  TurnAnswer answer;
  answer.tokens.assign(generation.tokens.begin(),
                       generation.tokens.begin() + generation.shown_tokens);
  const int states = prompt.segments.back().start - turn.start + query.segments.back()->tokens();
  answer.states = std::min(states, static_cast<int>(turn.tokens.size() + answer.tokens.size()));
  answer.end_token = generation.end_token;

  segments.back() = FinishedTurn(turn, answer);
  const std::vector<SegmentKeys> keys = ComputeSegmentKeys(
      segments, model.fingerprint(), model.config().positions, prompt.owner.salt);
  if (prompt.cache && prompt.reuse != ReuseMode::kNone) {
    const PromptSegment& finished = segments.back();
    const StateManifest manifest =
        ManifestOf(finished, keys.back(), finished.chat_label, prompt, model, encode_ms);
    query.cache.Publish(manifest, CopyOfTurn(manifest.tokens, turn, query), model.home());
  }
  ChatDefinition after = AfterTurn(before, turn, answer);
  SetKeys(keys, after);
  after.fingerprint = model.fingerprint();
  after.last_used_at = std::time(nullptr);
  Check(database.catalog.ReplaceChat(after), "a chat that is held is not dropped");
  return after;
}

}  // namespace

std::string RunBeginChat(const ast::BeginChat& statement, Database::Rep& database,
                         const Settings& settings, const Access& access, ResultSink& sink) {
  const ChatHold hold = database.HoldChat(statement.name.text, statement.name.range);
  CheckIsNew(statement.name, database);
  const std::shared_ptr<const OpenSchema> schema = database.Open(statement.schema, sink);
  const OpenModel& model = *schema->model;
  const BoundPrompt opening =
      BindOpening(statement, schema->definition, schema->layout, model.tokenizer(),
                  model.chat_template(), model.config().context_length, settings.query_defaults());
  ChatDefinition chat = ChatOf(statement.name.text, opening);
  chat.owner = access.id();
  chat.tokenizer = model.tokenizer().digest();
  chat.fingerprint = model.fingerprint();
  SetKeys(KeysOf(chat, model, database), chat);
  chat.created_at = chat.last_used_at = std::time(nullptr);
  Check(database.catalog.AddChat(chat), "a chat that is held is not added by others");
  return "BEGIN CHAT";
}

std::string RunContinueChat(const ast::ContinueChat& statement, Database::Rep& database,
                            const Settings& settings, ResultSink& sink) {
  const ChatHold hold = database.HoldChat(statement.name.text, statement.name.range);
  const ChatDefinition chat = FindChat(statement.name, database);
  const std::shared_ptr<const OpenModel> model = OpenModelOf(chat, statement.name, database, sink);
  const Stopwatch watch;
  BoundPrompt prompt = BindTurn(statement, chat, model->tokenizer(), model->chat_template(),
                                model->config(), settings.query_defaults());
  GiveTo(OwnerOfStates(chat, database), prompt);
  const PlanContext context = database.ContextOf(*model);
  const std::vector<PromptSegment> segments = prompt.segments;
  // A finished turn is stored as one state, which is put together of values, not of codes.
  if (prompt.reuse == ReuseMode::kExact && prompt.cache && !IsQuantized(model->kv_shape().dtype)) {
    CutTurnAtCachedPrefix(model->fingerprint(), model->config().positions, database.cache, prompt);
  }
  const QueryPlan plan = PlanQuery(std::move(prompt), context);
  const double planning_ms = watch.Milliseconds();

  const QueryMemory::Reservation memory = ReserveMemory({&plan, 1}, *model, database, sink);
  WarnOfLoss(plan.prompt, *model, database, settings, sink);
  sink.OnColumns(GenerationColumns(AskForLogprobs(statement.options)));
  const auto commit = [&](QueryState& query, const Generation& generation) {
    const double encode_ms = query.actuals[static_cast<size_t>(plan.prefill->id)].ms +
                             query.actuals[static_cast<size_t>(plan.decode->id)].ms;
    CommitTurn(chat, segments, generation, *model, database, encode_ms, query);
  };
  const QueryOutcome outcome =
      RunQuery(plan, planning_ms, *model, database.cache, true, sink, commit);
  if (model->fingerprint() != chat.fingerprint) {
    CollectStatesOf(chat, database.catalog, database.cache);
  }
  sink.OnRow(GenerationRow(plan.prompt, outcome));
  return "CONTINUE 1";
}

// A fork stays with the user whose words it holds, whoever made it.
std::string RunForkChat(const ast::ForkChat& statement, Database::Rep& database) {
  const ChatHold hold = database.HoldChat(statement.to.text, statement.to.range);
  ChatDefinition fork = FindChat(statement.from, database);
  CheckIsNew(statement.to, database);
  fork.name = statement.to.text;
  fork.created_at = fork.last_used_at = std::time(nullptr);
  Check(database.catalog.AddChat(fork), "a chat that is held is not added by others");
  return "FORK";
}

std::string RunEndChat(const ast::EndChat& statement, Database::Rep& database) {
  const ChatHold hold = database.HoldChat(statement.name.text, statement.name.range);
  const ChatDefinition chat = FindChat(statement.name, database);
  database.catalog.DropChat(chat.name);
  CollectStatesOf(chat, database.catalog, database.cache);
  return "END CHAT";
}

}  // namespace promptdb
