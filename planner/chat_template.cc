#include "planner/chat_template.h"

#include "base/error.h"

namespace promptdb {

namespace {

struct BuiltIn {
  const char* name;
  std::string_view mark;  // stands in every Jinja template of this family; "": there is none
  struct Words {
    const char* before;
    const char* after;
  } system, user, assistant;
  const char* opening;
};

// Formats as published with the models. Llama 2 puts the system text inside the first user turn;
// here every role stands by itself, so its system text gets a turn of its own. Mistral and Gemma
// know no system role; its text is a user turn.
constexpr BuiltIn kBuiltIns[] = {
    {"plain", "", {"", ""}, {"", ""}, {"", ""}, ""},
    {"chatml",
     "<|im_start|>",
     {"<|im_start|>system\n", "<|im_end|>\n"},
     {"<|im_start|>user\n", "<|im_end|>\n"},
     {"<|im_start|>assistant\n", "<|im_end|>\n"},
     "<|im_start|>assistant\n"},
    {"llama3",
     "<|start_header_id|>",
     {"<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>"},
     {"<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"},
     {"<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"},
     "<|start_header_id|>assistant<|end_header_id|>\n\n"},
    {"llama2",
     "<<SYS>>",
     {"[INST] <<SYS>>\n", "\n<</SYS>>\n\n[/INST]"},
     {"[INST] ", " [/INST]"},
     {" ", " </s>"},
     ""},
    {"mistral", "[INST]", {"[INST] ", " [/INST]"}, {"[INST] ", " [/INST]"}, {" ", "</s>"}, ""},
    {"gemma",
     "<start_of_turn>",
     {"<start_of_turn>user\n", "<end_of_turn>\n"},
     {"<start_of_turn>user\n", "<end_of_turn>\n"},
     {"<start_of_turn>model\n", "<end_of_turn>\n"},
     "<start_of_turn>model\n"},
    {"falcon", "", {"", "\n"}, {"User: ", "\n"}, {"Assistant: ", "\n"}, "Assistant:"},
};

ChatWords WordsOf(const BuiltIn& built_in) {
  const auto words = [](const BuiltIn::Words& each) { return RoleWords{each.before, each.after}; };
  return {words(built_in.system), words(built_in.user), words(built_in.assistant),
          built_in.opening};
}

}  // namespace

const std::vector<std::string>& ChatTemplate::Names() {
  static const std::vector<std::string>& names = *[] {
    auto* list = new std::vector<std::string>();
    for (const BuiltIn& built_in : kBuiltIns) list->emplace_back(built_in.name);
    return list;
  }();
  return names;
}

ChatTemplate ChatTemplate::Named(std::string_view name) {
  for (const BuiltIn& built_in : kBuiltIns) {
    if (built_in.name == name) return {name, WordsOf(built_in)};
  }
  Check(false, "a chat template name is checked when the model is created");
  return {};
}

std::optional<ChatTemplate> ChatTemplate::Recognise(std::string_view jinja) {
  if (jinja.empty()) return Named("plain");
  for (const BuiltIn& built_in : kBuiltIns) {
    if (!built_in.mark.empty() && jinja.find(built_in.mark) != std::string_view::npos) {
      return Named(built_in.name);
    }
  }
  return std::nullopt;
}

const RoleWords& ChatTemplate::Wrap(ChatRole role) const {
  static const RoleWords kNoWords;
  switch (role) {
    case ChatRole::kSystem:
      return words_.system;
    case ChatRole::kUser:
      return words_.user;
    case ChatRole::kAssistant:
      return words_.assistant;
    case ChatRole::kNone:
      break;
  }
  return kNoWords;
}

void ChatTemplate::AddTo(Hasher& hasher) const {
  for (const RoleWords* words : {&words_.system, &words_.user, &words_.assistant}) {
    hasher.Add(words->before).Add(words->after);
  }
  hasher.Add(words_.opening);
}

}  // namespace promptdb
