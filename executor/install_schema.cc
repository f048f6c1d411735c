#include "executor/install_schema.h"

#include <algorithm>
#include <set>

#include "base/nearest_name.h"
#include "planner/module_path.h"
#include "planner/schema_states.h"
#include "planner/state_key.h"

namespace promptdb {

namespace {

// What a state was made of, besides what it attends to: where it begins, by how it is named, and
// its tokens.
using Place = std::pair<int, std::vector<TokenId>>;

// Drops states of the schema that no part of its new layout can use.
void DropStaleStates(const SchemaDefinition& schema, const SchemaLayout& layout,
                     const OpenModel& model, Database::Rep& database) {
  const std::vector<PromptSegment> segments = ListStates(schema, layout).prompt.segments;
  const std::vector<SegmentKeys> keys =
      ComputeSegmentKeys(segments, model.fingerprint(), model.config().positions);
  std::set<Place> places;
  for (size_t i = 0; i < segments.size(); ++i) {
    // Modular reuse counts from the origin; exact reuse, nearly always, from the prompt's start.
    places.emplace(segments[i].start - keys[i].origin, segments[i].tokens);
    places.emplace(segments[i].start, segments[i].tokens);
  }
  for (const StateManifest& state : database.cache.List()) {
    if (!state.label.starts_with(schema.name + ".")) continue;
    const bool is_usable = state.model == model.fingerprint() &&
                           places.contains({state.start_position, state.token_ids});
    if (!is_usable) database.cache.Erase(state.key);
  }
}

// The policies of modules that there still are.
void KeepPolicies(const SchemaDefinition& replaced, SchemaDefinition& schema) {
  const std::vector<std::string> paths = ModulePaths(schema.parts);
  schema.policies = replaced.policies;
  std::erase_if(schema.policies, [&](const auto& policy) {
    return !policy.first.empty() && std::ranges::find(paths, policy.first) == paths.end();
  });
}

// Throws as the layout does, but with the place.
void CheckDefaults(std::span<const ast::Part> parts, const Tokenizer& tokenizer) {
  for (const ast::Part& part : parts) {
    for (const ast::Parameter& parameter : part.parameters) {
      if (!parameter.default_value) continue;
      try {
        CheckValueLength(parameter.name.text, parameter.default_value->text,
                         static_cast<int>(parameter.tokens), tokenizer);
      } catch (const Error& error) {
        throw error.At(parameter.default_value->range);
      }
    }
    CheckDefaults(part.children, tokenizer);
  }
}

}  // namespace

void InstallSchema(SchemaDefinition schema, const SchemaDefinition* replaced,
                   const SchemaPlaces& places, Database::Rep& database, ResultSink& sink) {
  if (replaced != nullptr) KeepPolicies(*replaced, schema);
  const auto model_definition = database.catalog.FindModel(schema.model);
  if (!model_definition) {
    throw UnknownName("model", schema.model, places.model, database.ModelNames(),
                      "CREATE MODEL " + schema.model + " FROM 'file.gguf'; comes first.");
  }
  const std::shared_ptr<const OpenModel> model =
      database.Open(*model_definition, places.model, sink);
  CheckDefaults(places.parts, model->tokenizer());
  const SchemaLayout layout = LayOut(schema, model->tokenizer(), model->chat_template());
  const int context = model->config().context_length;
  if (layout.reserved >= context) {
    throw Error(ErrorCode::kTooLong,
                "the schema takes " + std::to_string(layout.reserved) + " positions, and model \"" +
                    schema.model + "\" has a context of " + std::to_string(context),
                "Put modules of which a prompt uses one at a time into a UNION.", places.schema);
  }
  if (replaced != nullptr && replaced->name != schema.name) {
    database.catalog.RenameSchema(replaced->name, schema);
    database.cache.Relabel(replaced->name + ".", schema.name + ".");
  } else {
    database.catalog.PutSchema(schema);
  }
  database.ForgetLayouts();
  if (replaced != nullptr) DropStaleStates(schema, layout, *model, database);
}

void DropStates(const std::string& schema, Database::Rep& database) {
  for (const StateManifest& state : database.cache.List()) {
    if (!state.label.starts_with(schema + ".")) continue;
    database.cache.Erase(state.key);
    database.cache.SetPolicy(state.key, {});
  }
}

}  // namespace promptdb
