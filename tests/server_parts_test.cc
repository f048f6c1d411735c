// Parts of the server that need no socket: messages, SCRAM, options, clients' own statements.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "auth/scram.h"
#include "auth/secrets.h"
#include "server/catalog_answers.h"
#include "server/client_statement.h"
#include "server/openai.h"
#include "server/server_options.h"
#include "server/sqlstate.h"
#include "server/statement_run.h"
#include "server/wire.h"
#include "tests/support/expect_error.h"
#include "tests/support/test_folder.h"

namespace promptdb {
namespace {

TEST(WireTest, FieldsAreCheckedAgainstTheMessage) {
  FieldReader fields(std::string_view("\0\0\0\7abc\0\xff\xff\xff\xff", 12));
  EXPECT_EQ(fields.Int32(), 7);
  EXPECT_EQ(fields.String(), "abc");
  EXPECT_FALSE(fields.Value());
  EXPECT_NO_THROW(fields.End());
  EXPECT_THROW(FieldReader("abc").String(), ProtocolError);
  EXPECT_THROW(FieldReader("ab").Int32(), ProtocolError);
  EXPECT_THROW(FieldReader(std::string_view("\0\0\0\5ab", 6)).Value(), ProtocolError);
  EXPECT_THROW(FieldReader(std::string_view("\xff\xff\xff\xfe", 4)).Value(), ProtocolError);
  EXPECT_THROW(FieldReader("a").End(), ProtocolError);
  FieldReader lie("\xff\xffxx");
  EXPECT_THROW(lie.List([&] { return lie.Byte(); }), ProtocolError);
}

TEST(WireTest, RowsInBothFormats) {
  MessageWriter out;
  WriteDataRow({int64_t{258}, 0.1, true, std::string("ä"), Value()},
               {WireFormat::kBinary, WireFormat::kText, WireFormat::kText, WireFormat::kBinary,
                WireFormat::kText},
               out);
  FieldReader fields(out.bytes());
  EXPECT_EQ(fields.Byte(), 'D');
  EXPECT_EQ(static_cast<size_t>(fields.Int32()), out.bytes().size() - 1);
  EXPECT_EQ(fields.Int16(), 5);
  EXPECT_EQ(fields.Value(), std::string_view("\0\0\0\0\0\0\1\2", 8));
  EXPECT_EQ(fields.Value(), "0.1");
  EXPECT_EQ(fields.Value(), "t");
  EXPECT_EQ(fields.Value(), "ä");
  EXPECT_FALSE(fields.Value());
  fields.End();
}

// So many that work for each pair of them would take minutes.
TEST(OpenAiTest, AMessageOfManyParts) {
  constexpr int kParts = 200000;
  std::string parts;
  for (int i = 0; i < kParts; ++i) parts += R"({"type": "text", "text": "a"},)";
  parts.pop_back();
  const OpenAiRequest request = ReadOpenAiRequest(
      OpenAiRequest::Kind::kChat,
      R"({"model": "m", "messages": [{"role": "user", "content": [)" + parts + "]}]}");
  ASSERT_EQ(request.queries.at(0).use.size(), 1U);
  EXPECT_EQ(request.queries[0].use[0].text->text, std::string(kParts, 'a'));
}

// Clients write null for what they leave open.
TEST(OpenAiTest, ANullOfTheExtensionIsAsAbsent) {
  const auto read = [](const std::string& extension) {
    return ReadOpenAiRequest(OpenAiRequest::Kind::kChat,
                             R"({"model": "m", "messages": [{"role": "user", "content": "a"}],)"
                             R"( "promptdb": {"schema": "s", )" +
                                 extension + "}}");
  };
  const OpenAiRequest request =
      read(R"("use": null, "reuse": null, "priority": null, "deadline": null)");
  EXPECT_TRUE(request.queries.at(0).with_options.empty());
  EXPECT_EQ(read(R"("reuse": "exact", "deadline": null)").queries.at(0).with_options.size(), 1U);
  EXPECT_THROW(read(R"("nobody": null)"), OpenAiError);
}

// Every member of requests that have all of them, once with a value of each kind in its place.
TEST(OpenAiTest, WhateverStandsInAPlaceIsReadOrRefused) {
  const std::string common =
      R"("model": "m", "max_tokens": 4, "temperature": 0.5, "top_p": 0.9, "seed": 3, "stop": ["a"],)"
      R"( "stream": true, "stream_options": {"include_usage": true}, "n": 2, "tools": [], "echo": false,)"
      R"( "presence_penalty": 1, "frequency_penalty": 1, "logit_bias": {},)"
      R"( "promptdb": {"schema": "s", "use": ["a", {"module": "b", "parameters": {"c": "d"}}],)"
      R"( "reuse": "exact", "priority": "low", "deadline": "1s"}, "response_format":)"
      R"( {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}})";
  const std::pair<OpenAiRequest::Kind, std::string> requests[] = {
      {OpenAiRequest::Kind::kChat,
       R"({"logprobs": true, "top_logprobs": 2, "messages": [{"role": "system", "content": "a"},)"
       R"( {"role": "user", "content": [{"type": "text", "text": "b"},)"
       R"( {"type": "promptdb_module", "module": "c", "parameters": {"d": "e"}}]}], )" +
           common},
      {OpenAiRequest::Kind::kCompletion, R"({"logprobs": 2, "prompt": ["a", "b"], )" + common},
      {OpenAiRequest::Kind::kEmbedding,
       R"({"model": "m", "input": ["a", "b"], "encoding_format": "base64", "dimensions": null})"}};
  const Json kinds[] = {
      nullptr,          true, -1, 1e300, "x", Json::array(), Json::object(), Json::array({5}),
      Json{{"type", 5}}};
  for (const auto& [kind, text] : requests) {
    Json body = Json::parse(text);
    EXPECT_NO_THROW(ReadOpenAiRequest(kind, body.dump()));
    const std::function<void(Json&)> replace = [&](Json& place) {
      const Json before = place;
      for (const Json& other : kinds) {
        place = other;
        try {
          ReadOpenAiRequest(kind, body.dump());
        } catch (const OpenAiError& error) {
          EXPECT_EQ(error.status(), 400) << body;
        } catch (const std::exception& error) {
          ADD_FAILURE() << error.what() << ": " << body;
        }
      }
      place = before;
      if (place.is_structured()) {
        for (Json& inner : place) replace(inner);
      }
    };
    replace(body);
  }
}

// OpenAI's clients ask again at 409 and 5xx unless they are told not to.
TEST(OpenAiTest, ErrorsSayWhetherToAskAgain) {
  const auto status = [](ErrorCode code) { return OpenAiErrorOf(Error(code, "why")).status(); };
  EXPECT_EQ(status(ErrorCode::kTooBusy), 503);
  EXPECT_EQ(status(ErrorCode::kBusy), 409);
  EXPECT_EQ(status(ErrorCode::kResource), 507);
  EXPECT_EQ(status(ErrorCode::kQuota), 429);
}

TEST(ScramTest, VerifiersTravelAsText) {
  const ScramVerifier made = MakeScramVerifier("pencil");
  const std::optional<ScramVerifier> read = ScramVerifier::Parse(made.Format());
  ASSERT_TRUE(read);
  EXPECT_EQ(read->salt, made.salt);
  EXPECT_EQ(read->stored_key, made.stored_key);
  EXPECT_EQ(read->server_key, made.server_key);
  EXPECT_NE(MakeScramVerifier("pencil").salt, made.salt);
  for (const std::string bad :
       {"", "SCRAM-SHA-256", "SCRAM-SHA-256$0:AAAA$AAAA:AAAA", "SCRAM-SHA-256$4096:AAAA$AAAA:AAAA",
        "SCRAM-SHA-1$1:a$b:c", "SCRAM-SHA-256$4096:?$x:y"}) {
    EXPECT_FALSE(ScramVerifier::Parse(bad)) << bad;
  }
  // Two names have two salts, and one name the same each time.
  EXPECT_EQ(DecoyVerifier("a", "secret").salt, DecoyVerifier("a", "secret").salt);
  EXPECT_NE(DecoyVerifier("a", "secret").salt, DecoyVerifier("b", "secret").salt);
}

TEST(ScramTest, TheExampleOfRfc7677) {
  // Its password "pencil" with its salt; the keys follow from both.
  ScramVerifier verifier;
  verifier.iterations = 4096;
  verifier.salt = DecodeBase64("W22ZaJ0SNY7soEsUEjb6gQ==").value();
  verifier.stored_key = DecodeBase64("WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=").value();
  verifier.server_key = DecodeBase64("wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=").value();
  ScramExchange exchange(verifier);
  const auto first = exchange.Start("n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
  ASSERT_TRUE(first);
  EXPECT_EQ(first->find("r=rOprNGfwEbeRWgbNEkqO"), 0U);
  EXPECT_NE(first->find(",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"), std::string::npos);
  // Our nonce is another each time, so the example's own proof is not ours to accept.
  EXPECT_FALSE(
      exchange.Finish("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                      "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="));
}

TEST(ScramTest, MessagesThatAreNone) {
  for (const std::string bad : {"", "n", "p=tls-unique,,n=u,r=x", "n,a=other,n=u,r=x", "n,,r=x",
                                "n,,n=u", "n,,n=u,r=", "n,,n=u,r=x,more"}) {
    EXPECT_FALSE(ScramExchange(MakeScramVerifier("x")).Start(bad)) << bad;
  }
  ScramExchange exchange(MakeScramVerifier("x"));
  const std::string first = exchange.Start("n,,n=u,r=abc").value();
  const std::string nonce = first.substr(0, first.find(','));
  for (const std::string& bad :
       std::vector<std::string>{"", "c=biws", "c=biws," + nonce, "c=eSws," + nonce,
                                "c=biws," + nonce + ",p=", "c=biws," + nonce + ",p=AAAA"}) {
    EXPECT_FALSE(exchange.Finish(bad)) << bad;
  }
}

using Shown = std::vector<std::pair<std::string, std::string>>;

// What SHOW tells of a server that reads `config`.
Shown ShownWith(const TemporaryFolder& folder, const std::string& config) {
  std::ofstream(folder / "c.conf") << config;
  return ShownOptions(ParseServerOptions({"--config", (folder / "c.conf").string()}));
}

TEST(ServerOptionsTest, FileFlagsHelpAndShowAgree) {
  // A value for each that is not its own.
  const std::map<std::string, std::string> values = {{"db", "/d"},
                                                     {"listen", "::1"},
                                                     {"port", "7"},
                                                     {"http_port", "8"},
                                                     {"auth", "scram"},
                                                     {"demo", "on"},
                                                     {"max_message", "2097152"}};
  const TemporaryFolder folder;
  const Shown defaults = ShownOptions(ParseServerOptions({}));
  std::vector<std::string> flags;
  std::string config;
  for (const auto& [name, shown] : defaults) {
    const auto known = values.find(name);
    std::string value = known != values.end()       ? known->second
                        : name.ends_with("timeout") ? "77s"
                        : shown.empty()             ? "/" + name
                                                    : "77";
    EXPECT_NE(value, shown) << name;
    std::string flag = "--" + name;
    std::replace(flag.begin(), flag.end(), '_', '-');
    EXPECT_NE(ServerUsage().find("  " + flag + " "), std::string::npos) << flag;
    flags.push_back(flag + "=" + value);
    config += name + " = '" + value + "'\n";
    const auto is_same = [&](const Shown& found) {
      return std::find(found.begin(), found.end(), std::pair(name, value)) != found.end();
    };
    // Certificate and key come together, so each is tried with what went before.
    if (name == "tls_cert") continue;
    EXPECT_TRUE(is_same(ShownWith(folder, config))) << name;
    EXPECT_TRUE(is_same(ShownOptions(ParseServerOptions(flags)))) << name;
  }
  EXPECT_EQ(ShownWith(folder, config), ShownOptions(ParseServerOptions(flags)));
  // Settings of SET, the first and the last, and one that came later than the others.
  for (const std::string name : {"cpu_cache", "query_memory", "threads"}) {
    EXPECT_NE(ServerUsage().find(name), std::string::npos) << name;
  }
}

TEST(ServerOptionsTest, ThePackagesFileTellsAllDefaults) {
  std::ifstream in(std::filesystem::path(PROMPTDB_SOURCE_DIR) / "packaging/pcserver.conf");
  std::set<std::string> names;
  std::string config, examples, line;
  while (std::getline(in, line)) {
    const size_t equals = line.find(" = ");
    if (!line.starts_with('#') || line.starts_with("# ") || equals == std::string::npos) continue;
    const std::string name = line.substr(1, equals - 1);
    names.insert(name);
    // Those that have no default are examples.
    const bool is_example =
        name.starts_with("tls_") || name.ends_with("_cache") || name == "http_port";
    (is_example ? examples : config) += line.substr(1) + "\n";
  }
  const TemporaryFolder folder;
  const Shown defaults = ShownOptions(ParseServerOptions({}));
  EXPECT_EQ(ShownWith(folder, config), defaults);
  EXPECT_NO_THROW(ShownWith(folder, examples));
  for (const auto& [name, shown] : defaults) {
    const bool is_the_units = name == "db" || name == "demo";
    EXPECT_TRUE(is_the_units || names.contains(name)) << name;
  }
}

TEST(ServerOptionsTest, FlagsWinOverTheFile) {
  const TemporaryFolder folder;
  std::ofstream(folder / "c.conf") << "# comment\n port = 7 # after\nlisten='::1'\n"
                                      "idle_timeout = 5min\ncpu_cache = '1GB'\n";
  const ServerOptions options = ParseServerOptions(
      {"--config", (folder / "c.conf").string(), "--port=9", "--max-message", "2MB", "--demo"});
  EXPECT_EQ(options.port, 9);
  EXPECT_EQ(options.listen, "::1");
  EXPECT_EQ(options.idle_timeout, std::chrono::minutes(5));
  EXPECT_EQ(options.max_message, 2 << 20);
  EXPECT_TRUE(options.demo);
  ASSERT_EQ(options.engine_settings.size(), 1U);
  EXPECT_EQ(options.engine_settings[0].second, "1GB");
  const auto message = [](const std::vector<std::string>& arguments) -> std::string {
    try {
      ParseServerOptions(arguments);
    } catch (const OptionsError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(message({"--prot", "1"}), "unknown option --prot");
  EXPECT_EQ(message({"--port"}), "option --port needs a value");
  EXPECT_EQ(message({"--port", "70000"}),
            "--port takes a whole number from 0 to 65535, not \"70000\"");
  EXPECT_EQ(message({"--idle-timeout", "5x"}), "--idle-timeout takes a span of time, not \"5x\"");
  EXPECT_EQ(message({"--tls-cert", "x"}), "tls_cert and tls_key come together");
  EXPECT_EQ(message({"--auth", "none"}), "--auth is auto, trust or scram, not \"none\"");
  EXPECT_EQ(message({"word"}), "unexpected argument \"word\"");
  EXPECT_EQ(message({"--config", "/nothing/there"}),
            "cannot read the config file: \"/nothing/there\"");
}

std::optional<ClientStatement> Read(const std::string& text) {
  return ReadClientStatement(TokensOf(text), DefaultClientParameters());
}

TEST(ClientStatementTest, WhatIsTheClientsOwn) {
  using Kind = ClientStatement::Kind;
  const std::vector<std::pair<std::string, Kind>> own = {
      {"BEGIN", Kind::kBegin},
      {"begin transaction isolation level serializable, read only;", Kind::kBegin},
      {"START TRANSACTION", Kind::kBegin},
      {"COMMIT WORK", Kind::kCommit},
      {"end", Kind::kCommit},
      {"rollback", Kind::kRollback},
      {"ABORT", Kind::kRollback},
      {"ROLLBACK TO SAVEPOINT a", Kind::kSavepoint},
      {"SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", Kind::kSetTransaction},
      {"SET DateStyle TO 'ISO, MDY'", Kind::kSet},
      {"set names 'utf8'", Kind::kSet},
      {"SET TIME ZONE 'UTC'", Kind::kSet},
      {"SET extra_float_digits = 3", Kind::kSet},
      {"SHOW transaction isolation level", Kind::kShow},
      {"RESET ALL", Kind::kReset},
      {"DISCARD ALL", Kind::kDiscard},
      {"DEALLOCATE PREPARE x", Kind::kDeallocate},
      {"SELECT 1", Kind::kConstants},
      {"select pg_catalog.version() AS v, -2.5, 'x'::text, null", Kind::kConstants},
  };
  for (const auto& [text, kind] : own) {
    const auto read = Read(text);
    ASSERT_TRUE(read) << text;
    EXPECT_EQ(read->kind, kind) << text;
  }
  for (const std::string text :
       {"BEGIN CHAT c FROM s", "END CHAT c", "SET max_tokens = 5", "SHOW MODELS", "RESET threads",
        "SELECT GENERATE FROM s PROMPT 'x'", "SELECT * FROM pc_models", "CONTINUE c PROMPT 'x'",
        "SELECT", "", "'BEGIN'"}) {
    EXPECT_FALSE(Read(text)) << text;
  }
  EXPECT_EQ(Read("SET statement_timeout TO DEFAULT")->kind, Kind::kReset);
  EXPECT_EQ(TimeoutMilliseconds("2min"), 120000);
}

CatalogRows Ask(const std::string& text) {
  CatalogView view{"towns",
                   "ada",
                   {{"ada", true, true}, {"bob", false, true}},
                   {"demo"},
                   DefaultClientParameters()};
  const std::vector<ast::Literal> none;
  return AnswerCatalogQuery(text, TokensOf(text), &none, view);
}

TEST(CatalogAnswersTest, VirtualTables) {
  EXPECT_EQ(Ask("SELECT datname FROM pg_database").rows, std::vector<Row>{{std::string("towns")}});
  EXPECT_EQ(Ask("SELECT r.rolname FROM pg_catalog.pg_roles AS r WHERE r.rolname LIKE 'b%'").rows,
            std::vector<Row>{{std::string("bob")}});
  EXPECT_EQ(Ask("select schema_name from information_schema.schemata order by schema_name").rows,
            (std::vector<Row>{{std::string("demo")}, {std::string("promptdb")}}));
  ExpectError(ErrorCode::kUnsupported, {"pg_catalog.pg_proc"},
              [] { Ask("SELECT 1 FROM pg_catalog.pg_proc p"); });
  EXPECT_FALSE(IsCatalogQuery(TokensOf("SELECT * FROM pc_models")));
  EXPECT_FALSE(IsCatalogQuery(TokensOf("SELECT GENERATE FROM pg PROMPT 'FROM pg_class'")));
}

TEST(SqlStateTest, PlacesAreCountedInCharacters) {
  const std::string text = "SELECT 'äöü' x";
  EXPECT_EQ(CharacterPosition(text, 0), 1);
  EXPECT_EQ(CharacterPosition(text, static_cast<int>(text.size()) - 1), 14);
  EXPECT_EQ(BytePosition(text, 14), static_cast<int>(text.size()) - 1);
  EXPECT_EQ(ErrorCodeOf(SqlStateOf(ErrorCode::kTooLong)), ErrorCode::kTooLong);
}

TEST(StatementRunTest, AWorkerWaitsForASlowReaderUntilItIsCanceled) {
  std::atomic<int> wakes = 0;
  StatementRun run({}, [&] { ++wakes; });
  std::thread worker([&] {
    run.Work([](ResultSink& sink) {
      const std::string megabyte(1 << 20, 'x');
      for (int i = 0; i < 100 && !sink.IsCanceled(); ++i) sink.OnRow({megabyte});
      if (sink.IsCanceled()) throw Error(ErrorCode::kCanceled, "stopped");
    });
    run.Finish();
  });
  while (wakes == 0) std::this_thread::yield();
  run.Cancel(StatementRun::CancelReason::kTimeout);
  run.Cancel(StatementRun::CancelReason::kGone);
  worker.join();
  EXPECT_TRUE(run.has_ended());
  EXPECT_EQ(run.cancel_reason(), StatementRun::CancelReason::kTimeout);
  int rows = 0;
  bool is_error = false;
  while (const auto event = run.Next()) {
    rows += std::holds_alternative<Row>(*event) ? 1 : 0;
    is_error = std::holds_alternative<Error>(*event);
  }
  EXPECT_LT(rows, 100);
  EXPECT_TRUE(is_error);
}

}  // namespace
}  // namespace promptdb
