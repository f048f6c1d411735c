// Bodies of OpenAI's API: a query or an error with a status. The first byte says of what.
#include "server/openai.h"
#include "tests/fuzz/target.h"

namespace promptdb {
namespace {

void CheckQuery(const ast::Select& query) {
  Check(!query.schema.text.empty() || query.is_bare, "a query has a source");
  for (const ast::UseItem& item : query.use) {
    Check(!item.text || item.text->text.find('\0') == std::string::npos, "no text has a zero byte");
    Check(item.kind != ast::UseItem::Kind::kModule || !item.path.empty(), "a module has a name");
  }
}

}  // namespace
}  // namespace promptdb

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace promptdb;
  using Kind = OpenAiRequest::Kind;
  if (size == 0) return -1;
  static constexpr Kind kKinds[] = {Kind::kChat, Kind::kCompletion, Kind::kEmbedding};
  const Kind kind = kKinds[data[0] % 3];
  const auto dump = [](const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace);
  };
  try {
    const OpenAiRequest request = ReadOpenAiRequest(kind, TextOf(data + 1, size - 1));
    Check(!request.queries.empty(), "a request asks for something");
    for (const ast::Select& query : request.queries) CheckQuery(ChoiceOf(query, 1));
    if (kind == Kind::kEmbedding) return 0;
    const std::vector<Row> rows = {{std::string("an answer"), std::string("stop"), int64_t{3},
                                    int64_t{2}, int64_t{1}, 1.0, 2.0, std::string("exact")}};
    dump(CompletionResponse(request, rows));
    dump(PieceEvent(request, 0, "a piece", true));
    dump(EndEvent(request, 0, rows[0]));
    dump(UsageEvent(request, rows));
  } catch (const OpenAiError& error) {
    Check(error.status() >= 400 && error.status() < 500, "a wrong request is the client's fault");
    Check(*error.what() != '\0', "an error without a message");
    dump(error.Body());
  }
  return 0;
}
