// OpenAI's requests, to queries, and answers, to OpenAI's responses. What they look like is in
// OpenAI's API reference; what is taken of it is in docs/server.md.
//
// Pure functions; thread-safe.
#ifndef PROMPTDB_SERVER_OPENAI_H_
#define PROMPTDB_SERVER_OPENAI_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/value.h"
#include "parser/ast.h"

namespace promptdb {

using Json = nlohmann::ordered_json;

// A request that gets an error's response.
class OpenAiError : public std::runtime_error {
 public:
  OpenAiError(int status, const std::string& message, std::string code, std::string parameter = "")
      : std::runtime_error(message),
        status_(status),
        code_(std::move(code)),
        parameter_(std::move(parameter)) {}

  int status() const { return status_; }
  // {"error": {"message": …, "type": …, "param": …, "code": …}}
  Json Body() const;

 private:
  int status_;
  std::string code_;
  std::string parameter_;
};

// An engine's error in OpenAI's terms.
OpenAiError OpenAiErrorOf(const Error& error);

struct OpenAiRequest {
  enum class Kind { kChat, kCompletion, kEmbedding };
  Kind kind = Kind::kChat;
  std::string id;
  int64_t created = 0;
  std::string model;
  std::vector<ast::Select> queries;  // one, but for several prompts, or inputs of kEmbedding
  size_t choices = 1;                // answers to each; their rows follow each other
  bool streams = false;
  bool includes_usage = false;  // in a stream
  bool has_logprobs = false;    // kChat, kCompletion
  bool wants_base64 = false;    // kEmbedding: bytes of floats, and no list of numbers
};

// Throws OpenAiError for a body that is no request, and for what it asks for and we lack.
OpenAiRequest ReadOpenAiRequest(OpenAiRequest::Kind kind, std::string_view body);

// The query for the answer of that number, from 0: where there is a seed, each has the next.
ast::Select ChoiceOf(const ast::Select& query, size_t number);

// The response to a chat or a completion, from the rows of its queries.
Json CompletionResponse(const OpenAiRequest& request, const std::vector<Row>& rows);
// One event of a stream: a piece of a choice's text; its end, with its finish_reason, and the
// logprobs of all tokens; the usage.
Json PieceEvent(const OpenAiRequest& request, size_t index, const std::string& text, bool is_first);
Json EndEvent(const OpenAiRequest& request, size_t index, const Row& row);
Json UsageEvent(const OpenAiRequest& request, const std::vector<Row>& rows);
// The response to kEmbedding, from the rows of its queries.
Json EmbeddingResponse(const OpenAiRequest& request, const std::vector<Row>& rows);

}  // namespace promptdb

#endif  // PROMPTDB_SERVER_OPENAI_H_
