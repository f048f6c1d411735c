// Grammars and JSON schemas. The first byte: 'g' for GBNF, 'j' for a JSON schema. What a random
// model writes under a constraint can always go on or end, and under a JSON schema it is JSON that
// fits, by another validator.
#include <memory>
#include <random>

#include "constraint/constraint.h"
#include "tests/fuzz/target.h"
#include "tests/support/fake_tokenizer.h"
#include "tests/support/plain_schema_validator.h"
#include "tests/support/random_text.h"

namespace promptdb {
namespace {

// Every byte, and a few words that cross the borders of what a grammar names.
const FakeTokenizer& Bytes() {
  static const FakeTokenizer tokenizer(
      BytesAnd({"{\"", "\": ", "\"}", "]}", "true", "12", "ab", "\xC3\xA9t"}));
  return tokenizer;
}

// nullopt where the text did not come to an end by itself.
std::optional<std::string> Write(const std::shared_ptr<Constraint>& constraint, uint32_t seed) {
  static const auto vocabulary = std::make_shared<const VocabularyTrie>(Bytes());
  std::mt19937 random(seed);
  ConstrainedText text(constraint, vocabulary);
  std::string written;
  for (int step = 0; step < 200; ++step) {
    if (text.must_end() || (text.may_end() && random() % 4 == 0)) return written;
    const auto mask = text.AllowedTokens();
    const std::vector<TokenId> allowed = AllowedIds(*mask, Bytes().vocab_size());
    Check(!allowed.empty(), "a text can go on or end");
    TokenId next = allowed[random() % allowed.size()];
    if (step > 30) next = ClosingOr(*mask, next);
    text.Push(next);
    written += Bytes().TokenBytes(next);
  }
  return std::nullopt;
}

}  // namespace
}  // namespace promptdb

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace promptdb;
  if (size == 0 || (data[0] != 'g' && data[0] != 'j')) return -1;
  const bool is_schema = data[0] == 'j';
  const std::string_view text = TextOf(data + 1, size - 1);
  Survives("", [&] {
    const auto constraint =
        is_schema ? Constraint::FromJsonSchema(text) : Constraint::FromGrammar(text);
    for (uint32_t seed = 0; seed < 3; ++seed) {
      const std::optional<std::string> written = Write(constraint, seed);
      if (!written || !is_schema) continue;
      const PlainSchemaValidator::Json value =
          PlainSchemaValidator::Json::parse(*written, nullptr, false);
      Check(!value.is_discarded(), "what a JSON schema lets through is JSON");
      const PlainSchemaValidator::Json schema = PlainSchemaValidator::Json::parse(text);
      Check(PlainSchemaValidator(schema).Fits(value), "what a JSON schema lets through fits it");
    }
  });
  return 0;
}
