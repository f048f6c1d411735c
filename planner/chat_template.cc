#include "planner/chat_template.h"

#include "base/error.h"

namespace promptdb {

namespace {

struct BuiltIn {
  std::string_view name;
  std::string_view mark;  // stands in every Jinja template of this family
  RoleWrapping system, user, assistant;
};

// Formats as published with the models. Llama 2 puts the system text inside the first user turn;
// here every role stands by itself, so its system text gets a turn of its own.
constexpr BuiltIn kBuiltIns[] = {
    {"plain", "", {"", ""}, {"", ""}, {"", ""}},
    {"chatml",
     "<|im_start|>",
     {"<|im_start|>system\n", "<|im_end|>\n"},
     {"<|im_start|>user\n", "<|im_end|>\n"},
     {"<|im_start|>assistant\n", "<|im_end|>\n"}},
    {"llama3",
     "<|start_header_id|>",
     {"<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>"},
     {"<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"},
     {"<|start_header_id|>assistant<|end_header_id|>\n\n", "<|eot_id|>"}},
    {"llama2",
     "[INST]",
     {"[INST] <<SYS>>\n", "\n<</SYS>>\n\n[/INST]"},
     {"[INST] ", " [/INST]"},
     {" ", " </s>"}},
};

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
    if (built_in.name == name) return ChatTemplate(name);
  }
  Check(false, "a chat template name is checked when the model is created");
  return ChatTemplate("plain");
}

ChatTemplate ChatTemplate::Recognise(std::string_view jinja) {
  if (jinja.empty()) return ChatTemplate("plain");
  for (const BuiltIn& built_in : kBuiltIns) {
    if (!built_in.mark.empty() && jinja.find(built_in.mark) != std::string_view::npos) {
      return ChatTemplate(built_in.name);
    }
  }
  throw Error(ErrorCode::kUnsupported,
              "the model's own chat template is none of the built-in ones (plain, chatml, llama3, "
              "llama2)",
              "Name the nearest with CREATE MODEL … WITH (chat_template = 'plain').");
}

RoleWrapping ChatTemplate::Wrap(ChatRole role) const {
  for (const BuiltIn& built_in : kBuiltIns) {
    if (built_in.name != name_) continue;
    switch (role) {
      case ChatRole::kSystem:
        return built_in.system;
      case ChatRole::kUser:
        return built_in.user;
      case ChatRole::kAssistant:
        return built_in.assistant;
      case ChatRole::kNone:
        return {};
    }
  }
  return {};
}

}  // namespace promptdb
