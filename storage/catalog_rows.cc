#include "storage/catalog_rows.h"

#include <algorithm>
#include <array>

#include "storage/json_rows.h"

namespace promptdb {

namespace {

using Json = nlohmann::json;

// By enumerator; the names on disk never change.
constexpr std::array<std::string_view, 4> kKindNames = {"text", "module", "union", "role"};
constexpr std::array<ChatRole, 4> kRoles = {ChatRole::kNone, ChatRole::kSystem, ChatRole::kUser,
                                            ChatRole::kAssistant};

std::string Dump(const Json& json, const std::string& name) {
  try {
    return json.dump();
  } catch (const Json::type_error&) {
    throw Error(ErrorCode::kInvalidArgument, "text that is not UTF-8 in the definition of " + name,
                "Convert the text or the file to UTF-8.");
  }
}

template <typename T, typename Encode>
Json EncodeAll(const std::vector<T>& values, Encode encode) {
  Json array = Json::array();
  for (const T& value : values) array.push_back(encode(value));
  return array;
}

template <typename T, typename Decode>
std::vector<T> DecodeAll(const Json& json, const char* field, Decode decode) {
  std::vector<T> values;
  const auto found = json.find(field);
  if (found == json.end()) return values;
  if (!found->is_array()) CorruptRow(std::string(field) + " is no list");
  for (const Json& value : *found) values.push_back(decode(value));
  return values;
}

Json EncodeParameter(const ParameterDefinition& parameter) {
  Json json = {{"name", parameter.name}, {"tokens", parameter.tokens}};
  if (parameter.default_value) json["default"] = *parameter.default_value;
  return json;
}

ParameterDefinition DecodeParameter(const Json& json) {
  ParameterDefinition parameter;
  parameter.name = json.at("name").get<std::string>();
  parameter.tokens = json.at("tokens").get<int>();
  if (const auto found = json.find("default"); found != json.end()) {
    parameter.default_value = found->get<std::string>();
  }
  return parameter;
}

// Empty fields are left out: most parts have only a few.
Json EncodePart(const PartDefinition& part, int depth) {
  if (depth > kMaxPartDepth) {
    throw Error(ErrorCode::kInvalidArgument,
                "parts are nested deeper than " + std::to_string(kMaxPartDepth) + " levels");
  }
  Json json = {{"kind", kKindNames[static_cast<size_t>(part.kind)]}};
  if (!part.name.empty()) json["name"] = part.name;
  if (part.role != ChatRole::kNone) json["role"] = ChatRoleName(part.role);
  if (!part.text.empty()) json["text"] = part.text;
  if (!part.source_file.empty()) json["source_file"] = part.source_file;
  if (!part.parameters.empty()) json["parameters"] = EncodeAll(part.parameters, EncodeParameter);
  if (!part.children.empty()) {
    json["children"] = EncodeAll(part.children, [depth](const PartDefinition& child) {
      return EncodePart(child, depth + 1);
    });
  }
  return json;
}

PartDefinition DecodePart(const Json& json, int depth) {
  if (depth > kMaxPartDepth) CorruptRow("parts are nested too deeply");
  PartDefinition part;
  const auto kind = json.at("kind").get<std::string>();
  const auto known = std::find(kKindNames.begin(), kKindNames.end(), kind);
  if (known == kKindNames.end()) CorruptRow("unknown kind of part: " + kind);
  part.kind = static_cast<PartDefinition::Kind>(known - kKindNames.begin());
  part.name = json.value("name", "");
  const auto role = json.value("role", "");
  const auto named = std::find_if(kRoles.begin(), kRoles.end(),
                                  [&](ChatRole value) { return ChatRoleName(value) == role; });
  if (named == kRoles.end()) CorruptRow("unknown role: " + role);
  part.role = *named;
  part.text = json.value("text", "");
  part.source_file = json.value("source_file", "");
  part.parameters = DecodeAll<ParameterDefinition>(json, "parameters", DecodeParameter);
  part.children = DecodeAll<PartDefinition>(
      json, "children", [depth](const Json& child) { return DecodePart(child, depth + 1); });
  return part;
}

Json EncodeScaffold(const ScaffoldDefinition& scaffold) {
  return {{"name", scaffold.name}, {"members", scaffold.members}};
}

ScaffoldDefinition DecodeScaffold(const Json& json) {
  return {json.at("name").get<std::string>(), json.value("members", std::vector<std::string>())};
}

Json EncodeRoleWords(const RoleWords& words) {
  return {{"before", words.before}, {"after", words.after}};
}

RoleWords DecodeRoleWords(const Json& json) {
  return {json.value("before", ""), json.value("after", "")};
}

Json EncodeChatWords(const ChatWords& words) {
  return {{"system", EncodeRoleWords(words.system)},
          {"user", EncodeRoleWords(words.user)},
          {"assistant", EncodeRoleWords(words.assistant)},
          {"opening", words.opening}};
}

ChatWords DecodeChatWords(const Json& json) {
  return {DecodeRoleWords(json.at("system")), DecodeRoleWords(json.at("user")),
          DecodeRoleWords(json.at("assistant")), json.value("opening", "")};
}

ModelDefinition ModelFrom(const Json& json) {
  ModelDefinition model;
  model.name = json.at("name").get<std::string>();
  model.path = json.at("path").get<std::string>();
  model.dtype = json.value("dtype", "stored");
  model.kv_dtype = json.value("kv_dtype", "bf16");
  model.device = json.value("device", std::string(kCpuDevice));
  model.chat_template = json.value("chat_template", "auto");
  if (const auto found = json.find("chat_words"); found != json.end()) {
    model.chat_words = DecodeChatWords(*found);
  }
  model.chat_notes = json.value("chat_notes", std::vector<std::string>());
  model.architecture = json.value("architecture", "");
  model.parameters = json.value("parameters", int64_t{0});
  model.context_length = json.value("context_length", 0);
  model.content_digest = json.value("content_digest", "");
  model.fingerprint = json.value("fingerprint", "");
  model.created_at = json.value("created_at", int64_t{0});
  return model;
}

SchemaDefinition SchemaFrom(const Json& json) {
  SchemaDefinition schema;
  schema.name = json.at("name").get<std::string>();
  schema.model = json.at("model").get<std::string>();
  schema.separator = json.value("separator", "");
  schema.is_portable = json.value("portable", false);
  schema.is_shared = json.value("shared", false);
  schema.parts = DecodeAll<PartDefinition>(json, "parts",
                                           [](const Json& part) { return DecodePart(part, 1); });
  schema.scaffolds = DecodeAll<ScaffoldDefinition>(json, "scaffolds", DecodeScaffold);
  if (const auto found = json.find("policies"); found != json.end()) {
    for (const auto& [path, policy] : found->items()) {
      schema.policies[path] = {policy.value("ttl_seconds", int64_t{0}), policy.value("priority", 0),
                               policy.value("pinned", false)};
    }
  }
  schema.created_at = json.value("created_at", int64_t{0});
  return schema;
}

// Pairs and triples of numbers, as lists: they are most of a row.
Json EncodeChatSegment(const ChatSegment& segment) {
  Json json = {{"label", segment.label},
               {"tokens", segment.tokens},
               {"start", segment.start},
               {"state", segment.state.ToHex()}};
  if (!segment.chat_label.empty()) json["chat_label"] = segment.chat_label;
  if (!segment.attends.empty()) {
    json["attends"] = EncodeAll(segment.attends, [](const ChatSegment::Span& span) {
      return Json{span.segment, span.begin, span.end};
    });
  }
  if (!segment.placeholders.empty()) {
    json["placeholders"] = EncodeAll(segment.placeholders, [](const auto& placeholder) {
      return Json{placeholder.begin, placeholder.tokens};
    });
  }
  return json;
}

ChatSegment DecodeChatSegment(const Json& json) {
  ChatSegment segment;
  segment.label = json.at("label").get<std::string>();
  segment.tokens = json.at("tokens").get<std::vector<int32_t>>();
  segment.start = json.at("start").get<int>();
  segment.state = Digest::FromHex(json.at("state").get<std::string>());
  segment.chat_label = json.value("chat_label", "");
  segment.attends = DecodeAll<ChatSegment::Span>(json, "attends", [](const Json& span) {
    return ChatSegment::Span{span.at(0).get<int>(), span.at(1).get<int>(), span.at(2).get<int>()};
  });
  segment.placeholders =
      DecodeAll<ChatSegment::Placeholder>(json, "placeholders", [](const Json& placeholder) {
        return ChatSegment::Placeholder{placeholder.at(0).get<int>(), placeholder.at(1).get<int>()};
      });
  return segment;
}

// What running the chat relies on.
void CheckChat(const ChatDefinition& chat) {
  std::vector<const ChatSegment*> segments;
  for (const auto* part : {&chat.opening, &chat.turns}) {
    for (const ChatSegment& segment : *part) {
      const auto size = static_cast<int>(segment.tokens.size());
      if (size == 0 || segment.start < 0) CorruptRow("a segment without tokens or place");
      for (const ChatSegment::Span& span : segment.attends) {
        if (span.segment < 0 || static_cast<size_t>(span.segment) >= segments.size() ||
            span.begin < 0 || span.begin >= span.end ||
            static_cast<size_t>(span.end) >
                segments[static_cast<size_t>(span.segment)]->tokens.size()) {
          CorruptRow(
              "segment "
              " + segment.label + "
              " attends to what is not before it");
        }
      }
      int end = 0;
      for (const ChatSegment::Placeholder& placeholder : segment.placeholders) {
        if (placeholder.begin < end || placeholder.tokens < 0 ||
            placeholder.tokens > size - placeholder.begin) {
          CorruptRow(
              "segment "
              " + segment.label + "
              " has a parameter outside of it");
        }
        end = placeholder.begin + placeholder.tokens;
      }
      segments.push_back(&segment);
    }
  }
}

ChatDefinition ChatFrom(const Json& json) {
  ChatDefinition chat;
  chat.name = json.at("name").get<std::string>();
  chat.schema = json.at("schema").get<std::string>();
  chat.model = json.at("model").get<std::string>();
  chat.reuse = json.at("reuse").get<std::string>();
  if (chat.reuse != "modular" && chat.reuse != "exact" && chat.reuse != "none") {
    CorruptRow("unknown reuse: " + chat.reuse);
  }
  chat.cache = json.value("cache", true);
  chat.tokenizer = Digest::FromHex(json.at("tokenizer").get<std::string>());
  chat.fingerprint = Digest::FromHex(json.at("fingerprint").get<std::string>());
  chat.opening = DecodeAll<ChatSegment>(json, "opening", DecodeChatSegment);
  chat.turns = DecodeAll<ChatSegment>(json, "turns", DecodeChatSegment);
  chat.pending = json.value("pending", std::vector<int32_t>());
  if (const auto found = json.find("end_token"); found != json.end()) {
    chat.end_token = found->get<int32_t>();
  }
  if (const auto found = json.find("owner"); found != json.end()) {
    chat.owner = Digest::FromHex(found->get<std::string>());
  }
  chat.created_at = json.value("created_at", int64_t{0});
  chat.last_used_at = json.value("last_used_at", int64_t{0});
  CheckChat(chat);
  return chat;
}

Json EncodeAccuracyRow(const AccuracyRow& row) {
  Json json = {{"mode", row.mode},
               {"kv_dtype", row.kv_dtype},
               {"questions", row.questions},
               {"tokens", row.tokens},
               {"kl", row.kl},
               {"first_kl", row.first_kl}};
  if (row.exact_match) json["exact_match"] = *row.exact_match;
  if (row.f1) json["f1"] = *row.f1;
  if (row.rouge_l) json["rouge_l"] = *row.rouge_l;
  if (row.perplexity) json["perplexity"] = *row.perplexity;
  return json;
}

AccuracyRow DecodeAccuracyRow(const Json& json) {
  const auto optional = [&](const char* field) -> std::optional<double> {
    const auto found = json.find(field);
    if (found == json.end()) return std::nullopt;
    return found->get<double>();
  };
  AccuracyRow row;
  row.mode = json.at("mode").get<std::string>();
  row.kv_dtype = json.at("kv_dtype").get<std::string>();
  row.questions = json.value("questions", int64_t{0});
  row.tokens = json.value("tokens", int64_t{0});
  row.kl = json.value("kl", 0.0);
  row.first_kl = json.value("first_kl", 0.0);
  row.exact_match = optional("exact_match");
  row.f1 = optional("f1");
  row.rouge_l = optional("rouge_l");
  row.perplexity = optional("perplexity");
  return row;
}

ModelAccuracy AccuracyFrom(const Json& json) {
  ModelAccuracy accuracy;
  accuracy.model = json.at("model").get<std::string>();
  accuracy.fingerprint = Digest::FromHex(json.at("fingerprint").get<std::string>());
  accuracy.source = json.value("source", "");
  accuracy.measured_at = json.value("measured_at", int64_t{0});
  accuracy.rows = DecodeAll<AccuracyRow>(json, "rows", DecodeAccuracyRow);
  return accuracy;
}

}  // namespace

std::string_view ChatRoleName(ChatRole role) {
  switch (role) {
    case ChatRole::kNone:
      return "";
    case ChatRole::kSystem:
      return "system";
    case ChatRole::kUser:
      return "user";
    case ChatRole::kAssistant:
      return "assistant";
  }
  return "";
}

std::string EncodeModel(const ModelDefinition& model) {
  Json json = {{"version", kRowVersion},
               {"name", model.name},
               {"path", model.path},
               {"dtype", model.dtype},
               {"kv_dtype", model.kv_dtype},
               {"device", model.device},
               {"chat_template", model.chat_template},
               {"architecture", model.architecture},
               {"parameters", model.parameters},
               {"context_length", model.context_length},
               {"content_digest", model.content_digest},
               {"fingerprint", model.fingerprint},
               {"created_at", model.created_at}};
  if (model.chat_words) json["chat_words"] = EncodeChatWords(*model.chat_words);
  if (!model.chat_notes.empty()) json["chat_notes"] = model.chat_notes;
  return Dump(json, "model \"" + model.name + "\"");
}

std::string EncodeSchema(const SchemaDefinition& schema) {
  Json json = {{"version", kRowVersion},
               {"name", schema.name},
               {"model", schema.model},
               {"separator", schema.separator},
               {"parts", EncodeAll(schema.parts,
                                   [](const PartDefinition& part) { return EncodePart(part, 1); })},
               {"scaffolds", EncodeAll(schema.scaffolds, EncodeScaffold)},
               {"created_at", schema.created_at}};
  if (schema.is_portable) json["portable"] = true;
  if (schema.is_shared) json["shared"] = true;
  for (const auto& [path, policy] : schema.policies) {
    json["policies"][path] = {{"ttl_seconds", policy.ttl_seconds},
                              {"priority", policy.priority},
                              {"pinned", policy.is_pinned}};
  }
  return Dump(json, "schema \"" + schema.name + "\"");
}

std::string EncodeChat(const ChatDefinition& chat) {
  Json json = {{"version", kRowVersion},
               {"name", chat.name},
               {"schema", chat.schema},
               {"model", chat.model},
               {"reuse", chat.reuse},
               {"cache", chat.cache},
               {"tokenizer", chat.tokenizer.ToHex()},
               {"fingerprint", chat.fingerprint.ToHex()},
               {"opening", EncodeAll(chat.opening, EncodeChatSegment)},
               {"turns", EncodeAll(chat.turns, EncodeChatSegment)},
               {"pending", chat.pending},
               {"created_at", chat.created_at},
               {"last_used_at", chat.last_used_at}};
  if (chat.end_token) json["end_token"] = *chat.end_token;
  if (chat.owner != Digest()) json["owner"] = chat.owner.ToHex();
  return Dump(json, "chat \"" + chat.name + "\"");
}

std::string EncodeAccuracy(const ModelAccuracy& accuracy) {
  const Json json = {{"version", kRowVersion},
                     {"model", accuracy.model},
                     {"fingerprint", accuracy.fingerprint.ToHex()},
                     {"source", accuracy.source},
                     {"measured_at", accuracy.measured_at},
                     {"rows", EncodeAll(accuracy.rows, EncodeAccuracyRow)}};
  return Dump(json, "the accuracy of model \"" + accuracy.model + "\"");
}

ModelDefinition DecodeModel(std::string_view row) { return DecodeRow(row, ModelFrom); }
SchemaDefinition DecodeSchema(std::string_view row) { return DecodeRow(row, SchemaFrom); }
ChatDefinition DecodeChat(std::string_view row) { return DecodeRow(row, ChatFrom); }
ModelAccuracy DecodeAccuracy(std::string_view row) { return DecodeRow(row, AccuracyFrom); }

}  // namespace promptdb
