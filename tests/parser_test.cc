// What statements mean: every form of PromptQL parses, and the syntax tree says what was written.
#include "parser/parser.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "base/text_place.h"
#include "tests/parse_one.h"

namespace promptdb {
namespace {

std::vector<std::string> Texts(const std::vector<ast::Name>& names) {
  std::vector<std::string> out;
  for (const ast::Name& name : names) out.push_back(name.text);
  return out;
}

using Strings = std::vector<std::string>;

// ---- Statements with a meaning in this release -------------------------------------------------

TEST(ParserTest, CreateModel) {
  const std::string text =
      "CREATE OR REPLACE MODEL IF NOT EXISTS Tiny FROM 'a''b.gguf' "
      "WITH (dtype = 'bf16', kv_dtype => int8, n = -3, x = 1.5e3, y = on, z = FALSE);";
  const auto model = ParseOne<ast::CreateModel>(text);
  EXPECT_TRUE(model.or_replace);
  EXPECT_TRUE(model.if_not_exists);
  EXPECT_EQ(model.name.text, "tiny");
  EXPECT_EQ(TextAt(text, model.name.range), "Tiny");
  EXPECT_EQ(model.path.text, "a'b.gguf");
  EXPECT_EQ(TextAt(text, model.path.range), "'a''b.gguf'");
  ASSERT_EQ(model.options.size(), 6u);
  EXPECT_EQ(model.options[0].name.text, "dtype");
  EXPECT_EQ(std::get<std::string>(model.options[0].value.value), "bf16");
  EXPECT_FALSE(model.options[0].value.is_word);
  EXPECT_EQ(std::get<std::string>(model.options[1].value.value), "int8");
  EXPECT_TRUE(model.options[1].value.is_word);
  EXPECT_EQ(std::get<int64_t>(model.options[2].value.value), -3);
  EXPECT_EQ(TextAt(text, model.options[2].value.range), "-3");
  EXPECT_EQ(std::get<double>(model.options[3].value.value), 1500.0);
  EXPECT_TRUE(std::get<bool>(model.options[4].value.value));
  EXPECT_FALSE(std::get<bool>(model.options[5].value.value));

  const auto plain = ParseOne<ast::CreateModel>("create model m from 'p'");
  EXPECT_FALSE(plain.or_replace);
  EXPECT_FALSE(plain.if_not_exists);
  EXPECT_TRUE(plain.options.empty());
}

TEST(ParserTest, DropModelAndSchema) {
  const auto model = ParseOne<ast::DropModel>("DROP MODEL IF EXISTS m CASCADE");
  EXPECT_TRUE(model.if_exists);
  EXPECT_TRUE(model.cascade);
  EXPECT_EQ(model.name.text, "m");
  EXPECT_FALSE(ParseOne<ast::DropModel>("DROP MODEL m").cascade);
  EXPECT_TRUE(ParseOne<ast::DropSchema>("DROP SCHEMA IF EXISTS s").if_exists);
  EXPECT_FALSE(ParseOne<ast::DropSchema>("DROP SCHEMA s").if_exists);
}

TEST(ParserTest, CreateSchema) {
  const std::string text = R"(
    CREATE SCHEMA travel USING tiny WITH (separator = ' ') (
        SYSTEM 'You help.',
        TEXT $$It's $1 and {{x}}$$,
        MODULE m AS 'text',
        MODULE doc AS FILE 'a.txt',
        MODULE plan (duration TOKENS(5), budget TOKENS(8) DEFAULT 'modest')
            AS 'A trip of {duration} on a {budget} budget.',
        UNION destination (
            MODULE maldives AS 'sea',
            MODULE overseas AS (
                TEXT 'Abroad.',
                UNION place ( MODULE amazon AS 'river', MODULE sahara AS 'sand' )
            )
        ),
        USER ( TEXT 'q', MODULE q1 AS 'r' ),
        ASSISTANT 'Sure.',
        SCAFFOLD s1 (doc, overseas.sahara)
    );)";
  const auto schema = ParseOne<ast::CreateSchema>(text);
  using Kind = ast::Part::Kind;
  EXPECT_EQ(schema.name.text, "travel");
  EXPECT_EQ(schema.model.text, "tiny");
  ASSERT_EQ(schema.options.size(), 1u);
  ASSERT_EQ(schema.parts.size(), 8u);

  const ast::Part& system = schema.parts[0];
  EXPECT_EQ(system.kind, Kind::kRole);
  EXPECT_EQ(system.role, ast::Role::kSystem);
  ASSERT_EQ(system.children.size(), 1u);
  EXPECT_EQ(system.children[0].kind, Kind::kText);
  EXPECT_EQ(system.children[0].text->text, "You help.");
  EXPECT_EQ(TextAt(text, system.range), "SYSTEM 'You help.'");

  EXPECT_EQ(schema.parts[1].kind, Kind::kText);
  EXPECT_EQ(schema.parts[1].text->text, "It's $1 and {{x}}");

  EXPECT_EQ(schema.parts[2].kind, Kind::kModule);
  EXPECT_EQ(schema.parts[2].name->text, "m");
  EXPECT_EQ(schema.parts[2].text->text, "text");
  EXPECT_FALSE(schema.parts[2].file);

  EXPECT_EQ(schema.parts[3].file->text, "a.txt");
  EXPECT_FALSE(schema.parts[3].text);

  const ast::Part& plan = schema.parts[4];
  ASSERT_EQ(plan.parameters.size(), 2u);
  EXPECT_EQ(plan.parameters[0].name.text, "duration");
  EXPECT_EQ(plan.parameters[0].tokens, 5);
  EXPECT_EQ(TextAt(text, plan.parameters[0].tokens_range), "5");
  EXPECT_FALSE(plan.parameters[0].default_value);
  EXPECT_EQ(plan.parameters[1].tokens, 8);
  EXPECT_EQ(plan.parameters[1].default_value->text, "modest");

  const ast::Part& destination = schema.parts[5];
  EXPECT_EQ(destination.kind, Kind::kUnion);
  EXPECT_EQ(destination.name->text, "destination");
  ASSERT_EQ(destination.children.size(), 2u);
  const ast::Part& overseas = destination.children[1];
  EXPECT_EQ(overseas.kind, Kind::kModule);
  EXPECT_FALSE(overseas.text);
  ASSERT_EQ(overseas.children.size(), 2u);
  EXPECT_EQ(overseas.children[0].text->text, "Abroad.");
  EXPECT_EQ(overseas.children[1].kind, Kind::kUnion);
  ASSERT_EQ(overseas.children[1].children.size(), 2u);
  EXPECT_EQ(overseas.children[1].children[1].name->text, "sahara");
  EXPECT_EQ(TextAt(text, overseas.children[1].children[1].range), "MODULE sahara AS 'sand'");

  const ast::Part& user = schema.parts[6];
  EXPECT_EQ(user.role, ast::Role::kUser);
  ASSERT_EQ(user.children.size(), 2u);
  EXPECT_EQ(user.children[1].name->text, "q1");
  EXPECT_EQ(schema.parts[7].role, ast::Role::kAssistant);

  ASSERT_EQ(schema.scaffolds.size(), 1u);
  EXPECT_EQ(schema.scaffolds[0].name.text, "s1");
  ASSERT_EQ(schema.scaffolds[0].members.size(), 2u);
  EXPECT_EQ(Texts(schema.scaffolds[0].members[0]), (Strings{"doc"}));
  EXPECT_EQ(Texts(schema.scaffolds[0].members[1]), (Strings{"overseas", "sahara"}));
  EXPECT_EQ(TextAt(text, schema.scaffolds[0].range), "SCAFFOLD s1 (doc, overseas.sahara)");
}

TEST(ParserTest, Select) {
  const std::string text =
      "SELECT GENERATE (max_tokens => 64, stop => 'x') FROM Cities\n"
      "USE paris, plan(duration => 'a week', budget => 'low'), overseas.place, 'free', USER 'u', "
      "ASSISTANT $$a$$ PROMPT 'hi' WITH (reuse = 'modular', cache = off) -- done";
  const auto select = ParseOne<ast::Select>(text);
  using Kind = ast::UseItem::Kind;
  EXPECT_EQ(TextAt(text, select.range), text.substr(0, text.find(" --")));
  ASSERT_EQ(select.options.size(), 2u);
  EXPECT_EQ(std::get<int64_t>(select.options[0].value.value), 64);
  EXPECT_EQ(select.schema.text, "cities");
  ASSERT_EQ(select.use.size(), 6u);
  EXPECT_EQ(select.use[0].kind, Kind::kModule);
  EXPECT_EQ(Texts(select.use[0].path), (Strings{"paris"}));
  ASSERT_EQ(select.use[1].arguments.size(), 2u);
  EXPECT_EQ(select.use[1].arguments[0].name.text, "duration");
  EXPECT_EQ(select.use[1].arguments[0].value.text, "a week");
  EXPECT_EQ(TextAt(text, select.use[1].range), "plan(duration => 'a week', budget => 'low')");
  EXPECT_EQ(Texts(select.use[2].path), (Strings{"overseas", "place"}));
  EXPECT_EQ(select.use[3].kind, Kind::kText);
  EXPECT_EQ(select.use[3].text->text, "free");
  EXPECT_EQ(select.use[4].kind, Kind::kRoleText);
  EXPECT_EQ(select.use[4].role, ast::Role::kUser);
  EXPECT_EQ(select.use[5].role, ast::Role::kAssistant);
  EXPECT_EQ(select.use[5].text->text, "a");
  EXPECT_EQ(select.prompt->text, "hi");
  ASSERT_EQ(select.with_options.size(), 2u);
  EXPECT_FALSE(std::get<bool>(select.with_options[1].value.value));

  const auto least = ParseOne<ast::Select>("SELECT GENERATE FROM s");
  EXPECT_TRUE(least.use.empty());
  EXPECT_FALSE(least.prompt);
}

TEST(ParserTest, Explain) {
  using Format = ast::Explain::Format;
  const std::string query = "SELECT GENERATE FROM s PROMPT 'x'";
  auto explain = ParseOne<ast::Explain>("EXPLAIN " + query);
  EXPECT_EQ(explain.format, Format::kText);
  EXPECT_FALSE(explain.analyze);
  EXPECT_EQ(std::get<ast::Select>(explain.query).prompt->text, "x");
  EXPECT_EQ(ParseOne<ast::Explain>("EXPLAIN (FORMAT TEXT) " + query).format, Format::kText);
  explain = ParseOne<ast::Explain>("explain (format json) analyze " + query);
  EXPECT_EQ(explain.format, Format::kJson);
  EXPECT_TRUE(explain.analyze);
}

TEST(ParserTest, WarmShowDescribeSetReset) {
  EXPECT_TRUE(ParseOne<ast::Warm>("WARM s").modules.empty());
  const auto warm = ParseOne<ast::Warm>("WARM s MODULE a, b.c");
  ASSERT_EQ(warm.modules.size(), 2u);
  EXPECT_EQ(Texts(warm.modules[1]), (Strings{"b", "c"}));

  using Shown = ast::Show::What;
  const std::vector<std::pair<std::string, Shown>> shows = {
      {"MODELS", Shown::kModels}, {"SCHEMAS", Shown::kSchemas}, {"MODULES", Shown::kModules},
      {"CACHE", Shown::kCache},   {"STATS", Shown::kStats},     {"SETTINGS", Shown::kSettings}};
  for (const auto& [word, what] : shows) {
    const auto show = ParseOne<ast::Show>("SHOW " + word);
    EXPECT_EQ(show.what, what) << word;
    EXPECT_FALSE(show.from_schema) << word;
  }
  EXPECT_EQ(ParseOne<ast::Show>("SHOW MODULES FROM s").from_schema->text, "s");

  using Described = ast::Describe::What;
  EXPECT_EQ(ParseOne<ast::Describe>("DESCRIBE MODEL m").what, Described::kModel);
  EXPECT_EQ(ParseOne<ast::Describe>("DESCRIBE SCHEMA s").what, Described::kSchema);
  const auto module = ParseOne<ast::Describe>("DESCRIBE MODULE s.m.n");
  EXPECT_EQ(module.what, Described::kModule);
  EXPECT_EQ(Texts(module.path), (Strings{"s", "m", "n"}));

  auto analyze = ParseOne<ast::AnalyzeModel>("ANALYZE MODEL m");
  EXPECT_EQ(analyze.name.text, "m");
  EXPECT_FALSE(analyze.path);
  EXPECT_TRUE(analyze.options.empty());
  analyze = ParseOne<ast::AnalyzeModel>("analyze model m from 'q.jsonl' with (questions = 5)");
  EXPECT_EQ(analyze.path->text, "q.jsonl");
  EXPECT_EQ(analyze.options.at(0).name.text, "questions");
  ParseOne<ast::Analyze>("analyze");

  const auto set = ParseOne<ast::Set>("SET reuse = exact");
  EXPECT_EQ(set.name.text, "reuse");
  EXPECT_TRUE(set.value.is_word);
  EXPECT_EQ(std::get<std::string>(set.value.value), "exact");
  EXPECT_EQ(ParseOne<ast::Reset>("RESET Reuse").name.text, "reuse");
}

TEST(ParserTest, SelectsBesidesGenerate) {
  using Kind = ast::Select::Kind;
  EXPECT_EQ(ParseOne<ast::Select>("SELECT TOKENS FROM s USE m PROMPT 'x'").kind, Kind::kTokens);
  const auto logprobs = ParseOne<ast::Select>("SELECT LOGPROBS(top => 5) FROM s USE m");
  EXPECT_EQ(logprobs.kind, Kind::kLogprobs);
  ASSERT_EQ(logprobs.options.size(), 1u);
  EXPECT_EQ(logprobs.options[0].name.text, "top");
  const auto embedding = ParseOne<ast::Select>("SELECT EMBEDDING FROM s PROMPT 'x' WITH (a = 1)");
  EXPECT_EQ(embedding.kind, Kind::kEmbedding);
  EXPECT_EQ(embedding.with_options.size(), 1u);
}

TEST(ParserTest, SelectFromPmlAndPromptIn) {
  const auto pml = ParseOne<ast::Select>("SELECT GENERATE FROM PML '<prompt/>' USING m");
  ASSERT_TRUE(pml.pml);
  EXPECT_EQ(pml.pml->text.text, "<prompt/>");
  EXPECT_EQ(pml.pml->model->text, "m");
  EXPECT_EQ(pml.schema.text, "");
  EXPECT_FALSE(ParseOne<ast::Select>("SELECT GENERATE FROM PML '<prompt/>'").pml->model);

  const std::string text = "SELECT GENERATE FROM s USE m PROMPT IN ('q1', 'q2')";
  const auto rows = ParseOne<ast::Select>(text);
  EXPECT_FALSE(rows.prompt);
  ASSERT_EQ(rows.prompt_in.size(), 2u);
  EXPECT_EQ(rows.prompt_in[1].text, "q2");
  EXPECT_EQ(TextAt(text, rows.prompt_in[1].range), "'q2'");
}

// ---- System tables -----------------------------------------------------------------------------

TEST(ParserTest, SystemTables) {
  const std::string text =
      "SELECT *, schema AS s FROM PC_Modules WHERE schema = 's' ORDER BY bytes DESC, name LIMIT 10";
  const auto select = ParseOne<ast::SystemSelect>(text);
  EXPECT_EQ(select.table.text, "pc_modules");
  ASSERT_EQ(select.items.size(), 2u);
  EXPECT_TRUE(select.items[0].is_star);
  EXPECT_EQ(select.items[1].value.name.text, "schema");
  EXPECT_EQ(select.items[1].alias->text, "s");
  ASSERT_TRUE(select.where);
  EXPECT_EQ(select.where->kind, ast::Condition::Kind::kCompare);
  EXPECT_EQ(select.where->comparison, ast::Condition::Comparison::kEqual);
  EXPECT_EQ(std::get<std::string>(select.where->operands.at(1).constant.value), "s");
  ASSERT_EQ(select.order_by.size(), 2u);
  EXPECT_TRUE(select.order_by[0].is_descending);
  EXPECT_FALSE(select.order_by[1].is_descending);
  EXPECT_EQ(select.limit, 10);
  EXPECT_EQ(select.offset, 0);
  EXPECT_EQ(ParseOne<ast::SystemSelect>("SELECT tokens, text FROM pc_modules").items.size(), 2u);
}

TEST(ParserTest, ConditionsAndFunctions) {
  using Kind = ast::Condition::Kind;
  const auto select = ParseOne<ast::SystemSelect>(
      "SELECT count(*), sum(bytes) AS b, count(DISTINCT tier) FROM pc_cache "
      "WHERE (a >= -1.5 OR NOT (b IS NOT NULL)) AND c NOT LIKE 'x%' AND d IN (1, 'y') "
      "AND e BETWEEN 1 AND 2 GROUP BY schema LIMIT 5 OFFSET 2");
  ASSERT_EQ(select.items.size(), 3u);
  EXPECT_EQ(select.items[0].value.kind, ast::Operand::Kind::kFunction);
  EXPECT_EQ(select.items[0].value.name.text, "count");
  EXPECT_FALSE(select.items[0].value.argument);
  EXPECT_EQ(select.items[1].value.argument->text, "bytes");
  EXPECT_TRUE(select.items[2].value.is_distinct);

  ASSERT_EQ(select.where->kind, Kind::kAnd);
  const std::vector<ast::Condition>& all = select.where->children;
  ASSERT_EQ(all.size(), 4u);
  ASSERT_EQ(all[0].kind, Kind::kOr);
  const ast::Condition& compare = all[0].children.at(0);
  EXPECT_EQ(compare.comparison, ast::Condition::Comparison::kGreaterEqual);
  EXPECT_EQ(std::get<double>(compare.operands.at(1).constant.value), -1.5);
  const ast::Condition& negation = all[0].children.at(1);
  ASSERT_EQ(negation.kind, Kind::kNot);
  EXPECT_EQ(negation.children.at(0).kind, Kind::kIsNull);
  EXPECT_TRUE(negation.children.at(0).is_negated);
  EXPECT_EQ(all[1].kind, Kind::kLike);
  EXPECT_TRUE(all[1].is_negated);
  EXPECT_EQ(all[2].kind, Kind::kIn);
  EXPECT_EQ(all[2].operands.size(), 3u);
  EXPECT_EQ(all[3].kind, Kind::kBetween);
  EXPECT_EQ(all[3].operands.size(), 3u);
  EXPECT_EQ(select.group_by.size(), 1u);
  EXPECT_EQ(select.limit, 5);
  EXPECT_EQ(select.offset, 2);
}

// ---- Prepared queries, chats, changes to schemas
// ---------------------------------------------------

TEST(ParserTest, PreparedQueries) {
  const std::string text =
      "PREPARE p AS SELECT GENERATE (seed => $3) FROM s USE plan(d => $1) PROMPT $2";
  const auto prepare = ParseOne<ast::Prepare>(text);
  EXPECT_EQ(prepare.name.text, "p");
  EXPECT_EQ(prepare.parameters, 3);
  const auto& select = std::get<ast::Select>(prepare.query);
  EXPECT_EQ(select.options.at(0).value.parameter, 3);
  EXPECT_EQ(select.use.at(0).arguments.at(0).value.parameter, 1);
  EXPECT_EQ(select.prompt->parameter, 2);
  EXPECT_EQ(TextAt(text, select.prompt->range), "$2");
  const auto table = ParseOne<ast::Prepare>("PREPARE q AS SELECT * FROM pc_modules WHERE a = $1");
  EXPECT_EQ(std::get<ast::SystemSelect>(table.query).where->operands[1].constant.parameter, 1);

  const auto execute = ParseOne<ast::Execute>("EXECUTE p('a', 2, on)");
  ASSERT_EQ(execute.values.size(), 3u);
  EXPECT_EQ(std::get<int64_t>(execute.values[1].value), 2);
  EXPECT_TRUE(ParseOne<ast::Execute>("EXECUTE p").values.empty());
  EXPECT_EQ(ParseOne<ast::Deallocate>("DEALLOCATE p").name.text, "p");
}

TEST(ParserTest, Chats) {
  const auto begin = ParseOne<ast::BeginChat>("BEGIN CHAT c FROM s USE a, 'x' WITH (reuse = none)");
  EXPECT_EQ(begin.name.text, "c");
  EXPECT_EQ(begin.schema.text, "s");
  EXPECT_EQ(begin.use.size(), 2u);
  EXPECT_EQ(begin.with_options.size(), 1u);
  const auto next = ParseOne<ast::ContinueChat>("CONTINUE c (max_tokens => 3) PROMPT 'x'");
  EXPECT_EQ(next.options.size(), 1u);
  EXPECT_EQ(next.prompt.text, "x");
  const auto fork = ParseOne<ast::ForkChat>("FORK c AS d");
  EXPECT_EQ(fork.from.text, "c");
  EXPECT_EQ(fork.to.text, "d");
  EXPECT_EQ(ParseOne<ast::EndChat>("END CHAT c").name.text, "c");
  EXPECT_EQ(ParseOne<ast::Show>("SHOW CHATS").what, ast::Show::What::kChats);
}

TEST(ParserTest, AlterSchema) {
  const auto part = ParseOne<ast::AlterSchema>("ALTER SCHEMA s ADD MODULE m AS 'x'");
  EXPECT_EQ(part.name.text, "s");
  EXPECT_EQ(std::get<ast::Part>(part.action).name->text, "m");
  const auto scaffold = ParseOne<ast::AlterSchema>("ALTER SCHEMA s ADD SCAFFOLD t (a, b.c)");
  EXPECT_EQ(std::get<ast::Scaffold>(scaffold.action).members.at(1).at(1).text, "c");
  const auto drop = ParseOne<ast::AlterSchema>("ALTER SCHEMA s DROP MODULE m.n");
  EXPECT_EQ(std::get<ast::AlterSchema::DropModule>(drop.action).path.size(), 2u);
  const auto less = ParseOne<ast::AlterSchema>("ALTER SCHEMA s DROP SCAFFOLD t");
  EXPECT_EQ(std::get<ast::AlterSchema::DropScaffold>(less.action).name.text, "t");
  const auto rename = ParseOne<ast::AlterSchema>("ALTER SCHEMA s RENAME TO t");
  EXPECT_EQ(std::get<ast::AlterSchema::Rename>(rename.action).name.text, "t");
}

TEST(ParserTest, Pml) {
  const auto import = ParseOne<ast::ImportSchema>("IMPORT SCHEMA s FROM PML 'f.xml' USING m");
  EXPECT_EQ(import.name->text, "s");
  EXPECT_EQ(import.path.text, "f.xml");
  EXPECT_EQ(import.model.text, "m");
  EXPECT_FALSE(ParseOne<ast::ImportSchema>("IMPORT SCHEMA FROM PML 'f.xml' USING m").name);
  EXPECT_EQ(ParseOne<ast::ImportStates>("IMPORT STATES FROM 'f'").path.text, "f");
  const auto states = ParseOne<ast::ExportStates>("EXPORT STATES FROM s MODULE a.b, c TO 'f'");
  EXPECT_EQ(states.schema.text, "s");
  EXPECT_EQ(states.path.text, "f");
  ASSERT_EQ(states.modules.size(), 2u);
  EXPECT_EQ(Texts(states.modules[0]), (Strings{"a", "b"}));
  EXPECT_TRUE(ParseOne<ast::ExportStates>("EXPORT STATES FROM states TO 'f'").modules.empty());
  const auto exported = ParseOne<ast::ExportSchema>("EXPORT SCHEMA s TO PML 'f.xml'");
  EXPECT_EQ(exported.schema.text, "s");
  EXPECT_EQ(exported.path.text, "f.xml");
}

TEST(ParserTest, Maintenance) {
  ParseOne<ast::CheckDatabase>("CHECK DATABASE");
  ParseOne<ast::Vacuum>("vacuum;");
  for (const std::string word : {"", "DATABASE "}) {
    EXPECT_EQ(ParseOne<ast::Backup>("BACKUP " + word + "TO 'a''b'").path.text, "a'b");
    EXPECT_EQ(ParseOne<ast::Restore>("RESTORE " + word + "FROM 'd';").path.text, "d");
  }
}

TEST(ParserTest, PinEvictAlterModule) {
  const auto pin = ParseOne<ast::Pin>("PIN s MODULE a, b.c");
  EXPECT_TRUE(pin.is_pinned);
  EXPECT_EQ(pin.schema.text, "s");
  ASSERT_EQ(pin.modules.size(), 2u);
  EXPECT_EQ(pin.modules[1].back().text, "c");
  EXPECT_FALSE(ParseOne<ast::Pin>("UNPIN s").is_pinned);
  using From = ast::Evict::From;
  EXPECT_EQ(ParseOne<ast::Evict>("EVICT s").from, From::kEverywhere);
  EXPECT_EQ(ParseOne<ast::Evict>("EVICT s MODULE a FROM GPU").from, From::kGpu);
  EXPECT_EQ(ParseOne<ast::Evict>("EVICT s FROM CPU").from, From::kCpu);
  EXPECT_EQ(ParseOne<ast::Evict>("EVICT s FROM DISK").from, From::kDisk);
  const auto alter = ParseOne<ast::AlterModule>("ALTER MODULE s.a.b SET (ttl = '1h', pinned = on)");
  ASSERT_EQ(alter.path.size(), 3u);
  EXPECT_EQ(alter.path[0].text, "s");
  EXPECT_EQ(alter.path[2].text, "b");
  ASSERT_EQ(alter.options.size(), 2u);
  EXPECT_EQ(alter.options[1].name.text, "pinned");
}

// ---- Names, texts, scripts ---------------------------------------------------------------------

TEST(ParserTest, NamesFoldUnlessQuoted) {
  EXPECT_EQ(ParseOne<ast::DropSchema>("drop SCHEMA MySchema_2").name.text, "myschema_2");
  EXPECT_EQ(ParseOne<ast::DropSchema>("DROP SCHEMA \"My \"\"S\"\"\"").name.text, "My \"S\"");
  EXPECT_EQ(ParseOne<ast::DropSchema>("DROP SCHEMA ÉTÉ").name.text, "été");
  EXPECT_EQ(ParseOne<ast::DropSchema>("DROP SCHEMA \"ÉTÉ\"").name.text, "ÉTÉ");
  EXPECT_EQ(ParseOne<ast::DropSchema>("DROP SCHEMA हिन्दी").name.text, "हिन्दी");
  EXPECT_EQ(ParseOne<ast::DropSchema>("DROP SCHEMA \"drop\"").name.text, "drop");
}

TEST(ParserTest, KeywordsAreNamesWhereNothingElseIsMeant) {
  for (const std::string word :
       {"place", "plan", "cache", "text", "user", "system", "assistant", "module", "model",
        "schema", "tokens", "generate", "file", "pml", "union", "json", "set", "pc_parts"}) {
    EXPECT_EQ(ParseOne<ast::DropSchema>("DROP SCHEMA " + word).name.text, word);
    const auto schema = ParseOne<ast::CreateSchema>("CREATE SCHEMA " + word + " USING " + word +
                                                    " (MODULE " + word + " AS 'x')");
    EXPECT_EQ(schema.parts.at(0).name->text, word);
    const auto select = ParseOne<ast::Select>("SELECT GENERATE FROM " + word + " USE " + word +
                                              ", a." + word + ", " + word + "(x => 'y')");
    EXPECT_EQ(select.schema.text, word);
    ASSERT_EQ(select.use.size(), 3u) << word;
    EXPECT_EQ(Texts(select.use[1].path), (Strings{"a", word}));
    EXPECT_EQ(select.use[2].arguments.size(), 1u);
  }
}

TEST(ParserTest, RangesAreBytesOfTheWholeText) {
  const std::string text = "  SHOW MODELS ;\n/* é */ DROP SCHEMA été -- x\n;";
  const std::vector<ast::Statement> statements = Parse(text);
  ASSERT_EQ(statements.size(), 2u);
  EXPECT_EQ(TextAt(text, statements[0].range), "SHOW MODELS");
  EXPECT_EQ(TextAt(text, statements[1].range), "DROP SCHEMA été");
  EXPECT_EQ(TextAt(text, std::get<ast::DropSchema>(statements[1].node).name.range), "été");
}

TEST(ParserTest, EmptyStatementsAreIgnored) {
  EXPECT_TRUE(Parse("").empty());
  EXPECT_TRUE(Parse(" ;; -- x\n;/* y /* z */ */").empty());
  EXPECT_TRUE(Parse("\xef\xbb\xbf").empty());
  EXPECT_EQ(Parse("\xef\xbb\xbfSHOW\u00a0MODELS;;SHOW CACHE").size(), 2u);
}

TEST(ParserTest, TextsKeepEveryByte) {
  const auto prompt = [](const std::string& literal) {
    return ParseOne<ast::Select>("SELECT GENERATE FROM s PROMPT " + literal).prompt->text;
  };
  EXPECT_EQ(prompt("''"), "");
  EXPECT_EQ(prompt("''''"), "'");
  EXPECT_EQ(prompt("'a\n;--/*\\n$$'"), "a\n;--/*\\n$$");
  EXPECT_EQ(prompt("$$$$"), "");
  EXPECT_EQ(prompt("$$it's;$x$$"), "it's;$x");
  EXPECT_EQ(prompt("$a1$ $$ $A1$ $a $a1$"), " $$ $A1$ $a ");
  EXPECT_EQ(prompt("$é$x$é$"), "x");
}

TEST(ParserTest, QuoteNameAndTextComeBack) {
  EXPECT_EQ(QuoteName("cities"), "cities");
  EXPECT_EQ(QuoteName("_a1"), "_a1");
  EXPECT_EQ(QuoteName("text"), "text");
  EXPECT_EQ(QuoteName("été"), "été");
  EXPECT_EQ(QuoteName("from"), "\"from\"");
  EXPECT_EQ(QuoteName("Cities"), "\"Cities\"");
  EXPECT_EQ(QuoteName("a b"), "\"a b\"");
  EXPECT_EQ(QuoteName(" a"), "\" a\"");
  EXPECT_EQ(QuoteName("1a"), "\"1a\"");
  EXPECT_EQ(QuoteName("a\"b"), "\"a\"\"b\"");
  EXPECT_EQ(QuoteName(""), "\"\"");
  EXPECT_EQ(QuoteText("it's"), "'it''s'");
  std::vector<std::string> names = {"a\"\"b", "-- x", "/*", "ÀB", "$$", "'", "a;b", "pc_x"};
  for (const std::string& keyword : Keywords()) {
    names.push_back(keyword);
    names.push_back(keyword);
    for (char& c : names.back()) c = static_cast<char>(std::tolower(c));
  }
  for (const std::string& name : names) {
    const auto select = ParseOne<ast::Select>("SELECT GENERATE FROM " + QuoteName(name) + " USE " +
                                              QuoteName(name) + " PROMPT " + QuoteText(name));
    EXPECT_EQ(select.schema.text, name);
    EXPECT_EQ(Texts(select.use.at(0).path), (Strings{name}));
    EXPECT_EQ(select.prompt->text, name);
  }
}

TEST(ParserTest, KeywordsAreSortedAndComplete) {
  const std::vector<std::string>& keywords = Keywords();
  EXPECT_TRUE(std::is_sorted(keywords.begin(), keywords.end()));
  for (const std::string word : {"SELECT", "GENERATE", "NULL", "SCAFFOLD", "WITH"}) {
    EXPECT_TRUE(std::binary_search(keywords.begin(), keywords.end(), word)) << word;
  }
}

// ---- Size ---------------------------------------------------------------------------------------

TEST(ParserTest, LongTextsComeThroughWhole) {
  std::string body;
  for (int i = 0; body.size() < 5'000'000; ++i) body += "line " + std::to_string(i) + " – it's\n";
  const auto schema =
      ParseOne<ast::CreateSchema>("CREATE SCHEMA s USING m (MODULE a AS " + QuoteText(body) +
                                  ", MODULE b AS $x$" + body + "$x$)");
  EXPECT_TRUE(schema.parts.at(0).text->text == body);
  EXPECT_TRUE(schema.parts.at(1).text->text == body);
}

TEST(ParserTest, ManyPartsAndManyStatements) {
  std::string parts = "TEXT 'x'";
  std::string script;
  for (int i = 0; i < 20'000; ++i) {
    parts += ", MODULE m" + std::to_string(i) + " AS 'x'";
    script += "SHOW CACHE;";
  }
  const auto schema = ParseOne<ast::CreateSchema>("CREATE SCHEMA s USING m (" + parts + ")");
  EXPECT_EQ(schema.parts.size(), 20'001u);
  EXPECT_EQ(schema.parts.back().name->text, "m19999");
  EXPECT_EQ(Parse(script).size(), 20'000u);
}

TEST(ParserTest, ThreadsParseAtOnce) {
  std::vector<std::thread> threads;
  std::vector<int> parsed(4, 0);
  for (size_t t = 0; t < parsed.size(); ++t) {
    threads.emplace_back([&parsed, t] {
      for (int i = 0; i < 200; ++i) {
        parsed[t] += static_cast<int>(
            Parse("EXPLAIN ANALYZE SELECT GENERATE FROM s USE a(x => 'y'), USER 'u' PROMPT 'p';"
                  "CREATE SCHEMA s USING m (TEXT 'a', UNION u (MODULE m AS 'x'));"
                  "SELECT a, count(*) FROM pc_modules WHERE x = 1 AND y IS NULL;")
                .size());
        try {
          Parse("SELECT GENERATE FORM s");
        } catch (const Error&) {
          ++parsed[t];
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(parsed, std::vector<int>(4, 800));
}

}  // namespace
}  // namespace promptdb
