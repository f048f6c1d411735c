// Constrained answers of whole models: what comes back through a session must keep to its JSON
// schema, and end as it should.
#include <gtest/gtest.h>

#include <limits>
#include <random>

#include "executor/answer_constraint.h"
#include "executor/database.h"
#include "executor/session.h"
#include "tests/support/expect_error.h"
#include "tests/support/fake_tokenizer.h"
#include "tests/support/plain_schema_validator.h"
#include "tests/support/random_cases.h"
#include "tests/support/random_schema.h"
#include "tests/support/tiny_checkpoint.h"

namespace promptdb {
namespace {

using Json = nlohmann::ordered_json;

// The last row, and the pieces that were streamed before it.
class RowSink : public QuietSink {
 public:
  void OnColumns(const std::vector<Column>&) override { pieces.clear(); }
  void OnRow(const std::vector<Value>& values) override { row = values; }
  void OnTextPiece(std::string_view piece) override { pieces += piece; }

  std::vector<Value> row;
  std::string pieces;
};

class ConstrainedGeneration : public testing::TestWithParam<TinyVocabularyKind> {};

TEST_P(ConstrainedGeneration, EveryWholeAnswerFitsItsSchema) {
  const RandomCases cases(200);
  std::mt19937 random(cases.seed);
  const TemporaryFolder folder;
  TinyModel model;
  model.vocabulary = GetParam();
  model.context = 768;
  WriteGguf(model, folder.path() / "m.gguf", TensorDtype::kF32);
  Database database(folder.path() / "db");
  Session session(&database);
  RowSink sink;
  session.Execute("CREATE MODEL m FROM '" + (folder.path() / "m.gguf").string() +
                      "'; CREATE SCHEMA s USING m (TEXT 'Write JSON: ');",
                  sink);
  int whole = 0;
  for (int i = 0; i < cases.cases; ++i) {
    const Json schema = RandomSchema(random).Make();
    SCOPED_TRACE("case " + std::to_string(i) + ":\n" + schema.dump());
    session.Execute("SELECT GENERATE (max_tokens => 300, temperature => 1, seed => " +
                        std::to_string(random() % 100000) + ", json_schema => $$" + schema.dump() +
                        "$$) FROM s PROMPT 'now'",
                    sink);
    const std::string& text = std::get<std::string>(sink.row[0]);
    EXPECT_EQ(sink.pieces, text);
    if (std::get<std::string>(sink.row[1]) != "stop") continue;
    ++whole;
    Json value;
    ASSERT_NO_THROW(value = Json::parse(text)) << text;
    ASSERT_TRUE(PlainSchemaValidator(schema).Fits(value)) << text;
  }
  std::printf("%d of %d answers are whole\n", whole, cases.cases);
  EXPECT_GT(whole, cases.cases / 4);
}

INSTANTIATE_TEST_SUITE_P(Vocabularies, ConstrainedGeneration,
                         testing::Values(TinyVocabularyKind::kSentencePiece,
                                         TinyVocabularyKind::kByteLevel));

// ---- The logits that are left -------------------------------------------------------------------

constexpr float kNever = -std::numeric_limits<float>::infinity();

std::vector<float> Masked(AnswerConstraint& constraint, size_t size) {
  std::vector<float> logits(size, 1.5f);
  constraint.Mask(logits);
  return logits;
}

TEST(AnswerConstraint, EndTokensAreAllowedWhereTheAnswerIsWhole) {
  // Tokens "a", "b", the end, and a logit of the model's that is no token.
  const FakeTokenizer tokenizer({"a", "b"});
  const auto vocabulary = std::make_shared<VocabularyTrie>(tokenizer);
  GenerateOptions options;
  options.constraint = Constraint::FromGrammar("root ::= \"a\"+ \"b\"?");
  for (const bool ignore_eos : {false, true}) {
    options.ignore_eos = ignore_eos;
    AnswerConstraint constraint(options, tokenizer, vocabulary);
    EXPECT_FALSE(constraint.IsComplete());
    EXPECT_EQ(Masked(constraint, 4), (std::vector<float>{1.5f, kNever, kNever, kNever}));
    constraint.Push(0);
    EXPECT_FALSE(constraint.IsComplete());
    EXPECT_EQ(Masked(constraint, 4),
              (std::vector<float>{1.5f, 1.5f, ignore_eos ? kNever : 1.5f, kNever}));
    constraint.Push(1);
    EXPECT_TRUE(constraint.IsComplete());
  }
}

TEST(AnswerConstraint, WithoutAConstraintNothingHappens) {
  const FakeTokenizer tokenizer({"a", "b"});
  AnswerConstraint constraint({}, tokenizer, nullptr);
  EXPECT_FALSE(constraint.IsComplete());
  EXPECT_EQ(Masked(constraint, 4), std::vector<float>(4, 1.5f));
  constraint.Push(0);
}

TEST(AnswerConstraint, AVocabularyThatLacksTheCharactersIsAnError) {
  const FakeTokenizer tokenizer({"a", "b"});
  const auto vocabulary = std::make_shared<VocabularyTrie>(tokenizer);
  GenerateOptions options;
  options.constraint = Constraint::FromGrammar("root ::= \"a\" \"c\"");
  AnswerConstraint constraint(options, tokenizer, vocabulary);
  EXPECT_FALSE(constraint.IsComplete());
  constraint.Push(0);
  ExpectError(ErrorCode::kInvalidArgument,
              {"no token of the model's vocabulary continues the answer as its constraint asks"},
              [&] { constraint.IsComplete(); });
  // What is whole may end there.
  options.constraint = Constraint::FromGrammar("root ::= \"a\" \"c\"?");
  AnswerConstraint other(options, tokenizer, vocabulary);
  other.Push(0);
  EXPECT_TRUE(other.IsComplete());
}

}  // namespace
}  // namespace promptdb
