// Queries of PostgreSQL's catalog, as psql, JDBC and people write them: rows that fit their
// columns, or one error.
#include <optional>

#include "parser/parser.h"
#include "server/catalog_answers.h"
#include "tests/fuzz/target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace promptdb;
  const std::string_view text = TextOf(data, size);
  if (!IsValidUtf8(text)) return -1;
  const std::vector<ClientToken> tokens = TokensOf(text);
  if (!IsCatalogQuery(tokens)) return 0;
  CatalogView view;
  view.database = "towns";
  view.user = "ada";
  view.users = {{"ada", true, true}, {"bob", false, true}};
  view.prompt_schemas = {"demo", "it's \"quoted\""};
  view.parameters = DefaultClientParameters();
  std::optional<CatalogRows> described;
  Survives(
      text, [&] { described = AnswerCatalogQuery(text, tokens, nullptr, view); }, Lines::kMany);
  const std::vector<ast::Literal> values(3);
  const auto answer = [&] {
    const CatalogRows rows = AnswerCatalogQuery(text, tokens, &values, view);
    for (const Row& row : rows.rows) {
      Check(row.size() == rows.columns.size(), "a row has a value for each column");
    }
    Check(!described || described->columns.size() == rows.columns.size(),
          "the columns are those that were described");
  };
  Survives(text, answer, Lines::kMany);
  return 0;
}
