#include <algorithm>
#include <bit>
#include <utility>

#include "auth/secrets.h"
#include "base/utf8.h"
#include "executor/query_run.h"
#include "server/openai.h"

namespace promptdb {

namespace {

// Places in the rows of SELECT EMBEDDING.
enum EmbeddingPlace : size_t { kEmbedding, kDimensions, kEmbeddingTokens };

int64_t Whole(const Row& row, size_t place) { return std::get<int64_t>(row.at(place)); }

// A prompt counts once, however many answers it has.
Json UsageOf(const OpenAiRequest& request, const std::vector<Row>& rows) {
  int64_t prompt = 0, cached = 0, output = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    output += Whole(rows[i], GenerationPlace::kOutputTokens);
    if (i % request.choices != 0) continue;
    prompt += Whole(rows[i], GenerationPlace::kPromptTokens);
    cached += Whole(rows[i], GenerationPlace::kCachedTokens);
  }
  return {{"prompt_tokens", prompt},
          {"completion_tokens", output},
          {"total_tokens", prompt + output},
          {"prompt_tokens_details", {{"cached_tokens", cached}}}};
}

// A token as chats tell it, from the engine's entry for it: with its bytes, null where it has none.
Json TokenOf(const Json& entry) {
  Json token = {{"token", entry.at("token")}, {"logprob", entry.at("logprob")}};
  const auto bytes = entry.find("bytes");
  if (bytes != entry.end()) {
    token["bytes"] = bytes->empty() ? Json(nullptr) : *bytes;
  } else {
    Json& list = token["bytes"] = Json::array();
    for (const char byte : entry.at("token").get_ref<const std::string&>()) {
      list.push_back(static_cast<unsigned char>(byte));
    }
  }
  return token;
}

Json ChatLogprobs(const Json& entries) {
  Json content = Json::array();
  for (const Json& entry : entries) {
    Json token = TokenOf(entry);
    Json& top = token["top_logprobs"] = Json::array();
    for (const Json& likely : entry.at("top")) top.push_back(TokenOf(likely));
    content.push_back(std::move(token));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

// Characters that begin in the token; one may be spread over several tokens.
size_t CharactersOf(const Json& entry) {
  const auto bytes = entry.find("bytes");
  if (bytes == entry.end()) return CountCharacters(entry.at("token").get_ref<const std::string&>());
  return static_cast<size_t>(std::ranges::count_if(*bytes, [](const Json& byte) {
    return !IsUtf8Continuation(static_cast<char>(byte.get<int>()));
  }));
}

Json CompletionLogprobs(const Json& entries) {
  Json tokens = Json::array(), logprobs = Json::array(), tops = Json::array(),
       offsets = Json::array();
  size_t offset = 0;  // in characters of the answer
  for (const Json& entry : entries) {
    Json top = Json::object();
    for (const Json& likely : entry.at("top")) {
      top[likely.at("token").get<std::string>()] = likely.at("logprob");
    }
    tokens.push_back(entry.at("token"));
    logprobs.push_back(entry.at("logprob"));
    tops.push_back(std::move(top));
    offsets.push_back(offset);
    offset += CharactersOf(entry);
  }
  return {{"tokens", std::move(tokens)},
          {"token_logprobs", std::move(logprobs)},
          {"top_logprobs", std::move(tops)},
          {"text_offset", std::move(offsets)}};
}

// Little-endian floats, as OpenAI's clients ask for them where their users say nothing.
std::string Base64Of(const Json& embedding) {
  static_assert(std::endian::native == std::endian::little);
  const auto values = embedding.get<std::vector<float>>();
  return EncodeBase64(
      {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)});
}

// What a choice says of its tokens: null where nobody asked.
Json LogprobsOf(const OpenAiRequest& request, const Row& row) {
  if (!request.has_logprobs) return nullptr;
  const Json entries = Json::parse(std::get<std::string>(row.at(GenerationPlace::kLogprobs)));
  return request.kind == OpenAiRequest::Kind::kChat ? ChatLogprobs(entries)
                                                    : CompletionLogprobs(entries);
}

Json Envelope(const OpenAiRequest& request, bool is_stream) {
  const bool is_chat = request.kind == OpenAiRequest::Kind::kChat;
  const char* object = !is_chat    ? "text_completion"
                       : is_stream ? "chat.completion.chunk"
                                   : "chat.completion";
  return {{"id", request.id},
          {"object", object},
          {"created", request.created},
          {"model", request.model}};
}

// One choice of a stream's event.
Json StreamChoice(const OpenAiRequest& request, size_t index, Json delta, const std::string& text,
                  Json logprobs, const Json& finish_reason) {
  Json event = Envelope(request, true);
  Json choice = {{"index", index}};
  if (request.kind == OpenAiRequest::Kind::kChat) {
    choice["delta"] = std::move(delta);
  } else {
    choice["text"] = text;
  }
  choice["logprobs"] = std::move(logprobs);
  choice["finish_reason"] = finish_reason;
  event["choices"] = Json::array({std::move(choice)});
  if (request.includes_usage) event["usage"] = nullptr;
  return event;
}

}  // namespace

Json OpenAiError::Body() const {
  const char* type = status_ >= 500 ? "server_error" : "invalid_request_error";
  Json error = {{"message", what()}, {"type", type}};
  error["param"] = parameter_.empty() ? Json(nullptr) : Json(parameter_);
  error["code"] = code_.empty() ? Json(nullptr) : Json(code_);
  return {{"error", std::move(error)}};
}

OpenAiError OpenAiErrorOf(const Error& error) {
  const std::string message = error.message() + (error.hint().empty() ? "" : ". " + error.hint());
  switch (error.code()) {
    case ErrorCode::kUnknownName:
      return {404, message, "not_found"};
    case ErrorCode::kTooLong:
      return {400, message, "context_length_exceeded"};
    case ErrorCode::kSyntax:
    case ErrorCode::kDuplicateName:
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kUnsupported:
      return {400, message, "invalid_value"};
    case ErrorCode::kDenied:
      return {403, message, "insufficient_permissions"};
    case ErrorCode::kQuota:
      return {429, message, "insufficient_quota"};
    case ErrorCode::kBusy:
      return {409, message, "in_use"};
    case ErrorCode::kTooBusy:
      return {503, message, "too_busy"};
    case ErrorCode::kResource:
      return {507, message, "insufficient_resources"};
    case ErrorCode::kCanceled:
      return {503, message, "canceled"};
    default:
      return {500, message, "internal_error"};
  }
}

Json CompletionResponse(const OpenAiRequest& request, const std::vector<Row>& rows) {
  Json response = Envelope(request, false);
  Json choices = Json::array();
  for (size_t i = 0; i < rows.size(); ++i) {
    const std::string text = std::get<std::string>(rows[i].at(GenerationPlace::kText));
    Json choice = {{"index", i}};
    if (request.kind == OpenAiRequest::Kind::kChat) {
      choice["message"] = {{"role", "assistant"}, {"content", text}, {"refusal", nullptr}};
    } else {
      choice["text"] = text;
    }
    choice["logprobs"] = LogprobsOf(request, rows[i]);
    choice["finish_reason"] = std::get<std::string>(rows[i].at(GenerationPlace::kFinishReason));
    choices.push_back(std::move(choice));
  }
  response["choices"] = std::move(choices);
  response["usage"] = UsageOf(request, rows);
  return response;
}

Json PieceEvent(const OpenAiRequest& request, size_t index, const std::string& text,
                bool is_first) {
  Json delta = {{"content", text}};
  if (is_first) delta = {{"role", "assistant"}, {"content", text}};
  return StreamChoice(request, index, std::move(delta), text, nullptr, nullptr);
}

Json EndEvent(const OpenAiRequest& request, size_t index, const Row& row) {
  return StreamChoice(request, index, Json::object(), "", LogprobsOf(request, row),
                      std::get<std::string>(row.at(GenerationPlace::kFinishReason)));
}

Json UsageEvent(const OpenAiRequest& request, const std::vector<Row>& rows) {
  Json event = Envelope(request, true);
  event["choices"] = Json::array();
  event["usage"] = UsageOf(request, rows);
  return event;
}

Json EmbeddingResponse(const OpenAiRequest& request, const std::vector<Row>& rows) {
  Json data = Json::array();
  int64_t tokens = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    tokens += Whole(rows[i], kEmbeddingTokens);
    Json embedding = Json::parse(std::get<std::string>(rows[i].at(kEmbedding)));
    if (request.wants_base64) embedding = Base64Of(embedding);
    data.push_back({{"object", "embedding"}, {"index", i}, {"embedding", std::move(embedding)}});
  }
  return {{"object", "list"},
          {"data", std::move(data)},
          {"model", request.model},
          {"usage", {{"prompt_tokens", tokens}, {"total_tokens", tokens}}}};
}

}  // namespace promptdb
