// A chat as the catalog keeps it: the tokens of its prompt as they were bound when it began, and of
// every turn since. Nothing in it is ever tokenized again, so neither its schema nor the
// tokenizer's view of joined texts can change what was said.
//
// Thread-safe: plain values.
#ifndef PROMPTDB_STORAGE_CHAT_DEFINITION_H_
#define PROMPTDB_STORAGE_CHAT_DEFINITION_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/digest.h"

namespace promptdb {

// A run of a chat's tokens whose states are kept as one.
struct ChatSegment {
  // Tokens [begin, end) of an earlier segment.
  struct Span {
    int segment = 0;
    int begin = 0;
    int end = 0;

    bool operator==(const Span&) const = default;
  };
  // Tokens [begin, begin + tokens) of this one that stand for a parameter: nothing outside sees
  // them.
  struct Placeholder {
    int begin = 0;
    int tokens = 0;

    bool operator==(const Placeholder&) const = default;
  };

  std::string label;            // "paris", "(free text 1)"; "turn 3"
  std::vector<int32_t> tokens;  // never empty
  int start = 0;                // position of the first token
  std::vector<Span> attends;    // what its tokens see besides each other
  std::vector<Placeholder> placeholders;
  // The label of its state where that belongs to chats, "chat c turn 3"; empty where it is the
  // schema's.
  std::string chat_label;
  Digest state;  // its key when the chat last used it

  bool operator==(const ChatSegment&) const = default;
};

struct ChatDefinition {
  std::string name;
  Digest owner;  // the user who began it; zero: whoever had the database's files
  std::string schema;
  std::string model;
  std::string reuse;  // "modular", "exact", "none"
  bool cache = true;
  Digest tokenizer;                  // the tokens are ids of this one
  Digest fingerprint;                // of the model that the states were computed with
  std::vector<ChatSegment> opening;  // as bound by BEGIN CHAT
  std::vector<ChatSegment> turns;    // what was asked and answered, template words included
  // Generated last, and a part of the chat, but without states yet: they stand first in the next
  // turn.
  std::vector<int32_t> pending;
  // What the model ended its last answer with. No part of the chat until the next turn, which may
  // have words of its own for it.
  std::optional<int32_t> end_token;
  int64_t created_at = 0;    // seconds since 1970
  int64_t last_used_at = 0;  // likewise

  bool operator==(const ChatDefinition&) const = default;
};

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_CHAT_DEFINITION_H_
