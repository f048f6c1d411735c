// What SELECT GENERATE (…) says about the continuation, and LOGPROBS (…) and EMBEDDING (…) about
// theirs.
//
// Thread-safe: plain values and a pure function.
#ifndef PROMPTDB_PLANNER_GENERATE_OPTIONS_H_
#define PROMPTDB_PLANNER_GENERATE_OPTIONS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "constraint/constraint.h"
#include "parser/ast.h"

namespace promptdb {

struct GenerateOptions {
  int max_tokens = 64;
  double temperature = 0;
  int top_k = 0;  // 0: off
  double top_p = 1;
  double min_p = 0;
  double repetition_penalty = 1;
  double presence_penalty = 0;
  double frequency_penalty = 0;
  std::optional<uint64_t> seed;    // nullopt: another one each time
  std::vector<std::string> stops;  // texts that end the answer, none of them empty
  bool ignore_eos = false;
  // The answer's tokens are told with their probabilities, each with so many of the likeliest in
  // its place; nullopt: they are not.
  std::optional<int> logprobs;
  // What the answer must look like; null: anything. Shared: it remembers what it worked out for
  // other rows of the query.
  std::shared_ptr<Constraint> constraint;
};

// Throws Error at the option to blame: unknown, given twice (`stop` alone may be), out of range, or
// a grammar or JSON schema that is none. `statement` names the list in messages.
GenerateOptions BindGenerateOptions(const std::vector<ast::Option>& options, int default_max_tokens,
                                    std::string_view statement);

// Whether such options, whose values may not be known yet, ask for `logprobs`: the result then has
// a column more.
bool AskForLogprobs(const std::vector<ast::Option>& options);

enum class Pooling { kLast, kMean };

struct InspectOptions {
  int top = 0;                       // LOGPROBS: the likeliest tokens to show at each place
  Pooling pooling = Pooling::kLast;  // EMBEDDING: of the tokens' last hidden states
  bool normalize = true;             // EMBEDDING: to length 1
};

// The same for the options of SELECT TOKENS (which has none), LOGPROBS or EMBEDDING.
InspectOptions BindInspectOptions(const std::vector<ast::Option>& options, ast::Select::Kind kind);

}  // namespace promptdb

#endif  // PROMPTDB_PLANNER_GENERATE_OPTIONS_H_
