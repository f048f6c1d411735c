// The words of chat templates: cut from what Jinja2 renders, and joined again to the same text.
//
// data/chat_templates/ holds templates in the shapes of well-known models' own. Where
// tests/fetch_tokenizers has put real tokenizers, their templates are tested as well.
#include "planner/chat_template.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "base/error.h"
#include "planner/template_words.h"
#include "tests/support/expect_error.h"
#include "tests/support/test_folder.h"
#include "tokenizer/tokenizer.h"

namespace promptdb {
namespace {

namespace fs = std::filesystem;

std::string ReadWhole(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string Fixture(const std::string& name) {
  return ReadWhole(fs::path(PROMPTDB_SOURCE_DIR) / "tests/data/chat_templates" / (name + ".jinja"));
}

bool HasJinja() {
  static const bool has = JinjaRenderer()
                              .Render({"{{ messages[0].content }}", "", ""}, ProbeConversations())
                              .has_value();
  return has;
}

#define REQUIRE_JINJA() \
  if (!HasJinja()) GTEST_SKIP() << "python3-jinja2 is not installed"

const char* const kBos = "<s>";
const char* const kEos = "</s>";

OwnTemplate Read(const std::string& jinja) {
  return ReadOwnTemplate(JinjaRenderer(), {jinja, kBos, kEos}, true);
}

// Conversations of the roles that the template has, of random lengths and texts.
std::vector<Conversation> RandomConversations(std::mt19937& random, bool with_system) {
  static const std::vector<std::string> kTexts = {"Hello",
                                                  "Who are you?",
                                                  "two\nlines",
                                                  "a {{ brace }} and {% block %}",
                                                  "x",
                                                  "naïve — 日本",
                                                  "'quoted' \"twice\"",
                                                  "a  b",
                                                  "back\\slash \\n",
                                                  "[1, 2]",
                                                  "<b>bold</b>"};
  const auto text = [&] { return kTexts[random() % kTexts.size()]; };
  std::vector<Conversation> conversations;
  for (int i = 0; i < 20; ++i) {
    Conversation conversation;
    if (with_system) conversation.messages.push_back({"system", text()});
    const size_t turns = 1 + random() % 5;
    for (size_t turn = 0; turn < turns; ++turn) {
      conversation.messages.push_back({"user", text()});
      conversation.messages.push_back({"assistant", text()});
    }
    conversation.messages.pop_back();
    conversation.opens_answer = true;
    conversations.push_back(std::move(conversation));
  }
  return conversations;
}

const RoleWords& WordsOf(const ChatMessage& message, const ChatWords& words) {
  return message.role == "system" ? words.system
         : message.role == "user" ? words.user
                                  : words.assistant;
}

std::string Joined(const Conversation& conversation, const ChatWords& words) {
  std::string joined;
  for (const ChatMessage& message : conversation.messages) {
    const RoleWords& around = WordsOf(message, words);
    joined += around.before + message.content + around.after;
  }
  return joined + words.opening;
}

std::string WithoutBos(const std::string& text, const std::string& bos) {
  return !bos.empty() && text.starts_with(bos) ? text.substr(bos.size()) : text;
}

// Whole conversations, as Jinja renders them, are the words and texts joined. `invented`: what the
// template begins a conversation without a system text with.
void ExpectSameAsJinja(const std::string& jinja, const std::string& bos, const std::string& eos,
                       const ChatWords& words, bool with_system, const std::string& invented) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto conversations = RandomConversations(random, with_system);
  const auto renderings = JinjaRenderer().Render({jinja, bos, eos}, conversations);
  ASSERT_TRUE(renderings.has_value());
  for (size_t i = 0; i < conversations.size(); ++i) {
    const Rendering& rendering = (*renderings)[i];
    ASSERT_TRUE(rendering.text.has_value()) << rendering.failure;
    EXPECT_EQ(WithoutBos(*rendering.text, bos),
              (with_system ? "" : invented) + WithoutBos(Joined(conversations[i], words), bos));
  }
}

// A conversation of roles, each tokenized by itself, has the tokens of Jinja's rendering.
void ExpectSameTokens(const Tokenizer& tokenizer, const std::string& jinja, const std::string& bos,
                      const std::string& eos, const ChatWords& words) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto conversations = RandomConversations(random, true);
  const auto renderings = JinjaRenderer().Render({jinja, bos, eos}, conversations);
  ASSERT_TRUE(renderings.has_value());
  for (size_t i = 0; i < conversations.size(); ++i) {
    std::vector<TokenId> tokens;
    const auto add = [&](const std::string& text) {
      const std::vector<TokenId> ids = tokenizer.Encode(text);
      tokens.insert(tokens.end(), ids.begin(), ids.end());
    };
    for (const ChatMessage& message : conversations[i].messages) {
      const RoleWords& around = WordsOf(message, words);
      add(around.before + message.content + around.after);
    }
    add(words.opening);
    EXPECT_EQ(tokens, tokenizer.Encode(WithoutBos(*(*renderings)[i].text, bos)));
  }
}

struct Case {
  const char* name;
  ChatWords words;
  std::vector<std::string> notes;
  bool system_is_alike = true;  // rendered as the template does
  std::string invented;
};

const RoleWords kChatMlSystem = {"<|im_start|>system\n", "<|im_end|>\n"};
const RoleWords kChatMlUser = {"<|im_start|>user\n", "<|im_end|>\n"};
const RoleWords kChatMlAssistant = {"<|im_start|>assistant\n", "<|im_end|>\n"};
const ChatWords kChatMl = {kChatMlSystem, kChatMlUser, kChatMlAssistant, "<|im_start|>assistant\n"};
const RoleWords kLlama3User = {"<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"};
const RoleWords kLlama3Assistant = {"<|start_header_id|>assistant<|end_header_id|>\n\n",
                                    "<|eot_id|>"};
const std::string kLlama32System =
    "<|start_header_id|>system<|end_header_id|>\n\nKnowledge ends: December 2023\nToday: 26 Jul "
    "2024\n\n";

const std::vector<Case> kCases = {
    {"chatml", kChatMl, {}},
    {"smollm2",
     kChatMl,
     {"begins, without a system text, with a text of its own, which is left out: "
      "'<|im_start|>system\\nYou are a small model that helps.<|im_end…'"},
     true,
     "<|im_start|>system\nYou are a small model that helps.<|im_end|>\n"},
    {"qwen2.5",
     kChatMl,
     {"begins, without a system text, with a text of its own, which is left out: "
      "'<|im_start|>system\\nYou are a helpful assistant of the Qwen k…'"},
     true,
     "<|im_start|>system\nYou are a helpful assistant of the Qwen kind.<|im_end|>\n"},
    {"qwen3", kChatMl, {}},
    {"generation-marks", kChatMl, {}},
    {"llama2",
     {{"[INST] <<SYS>>\n", "\n<</SYS>>\n\n [/INST]"},
      {"<s>[INST] ", " [/INST]"},
      {" ", " </s>"},
      ""},
     {"writes the system text inside a user turn: SYSTEM texts are user turns of their own"},
     false},
    {"llama3",
     {{"<|start_header_id|>system<|end_header_id|>\n\n", "<|eot_id|>"},
      kLlama3User,
      kLlama3Assistant,
      kLlama3Assistant.before},
     {}},
    {"llama3.2",
     {{kLlama32System, "<|eot_id|>"}, kLlama3User, kLlama3Assistant, kLlama3Assistant.before},
     {"begins, without a system text, with a text of its own, which is left out: "
      "'<|start_header_id|>system<|end_header_id|>\\n\\nKnowledge ends: …'"},
     true,
     kLlama32System + "<|eot_id|>"},
    {"mistral-v0.2",
     {{"[INST] ", " [/INST]"}, {"[INST] ", " [/INST]"}, {"", "</s>"}, ""},
     {"has no system role (Users and assistants must take turns): SYSTEM texts are written as "
      "user turns"},
     false},
    {"mistral-v3",
     {{"[INST] ", "\n\n[/INST]"}, {"[INST] ", "[/INST]"}, {" ", "</s>"}, ""},
     {"writes the system text inside a user turn: SYSTEM texts are user turns of their own"},
     false},
    {"zephyr",
     {{"<|system|>\n", "</s>\n"},
      {"<|user|>\n", "</s>\n"},
      {"<|assistant|>\n", "</s>\n"},
      "<|assistant|>\n"},
     {}},
    {"gemma2",
     {{"<start_of_turn>user\n", "<end_of_turn>\n"},
      {"<start_of_turn>user\n", "<end_of_turn>\n"},
      {"<start_of_turn>model\n", "<end_of_turn>\n"},
      "<start_of_turn>model\n"},
     {"has no system role (System role not supported): SYSTEM texts are written as user turns"},
     false},
    {"phi3",
     {{"<|user|>\n", "<|end|>\n<|assistant|>\n"},
      {"<|user|>\n", "<|end|>\n<|assistant|>\n"},
      {"", "<|end|>\n"},
      ""},
     {"has no system role: SYSTEM texts are written as user turns"},
     false},
    {"phi3-small",
     {{"<|system|>\n", "<|end|>\n"},
      {"<|user|>\n", "<|end|>\n"},
      {"<|assistant|>\n", "<|end|>\n"},
      "<|assistant|>\n"},
     {}},
    {"falcon", {{"System: ", "\n"}, {"User: ", "\n"}, {"Falcon: ", "\n"}, "Falcon:"}, {}},
    {"deepseek-r1",
     {{"", ""}, {"<｜User｜>", ""}, {"<｜Assistant｜>", "</s>"}, "<｜Assistant｜><think>\n"},
     {}},
};

TEST(ChatTemplateTest, FixturesHaveTheirWords) {
  REQUIRE_JINJA();
  for (const Case& expected : kCases) {
    SCOPED_TRACE(expected.name);
    const OwnTemplate own = Read(Fixture(expected.name));
    ASSERT_TRUE(own.words.has_value()) << own.notes.front();
    const auto expect_words = [](const RoleWords& got, const RoleWords& wanted, const char* role) {
      EXPECT_EQ(got.before, wanted.before) << role;
      EXPECT_EQ(got.after, wanted.after) << role;
    };
    expect_words(own.words->system, expected.words.system, "system");
    expect_words(own.words->user, expected.words.user, "user");
    expect_words(own.words->assistant, expected.words.assistant, "assistant");
    EXPECT_EQ(own.words->opening, expected.words.opening);
    EXPECT_EQ(own.notes, expected.notes);
  }
}

TEST(ChatTemplateTest, JoinedWordsAreWhatJinjaRenders) {
  REQUIRE_JINJA();
  for (const Case& each : kCases) {
    SCOPED_TRACE(each.name);
    const std::string jinja = Fixture(each.name);
    ExpectSameAsJinja(jinja, kBos, kEos, each.words, false, each.invented);
    if (each.system_is_alike) ExpectSameAsJinja(jinja, kBos, kEos, each.words, true, "");
  }
}

TEST(ChatTemplateTest, RealTemplatesOfFetchedTokenizers) {
  REQUIRE_JINJA();
  int tested = 0;
  for (const char* name : {"llama3", "qwen3"}) {
    const char* const set = std::getenv("PROMPTDB_TOKENIZERS");
    const fs::path folder =
        set != nullptr ? fs::path(set) : fs::path(PROMPTDB_BINARY_DIR) / "tokenizers";
    const fs::path file = folder / name / "tokenizer_config.json";
    if (!fs::exists(file)) continue;
    SCOPED_TRACE(name);
    ++tested;
    const nlohmann::json config = nlohmann::json::parse(ReadWhole(file));
    const auto token = [&](const char* key) {
      return config[key].is_string() ? config[key].get<std::string>() : std::string();
    };
    const std::string jinja = config["chat_template"];
    const std::string bos = token("bos_token"), eos = token("eos_token");
    const OwnTemplate own = ReadOwnTemplate(JinjaRenderer(), {jinja, bos, eos}, true);
    ASSERT_TRUE(own.words.has_value()) << own.notes.front();
    EXPECT_TRUE(own.notes.empty()) << own.notes.front();
    ExpectSameAsJinja(jinja, bos, eos, *own.words, false, "");
    ExpectSameAsJinja(jinja, bos, eos, *own.words, true, "");
    ExpectSameTokens(*Tokenizer::FromHuggingFace(folder / name), jinja, bos, eos, *own.words);
  }
  if (tested == 0) GTEST_SKIP() << "tests/fetch_tokenizers has not been run";
}

TEST(ChatTemplateTest, ABeginningTokenThatTheEngineDoesNotAddIsNoted) {
  REQUIRE_JINJA();
  const OwnTemplate own = ReadOwnTemplate(JinjaRenderer(), {Fixture("zephyr"), kBos, kEos}, false);
  EXPECT_TRUE(own.notes.empty());
  const OwnTemplate phi =
      ReadOwnTemplate(JinjaRenderer(), {Fixture("phi3-small"), kBos, kEos}, false);
  EXPECT_EQ(phi.notes,
            (std::vector<std::string>{"begins with '<s>', which the tokenizer does not add"}));
  EXPECT_EQ(phi.words->user.before, "<|user|>\n");
  EXPECT_EQ(phi.words->system.before, "<s><|system|>\n");
}

// ---- templates that mean harm, or are broken ---------------------------------------------------

JinjaRenderer::Limits SmallLimits() {
  JinjaRenderer::Limits limits;
  limits.wait = std::chrono::milliseconds(20'000);
  limits.processor_seconds = 1;
  limits.output_bytes = 10'000;
  return limits;
}

// What a template that can't be used is said to suffer from.
std::string CauseOf(const std::string& jinja, int processor_seconds = 1) {
  JinjaRenderer::Limits limits = SmallLimits();
  limits.processor_seconds = processor_seconds;
  try {
    const OwnTemplate own = ReadOwnTemplate(JinjaRenderer(limits), {jinja, kBos, kEos}, true);
    return own.words ? "(none)" : own.notes.front();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_EQ(error.hint(),
              "Name the nearest built-in with CREATE MODEL … WITH (chat_template = 'chatml').");
    return error.message();
  }
}

TEST(HostileChatTemplateTest, EachHasOneClearCause) {
  REQUIRE_JINJA();
  const std::string prefix = "the model's own chat template can't be used: ";
  const std::string loop =
      "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
  EXPECT_EQ(CauseOf(loop), prefix + "it takes more than 1 s of processor time");
  EXPECT_EQ(CauseOf("{% for a in range(99999) %}many words{% endfor %}"),
            prefix + "it writes too much text");
  EXPECT_EQ(CauseOf("{{ 'x' * 4000000000 }}"), prefix + "it needs too much memory");
  // To fill the memory takes its time, too.
  EXPECT_EQ(CauseOf("{% set n = namespace(s='x') %}{% for a in range(64) %}"
                    "{% set n.s = n.s + n.s %}{% endfor %}",
                    60),
            prefix + "it needs too much memory");
  EXPECT_EQ(CauseOf("{{ range(1000000000) | list }}"),
            prefix + "Range too big. The sandbox blocks ranges larger than MAX_RANGE (100000)");
  EXPECT_EQ(CauseOf("{{ ().__class__.__base__.__subclasses__() }}"),
            prefix + "access to attribute '__class__' of 'tuple' object is unsafe");
  EXPECT_EQ(CauseOf("{{ messages.append(1) }}"),
            prefix + "access to attribute 'append' of 'list' object is unsafe");
  EXPECT_EQ(CauseOf("{{ raise_exception.__globals__['sys'] }}"),
            prefix + "access to attribute '__globals__' of 'function' object is unsafe");
  // The sandbox's format() writes nothing for what it does not allow.
  EXPECT_EQ(CauseOf("{{ '{0.__class__}'.format(messages) }}"),
            prefix + "it leaves texts of a conversation out, or moves them");
  EXPECT_EQ(CauseOf("{{ raise_exception('No\nchats ' + 'x' * 500) }}"),
            prefix + "No chats " + std::string(191, 'x'));
  EXPECT_EQ(CauseOf("one\n{% fro x in y %}"), prefix + "line 2: Encountered unknown tag 'fro'");
  EXPECT_EQ(CauseOf(std::string(2 << 20, 'x')), prefix + "it is longer than 1048576 bytes");
  EXPECT_EQ(CauseOf("one\xff"), prefix + "it is not UTF-8 at byte 3");
  EXPECT_EQ(CauseOf("{% include '/etc/passwd' %}"),
            prefix + "no loader for this environment specified");
  EXPECT_EQ(CauseOf("{{ '\\ud800' }}"),
            prefix + "it leaves texts of a conversation out, or moves them");
  EXPECT_EQ(CauseOf("{% for m in messages %}{{ m.content ~ range(9) | random }}{% endfor %}"),
            prefix + "it writes the turns of a conversation in different ways");
  EXPECT_EQ(CauseOf("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"),
            prefix + "it is nested too deeply");
  EXPECT_EQ(CauseOf("{{ strftime_now('%Y') }}"), prefix + "'strftime_now' is undefined");
}

TEST(HostileChatTemplateTest, ManyParenthesesEndInACause) {
  REQUIRE_JINJA();
  const std::string deep(100'000, '(');
  EXPECT_NE(CauseOf("{{ " + deep + " }}"), "(none)");
}

TEST(HostileChatTemplateTest, AWaitThatIsTooLongEndsInTime) {
  REQUIRE_JINJA();
  JinjaRenderer::Limits limits;
  limits.wait = std::chrono::milliseconds(300);
  limits.processor_seconds = 600;
  const std::string loop =
      "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
  ExpectError(ErrorCode::kUnsupported, {"it takes longer than 300 ms"}, [&] {
    JinjaRenderer(limits).Render({loop, "", ""}, ProbeConversations());
  });
}

TEST(HostileChatTemplateTest, AnUnusableTemplateIsRecognisedByItsMarks) {
  REQUIRE_JINJA();
  EXPECT_EQ(CauseOf("<|im_start|>{{ 1 / 0 }}"),
            "can't be used: division by zero; the built-in 'chatml', whose marks it has, is taken");
}

// ---- without the interpreter -------------------------------------------------------------------

TEST(MissingJinjaTest, TemplatesAreRecognisedByTheirMarks) {
  const JinjaRenderer none({}, {"/no/such/python", "no-such-python"});
  EXPECT_EQ(none.Render({"x", "", ""}, ProbeConversations()), std::nullopt);
  const std::vector<std::pair<const char*, const char*>> marks = {{"qwen3", "chatml"},
                                                                  {"llama2", "llama2"},
                                                                  {"llama3.2", "llama3"},
                                                                  {"mistral-v3", "mistral"},
                                                                  {"gemma2", "gemma"}};
  for (const auto& [name, built_in] : marks) {
    const OwnTemplate own = ReadOwnTemplate(none, {Fixture(name), kBos, kEos}, true);
    EXPECT_FALSE(own.words.has_value());
    EXPECT_EQ(own.notes,
              (std::vector<std::string>{
                  "can't be used: rendering it needs the package python3-jinja2; the built-in '" +
                  std::string(built_in) + "', whose marks it has, is taken"}));
  }
  ExpectError(ErrorCode::kUnsupported, {"python3-jinja2"}, [&] {
    ReadOwnTemplate(none, {Fixture("zephyr"), kBos, kEos}, true);
  });
}

TEST(MissingJinjaTest, AnInterpreterWithoutJinjaIsPassedOver) {
  REQUIRE_JINJA();
  const TemporaryFolder folder("chat_template");
  const fs::path program = folder / "python";
  std::ofstream(program) << "#!/bin/sh\ncat > /dev/null\necho '{\"missing\": \"jinja2\"}'\n";
  fs::permissions(program, fs::perms::owner_all);
  EXPECT_EQ(JinjaRenderer({}, {program}).Render({"x", "", ""}, ProbeConversations()), std::nullopt);
  EXPECT_TRUE(JinjaRenderer({}, {program, "/usr/bin/python3", "python3"})
                  .Render({"x", "", ""}, ProbeConversations())
                  .has_value());
}

TEST(MissingJinjaTest, AnInterpreterThatEndsAtOnceIsNoTemplate) {
  const JinjaRenderer broken({}, {"/bin/false"});
  ExpectError(ErrorCode::kUnsupported, {"the process that renders it ended early"}, [&] {
    broken.Render({std::string(1 << 19, 'x'), "", ""}, ProbeConversations());
  });
}

// ---- built-ins ---------------------------------------------------------------------------------

// The words of a built-in, joined, are what its family's template renders for users and assistants.
TEST(ChatTemplateTest, BuiltInsAreTheirFamilies) {
  REQUIRE_JINJA();
  const std::vector<std::pair<const char*, const char*>> families = {
      {"chatml", "chatml"}, {"llama3", "llama3"}, {"gemma", "gemma2"}};
  for (const auto& [name, fixture] : families) {
    SCOPED_TRACE(name);
    ExpectSameAsJinja(Fixture(fixture), kBos, kEos, ChatTemplate::Named(name).words(), false, "");
  }
  EXPECT_EQ(ChatTemplate::Names(), (std::vector<std::string>{"plain", "chatml", "llama3", "llama2",
                                                             "mistral", "gemma", "falcon"}));
  EXPECT_EQ(ChatTemplate().words(), ChatWords());
  const ChatTemplate chat = ChatTemplate::Own(kChatMl);
  EXPECT_EQ(chat.Wrap(ChatRole::kSystem), kChatMlSystem);
  EXPECT_EQ(chat.Wrap(ChatRole::kUser), kChatMlUser);
  EXPECT_EQ(chat.Wrap(ChatRole::kAssistant), kChatMlAssistant);
  EXPECT_EQ(chat.Wrap(ChatRole::kNone), RoleWords());
}

}  // namespace
}  // namespace promptdb
