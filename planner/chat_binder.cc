#include "planner/chat_binder.h"

#include <algorithm>

#include "planner/options.h"

namespace promptdb {

namespace {

// "chat c turn 3", "chat c (free text 1)".
std::string ChatLabel(const std::string& chat, const std::string& segment) {
  return "chat " + chat + " " + segment;
}

PromptSegment ToPromptSegment(const ChatSegment& stored) {
  PromptSegment segment;
  segment.label = stored.label;
  segment.tokens = stored.tokens;
  segment.start = stored.start;
  segment.chat_label = stored.chat_label;
  for (const ChatSegment::Span& span : stored.attends) {
    segment.attends.push_back({span.segment, span.begin, span.end});
  }
  for (const ChatSegment::Placeholder& placeholder : stored.placeholders) {
    ParameterPlace place;
    place.begin = placeholder.begin;
    place.tokens = placeholder.tokens;
    segment.placeholders.push_back(std::move(place));
  }
  return segment;
}

// Everything before it.
void AttendToAll(const std::vector<PromptSegment>& before, PromptSegment& segment) {
  for (size_t i = 0; i < before.size(); ++i) {
    before[i].AppendAllVisible(static_cast<int>(i), segment.attends);
  }
}

int EndOf(const std::vector<PromptSegment>& segments) {
  int end = 0;
  for (const PromptSegment& segment : segments) end = std::max(end, segment.end());
  return end;
}

// The turn's tokens from position `start` on: what is pending, the words that close the last
// answer, the user's turn, the words that open the next answer.
std::vector<TokenId> TurnTokens(const ChatDefinition& chat, const std::string& text, int start,
                                const Tokenizer& tokenizer, const ChatTemplate& chat_template) {
  const RoleWords& user = chat_template.Wrap(ChatRole::kUser);
  const RoleWords& assistant = chat_template.Wrap(ChatRole::kAssistant);
  std::string words;
  if (!chat.turns.empty()) words += assistant.after;
  words += user.before;
  words += text;
  words += user.after;
  words += chat_template.opening();

  std::vector<TokenId> tokens = chat.pending;
  const std::vector<TokenId> added =
      EncodeAt(words, start + static_cast<int>(tokens.size()), tokenizer);
  // The model's own end of its answer stays where nothing else says that the answer has ended: no
  // closing words, and no text that spells the end itself.
  if (chat.end_token && assistant.after.empty() && !added.empty() &&
      added.front() != *chat.end_token) {
    tokens.push_back(*chat.end_token);
  }
  tokens.insert(tokens.end(), added.begin(), added.end());
  return added.empty() ? std::vector<TokenId>() : tokens;
}

void CheckTokens(const ChatDefinition& chat, const BoundPrompt& prompt, const ModelConfig& model,
                 SourceRange place) {
  for (const PromptSegment& segment : prompt.segments) {
    for (const TokenId token : segment.tokens) {
      if (token >= 0 && token < model.vocab) continue;
      throw Error(
          ErrorCode::kInvalidArgument,
          "chat \"" + chat.name + "\" holds token " + std::to_string(token) + ", and model \"" +
              chat.model + "\" now has a vocabulary of " + std::to_string(model.vocab),
          "Put the former model back, or END CHAT " + chat.name + "; and begin it again.", place);
    }
  }
}

// An answer of the default length ends where the context does. One that was asked for by its length
// is not begun when it could not be finished, and then not continued either.
void CheckRoom(const ast::ContinueChat& statement, const ChatDefinition& chat,
               const BoundPrompt& prompt, int context_length) {
  const PromptSegment& turn = prompt.segments.back();
  const ast::Option* wanted = FindOption(statement.options, "max_tokens");
  const int answer = wanted != nullptr ? prompt.generate.max_tokens : 1;
  if (answer <= context_length - prompt.end_position) return;
  const int free = context_length - turn.start;
  const auto turn_tokens = static_cast<int>(turn.tokens.size());
  const bool turn_fits = turn_tokens < free;
  throw Error(ErrorCode::kTooLong,
              "chat \"" + chat.name + "\" takes " + std::to_string(turn.start) +
                  " positions, and " + std::to_string(std::max(free, 0)) + " of the model's " +
                  std::to_string(context_length) + " are free; this turn takes " +
                  std::to_string(turn_tokens) + ", and its answer " +
                  (wanted != nullptr ? "up to " + std::to_string(answer) : "at least 1"),
              (turn_fits ? "Write max_tokens => " + std::to_string(free - turn_tokens) + ", or "
                         : std::string("Write a shorter prompt, or ")) +
                  "END CHAT " + chat.name + "; and begin another.",
              turn_fits && wanted != nullptr ? wanted->value.range : statement.prompt.range);
}

}  // namespace

ChatDefinition ChatOf(const std::string& name, const BoundPrompt& opening) {
  ChatDefinition chat;
  chat.name = name;
  chat.schema = opening.schema;
  chat.model = opening.model;
  chat.reuse = ReuseModeName(opening.reuse);
  chat.cache = opening.cache;
  bool is_own = false;
  for (const PromptSegment& segment : opening.segments) {
    // In exact reuse, whatever stands behind words of the chat's own depends on them.
    is_own = segment.is_new || (is_own && opening.reuse != ReuseMode::kModular);
    ChatSegment stored;
    stored.label = segment.label;
    stored.tokens = segment.tokens;
    stored.start = segment.start;
    for (const AttendedSpan& span : segment.attends) {
      stored.attends.push_back({span.segment, span.begin, span.end});
    }
    for (const ParameterPlace& place : segment.placeholders) {
      stored.placeholders.push_back({place.begin, place.tokens});
    }
    if (is_own) stored.chat_label = ChatLabel(name, segment.label);
    chat.opening.push_back(std::move(stored));
  }
  return chat;
}

std::vector<PromptSegment> ChatSegments(const ChatDefinition& chat) {
  std::vector<PromptSegment> segments;
  for (const ChatSegment& stored : chat.opening) segments.push_back(ToPromptSegment(stored));
  for (const ChatSegment& stored : chat.turns) {
    PromptSegment segment = ToPromptSegment(stored);
    AttendToAll(segments, segment);
    segments.push_back(std::move(segment));
  }
  return segments;
}

BoundPrompt BindTurn(const ast::ContinueChat& statement, const ChatDefinition& chat,
                     const Tokenizer& tokenizer, const ChatTemplate& chat_template,
                     const ModelConfig& model, const QueryDefaults& defaults) {
  if (const ast::Option* reuse = FindOption(statement.with_options, "reuse")) {
    throw Error(ErrorCode::kInvalidArgument,
                "the reuse of chat \"" + chat.name + "\" was settled when it began: " + chat.reuse,
                "Write it in BEGIN CHAT … WITH (reuse = …).", reuse->name.range);
  }
  const OptionReader with(statement.with_options, "WITH", {"cache", "priority", "deadline"});
  BoundPrompt prompt;
  prompt.schema = chat.schema;
  prompt.model = chat.model;
  prompt.reuse = ReuseModeNamed(chat.reuse);
  prompt.cache = with.Boolean("cache").value_or(chat.cache);
  prompt.urgency = defaults.urgency;
  prompt.generate = BindGenerateOptions(statement.options, defaults.max_tokens, "CONTINUE");
  prompt.segments = ChatSegments(chat);

  PromptSegment turn;
  turn.label = "turn " + std::to_string(chat.turns.size() + 1);
  turn.chat_label = ChatLabel(chat.name, turn.label);
  turn.start = EndOf(prompt.segments);
  turn.is_new = true;
  if (!statement.prompt.text.empty()) {
    turn.tokens = TurnTokens(chat, statement.prompt.text, turn.start, tokenizer, chat_template);
  }
  if (turn.tokens.empty()) {
    throw Error(ErrorCode::kInvalidArgument, "the prompt is empty", "", statement.prompt.range);
  }
  AttendToAll(prompt.segments, turn);
  prompt.segments.push_back(std::move(turn));
  for (const PromptSegment& segment : prompt.segments) {
    prompt.prompt_tokens += segment.prompt_tokens();
  }
  prompt.end_position = prompt.segments.back().end();
  CheckTokens(chat, prompt, model, statement.name.range);
  CheckRoom(statement, chat, prompt, model.context_length);
  return prompt;
}

PromptSegment FinishedTurn(const PromptSegment& turn, const TurnAnswer& answer) {
  PromptSegment finished = turn;
  finished.is_new = false;
  finished.tokens.insert(finished.tokens.end(), answer.tokens.begin(), answer.tokens.end());
  Check(answer.states <= static_cast<int>(finished.tokens.size()),
        "a turn has no more states than tokens");
  finished.tokens.resize(static_cast<size_t>(answer.states));
  return finished;
}

ChatDefinition AfterTurn(ChatDefinition chat, const PromptSegment& turn, const TurnAnswer& answer) {
  const PromptSegment finished = FinishedTurn(turn, answer);
  ChatSegment stored;
  stored.label = finished.label;
  stored.tokens = finished.tokens;
  stored.start = finished.start;
  stored.chat_label = finished.chat_label;
  chat.turns.push_back(std::move(stored));
  const size_t in_answer = finished.tokens.size() - turn.tokens.size();
  chat.pending.assign(answer.tokens.begin() + static_cast<long>(in_answer), answer.tokens.end());
  chat.end_token = answer.end_token;
  return chat;
}

}  // namespace promptdb
