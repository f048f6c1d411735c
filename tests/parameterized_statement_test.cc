// Statements whose parameters get their values when they run, what columns they say they have, and
// answers that come as rows: what a server needs of a session.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "executor/session.h"
#include "parser/parser.h"
#include "tests/support/expect_error.h"
#include "tests/support/tiny_checkpoint.h"

namespace promptdb {
namespace {

class RowsSink : public QuietSink {
 public:
  void OnColumns(const std::vector<Column>& given) override { columns = given; }
  void OnRow(const std::vector<Value>& row) override { rows.push_back(row); }
  void OnTextPiece(std::string_view piece) override { pieces.emplace_back(piece); }
  void OnDone(std::string_view done) override { tag = done; }

  std::vector<Column> columns;
  std::vector<Row> rows;
  std::vector<std::string> pieces;
  std::string tag;
};

ast::Literal Typed(std::variant<std::string, int64_t, double, bool> value) {
  ast::Literal literal;
  literal.value = std::move(value);
  return literal;
}

ast::Literal Untyped(std::string text) {
  ast::Literal literal = Typed(std::move(text));
  literal.is_untyped = true;
  return literal;
}

class ParameterizedStatements : public testing::Test {
 protected:
  ParameterizedStatements() {
    WriteGguf(TinyModel(), folder_ / "m.gguf", TensorDtype::kF32);
    RowsSink sink;
    session_.Execute("CREATE MODEL m FROM " + QuoteText((folder_ / "m.gguf").string()) +
                         "; CREATE SCHEMA s USING m (TEXT 'Read: ', MODULE a (place TOKENS(6)) AS "
                         "'A way to {place}.', MODULE b AS 'A sign by the road.');",
                     sink);
  }

  RowsSink Run(const std::string& text, const std::vector<ast::Literal>& values = {}) {
    RowsSink sink;
    session_.Run(text, ParseParameterized(text).value(), values, sink);
    return sink;
  }

  // The text of the answer, and the tokens of the prompt.
  std::vector<Value> Answer(const std::string& text, const std::vector<ast::Literal>& values = {}) {
    const RowsSink sink = Run(text, values);
    EXPECT_EQ(sink.rows.size(), 1U);
    return {sink.rows[0][0], sink.rows[0][2]};
  }

  TemporaryFolder folder_;
  Database database_{folder_ / "db"};
  Session session_{&database_};
};

TEST_F(ParameterizedStatements, ValuesStandForWhatTheyAreInTheStatement) {
  const std::vector<Value> written = Answer(
      "SELECT GENERATE (max_tokens => 5, temperature => 0.5, seed => 3, ignore_eos => true) FROM s "
      "USE a(place => 'the sea'), b, 'Some words.' PROMPT 'Where?' WITH (reuse = 'none');");
  const std::string text =
      "SELECT GENERATE (max_tokens => $1, temperature => $2, seed => $3, ignore_eos => $4) FROM s "
      "USE a(place => $5), b, $6 PROMPT $7 WITH (reuse = $8)";
  EXPECT_EQ(written,
            Answer(text, {Typed(int64_t{5}), Typed(0.5), Typed(int64_t{3}), Typed(true),
                          Typed("the sea"), Typed("Some words."), Typed("Where?"), Typed("none")}));
  EXPECT_EQ(written, Answer(text, {Untyped("5"), Untyped("0.5"), Untyped("3"), Untyped("t"),
                                   Untyped("the sea"), Untyped("Some words."), Untyped("Where?"),
                                   Untyped("none")}));
}

TEST_F(ParameterizedStatements, UntypedValuesAreReadAsTheColumnBesideThem) {
  const std::string where = "SELECT module FROM pc_modules WHERE parameters = $1 AND schema = $2";
  ASSERT_EQ(Run(where, {Untyped("1"), Untyped("s")}).rows.size(), 1U);
  ASSERT_EQ(Run("SELECT module FROM pc_modules WHERE $1 > parameters", {Untyped("0.5")}).rows,
            std::vector<Row>{{std::string("b")}});
  EXPECT_EQ(Run("SELECT module FROM pc_modules WHERE parameters IN ($1, $2)",
                {Untyped("1"), Untyped("0")})
                .rows.size(),
            2U);
  // A text stays a text, whatever it looks like.
  EXPECT_EQ(Run(where, {Untyped("1"), Untyped("1")}).rows.size(), 0U);
  ExpectError(ErrorCode::kInvalidArgument, {"can't be compared"}, [&] {
    Run(where, {Untyped("one"), Untyped("s")});
  });
  ExpectError(ErrorCode::kInvalidArgument, {"can't be compared"}, [&] {
    Run(where, {Typed("1"), Untyped("s")});
  });
}

TEST_F(ParameterizedStatements, ErrorsPointAtTheParameterThatIsToBlame) {
  const std::string text = "SELECT GENERATE (max_tokens => $2) FROM s USE b PROMPT $1";
  const auto place_of = [&](const std::vector<ast::Literal>& values) -> std::string {
    try {
      Run(text, values);
    } catch (const Error& error) {
      const auto begin = static_cast<size_t>(error.range()->begin);
      return text.substr(begin, static_cast<size_t>(error.range()->end) - begin) + ": " +
             error.message();
    }
    return "";
  };
  EXPECT_EQ(place_of({Typed(int64_t{3}), Untyped("4")}), "$1: the value of $1 must be a text");
  EXPECT_EQ(place_of({Untyped("3"), Untyped("many")}), "$2: max_tokens must be a whole number");
  EXPECT_EQ(place_of({Untyped("3"), Untyped("0")}),
            "$2: max_tokens must be from 1 to 16777216, not 0");
  EXPECT_EQ(place_of({Untyped("3")}), "SELECT: the statement takes 2 values, not 1");
}

TEST_F(ParameterizedStatements, OtherStatementsTakeValuesWhereTheyCan) {
  Run("SET max_tokens = $1", {Untyped("7")});
  EXPECT_EQ(Run("SELECT value FROM pc_settings WHERE name = 'max_tokens'").rows[0][0],
            Value(std::string("7")));
  EXPECT_FALSE(Run("EXPLAIN SELECT GENERATE FROM s PROMPT $1", {Untyped("Hi")}).rows.empty());
  Run("PREPARE p AS SELECT GENERATE (max_tokens => 3) FROM s PROMPT $1");
  EXPECT_EQ(Run("EXECUTE p($1)", {Untyped("Hi")}).rows.size(), 1U);
  Run("BEGIN CHAT c FROM s USE $1", {Untyped("A chat.")});
  EXPECT_EQ(
      Run("CONTINUE c (max_tokens => $2) PROMPT $1", {Untyped("Hi"), Untyped("2")}).rows.size(),
      1U);
  ExpectError(ErrorCode::kUnsupported, {"takes no parameters"},
              [&] { Run("CREATE MODEL n FROM 'x' WITH (dtype = $1)", {Untyped("f32")}); });
}

TEST_F(ParameterizedStatements, OneStatementIsParsed) {
  EXPECT_FALSE(ParseParameterized("  ; -- nothing"));
  EXPECT_EQ(ParseParameterized("SELECT GENERATE FROM s PROMPT $1;;")->parameters, 1);
  EXPECT_EQ(ParseParameterized("PREPARE p AS SELECT GENERATE FROM s PROMPT $1")->parameters, 0);
  ExpectError(ErrorCode::kSyntax, {"several statements"},
              [] { ParseParameterized("SHOW MODELS; SHOW CHATS"); });
  ExpectError(ErrorCode::kSyntax, {"no $1"},
              [] { ParseParameterized("SELECT GENERATE FROM s PROMPT $2"); });
}

TEST_F(ParameterizedStatements, ColumnsAreKnownBeforeTheStatementRuns) {
  Run("BEGIN CHAT c FROM s");
  Run("PREPARE p AS SELECT TOKENS FROM s PROMPT 'Hi'");
  for (const std::string text : {
           "SELECT GENERATE (max_tokens => 1) FROM s PROMPT 'Hi'",
           "SELECT TOKENS FROM s PROMPT 'Hi'",
           "SELECT LOGPROBS FROM s PROMPT 'Hi'",
           "SELECT EMBEDDING FROM s PROMPT 'Hi'",
           "SELECT * FROM pc_connections",
           "SELECT schema, count(*) AS n FROM pc_modules GROUP BY schema",
           "EXPLAIN SELECT GENERATE FROM s PROMPT 'Hi'",
           "EXECUTE p",
           "CONTINUE c (max_tokens => 1) PROMPT 'Hi'",
           "WARM s MODULE b",
           "PIN s MODULE b",
           "UNPIN s MODULE b",
           "EVICT s",
           "SHOW MODELS",
           "SHOW MODULES FROM s",
           "SHOW CACHE",
           "SHOW CONNECTIONS",
           "DESCRIBE MODEL m",
           "DESCRIBE SCHEMA s",
           "DESCRIBE MODULE s.b",
           "CHECK DATABASE",
           "VACUUM",
           "SET threads = 2",
           "END CHAT c",
       }) {
    const std::vector<Column> told = session_.ColumnsOf(ParseParameterized(text)->statement.node);
    const std::vector<Column> found = Run(text).columns;
    ASSERT_EQ(told.size(), found.size()) << text;
    for (size_t i = 0; i < told.size(); ++i) {
      EXPECT_EQ(told[i].name, found[i].name) << text;
      EXPECT_EQ(told[i].type, found[i].type) << text;
    }
  }
  EXPECT_EQ(session_
                .ColumnsOf(ParseParameterized("SELECT name FROM pc_models WHERE parameters > $1")
                               ->statement.node)
                .size(),
            1U);
}

TEST_F(ParameterizedStatements, AStreamedAnswerIsTheAnswer) {
  const std::string query =
      "SELECT GENERATE (max_tokens => 12, ignore_eos => true) FROM s USE b PROMPT 'Where?'";
  const std::vector<Value> whole = Answer(query);
  const RowsSink streamed = Run(query + " WITH (stream = on)");
  ASSERT_GT(streamed.rows.size(), 3U);
  EXPECT_TRUE(streamed.pieces.empty());
  std::string text;
  for (const Row& row : streamed.rows) {
    ASSERT_EQ(row.size(), streamed.columns.size());
    text += std::get<std::string>(row[0]);
    EXPECT_EQ(IsNull(row[1]), &row != &streamed.rows.back());
  }
  EXPECT_EQ(Value(text), whole[0]);
  EXPECT_EQ(streamed.rows.back()[2], whole[1]);
  EXPECT_EQ(streamed.rows.back()[4], Value(int64_t{12}));
  EXPECT_EQ(streamed.tag, "SELECT " + std::to_string(streamed.rows.size()));
  ExpectError(ErrorCode::kInvalidArgument, {"one prompt"},
              [&] { Run("SELECT GENERATE FROM s PROMPT IN ('a', 'b') WITH (stream = on)"); });
  ExpectError(ErrorCode::kUnknownName, {"no option"},
              [&] { Run("SELECT TOKENS FROM s PROMPT 'a' WITH (stream = on)"); });
}

TEST_F(ParameterizedStatements, AServerTellsOfItsConnections) {
  EXPECT_TRUE(Run("SHOW CONNECTIONS").rows.empty());
  database_.SetConnectionSource([] {
    ConnectionInfo one{7, "ada", "127.0.0.1:4000", "psql", "postgresql", true, "idle", "", 0};
    ConnectionInfo two{8, "bob", "[::1]:4001", "", "http", false, "active", "SELECT GENERATE", 0};
    return std::vector<ConnectionInfo>{one, two};
  });
  const RowsSink shown = Run("SHOW CONNECTIONS");
  ASSERT_EQ(shown.rows.size(), 2U);
  EXPECT_EQ(shown.rows[0][1], Value(std::string("ada")));
  EXPECT_TRUE(IsNull(shown.rows[0][7]));
  EXPECT_EQ(Run("SELECT id FROM pc_connections WHERE state = 'active' AND NOT (tls = true)").rows,
            std::vector<Row>{{int64_t{8}}});
}

}  // namespace
}  // namespace promptdb
