// What is said about statements that are wrong, and that nothing wrong brings the parser down.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "parser/parser.h"

namespace promptdb {
namespace {

// A statement with «marks» around the place to blame, and the error it gives.
struct ErrorCase {
  std::string marked;
  std::string message;
  std::string hint;
};

const std::vector<ErrorCase>& ErrorCases() {
  // clang-format off
  static const std::vector<ErrorCase> cases = {
    {R"q(SELECT GENERATE «FORM» cities)q",
     R"q(unexpected "FORM"; expected FROM or "(")q",
     R"q(Did you mean "FROM"?)q"},
    {R"q(«SELEC» GENERATE FROM cities)q",
     R"q(unexpected "SELEC"; expected a statement (CREATE, SELECT, EXPLAIN, SHOW, …))q",
     R"q(Did you mean "SELECT"?)q"},
    {R"q(SELECT «GENERAT» FROM cities USE a)q",
     R"q(unexpected "GENERAT"; expected GENERATE, a column, EMBEDDING, LOGPROBS or TOKENS)q",
     R"q(Did you mean "GENERATE"?)q"},
    {R"q(SELECT GENERATE FROM cities «US» paris)q",
     R"q(unexpected "US"; expected USE, PROMPT, WITH or end of statement)q",
     R"q(Did you mean "USE"?)q"},
    {R"q(SELECT GENERATE FROM «'cities'»)q",
     R"q(unexpected text 'cities'; expected a schema name or PML)q",
     R"q(Names are written bare or in "double quotes".)q"},
    {R"q(SELECT GENERATE FROM cities PROMPT «"hello"»)q",
     R"q(unexpected name "hello"; expected a text in quotes or IN)q",
     R"q(Texts are written in 'single quotes'.)q"},
    {R"q(SELECT GENERATE FROM cities PROMPT «hello»)q",
     R"q(unexpected "hello"; expected a text in quotes or IN)q",
     R"q(Texts are written in 'single quotes'.)q"},
    {R"q(SELECT GENERATE FROM cities USE«»)q",
     R"q(unexpected end of statement; expected a module name, a text in quotes, ASSISTANT or USER)q",
     ""},
    {R"q(SELECT GENERATE FROM cities USE a,«»)q",
     R"q(unexpected end of statement; expected a module name, a text in quotes, ASSISTANT or USER)q",
     R"q(Remove the comma before it.)q"},
    {R"q(SELECT GENERATE FROM cities USE a, «PROMPT» 'x')q",
     R"q(unexpected "PROMPT"; expected a module name, a text in quotes, ASSISTANT or USER)q",
     R"q(Remove the comma before it.)q"},
    {R"q(SELECT GENERATE FROM «FROM»)q",
     R"q(unexpected "FROM"; expected a schema name or PML)q",
     R"q(FROM is a keyword; as a name, write it as "from".)q"},
    {R"q(SELECT GENERATE FROM «select»)q",
     R"q(unexpected "select"; expected a schema name or PML)q",
     R"q(SELECT is a keyword; as a name, write it as "select".)q"},
    {R"q(SHOW MODELS «SHOW» SCHEMAS)q",
     R"q(unexpected "SHOW"; expected end of statement)q",
     R"q(Put a semicolon between two statements.)q"},
    {R"q(SHOW «MODULE»)q",
     R"q(unexpected "MODULE"; expected CACHE, CHATS, CONNECTIONS, GRANTS, KEYS, MODELS, SCHEMAS, SETTINGS, …)q",
     R"q(Did you mean "MODULES"?)q"},
    {R"q(SHOW«»)q",
     R"q(unexpected end of statement; expected CACHE, CHATS, CONNECTIONS, GRANTS, KEYS, MODELS, SCHEMAS, SETTINGS, …)q",
     ""},
    {R"q(EXPORT«»)q",
     R"q(unexpected end of statement; expected SCHEMA or STATES)q",
     ""},
    {R"q(EXPORT STATES FROM s «FROM» 'f')q",
     R"q(unexpected "FROM"; expected MODULE or TO)q",
     ""},
    {R"q(IMPORT STATES «TO» 'f')q",
     R"q(unexpected "TO"; expected FROM)q",
     ""},
    {R"q(CREATE«»)q",
     R"q(unexpected end of statement; expected OR, MODEL, SCHEMA or USER)q",
     ""},
    {R"q(CREATE MODEL«»)q",
     R"q(unexpected end of statement; expected IF or a model name)q",
     ""},
    {R"q(CREATE OR «MODEL» x)q",
     R"q(unexpected "MODEL"; expected REPLACE)q",
     ""},
    {R"q(CREATE MODEL m FROM «path»)q",
     R"q(unexpected "path"; expected a text in quotes)q",
     R"q(Texts are written in 'single quotes'.)q"},
    {R"q(CREATE SCHEMA s USING m «TEXT» 'x')q",
     R"q(unexpected "TEXT"; expected WITH or "(")q",
     ""},
    {R"q(CREATE SCHEMA s USING m («)»)q",
     R"q(unexpected ")"; expected a part (TEXT, MODULE, UNION, SYSTEM, USER, ASSISTANT or SCAFFOLD))q",
     ""},
    {R"q(CREATE SCHEMA s USING m (TEXT 'a' «TEXT» 'b'))q",
     R"q(unexpected "TEXT"; expected "," or ")")q",
     ""},
    {R"q(CREATE SCHEMA s USING m (TEXT 'a',«)»)q",
     R"q(unexpected ")"; expected a part (TEXT, MODULE, UNION, SYSTEM, USER, ASSISTANT or SCAFFOLD))q",
     R"q(Remove the comma before it.)q"},
    {R"q(CREATE SCHEMA s USING m («MODUL» a AS 'b'))q",
     R"q(unexpected "MODUL"; expected a part (TEXT, MODULE, UNION, SYSTEM, USER, ASSISTANT or SCAFFOLD))q",
     R"q(Did you mean "MODULE"?)q"},
    {R"q(CREATE SCHEMA s USING m (MODULE a «'b'»))q",
     R"q(unexpected text 'b'; expected AS or "(")q",
     ""},
    {R"q(CREATE SCHEMA s USING m (MODULE a (x TOKENS(«y»)) AS 'b'))q",
     R"q(unexpected "y"; expected a whole number)q",
     ""},
    {R"q(CREATE SCHEMA s USING m (UNION u («TEXT» 'x')))q",
     R"q(unexpected "TEXT"; expected MODULE)q",
     ""},
    {R"q(CREATE SCHEMA s USING m (MODULE a AS«»)q",
     R"q(unexpected end of statement; expected a text in quotes, FILE or "(")q",
     ""},
    {R"q(CREATE SCHEMA s «USNG» m (TEXT 'a'))q",
     R"q(unexpected "USNG"; expected USING)q",
     R"q(Did you mean "USING"?)q"},
    {R"q(DROP MODEL IF «EXIST» m)q",
     R"q(unexpected "EXIST"; expected EXISTS)q",
     R"q(Did you mean "EXISTS"?)q"},
    {R"q(SET x «3»)q",
     R"q(unexpected number 3; expected "=")q",
     ""},
    {R"q(SET x =«» )q",
     R"q(unexpected end of statement; expected a value)q",
     ""},
    {R"q(SET x = «99999999999999999999»)q",
     R"q(number is above 9223372036854775807: 99999999999999999999)q",
     ""},
    {R"q(SET x = «10abc»)q",
     R"q(number runs into a word: 10abc)q",
     R"q(A value with a unit is a text: '10abc'.)q"},
    {R"q(SET x = «1e999»)q",
     R"q(number is outside the range of a double: 1e999)q",
     ""},
    {R"q(PREPARE p AS SELECT GENERATE FROM s PROMPT «$0»)q",
     R"q(parameters are $1 to $64)q", ""},
    {R"q(PREPARE p AS SELECT GENERATE FROM s PROMPT «$99999999999999»)q",
     R"q(parameters are $1 to $64)q", ""},
    {R"q(PREPARE p AS SELECT GENERATE FROM s USE m(a => $1) PROMPT «$3»)q",
     R"q(there is a $3, but no $2)q", R"q(Number the parameters without gaps.)q"},
    {R"q(SET x = «$1»)q",
     R"q(parameter outside a PREPARE has no value)q",
     R"q(Write the value itself, or PREPARE the query and EXECUTE it with values.)q"},
    {R"q(SELECT GENERATE (max_tokens «4») FROM s)q",
     R"q(unexpected number 4; expected "=>" or "=")q",
     ""},
    {R"q(SELECT GENERATE (max_tokens = 4 «FROM» s)q",
     R"q(unexpected "FROM"; expected "," or ")")q",
     ""},
    {R"q(EXPLAIN (FORMAT «XML») SELECT GENERATE FROM s)q",
     R"q(unexpected "XML"; expected JSON or TEXT)q",
     ""},
    {R"q(EXPLAIN «SHOW» MODELS)q",
     R"q(unexpected "SHOW"; expected ANALYZE, SELECT or "(")q",
     ""},
    {R"q(SELECT GENERATE FROM s PROMPT 'it'«s»)q",
     R"q(unexpected "s"; expected WITH or end of statement)q",
     R"q(Inside a text, write a quote twice: 'it''s'.)q"},
    {R"q(SELECT GENERATE FROM s PROMPT «$tag$» abc $tog$)q",
     R"q(text has no closing $tag$)q",
     R"q(End the text with the same $tag$ that opens it.)q"},
    {R"q(SELECT GENERATE FROM «"»s)q",
     R"q(name has no closing quote: ")q",
     R"q(Inside a quoted name, write a quote twice: "a ""b""".)q"},
    {R"q(SELECT GENERATE FROM «""»)q",
     R"q(a name is empty: "")q",
     R"q(Texts are written in 'single quotes', names in "double quotes".)q"},
    {R"q(SELECT GENERATE FROM s «/*» hello)q",
     R"q(comment has no closing */)q",
     R"q(Comments nest: every /* needs its own */.)q"},
    {R"q(SELECT GENERATE FROM s «@»)q",
     R"q(unknown character "@")q",
     ""},
    {R"q(SELECT GENERATE FROM s PROMPT «“»x”)q",
     R"q(unknown character "“")q",
     R"q(Texts are written in straight 'single quotes'.)q"},
    {R"q(DESCRIBE MODULE m«»)q",
     R"q(unexpected end of statement; expected ".")q",
     R"q(A module is named together with its schema: schema.module.)q"},
    {R"q(SELECT foo FROM «bar»)q",
     R"q(unexpected "bar"; expected a system table (pc_…))q",
     ""},
    {R"q(SELECT * FROM pc_modules «WERE» x = 1)q",
     R"q(unexpected "WERE"; expected WHERE, GROUP, ORDER, LIMIT or end of statement)q",
     R"q(Did you mean "WHERE"?)q"},
    {R"q(SELECT * FROM pc_modules WHERE x«»)q",
     R"q(unexpected end of statement; expected IS, NOT, LIKE, IN, BETWEEN, "(", "=", "<>", …)q",
     ""},
    {R"q(SELECT«»)q",
     R"q(unexpected end of statement; expected GENERATE, a column, EMBEDDING, LOGPROBS or TOKENS)q",
     ""},
    {R"q(«hello»)q",
     R"q(unexpected "hello"; expected a statement (CREATE, SELECT, EXPLAIN, SHOW, …))q",
     ""},
    {R"q(GRANT x«»)q",
     R"q(unexpected end of statement; expected ON, TO or ",")q",
     ""},
    {R"q(WARM s «a»)q",
     R"q(unexpected "a"; expected MODULE or end of statement)q",
     ""},
    {R"q(«)»)q",
     R"q(unexpected ")"; expected a statement (CREATE, SELECT, EXPLAIN, SHOW, …))q",
     ""},
    {R"q(SELECT GENERATE FROM s WITH (cache = «)»)q",
     R"q(unexpected ")"; expected a value)q",
     ""},
    {R"q(SELECT GENERATE FROM s WITH («'cache'» = on))q",
     R"q(unexpected text 'cache'; expected an option name)q",
     R"q(Names are written bare or in "double quotes".)q"},
    {R"q(SELECT GENERATE FROM s WITH «cache» = on)q",
     R"q(unexpected "cache"; expected "(")q",
     ""},
    {R"q(SELECT GENERATE FROM s PROMPT 'x' «USE» a)q",
     R"q(unexpected "USE"; expected WITH or end of statement)q",
     ""},
    {R"q(ALTER «TABLE» x)q",
     R"q(unexpected "TABLE"; expected SCHEMA, MODULE or USER)q",
     ""},
    {R"q(SHOW MODELS; DROP SCHEMA«;» SHOW CACHE)q",
     R"q(unexpected end of statement; expected IF or a schema name)q",
     ""},
    {R"q(SELECT «TOKEN» FROM cities)q",
     R"q(unexpected "TOKEN"; expected GENERATE, a column, EMBEDDING, LOGPROBS or TOKENS)q",
     R"q(Did you mean "TOKENS"?)q"},
    {R"q(CREATE MODEL m FROM 'x' «FROM» 'y')q",
     R"q(unexpected "FROM"; expected WITH or end of statement)q",
     ""},
    {R"q(CREATE SCHEMA IF NOT EXISTS s «OR»)q",
     R"q(unexpected "OR"; expected USING)q",
     ""},
    {R"q(PREPARE p AS «SHOW» MODELS)q",
     R"q(unexpected "SHOW"; expected SELECT)q",
     ""},
    {R"q(BEGIN CHAT c «USE» a)q",
     R"q(unexpected "USE"; expected FROM)q",
     ""},
    {R"q(CREATE SCHEMA s USING m (USER 'a', «USR» 'b'))q",
     R"q(unexpected "USR"; expected a part (TEXT, MODULE, UNION, SYSTEM, USER, ASSISTANT or SCAFFOLD))q",
     R"q(Did you mean "USER"?)q"},
    {R"q(SELECT GENERATE FROM été PROMPT 'é' «PROMT» 'x')q",
     R"q(unexpected "PROMT"; expected WITH or end of statement)q",
     ""},
  };
  // clang-format on
  return cases;
}

TEST(ParserErrorTest, MessagePlaceAndHint) {
  constexpr std::string_view kOpen = "«";
  constexpr std::string_view kClose = "»";
  for (const ErrorCase& c : ErrorCases()) {
    std::string text = c.marked;
    const size_t begin = text.find(kOpen);
    text.erase(begin, kOpen.size());
    const size_t end = text.find(kClose);
    text.erase(end, kClose.size());
    try {
      Parse(text);
      ADD_FAILURE() << "no error: " << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kSyntax) << text;
      EXPECT_EQ(error.message(), c.message) << text;
      EXPECT_EQ(error.hint(), c.hint) << text;
      ASSERT_TRUE(error.range()) << text;
      EXPECT_EQ(error.range()->begin, static_cast<int>(begin)) << text;
      EXPECT_EQ(error.range()->end, static_cast<int>(end)) << text;
    }
  }
}

Error ErrorOf(std::string_view text) {
  try {
    Parse(text);
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "no error: " << text.substr(0, 200);
  return Error(ErrorCode::kInternal, "no error");
}

TEST(ParserErrorTest, BytesThatAreNoText) {
  const Error invalid = ErrorOf("SHOW MODELS; -- \xff");
  EXPECT_EQ(invalid.message(), "text is not valid UTF-8 at byte 16");
  EXPECT_EQ(invalid.range()->begin, 16);
  // An overlong form, a surrogate, and a character cut in two.
  EXPECT_EQ(ErrorOf("SHOW '\xc0\xaf'").message(), "text is not valid UTF-8 at byte 6");
  EXPECT_EQ(ErrorOf("SHOW '\xed\xa0\x80'").message(), "text is not valid UTF-8 at byte 6");
  EXPECT_EQ(ErrorOf("SHOW MODELS; \xe2\x82").message(), "text is not valid UTF-8 at byte 13");
  EXPECT_EQ(ErrorOf(std::string_view("SHOW \0MODELS", 12)).message(),
            "NUL byte in the text at byte 5");
}

TEST(ParserErrorTest, Bounds) {
  const Error name = ErrorOf("DROP SCHEMA " + std::string(129, 'a'));
  EXPECT_EQ(name.code(), ErrorCode::kTooLong);
  EXPECT_EQ(name.message(), "name of 129 bytes is longer than 128");
  EXPECT_EQ(name.range()->begin, 12);
  EXPECT_EQ(name.range()->end, 141);
  EXPECT_EQ(Parse("DROP SCHEMA " + std::string(128, 'a')).size(), 1u);
  EXPECT_EQ(ErrorOf("DROP SCHEMA \"" + std::string(200, 'a') + "\"").code(), ErrorCode::kTooLong);

  const Error script = ErrorOf(std::string((64 << 20) + 1, ' '));
  EXPECT_EQ(script.code(), ErrorCode::kTooLong);
  EXPECT_EQ(script.message(), "statement text of 67108865 bytes is longer than 67108864");

  std::string words = "SELECT GENERATE FROM s USE a";
  for (int i = 0; i < 500'000; ++i) words += ",a";
  EXPECT_EQ(ErrorOf(words).code(), ErrorCode::kTooLong);
}

TEST(ParserErrorTest, DeepNestingIsRefused) {
  const auto nested = [](int depth) {
    std::string text = "CREATE SCHEMA s USING m (";
    for (int i = 1; i < depth; ++i) text += "MODULE m AS (";
    text += "TEXT 'x'";
    return text + std::string(static_cast<size_t>(depth), ')');
  };
  EXPECT_EQ(Parse(nested(64)).size(), 1u);
  for (const std::string& text : {nested(65), nested(100'000), std::string(100'000, '('),
                                  "SELECT * FROM pc_x WHERE " + std::string(100'000, '('),
                                  "SELECT * FROM pc_x WHERE " + std::string(100'000, '(') + "x"}) {
    const Error error = ErrorOf(text);
    EXPECT_EQ(error.code(), ErrorCode::kSyntax);
    EXPECT_EQ(error.message(), "parentheses are nested deeper than 64");
  }
  // Depth that needs no parentheses.
  std::string nots = "SELECT * FROM pc_x WHERE ";
  std::string comments;
  for (int i = 0; i < 100'000; ++i) {
    nots += "NOT ";
    comments += "/*";
  }
  EXPECT_EQ(ErrorOf(nots).code(), ErrorCode::kSyntax);
  EXPECT_EQ(ErrorOf(comments).message(), "comment has no closing */");
}

// Valid statements with pieces dropped, doubled, swapped, or replaced by others: either they still
// parse, or they give an error whose place lies in the text.
TEST(ParserErrorTest, MutatedStatementsParseOrGiveAnError) {
  const std::vector<std::string> seeds = {
      "CREATE OR REPLACE MODEL IF NOT EXISTS m FROM 'p' WITH (dtype = 'bf16', n = -3, x = 1.5e3)",
      "CREATE SCHEMA s USING m (SYSTEM 'a', TEXT $$b$$, MODULE p (d TOKENS(5) DEFAULT 'x') AS "
      "'A {d}', UNION u (MODULE v AS FILE 'f', MODULE w AS (TEXT 'y')), USER (TEXT 'q'), "
      "SCAFFOLD c (p, v))",
      "SELECT GENERATE (max_tokens => 64) FROM s USE a, b(p => 'v'), c.d, 'f', USER 'u' PROMPT "
      "'hi' WITH (reuse = 'modular', cache = off)",
      "EXPLAIN (FORMAT JSON) ANALYZE SELECT LOGPROBS(top => 5) FROM s PROMPT IN ('a', $tag$b$tag$)",
      "SELECT count(*), sum(bytes) AS b FROM pc_modules WHERE (a = 1 OR NOT (b IS NULL)) AND c "
      "LIKE 'x%' GROUP BY d ORDER BY bytes DESC LIMIT 10 OFFSET 2",
      "PREPARE p AS SELECT GENERATE FROM s PROMPT $1; EXECUTE p('é'); BEGIN CHAT c FROM s; FORK c "
      "AS d",
      "ALTER MODULE s.m SET (ttl = '1h', pinned = on); EVICT s MODULE a FROM GPU; GRANT SELECT ON "
      "SCHEMA s TO u"};
  const std::vector<std::string> pieces = {
      " ",    ",",    "(",        ")",      "'",    "\"",     "$$",
      "$t$",  ";",    "--",       "/*",     "*/",   ".",      "=>",
      "=",    "$1",   "99",       "1.5",    "'x'",  "\"y\"",  "é",
      "\xff", "@",    "-",        "FROM",   "USE",  "PROMPT", "MODULE",
      "WITH", "AS",   "SELECT",   "NOT",    "name", "IN",     "*",
      "\n",   "\xe2", "GENERATE", "TOKENS", "pc_x", "1e",     std::string(1, '\0')};
  const uint32_t seed = 20240607;
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto below = [&random](size_t bound) { return random() % bound; };
  int parsed = 0;
  int refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string text = seeds[below(seeds.size())];
    for (size_t edits = 1 + below(4); edits > 0; --edits) {
      const size_t at = below(text.size() + 1);
      const size_t length = std::min<size_t>(below(9), text.size() - at);
      switch (below(4)) {
        case 0:
          text.erase(at, length);
          break;
        case 1:
          text.insert(at, text.substr(at, length));
          break;
        case 2:
          text.replace(at, length, pieces[below(pieces.size())]);
          break;
        default:
          text.insert(at, " " + pieces[below(pieces.size())] + " ");
          break;
      }
    }
    SplitScript(text);
    try {
      for (const ast::Statement& statement : Parse(text)) {
        ASSERT_LE(0, statement.range.begin);
        ASSERT_LT(statement.range.begin, statement.range.end) << text;
        ASSERT_LE(statement.range.end, static_cast<int>(text.size())) << text;
      }
      ++parsed;
    } catch (const Error& error) {
      ++refused;
      ASSERT_TRUE(error.code() == ErrorCode::kSyntax) << text << "\n" << error.message();
      ASSERT_TRUE(error.range()) << text;
      ASSERT_LE(0, error.range()->begin) << text;
      ASSERT_LE(error.range()->begin, error.range()->end) << text;
      ASSERT_LE(error.range()->end, static_cast<int>(text.size())) << text;
      ASSERT_FALSE(error.message().empty()) << text;
      ASSERT_EQ(error.message().find('\n'), std::string::npos) << error.message();
      // An error about grammar always says what would have been right.
      if (error.message().starts_with("unexpected")) {
        ASSERT_NE(error.message().find("; expected "), std::string::npos) << text << "\n"
                                                                          << error.message();
      }
    }
  }
  // Both ends were reached, often.
  EXPECT_GT(parsed, 500);
  EXPECT_GT(refused, 500);
}

// The mistake that people make most: one keyword misspelled. The hint names the right one.
TEST(ParserErrorTest, EveryMisspelledKeywordIsBlamed) {
  const std::string text =
      "EXPLAIN ANALYZE SELECT GENERATE FROM s USE USER 'u' PROMPT 'p' WITH (a = 1)";
  for (const std::string word : {"EXPLAIN", "SELECT", "GENERATE", "FROM", "PROMPT", "WITH"}) {
    std::string wrong = text;
    const size_t at = wrong.find(word);
    std::swap(wrong[at + 1], wrong[at + 2]);
    const Error error = ErrorOf(wrong);
    EXPECT_EQ(error.hint(), "Did you mean \"" + word + "\"?") << wrong;
    EXPECT_EQ(error.range()->begin, static_cast<int>(at)) << wrong;
    EXPECT_EQ(error.range()->end, static_cast<int>(at + word.size())) << wrong;
  }
}

}  // namespace
}  // namespace promptdb
