// How a chat role is written around a text: a built-in form, or the words of the model's own
// template (see planner/template_words.h).
//
// A role's tokens never depend on what follows it, so that they can be cached. Thread-safe: a
// value.
#ifndef PROMPTDB_PLANNER_CHAT_TEMPLATE_H_
#define PROMPTDB_PLANNER_CHAT_TEMPLATE_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "storage/schema_definition.h"

namespace promptdb {

class ChatTemplate {
 public:
  // "plain": roles are written without any words.
  ChatTemplate() : ChatTemplate("plain", {}) {}

  // The names that Named() takes, without "auto".
  static const std::vector<std::string>& Names();

  // REQUIRES: `name` is one of Names().
  static ChatTemplate Named(std::string_view name);
  // By the marks in a model's own template; "plain" where there is none, nullopt when it has no
  // built-in's marks.
  static std::optional<ChatTemplate> Recognise(std::string_view jinja);
  // The model's own.
  static ChatTemplate Own(ChatWords words) {
    return ChatTemplate("auto (own template)", std::move(words));
  }

  const std::string& name() const { return name_; }
  const ChatWords& words() const { return words_; }
  const RoleWords& Wrap(ChatRole role) const;
  // The words that begin the assistant's answer, for a prompt that ends in a user turn.
  const std::string& opening() const { return words_.opening; }

  // All the words: what the tokens of prompts depend on.
  void AddTo(Hasher& hasher) const;

 private:
  ChatTemplate(std::string_view name, ChatWords words) : name_(name), words_(std::move(words)) {}

  std::string name_;
  ChatWords words_;
};

}  // namespace promptdb

#endif  // PROMPTDB_PLANNER_CHAT_TEMPLATE_H_
