#include <algorithm>
#include <ctime>
#include <optional>
#include <utility>

#include "auth/secrets.h"
#include "server/openai.h"

namespace promptdb {

namespace {

constexpr size_t kMostTexts = 256;  // prompts of a completion, inputs of embeddings
constexpr int64_t kMostChoices = 128;
constexpr int kDeepest = 256;
// The type of a content part that names a module. No text can be taken for one.
constexpr std::string_view kModulePart = "promptdb_module";
// What OpenAI takes.
constexpr int64_t kMostTopOfChat = 20;
constexpr int64_t kMostTopOfCompletion = 5;

[[noreturn]] void Refuse(const std::string& message, const std::string& parameter,
                         const std::string& code = "invalid_value") {
  throw OpenAiError(400, message, code, parameter);
}

// What is nested deeper would overflow the stack where it is copied or written. (The parser could
// tell the depth by a callback, and then looks at all elements of an array at the end of each.)
void CheckDepth(std::string_view json) {
  int depth = 0;
  bool is_in_text = false;
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (c == '"') {
      is_in_text = !is_in_text;
    } else if (is_in_text) {
      if (c == '\\') ++i;
    } else if (c == '[' || c == '{') {
      if (++depth > kDeepest) Refuse("the body is nested too deeply", "", "invalid_json");
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
}

// The member, or null where it is absent or null.
const Json* Member(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

std::string TextMember(const Json& object, const char* name, const std::string& path) {
  const Json* member = Member(object, name);
  if (member == nullptr) Refuse("'" + path + "' is required", path, "missing_required_parameter");
  if (!member->is_string()) Refuse("'" + path + "' must be a string", path, "invalid_type");
  return member->get<std::string>();
}

ast::Text TextOf(std::string text) {
  if (text.find('\0') != std::string::npos) Refuse("a text holds a zero byte", "");
  ast::Text made;
  made.text = std::move(text);
  return made;
}

ast::Option OptionOf(const char* name, std::variant<std::string, int64_t, double, bool> value) {
  ast::Option option;
  option.name.text = name;
  option.value.value = std::move(value);
  return option;
}

// "module", "module.child", or {"module": …, "parameters": {…}}.
ast::UseItem ModuleOf(const Json& used, const std::string& path) {
  ast::UseItem item;
  item.kind = ast::UseItem::Kind::kModule;
  std::string name;
  if (used.is_string()) {
    name = used.get<std::string>();
  } else if (used.is_object()) {
    name = TextMember(used, "module", path + ".module");
    if (const Json* parameters = Member(used, "parameters")) {
      if (!parameters->is_object()) Refuse("'parameters' must be an object", path + ".parameters");
      for (const auto& [parameter, value] : parameters->items()) {
        if (!value.is_string()) Refuse("a parameter's value must be a string", path);
        item.arguments.push_back({{parameter, {}}, TextOf(value.get<std::string>())});
      }
    }
  } else {
    Refuse("a module is a string or an object", path, "invalid_type");
  }
  for (size_t begin = 0; begin <= name.size();) {
    const size_t dot = std::min(name.find('.', begin), name.size());
    item.path.push_back({name.substr(begin, dot - begin), {}});
    begin = dot + 1;
  }
  return item;
}

// A message's content: a string, or an array of parts. Modules among them stand in the prompt where
// they stand in the message; texts that follow each other are one.
void ReadContent(const Json& message, ast::Role role, const std::string& path, ast::Select& query) {
  const auto add_text = [&](std::string text) {
    ast::UseItem item;
    item.kind = ast::UseItem::Kind::kRoleText;
    item.role = role;
    item.text = TextOf(std::move(text));
    query.use.push_back(std::move(item));
  };
  const Json* content = Member(message, "content");
  if (content == nullptr) Refuse("'" + path + "' is required", path, "missing_required_parameter");
  if (content->is_string()) return add_text(content->get<std::string>());
  if (!content->is_array()) Refuse("'" + path + "' must be a string or an array", path);
  std::string text;
  bool has_modules = false;
  for (const Json& part : *content) {
    const Json* type = part.is_object() ? Member(part, "type") : nullptr;
    if (type != nullptr && *type == "text") {
      text += TextMember(part, "text", path + ".text");
    } else if (type != nullptr && *type == kModulePart) {
      if (query.is_bare) {
        Refuse("a module needs 'promptdb.schema', which it is one of", path, "invalid_value");
      }
      if (!text.empty()) add_text(std::exchange(text, ""));
      query.use.push_back(ModuleOf(part, path));
      has_modules = true;
    } else {
      Refuse("only parts of type 'text' and '" + std::string(kModulePart) + "' are taken", path,
             "unsupported_value");
    }
  }
  if (!text.empty() || !has_modules) add_text(std::move(text));
}

ast::Role RoleOf(const std::string& role, const std::string& path) {
  if (role == "system" || role == "developer") return ast::Role::kSystem;
  if (role == "user") return ast::Role::kUser;
  if (role == "assistant") return ast::Role::kAssistant;
  Refuse("role '" + role + "' is not taken", path, "unsupported_value");
}

void ReadMessages(const Json& body, ast::Select& query) {
  const Json* messages = Member(body, "messages");
  if (messages == nullptr || !messages->is_array() || messages->empty()) {
    Refuse("'messages' must be an array with a message at least", "messages");
  }
  int index = 0;
  for (const Json& message : *messages) {
    const std::string path = "messages[" + std::to_string(index++) + "]";
    if (!message.is_object()) Refuse("'" + path + "' must be an object", path, "invalid_type");
    const ast::Role role = RoleOf(TextMember(message, "role", path + ".role"), path + ".role");
    ReadContent(message, role, path + ".content", query);
  }
}

// "promptdb": {"schema": …, "use": […], "reuse": …, "priority": …, "deadline": …}; without it, the
// model alone.
void ReadSource(const Json& body, const std::string& model, ast::Select& query) {
  const Json* extension = Member(body, "promptdb");
  if (extension == nullptr) {
    query.schema.text = model;
    query.is_bare = true;
    query.with_options.push_back(OptionOf("reuse", std::string("exact")));
    return;
  }
  if (!extension->is_object()) Refuse("'promptdb' must be an object", "promptdb", "invalid_type");
  query.schema.text = TextMember(*extension, "schema", "promptdb.schema");
  if (const Json* use = Member(*extension, "use")) {
    if (!use->is_array()) Refuse("'promptdb.use' must be an array", "promptdb.use");
    for (const Json& used : *use) query.use.push_back(ModuleOf(used, "promptdb.use"));
  }
  const auto is_option = [](const std::string& name) {
    return name == "reuse" || name == "priority" || name == "deadline";
  };
  for (const auto& [name, value] : extension->items()) {
    if (is_option(name)) {
      if (value.is_null()) continue;  // as absent
      query.with_options.push_back(
          OptionOf(name.c_str(), TextMember(*extension, name.c_str(), "promptdb." + name)));
    } else if (name != "schema" && name != "use") {
      Refuse("'promptdb' has no member '" + name + "'", "promptdb." + name, "unknown_parameter");
    }
  }
}

// An option of the same name.
void ReadNumber(const Json& body, const char* name, double least, double most, double absent,
                ast::Select& query) {
  const Json* value = Member(body, name);
  if (value != nullptr && !value->is_number()) {
    Refuse("'" + std::string(name) + "' must be a number", name, "invalid_type");
  }
  const double number = value == nullptr ? absent : value->get<double>();
  if (!(number >= least && number <= most)) {
    Refuse("'" + std::string(name) + "' is out of range", name);
  }
  query.options.push_back(OptionOf(name, number));
}

int64_t WholeMember(const Json& value, const char* name) {
  if (!value.is_number_integer()) {
    Refuse("'" + std::string(name) + "' must be a whole number", name, "invalid_type");
  }
  return value.get<int64_t>();
}

// False where it is absent.
bool BoolMember(const Json& object, const char* name) {
  const Json* member = Member(object, name);
  if (member == nullptr) return false;
  if (!member->is_boolean()) {
    Refuse("'" + std::string(name) + "' must be a boolean", name, "invalid_type");
  }
  return member->get<bool>();
}

int64_t WholeMember(const Json& value, const char* name, int64_t least, int64_t most) {
  const int64_t number = WholeMember(value, name);
  if (number < least || number > most) {
    Refuse("'" + std::string(name) + "' is from " + std::to_string(least) + " to " +
               std::to_string(most),
           name);
  }
  return number;
}

void ReadStops(const Json& body, ast::Select& query) {
  const Json* stop = Member(body, "stop");
  if (stop == nullptr) return;
  const Json stops = stop->is_array() ? *stop : Json::array({*stop});
  for (const Json& text : stops) {
    if (!text.is_string()) Refuse("'stop' must be a string or an array of strings", "stop");
    query.options.push_back(OptionOf("stop", text.get<std::string>()));
  }
}

void ReadResponseFormat(const Json& body, ast::Select& query) {
  const Json* format = Member(body, "response_format");
  if (format == nullptr) return;
  const Json* type = format->is_object() ? Member(*format, "type") : nullptr;
  if (type != nullptr && *type == "text") return;
  if (type != nullptr && *type == "json_object") {
    query.options.push_back(OptionOf("json_schema", R"({"type": "object"})"));
    return;
  }
  const Json* wrapper =
      type != nullptr && *type == "json_schema" ? Member(*format, "json_schema") : nullptr;
  const Json* schema =
      wrapper != nullptr && wrapper->is_object() ? Member(*wrapper, "schema") : nullptr;
  if (schema == nullptr) {
    Refuse("'response_format' is 'text', 'json_object', or a 'json_schema' with its schema",
           "response_format", "unsupported_value");
  }
  query.options.push_back(OptionOf("json_schema", schema->dump()));
}

// What would change the answer, and is not there: an error, and never ignored.
void RefuseUnsupported(const Json& body) {
  for (const char* name : {"tools", "functions", "tool_choice", "logit_bias", "audio", "suffix",
                           "prediction", "web_search_options", "best_of"}) {
    const Json* value = Member(body, name);
    if (value == nullptr || (value->is_structured() && value->empty())) continue;
    if (value->is_string() && (*value == "none" || *value == "auto")) continue;
    Refuse("'" + std::string(name) + "' is not supported", name, "unsupported_parameter");
  }
  const Json* echo = Member(body, "echo");
  if (echo != nullptr && *echo != false) {
    Refuse("'echo' is not supported", "echo", "unsupported_parameter");
  }
}

// Chats have "logprobs": true and "top_logprobs": n, completions "logprobs": n.
void ReadLogprobs(const Json& body, OpenAiRequest& request, ast::Select& query) {
  const Json* logprobs = Member(body, "logprobs");
  const Json* top = Member(body, "top_logprobs");
  std::optional<int64_t> count;
  if (request.kind == OpenAiRequest::Kind::kCompletion) {
    if (top != nullptr) Refuse("'top_logprobs' is for chats", "top_logprobs", "unknown_parameter");
    if (logprobs != nullptr) count = WholeMember(*logprobs, "logprobs", 0, kMostTopOfCompletion);
  } else {
    if (BoolMember(body, "logprobs")) {
      count = top == nullptr ? 0 : WholeMember(*top, "top_logprobs", 0, kMostTopOfChat);
    } else if (top != nullptr) {
      Refuse("'top_logprobs' needs 'logprobs': true", "top_logprobs");
    }
  }
  if (!count) return;
  request.has_logprobs = true;
  query.options.push_back(OptionOf("logprobs", *count));
}

void ReadGeneration(const Json& body, OpenAiRequest& request, ast::Select& query) {
  RefuseUnsupported(body);
  ReadLogprobs(body, request, query);
  ReadNumber(body, "temperature", 0, 2, 1, query);
  ReadNumber(body, "top_p", 0, 1, 1, query);
  ReadNumber(body, "presence_penalty", -2, 2, 0, query);
  ReadNumber(body, "frequency_penalty", -2, 2, 0, query);
  const Json* limit = Member(body, "max_completion_tokens");
  if (limit == nullptr) limit = Member(body, "max_tokens");
  if (limit != nullptr) {
    query.options.push_back(OptionOf("max_tokens", WholeMember(*limit, "max_tokens")));
  }
  if (const Json* seed = Member(body, "seed")) {
    query.options.push_back(OptionOf("seed", WholeMember(*seed, "seed")));
  }
  if (const Json* count = Member(body, "n")) {
    request.choices = static_cast<size_t>(WholeMember(*count, "n", 1, kMostChoices));
  }
  ReadStops(body, query);
  ReadResponseFormat(body, query);
  request.streams = BoolMember(body, "stream");
  if (const Json* options = Member(body, "stream_options"); options && options->is_object()) {
    request.includes_usage = BoolMember(*options, "include_usage");
  }
}

// A text, or an array of up to `most`.
std::vector<std::string> TextsMember(const Json& body, const char* name, size_t most) {
  const Json* member = Member(body, name);
  std::vector<std::string> texts;
  if (member != nullptr && member->is_string()) texts.push_back(member->get<std::string>());
  if (member != nullptr && member->is_array()) {
    for (const Json& text : *member) {
      if (!text.is_string()) {
        Refuse("'" + std::string(name) + "' must be texts", name, "invalid_type");
      }
      texts.push_back(text.get<std::string>());
    }
  }
  if (texts.empty() || texts.size() > most) {
    Refuse(
        "'" + std::string(name) + "' must be a text, or an array of 1 to " + std::to_string(most),
        name);
  }
  return texts;
}

}  // namespace

OpenAiRequest ReadOpenAiRequest(OpenAiRequest::Kind kind, std::string_view text) {
  CheckDepth(text);
  const Json body = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!body.is_object()) Refuse("the body is no JSON object", "", "invalid_json");
  OpenAiRequest request;
  request.kind = kind;
  request.created = std::time(nullptr);
  request.model = TextMember(body, "model", "model");
  ast::Select query;
  ReadSource(body, request.model, query);
  switch (kind) {
    case OpenAiRequest::Kind::kChat:
      request.id = "chatcmpl-" + HexOf(RandomBytes(12));
      ReadMessages(body, query);
      ReadGeneration(body, request, query);
      request.queries.push_back(std::move(query));
      break;
    case OpenAiRequest::Kind::kCompletion:
      request.id = "cmpl-" + HexOf(RandomBytes(12));
      ReadGeneration(body, request, query);
      for (std::string& prompt : TextsMember(body, "prompt", kMostTexts)) {
        query.prompt = TextOf(std::move(prompt));
        request.queries.push_back(query);
      }
      break;
    case OpenAiRequest::Kind::kEmbedding: {
      query.kind = ast::Select::Kind::kEmbedding;
      const Json* format = Member(body, "encoding_format");
      if (format != nullptr && *format != "float" && *format != "base64") {
        Refuse("'encoding_format' is 'float' or 'base64'", "encoding_format", "unsupported_value");
      }
      request.wants_base64 = format != nullptr && *format == "base64";
      if (Member(body, "dimensions") != nullptr) {
        Refuse("'dimensions' are the model's", "dimensions", "unsupported_parameter");
      }
      for (std::string& input : TextsMember(body, "input", kMostTexts)) {
        query.prompt = TextOf(std::move(input));
        request.queries.push_back(query);
      }
      break;
    }
  }
  return request;
}

ast::Select ChoiceOf(const ast::Select& query, size_t number) {
  ast::Select choice = query;
  for (ast::Option& option : choice.options) {
    if (option.name.text != "seed") continue;
    int64_t& seed = std::get<int64_t>(option.value.value);
    // What is out of range stays so.
    if (seed >= 0) seed = static_cast<int64_t>((static_cast<uint64_t>(seed) + number) & INT64_MAX);
  }
  return choice;
}

}  // namespace promptdb
