// PromptQL: whatever the text, it parses or it is one error with a place; cutting a script into
// statements and parsing it whole agree.
#include "base/text_place.h"
#include "parser/parser.h"
#include "server/client_statement.h"
#include "tests/fuzz/target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace promptdb;
  const std::string text(TextOf(data, size));
  size_t parsed = 0;
  const bool is_right = Survives(
      text, [&] { parsed = Parse(text).size(); }, Lines::kMany);
  const ScriptSplit split = SplitScript(text);
  int end = 0;
  for (const SourceRange& range : split.statements) {
    Check(end <= range.begin && range.begin < range.end &&
              static_cast<size_t>(range.end) <= text.size(),
          "statements of a script follow each other");
    Check(text[static_cast<size_t>(range.end) - 1] == ';', "a statement ends with its semicolon");
    end = range.end;
  }
  Check(split.rest.begin <= split.rest.end && static_cast<size_t>(split.rest.end) <= text.size(),
        "what is left of a script lies in it");
  Survives(
      text, [&] { ParseParameterized(text); }, Lines::kMany);
  TokensOf(text);
  if (!is_right) return 0;
  // Each of them alone is a statement, too, and together they are all.
  Check(!split.rest_is_open_quote, "a script that parses has no open quote");
  size_t alone = 0;
  const auto count = [&](const SourceRange& range) { alone += Parse(TextAt(text, range)).size(); };
  for (const SourceRange& range : split.statements) count(range);
  count(split.rest);
  Check(alone == parsed, "a script has as many statements as its parts");
  return 0;
}
