#include "planner/generate_options.h"

#include "planner/options.h"

namespace promptdb {

namespace {

// The filter looks at the end of the text for each of them after every token.
constexpr size_t kMostStops = 16;
constexpr size_t kLongestStop = 1024;
// Of the likeliest tokens in one place.
constexpr int kMostTop = 100;

std::vector<std::string> BindStops(const std::vector<ast::Text>& texts) {
  std::vector<std::string> stops;
  for (const ast::Text& stop : texts) {
    if (stop.text.empty()) {
      throw Error(ErrorCode::kInvalidArgument, "stop must not be empty",
                  "Leave the option out to stop at the model's end token alone.", stop.range);
    }
    if (stop.text.size() > kLongestStop) {
      throw Error(ErrorCode::kTooLong,
                  "stop must be at most " + std::to_string(kLongestStop) + " bytes, not " +
                      std::to_string(stop.text.size()),
                  "", stop.range);
    }
    if (stops.size() == kMostStops) {
      throw Error(ErrorCode::kInvalidArgument,
                  "stop may be given at most " + std::to_string(kMostStops) + " times", "",
                  stop.range);
    }
    stops.push_back(stop.text);
  }
  return stops;
}

std::shared_ptr<Constraint> BindConstraint(const OptionReader& reader) {
  const std::optional<std::string> grammar = reader.TextValue("grammar");
  const std::optional<std::string> json_schema = reader.TextValue("json_schema");
  if (!grammar && !json_schema) return nullptr;
  const SourceRange range = reader.RangeOf(json_schema ? "json_schema" : "grammar");
  if (grammar && json_schema) {
    throw Error(ErrorCode::kInvalidArgument,
                "grammar and json_schema cannot constrain one answer together",
                "Leave one of them out.", range);
  }
  try {
    return grammar ? Constraint::FromGrammar(*grammar) : Constraint::FromJsonSchema(*json_schema);
  } catch (const Error& error) {
    throw error.At(range);
  }
}

}  // namespace

GenerateOptions BindGenerateOptions(const std::vector<ast::Option>& options, int default_max_tokens,
                                    std::string_view statement) {
  const OptionReader reader(
      options, statement,
      {"max_tokens", "temperature", "top_k", "top_p", "min_p", "seed", "stop", "repetition_penalty",
       "presence_penalty", "frequency_penalty", "ignore_eos", "grammar", "json_schema", "logprobs"},
      {"stop"});
  GenerateOptions bound;
  bound.max_tokens =
      static_cast<int>(reader.Integer("max_tokens", 1, 1 << 24).value_or(default_max_tokens));
  bound.temperature = reader.Real("temperature", 0, 100).value_or(0);
  bound.top_k = static_cast<int>(reader.Integer("top_k", 0, 1 << 24).value_or(0));
  bound.top_p = reader.Real("top_p", 0, 1).value_or(1);
  bound.min_p = reader.Real("min_p", 0, 1).value_or(0);
  bound.repetition_penalty = reader.Real("repetition_penalty", 0.01, 100).value_or(1);
  bound.presence_penalty = reader.Real("presence_penalty", -2, 2).value_or(0);
  bound.frequency_penalty = reader.Real("frequency_penalty", -2, 2).value_or(0);
  if (const auto seed = reader.Integer("seed", 0, INT64_MAX))
    bound.seed = static_cast<uint64_t>(*seed);
  bound.stops = BindStops(reader.Texts("stop"));
  bound.ignore_eos = reader.Boolean("ignore_eos").value_or(false);
  bound.constraint = BindConstraint(reader);
  if (const auto top = reader.Integer("logprobs", 0, kMostTop)) {
    bound.logprobs = static_cast<int>(*top);
  }
  return bound;
}

bool AskForLogprobs(const std::vector<ast::Option>& options) {
  return FindOption(options, "logprobs") != nullptr;
}

InspectOptions BindInspectOptions(const std::vector<ast::Option>& options, ast::Select::Kind kind) {
  InspectOptions bound;
  if (kind == ast::Select::Kind::kTokens) {
    const OptionReader reader(options, "TOKENS", {});
  } else if (kind == ast::Select::Kind::kLogprobs) {
    const OptionReader reader(options, "LOGPROBS", {"top"});
    bound.top = static_cast<int>(reader.Integer("top", 0, kMostTop).value_or(0));
  } else {
    const OptionReader reader(options, "EMBEDDING", {"pooling", "normalize"});
    const auto pooling = reader.Choice("pooling", {"last", "mean"});
    bound.pooling = pooling == "mean" ? Pooling::kMean : Pooling::kLast;
    bound.normalize = reader.Boolean("normalize").value_or(true);
  }
  return bound;
}

}  // namespace promptdb
