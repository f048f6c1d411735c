// Chats: from a bound prompt to what the catalog keeps, and from there to the prompt of a turn.
//
// A chat's tokens are fixed when they first come: the opening's at BEGIN CHAT, a turn's when it is
// asked, an answer's as they are sampled. A turn is written in the words of the model's chat
// template: what closes the assistant's answer before it, the user's words around the text, what
// opens the next answer.
//
// Thread-safe: functions of their arguments.
#ifndef PROMPTDB_PLANNER_CHAT_BINDER_H_
#define PROMPTDB_PLANNER_CHAT_BINDER_H_

#include <optional>
#include <vector>

#include "model/model_config.h"
#include "parser/ast.h"
#include "planner/prompt_binder.h"
#include "storage/chat_definition.h"

namespace promptdb {

// A chat without turns, from what BindOpening() gave. Its times, digests and keys are the caller's
// to fill in.
ChatDefinition ChatOf(const std::string& name, const BoundPrompt& opening);

// All of a chat so far, but for its pending tokens, as segments of a prompt. Nothing is new in it:
// every state may be stored.
std::vector<PromptSegment> ChatSegments(const ChatDefinition& chat);

// The chat's prompt with one turn more, which is the last segment and the only new one. Throws
// Error with the place to blame: an option unknown or out of range, an empty text, a turn that
// passes the model's context with the answer that it asks for.
BoundPrompt BindTurn(const ast::ContinueChat& statement, const ChatDefinition& chat,
                     const Tokenizer& tokenizer, const ChatTemplate& chat_template,
                     const ModelConfig& model, const QueryDefaults& defaults);

// What a generation adds to a turn.
struct TurnAnswer {
  std::vector<TokenId> tokens;  // that belong to the chat
  int states = 0;               // tokens of the turn's segment and these that have states
  std::optional<TokenId> end_token;
};

// The segment of a finished turn: `turn` is the last segment of what BindTurn() gave.
PromptSegment FinishedTurn(const PromptSegment& turn, const TurnAnswer& answer);

// The chat after that turn.
ChatDefinition AfterTurn(ChatDefinition chat, const PromptSegment& turn, const TurnAnswer& answer);

}  // namespace promptdb

#endif  // PROMPTDB_PLANNER_CHAT_BINDER_H_
