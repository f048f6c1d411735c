#include "storage/catalog.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "base/error.h"
#include "storage/catalog_rows.h"
#include "tests/support/test_folder.h"

namespace promptdb {
namespace {

using Json = nlohmann::json;

ModelDefinition Model(const std::string& name) {
  ModelDefinition model;
  model.name = name;
  model.path = "/models/it's \"here\"/m.gguf";
  model.dtype = "bf16";
  model.kv_dtype = "f32";
  model.chat_template = "auto";
  model.chat_words = {{"<|system|>\n", "</s>"}, {"<|user|>", ""}, {"", "\n"}, "<｜Assistant｜>"};
  model.chat_notes = {"has no \"tools\""};
  model.architecture = "llama";
  model.parameters = 134'515'008'000;
  model.context_length = 8192;
  model.content_digest = "00112233445566778899aabbccddeeff";
  model.fingerprint = "m.gguf 17 1700000000";
  model.created_at = 1'700'000'001;
  return model;
}

PartDefinition Part(PartDefinition::Kind kind, const std::string& name, const std::string& text) {
  PartDefinition part;
  part.kind = kind;
  part.name = name;
  part.text = text;
  return part;
}

// Every kind of part, every field, with text in several scripts.
SchemaDefinition Schema(const std::string& name) {
  using Kind = PartDefinition::Kind;
  PartDefinition system = Part(Kind::kRole, "", "");
  system.role = ChatRole::kSystem;
  system.children = {Part(Kind::kText, "", "Du hilfst.\n\t\"Gut\" \\ \x01 日本語 🗺️")};

  PartDefinition plan = Part(Kind::kModule, "plan", "A trip of {duration} on a {budget} budget.");
  plan.parameters = {{"duration", 5, std::nullopt}, {"budget", 8, "modest"}, {"none", 1, ""}};

  PartDefinition doc = Part(Kind::kModule, "doc", std::string("zero \0 inside", 13));
  doc.source_file = "docs/a b.txt";

  PartDefinition place = Part(Kind::kUnion, "place", "");
  place.children = {Part(Kind::kModule, "amazon", "…"), Part(Kind::kModule, "sahara", "")};
  PartDefinition overseas = Part(Kind::kModule, "overseas", "");
  overseas.children = {Part(Kind::kText, "", "Abroad."), place};
  PartDefinition destination = Part(Kind::kUnion, "destination", "");
  destination.children = {Part(Kind::kModule, "maldives", "Islands."), overseas};

  PartDefinition user = Part(Kind::kRole, "", "");
  user.role = ChatRole::kUser;
  PartDefinition assistant = user;
  assistant.role = ChatRole::kAssistant;

  SchemaDefinition schema;
  schema.name = name;
  schema.model = "smol";
  schema.separator = "\n\n";
  schema.is_portable = true;
  schema.parts = {system, plan, doc, destination, user, assistant};
  schema.scaffolds = {{"s1", {"doc", "overseas.amazon"}}, {"s2", {}}};
  schema.created_at = 1'700'000'002;
  return schema;
}

ModelAccuracy Accuracy(const std::string& model) {
  return {model,
          {0x0123456789abcdef, 7},
          "held-out questions, seed 1",
          1'700'000'003,
          {{"none", "bf16", 100, 412, 1.25e-4, 3e-5, 91.0, 93.5, 92.25, std::nullopt},
           {"modular", "bf16", 50, 200, 0.75, 0.5, std::nullopt, std::nullopt, std::nullopt, 9.5}}};
}

void ExpectEqual(const ModelDefinition& a, const ModelDefinition& b) {
  EXPECT_EQ(a.name, b.name);
  EXPECT_EQ(a.path, b.path);
  EXPECT_EQ(a.dtype, b.dtype);
  EXPECT_EQ(a.kv_dtype, b.kv_dtype);
  EXPECT_EQ(a.chat_template, b.chat_template);
  EXPECT_EQ(a.chat_words, b.chat_words);
  EXPECT_EQ(a.chat_notes, b.chat_notes);
  EXPECT_EQ(a.architecture, b.architecture);
  EXPECT_EQ(a.parameters, b.parameters);
  EXPECT_EQ(a.context_length, b.context_length);
  EXPECT_EQ(a.content_digest, b.content_digest);
  EXPECT_EQ(a.fingerprint, b.fingerprint);
  EXPECT_EQ(a.created_at, b.created_at);
}

void ExpectEqual(const std::vector<PartDefinition>& a, const std::vector<PartDefinition>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].kind, b[i].kind);
    EXPECT_EQ(a[i].name, b[i].name);
    EXPECT_EQ(a[i].role, b[i].role);
    EXPECT_EQ(a[i].text, b[i].text);
    EXPECT_EQ(a[i].source_file, b[i].source_file);
    ASSERT_EQ(a[i].parameters.size(), b[i].parameters.size());
    for (size_t j = 0; j < a[i].parameters.size(); ++j) {
      EXPECT_EQ(a[i].parameters[j].name, b[i].parameters[j].name);
      EXPECT_EQ(a[i].parameters[j].tokens, b[i].parameters[j].tokens);
      EXPECT_EQ(a[i].parameters[j].default_value, b[i].parameters[j].default_value);
    }
    ExpectEqual(a[i].children, b[i].children);
  }
}

void ExpectEqual(const SchemaDefinition& a, const SchemaDefinition& b) {
  EXPECT_EQ(a.name, b.name);
  EXPECT_EQ(a.model, b.model);
  EXPECT_EQ(a.separator, b.separator);
  EXPECT_EQ(a.is_portable, b.is_portable);
  EXPECT_EQ(a.created_at, b.created_at);
  ExpectEqual(a.parts, b.parts);
  ASSERT_EQ(a.scaffolds.size(), b.scaffolds.size());
  for (size_t i = 0; i < a.scaffolds.size(); ++i) {
    EXPECT_EQ(a.scaffolds[i].name, b.scaffolds[i].name);
    EXPECT_EQ(a.scaffolds[i].members, b.scaffolds[i].members);
  }
}

// Every field, two segments of each kind.
ChatDefinition Chat(const std::string& name) {
  ChatDefinition chat;
  chat.name = name;
  chat.schema = "travel";
  chat.model = "smol";
  chat.reuse = "exact";
  chat.cache = false;
  chat.tokenizer = {1, 2};
  chat.fingerprint = {3, 4};
  chat.opening = {
      {"(bos)", {1}, 0, {}, {}, "", {5, 6}},
      {"plan", {7, 0, 0, 8, 0}, 1, {{0, 0, 1}}, {{1, 2}, {4, 1}}, "", {5, 7}},
      {"plan(days)", {9}, 2, {{0, 0, 1}, {1, 0, 1}}, {}, "chat c plan(days)", {5, 8}},
  };
  chat.turns = {{"turn 1", {10, 11}, 6, {}, {}, "chat c turn 1", {5, 9}},
                {"turn 2", {12}, 8, {}, {}, "chat d turn 2", {5, 10}}};
  chat.pending = {13};
  chat.end_token = 2;
  chat.created_at = 1'700'000'003;
  chat.last_used_at = 1'700'000'004;
  return chat;
}

TEST(CatalogTest, ChatsAreAddedReplacedAndDroppedDurably) {
  const TemporaryFolder folder("catalog");
  Rocks rocks(folder.path());
  Catalog catalog(&rocks);
  const ChatDefinition chat = Chat("Ü \"c\"");
  ChatDefinition bare;
  bare.name = "bare";
  bare.schema = bare.model = "x";
  bare.reuse = "modular";
  EXPECT_FALSE(catalog.ReplaceChat(chat));
  EXPECT_TRUE(catalog.AddChat(chat));
  EXPECT_TRUE(catalog.AddChat(bare));
  EXPECT_FALSE(catalog.AddChat(chat));
  EXPECT_EQ(Catalog(&rocks).Chats(), (std::vector<ChatDefinition>{bare, chat}));
  ChatDefinition later = chat;
  later.pending.clear();
  later.end_token.reset();
  EXPECT_TRUE(catalog.ReplaceChat(later));
  EXPECT_EQ(catalog.FindChat(chat.name), later);
  EXPECT_EQ(Catalog(&rocks).FindChat(chat.name), later);
  // A schema's chats follow its name, also those that are being continued.
  SchemaDefinition renamed = Schema("away");
  catalog.RenameSchema("travel", renamed);
  EXPECT_EQ(catalog.FindChat(chat.name)->schema, "away");
  EXPECT_EQ(catalog.FindChat("bare")->schema, "x");
  EXPECT_TRUE(catalog.ReplaceChat(chat));
  EXPECT_EQ(catalog.FindChat(chat.name)->schema, "away");
  EXPECT_EQ(Catalog(&rocks).FindChat(chat.name)->schema, "away");
  catalog.DropChat("bare");
  catalog.DropChat("never was");
  catalog.PutModel(Model("smol"));
  catalog.DropModel("smol", {}, {chat.name});
  EXPECT_TRUE(catalog.Chats().empty());
  EXPECT_TRUE(Catalog(&rocks).Chats().empty());
}

TEST(CatalogTest, DamagedChatsAreRefused) {
  const std::string whole = EncodeChat(Chat("c"));
  EXPECT_EQ(DecodeChat(whole), Chat("c"));
  const auto damaged = [&](const char* place, const Json& value) {
    Json row = Json::parse(whole);
    row[Json::json_pointer(place)] = value;
    return row.dump();
  };
  for (const std::string& row : {
           damaged("/reuse", "sometimes"),
           damaged("/tokenizer", "xyz"),
           damaged("/opening/0/tokens", Json::array()),
           damaged("/opening/0/start", -1),
           damaged("/opening/0/attends", Json::array({{0, 0, 1}})),
           damaged("/opening/1/attends/0", {0, 0, 2}),
           damaged("/opening/1/attends/0", {0, -1, 1}),
           damaged("/opening/1/attends/0", {-1, 0, 1}),
           damaged("/opening/1/attends/0", {0, 1}),
           damaged("/opening/1/placeholders/0", {4, 2}),
           damaged("/opening/1/placeholders/1", {2, 1}),
           damaged("/turns", 7),
           damaged("/pending", "x"),
       }) {
    try {
      DecodeChat(row);
      ADD_FAILURE() << "it was read: " << row;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorrupt) << row;
    }
  }
}

TEST(CatalogTest, AccuraciesStayWithTheirModel) {
  const TemporaryFolder folder("catalog");
  Rocks rocks(folder.path());
  Catalog catalog(&rocks);
  EXPECT_FALSE(catalog.PutAccuracy(Accuracy("smol")));
  catalog.PutModel(Model("smol"));
  catalog.PutModel(Model("other"));
  EXPECT_TRUE(catalog.PutAccuracy(Accuracy("smol")));
  EXPECT_FALSE(catalog.FindAccuracy("other"));
  EXPECT_EQ(catalog.FindAccuracy("smol"), Accuracy("smol"));
  EXPECT_EQ(Catalog(&rocks).FindAccuracy("smol"), Accuracy("smol"));
  EXPECT_EQ(Catalog(&rocks).Accuracies().size(), 1u);
  EXPECT_EQ(Accuracy("m").Find("modular", "bf16")->perplexity, 9.5);
  EXPECT_EQ(Accuracy("m").Find("modular", "f32"), nullptr);
  // A model that is replaced keeps its row, which says nothing of other weights.
  catalog.PutModel(Model("smol"));
  EXPECT_TRUE(catalog.FindAccuracy("smol"));
  catalog.DropModel("smol", {});
  EXPECT_FALSE(catalog.FindAccuracy("smol"));
  EXPECT_FALSE(Catalog(&rocks).FindAccuracy("smol"));
}

TEST(CatalogTest, EveryFieldSurvivesReopening) {
  const TemporaryFolder folder("catalog");
  {
    Rocks rocks(folder.path());
    Catalog catalog(&rocks);
    EXPECT_FALSE(catalog.FindModel("smol"));
    catalog.PutModel(Model("smol"));
    catalog.PutModel(Model("Über \"m\""));
    catalog.PutSchema(Schema("travel"));
    ExpectEqual(*catalog.FindSchema("travel"), Schema("travel"));
  }
  Rocks rocks(folder.path());
  const Catalog catalog(&rocks);
  ASSERT_TRUE(catalog.FindModel("smol") && catalog.FindSchema("travel"));
  ExpectEqual(*catalog.FindModel("smol"), Model("smol"));
  ExpectEqual(*catalog.FindModel("Über \"m\""), Model("Über \"m\""));
  ExpectEqual(*catalog.FindSchema("travel"), Schema("travel"));
  EXPECT_FALSE(catalog.FindModel("travel"));
}

TEST(CatalogTest, ListsByNameReplacesAndDrops) {
  const TemporaryFolder folder("catalog");
  Rocks rocks(folder.path());
  Catalog catalog(&rocks);
  for (const char* name : {"b", "a", "c"}) {
    catalog.PutModel(Model(name));
    catalog.PutSchema(Schema(name));
  }
  ModelDefinition replaced = Model("b");
  replaced.context_length = 7;
  catalog.PutModel(replaced);
  catalog.DropSchema("b");
  catalog.DropSchema("never was");
  catalog.DropModel("a", {"a", "c"});

  const auto expect = [](const Catalog& seen) {
    const auto models = seen.Models();
    ASSERT_EQ(models.size(), 2u);
    EXPECT_EQ(models[0].name, "b");
    EXPECT_EQ(models[0].context_length, 7);
    EXPECT_EQ(models[1].name, "c");
    EXPECT_TRUE(seen.Schemas().empty());
  };
  expect(catalog);
  expect(Catalog(&rocks));
}

TEST(CatalogTest, DeepNestingIsKeptAndAbsurdNestingRefused) {
  const auto nested = [](int depth) {
    SchemaDefinition schema;
    schema.name = "deep";
    schema.model = "m";
    PartDefinition part = Part(PartDefinition::Kind::kModule, "leaf", "text");
    for (int level = 1; level < depth; ++level) {
      PartDefinition outer =
          Part(level % 2 == 0 ? PartDefinition::Kind::kModule : PartDefinition::Kind::kUnion,
               "level" + std::to_string(level), "");
      outer.children.push_back(std::move(part));
      part = std::move(outer);
    }
    schema.parts.push_back(std::move(part));
    return schema;
  };
  ExpectEqual(DecodeSchema(EncodeSchema(nested(kMaxPartDepth))), nested(kMaxPartDepth));
  try {
    EncodeSchema(nested(kMaxPartDepth + 1));
    ADD_FAILURE() << "it was encoded";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
  }
}

TEST(CatalogTest, TextThatIsNotUtf8IsRefusedAndChangesNothing) {
  const TemporaryFolder folder("catalog");
  Rocks rocks(folder.path());
  Catalog catalog(&rocks);
  catalog.PutSchema(Schema("travel"));
  SchemaDefinition broken = Schema("travel");
  broken.parts[0].children[0].text = "broken \xc3( text";
  try {
    catalog.PutSchema(broken);
    ADD_FAILURE() << "it was put";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
    EXPECT_NE(error.message().find("travel"), std::string::npos);
  }
  ExpectEqual(*catalog.FindSchema("travel"), Schema("travel"));
  ExpectEqual(*Catalog(&rocks).FindSchema("travel"), Schema("travel"));
}

TEST(CatalogTest, RowsOfOtherReleasesAreReadWherePossible) {
  Json model = {{"version", 1}, {"name", "m"}, {"path", "/p"}, {"from_the_future", {1, 2}}};
  const ModelDefinition read = DecodeModel(model.dump());
  EXPECT_EQ(read.path, "/p");
  EXPECT_EQ(read.dtype, "stored");
  EXPECT_EQ(read.kv_dtype, "bf16");
  EXPECT_EQ(read.chat_template, "auto");
  EXPECT_EQ(read.chat_words, std::nullopt);
  EXPECT_TRUE(read.chat_notes.empty());
  const SchemaDefinition schema =
      DecodeSchema(R"({"version":1,"name":"s","model":"m","parts":[{"kind":"text","new":1}]})");
  EXPECT_EQ(schema.separator, "");
  EXPECT_EQ(schema.parts.size(), 1u);

  model["version"] = 2;
  try {
    DecodeModel(model.dump());
    ADD_FAILURE() << "it was read";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
  }
}

TEST(CatalogTest, DamagedRowsNameThemselves) {
  for (const char* row : {
           "",
           "{",
           "[]",
           "null",
           R"({"version":1})",
           R"({"version":"1","name":"s","model":"m"})",
           R"({"version":1,"name":"other","model":"m"})",
           R"({"version":1,"name":"s","model":7})",
           R"({"version":1,"name":"s","model":"m","parts":{}})",
           R"({"version":1,"name":"s","model":"m","parts":[{"kind":"poem"}]})",
           R"({"version":1,"name":"s","model":"m","parts":[{"kind":"role","role":"king"}]})",
           R"({"version":1,"name":"s","model":"m","parts":[7]})",
           "{\"version\":1,\"name\":\"s\",\"model\":\"\xff\"}",
       }) {
    const TemporaryFolder folder("catalog");
    Rocks rocks(folder.path());
    Rocks::Batch batch;
    batch.Put(Family::kCatalog, "schema/s", row);
    rocks.Write(std::move(batch));
    try {
      const Catalog catalog(&rocks);
      ADD_FAILURE() << "it was read: " << row;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorrupt) << row;
      EXPECT_NE(error.message().find("schema/s"), std::string::npos) << error.message();
      EXPECT_NE(error.hint(), "");
    }
  }
}

TEST(CatalogTest, ManyThreadsSeeWholeDefinitions) {
  const TemporaryFolder folder("catalog");
  Rocks rocks(folder.path());
  Catalog catalog(&rocks);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (int step = 0; step < 20; ++step) {
        SchemaDefinition schema = Schema("shared");
        schema.model = schema.separator = std::to_string(thread * 100 + step);
        catalog.PutSchema(schema);
        const auto seen = catalog.FindSchema("shared");
        if (!seen || seen->model != seen->separator) ADD_FAILURE() << "a torn definition";
        catalog.PutModel(Model("m" + std::to_string(thread)));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(catalog.Models().size(), 4u);
  // What is remembered is what is stored.
  ExpectEqual(*Catalog(&rocks).FindSchema("shared"), *catalog.FindSchema("shared"));
}

}  // namespace
}  // namespace promptdb
