// SELECT's syntax tree, over a schema's layout, to the prompt: segments of tokens at their
// positions, and who attends to whom.
#ifndef PROMPTDB_PLANNER_PROMPT_BINDER_H_
#define PROMPTDB_PLANNER_PROMPT_BINDER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/urgency.h"
#include "parser/ast.h"
#include "planner/generate_options.h"
#include "planner/layout.h"

namespace promptdb {

enum class ReuseMode { kModular, kExact, kNone };

std::string_view ReuseModeName(ReuseMode mode);  // "modular", "exact", "none"
// REQUIRES: `name` is one of these.
ReuseMode ReuseModeNamed(std::string_view name);

// Tokens [begin, end) of an earlier segment.
struct AttendedSpan {
  int segment = 0;
  int begin = 0;
  int end = 0;
};

// Whose states a prompt's own words take from the cache and leave there.
struct StateOwner {
  Digest user;  // whose quota they count to; zero: nobody's
  // Keeps the names of their states apart from those of other owners, so that nobody learns from a
  // hit what somebody else has asked. Zero: none, and whoever has none shares with the others.
  Digest salt;
};

struct PromptSegment {
  // "paris", "(text 1)", "paris in scaffold s"; "plan(days)", "(free text 1)", "(prompt)" and
  // "(answer)" are new text.
  std::string label;
  std::vector<TokenId> tokens;        // never empty
  int start = 0;                      // position of the first token
  bool is_new = false;                // the query's own words: not a part of the schema
  std::vector<AttendedSpan> attends;  // what its tokens see besides each other, in order
  bool is_private = false;            // its states are its owner's alone: see StateOwner
  // The label of its state where that is a chat's, "chat c turn 3"; empty where it is the schema's.
  std::string chat_label;
  // The state of which its tokens are the first ones, where that is not its own; see
  // prefix_match.h.
  std::optional<Digest> prefix_of;
  // Where parameters stand in a cached module: placeholders, which nothing outside it sees.
  std::vector<ParameterPlace> placeholders;

  // Tokens that are a part of the prompt: all but placeholders.
  int prompt_tokens() const;
  // Appends what others may see of the first `count` tokens, as spans of segment `index`.
  void AppendVisible(int index, int count, std::vector<AttendedSpan>& spans) const;
  void AppendAllVisible(int index, std::vector<AttendedSpan>& spans) const;
  int end() const { return start + static_cast<int>(tokens.size()); }
};

struct BoundPrompt {
  ast::Select::Kind kind = ast::Select::Kind::kGenerate;
  std::string schema;
  std::string model;
  StateOwner owner;
  ReuseMode reuse = ReuseMode::kModular;
  bool is_portable = false;  // the schema
  bool cache = true;
  bool stream = false;                  // the answer comes as a row for each piece
  GenerateOptions generate;             // kGenerate
  InspectOptions inspect;               // the other kinds
  int rows = 1;                         // prompts of the query; this is one of them
  int shared_segments = 0;              // of several: the first ones, which all rows have alike
  std::vector<PromptSegment> segments;  // by position; never empty
  int prompt_tokens = 0;
  int end_position = 0;  // of the first generated token
  Urgency urgency;
};

// Makes the prompt's own words, and the states that see them, the owner's.
void GiveTo(const StateOwner& owner, BoundPrompt& prompt);

// What a query that names none of them gets.
struct QueryDefaults {
  ReuseMode reuse = ReuseMode::kModular;
  bool cache = true;
  int max_tokens = 64;
  Urgency urgency;  // of this statement, by its WITH too: see urgency_options.h
};

// A prompt whose last part is a whole user turn (a USER of the schema or of USE) ends in the words
// that open the assistant's answer.
//
// Throws Error with the place to blame: an unknown module (with the nearest name), two members of
// one union, a module twice or without the module around it, an option unknown or out of range, an
// empty prompt, one that is longer than the model's context.
// `row`: which text of PROMPT IN, from 0; it becomes a segment of its own at the end.
BoundPrompt BindPrompt(const ast::Select& query, const SchemaDefinition& schema,
                       const SchemaLayout& layout, const Tokenizer& tokenizer,
                       const ChatTemplate& chat_template, int context_length,
                       const QueryDefaults& defaults, int row = 0);

// What stands before a chat's first turn: as a SELECT without PROMPT, but it may be empty.
BoundPrompt BindOpening(const ast::BeginChat& chat, const SchemaDefinition& schema,
                        const SchemaLayout& layout, const Tokenizer& tokenizer,
                        const ChatTemplate& chat_template, int context_length,
                        const QueryDefaults& defaults);

}  // namespace promptdb

#endif  // PROMPTDB_PLANNER_PROMPT_BINDER_H_
