// Tokenizers as files have them: a small one of every part, with added tokens; files that are
// damaged or made to do harm; and GGUF's vocabularies.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "model/checkpoint.h"
#include "tests/support/error_of.h"
#include "tests/support/test_folder.h"
#include "tests/support/text_file.h"
#include "tests/support/tokenizer_references.h"
#include "tokenizer/json_access.h"
#include "tokenizer/tokenizer.h"

namespace promptdb {
namespace {

using Ids = std::vector<TokenId>;
using Strings = std::vector<std::string>;

// A small tokenizer.json that has something of everything; tests change it.
Json SmallTokenizer() {
  Json vocab = Json::object();
  for (const std::string& token :
       Strings{"<unk>", "a", "b", "c", "d", "e", " ", "ab", "cd", "abcd", "<0x41>"}) {
    vocab[token] = vocab.size();
  }
  return {{"version", "1.0"},
          {"added_tokens",
           {{{"id", 0}, {"content", "<unk>"}, {"special", true}, {"normalized", false}},
            {{"id", 11}, {"content", "<end>"}, {"special", true}, {"normalized", false}},
            {{"id", 12}, {"content", "<tool>"}, {"special", false}, {"normalized", true}}}},
          {"normalizer",
           {{"type", "Sequence"},
            {"normalizers",
             {{{"type", "NFC"}},
              {{"type", "Replace"}, {"pattern", {{"Regex", "\\s+"}}}, {"content", " "}}}}}},
          {"pre_tokenizer",
           {{"type", "Sequence"},
            {"pretokenizers",
             {{{"type", "Split"},
               {"pattern", {{"Regex", "(?i:AB)| ?\\p{L}+"}}},
               {"behavior", "Isolated"},
               {"invert", false}},
              {{"type", "Digits"}, {"individual_digits", true}}}}}},
          {"post_processor",
           {{"type", "TemplateProcessing"},
            {"single",
             {{{"SpecialToken", {{"id", "<end>"}, {"type_id", 0}}}},
              {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}}}},
          {"decoder",
           {{"type", "Sequence"},
            {"decoders",
             {{{"type", "ByteFallback"}},
              {{"type", "Fuse"}},
              {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}}}}},
          {"model",
           {{"type", "BPE"},
            {"unk_token", "<unk>"},
            {"fuse_unk", true},
            {"byte_fallback", true},
            {"vocab", vocab},
            {"merges", {"a b", Json::array({"c", "d"}), "ab cd"}}}}};
}

std::unique_ptr<Tokenizer> Load(const std::string& json) {
  const TemporaryFolder folder("tokenizer");
  WriteText(folder / "tokenizer.json", json);
  return Tokenizer::FromHuggingFace(folder.path());
}

std::unique_ptr<Tokenizer> Load(const Json& json) { return Load(json.dump()); }

TEST(AddedTokens, EqualTheReference) {
  const Json reference = ReadReference("added_tokens");
  for (const Json& model : reference["models"]) {
    const auto tokenizer = Load(model["json"]);
    for (size_t i = 0; i < reference["texts"].size(); ++i) {
      const std::string text = reference["texts"][i];
      EXPECT_EQ(tokenizer->Encode(text), model["ids"][i].get<Ids>())
          << Json(text).dump() << " normalizer " << model["json"]["normalizer"];
    }
  }
}

TEST(AddedTokens, ControlSpellingsAreTextUnlessParsed) {
  const auto tokenizer = Load(SmallTokenizer());
  EXPECT_EQ(tokenizer->Encode("ab<end><tool>"), Ids({7, 11, 12}));
  // "<", "n" and ">" are unknown here; "e" and "d" aren't. <tool> is no control token.
  EXPECT_EQ(tokenizer->Encode("ab<end><tool>", /*parse_special=*/false),
            Ids({7, 0, 5, 0, 4, 0, 12}));
}

TEST(TokenizerFile, SmallOneWorks) {
  const auto tokenizer = Load(SmallTokenizer());
  EXPECT_EQ(tokenizer->vocab_size(), 13);
  EXPECT_EQ(tokenizer->Encode("abcd  A"), Ids({7, 8, 6, 10}));
  EXPECT_EQ(tokenizer->bos_id(), 11);
  EXPECT_TRUE(tokenizer->adds_bos());
  EXPECT_EQ(tokenizer->unk_id(), 0);
  EXPECT_EQ(tokenizer->Decode(Ids({11, 6, 9, 10, 999, -1})), "abcdA");
  EXPECT_EQ(tokenizer->TokenBytes(10), "A");
  EXPECT_EQ(tokenizer->TokenBytes(6), " ");
}

TEST(TokenizerFile, ErrorsNameTheKey) {
  struct Case {
    const char* pointer;  // what is replaced
    Json value;           // null: removed by being null
    const char* error;
  };
  const Case cases[] = {
      {"/model", nullptr, "corrupt data: model: missing"},
      {"/model", 3, "corrupt data: model: not an object but number"},
      {"/model/type", "Unigram", "unsupported: model.type: unsupported model \"Unigram\""},
      {"/model/type", "WordPiece", "unsupported: model.type: unsupported model \"WordPiece\""},
      {"/model/vocab", nullptr, "corrupt data: model.vocab: missing"},
      {"/model/vocab/a", -1, "corrupt data: model.vocab.a: out of range: -1"},
      {"/model/vocab/a", 4000000000, "corrupt data: model.vocab.a: out of range: 4000000000"},
      {"/model/vocab/a", "x", "corrupt data: model.vocab.a: not an integer but string"},
      {"/model/vocab/b", 1, "corrupt data: model.vocab.b: another token has the id 1"},
      {"/model/merges", "x", "corrupt data: model.merges: not an array but string"},
      {"/model/merges/0", "ab", "corrupt data: model.merges[0]: not two tokens: \"ab\""},
      {"/model/merges/0", "a z", "corrupt data: model.merges[0]: not in model.vocab: \"z\""},
      {"/model/merges/1", "a d", "corrupt data: model.merges[1]: not in model.vocab: \"ad\""},
      {"/model/unk_token", "zz", "corrupt data: model.unk_token: not in model.vocab: \"zz\""},
      {"/model/dropout", 0.5, "unsupported: model.dropout: unsupported random merging"},
      {"/added_tokens/1/id", 5,
       "corrupt data: added_tokens[1].id: another token has the id already: 5"},
      {"/added_tokens/0/id", 5,
       "corrupt data: added_tokens[0].id: the model's vocabulary has this token as id 0, not 5"},
      {"/added_tokens/1/id", nullptr, "corrupt data: added_tokens[1].id: missing"},
      {"/added_tokens/2/special", 1,
       "corrupt data: added_tokens[2].special: not a boolean but number"},
      {"/normalizer/normalizers/0/type", "Precompiled",
       "unsupported: normalizer.normalizers[0].type: unsupported normalizer \"Precompiled\""},
      {"/pre_tokenizer/pretokenizers/0/pattern/Regex", "(",
       "unsupported: pre_tokenizer.pretokenizers[0].pattern.Regex: missing closing parenthesis in "
       "the regular expression ("},
      {"/pre_tokenizer/pretokenizers/0/behavior", "Eaten",
       "corrupt data: pre_tokenizer.pretokenizers[0].behavior: unknown behavior \"Eaten\""},
      {"/decoder/decoders/2/content", "ab",
       "corrupt data: decoder.decoders[2].content: not one character"},
      {"/decoder/decoders/1/type", "CTC",
       "unsupported: decoder.decoders[1].type: unsupported decoder \"CTC\""},
  };
  for (const Case& c : cases) {
    Json json = SmallTokenizer();
    json[Json::json_pointer(c.pointer)] = c.value;
    EXPECT_EQ(ErrorOf([&] { Load(json); }), c.error);
  }
  EXPECT_EQ(ErrorOf([] { Load(std::string("{\"model\": ")); }),
            "corrupt data: tokenizer.json: not JSON at byte 11");

  Json nested = {{"type", "Lowercase"}};
  for (int i = 0; i < 50; ++i) nested = {{"type", "Sequence"}, {"normalizers", {nested}}};
  Json json = SmallTokenizer();
  json["normalizer"] = nested;
  EXPECT_NE(ErrorOf([&] { Load(json); }).find("nested too deeply"), std::string::npos);
}

TEST(TokenizerFile, ReplacementsCannotFillTheMemory) {
  Json json = SmallTokenizer();
  Json steps = Json::array();
  for (int i = 0; i < 60; ++i) {
    steps.push_back(
        {{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", std::string(40, 'a')}});
  }
  json["normalizer"] = {{"type", "Sequence"}, {"normalizers", steps}};
  const auto tokenizer = Load(json);
  EXPECT_TRUE(ErrorOf([&] { tokenizer->Encode("a"); }).starts_with("too long: "));
}

TEST(TokenizerFile, MutationsNeverCrash) {
  const uint32_t seed = 99;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  const std::string original = SmallTokenizer().dump();
  const Strings fragments = {"null",
                             "-1",
                             "{}",
                             "[]",
                             "\"\"",
                             "\"a\"",
                             "99999999999999999999",
                             "true",
                             "1e99",
                             "\"(\"",
                             "0",
                             "\"Sequence\"",
                             "12",
                             "\\u0000",
                             "\xFF",
                             "\"BPE\"",
                             "\"<unk>\"",
                             "\"ByteLevel\"",
                             "\"Metaspace\"",
                             "16777215",
                             "4194303"};
  int loaded = 0, refused = 0;
  for (int i = 0; i < 4000; ++i) {
    std::string text = original;
    for (int changes = 1 + static_cast<int>(random() % 3); changes > 0; --changes) {
      const size_t at = random() % text.size();
      switch (random() % 5) {
        case 0:
          text[at] = static_cast<char>(random());
          break;
        case 1:
          text.erase(at, 1 + random() % 20);
          break;
        case 2:
          text.insert(at, fragments[random() % fragments.size()]);
          break;
        case 3:
          text.resize(at + 1);
          break;
        default: {
          // A whole value: from a colon to the next comma.
          const size_t colon = text.find(':', at);
          const size_t comma = text.find_first_of(",}", colon);
          if (colon == std::string::npos || comma == std::string::npos) break;
          text.replace(colon + 1, comma - colon - 1, fragments[random() % fragments.size()]);
        }
      }
      if (text.empty()) text = "x";
    }
    try {
      const auto tokenizer = Load(text);
      const Ids ids = tokenizer->Encode("ab cd 12 <end><tool>\u00e9 \xFF abcd");
      for (const TokenId id : ids) {
        EXPECT_GE(id, 0);
        EXPECT_LT(id, tokenizer->vocab_size());
        tokenizer->TokenBytes(id);
      }
      StreamDecoder stream(*tokenizer);
      std::string streamed;
      for (const TokenId id : ids) streamed += stream.Push(id);
      EXPECT_EQ(streamed + stream.Finish(), tokenizer->Decode(ids)) << text;
      ++loaded;
    } catch (const Error& error) {
      EXPECT_FALSE(error.message().empty());
      ++refused;
    }
  }
  EXPECT_GT(loaded, 100);
  EXPECT_GT(refused, 500);
}

TEST(TokenizerConfig, NamesTheSpecialTokens) {
  const TemporaryFolder folder("tokenizer");
  WriteText(folder / "tokenizer.json", SmallTokenizer().dump());
  WriteText(folder / "tokenizer_config.json",
            R"({"bos_token": {"content": "<tool>"}, "eos_token": "<end>", "pad_token": "absent",
                "add_bos_token": false, "chat_template": [{"name": "rag", "template": "R"},
                                                          {"name": "default", "template": "D"}]})");
  WriteText(folder / "special_tokens_map.json", R"({"unk_token": "a"})");
  WriteText(folder / "generation_config.json", R"({"eos_token_id": [5, 11, 2]})");
  auto tokenizer = Tokenizer::FromHuggingFace(folder.path());
  EXPECT_EQ(tokenizer->bos_id(), 12);
  EXPECT_FALSE(tokenizer->adds_bos());
  EXPECT_EQ(tokenizer->pad_id(), std::nullopt);
  EXPECT_EQ(tokenizer->unk_id(), 1);
  EXPECT_EQ(tokenizer->end_ids(), Ids({2, 5, 11}));
  EXPECT_TRUE(tokenizer->IsEnd(5));
  EXPECT_FALSE(tokenizer->IsEnd(6));
  EXPECT_EQ(tokenizer->chat_template(), "D");
  const Digest digest = tokenizer->digest();

  WriteText(folder / "chat_template.jinja", "J");
  WriteText(folder / "generation_config.json", R"({"eos_token_id": -1})");
  tokenizer = Tokenizer::FromHuggingFace(folder.path());
  EXPECT_EQ(tokenizer->chat_template(), "J");
  EXPECT_EQ(tokenizer->end_ids(), Ids({11}));
  // Nothing that encoding depends on has changed; then something does.
  EXPECT_EQ(tokenizer->digest(), digest);
  Json json = SmallTokenizer();
  json["model"]["merges"].erase(0);
  json["model"]["merges"].erase(1);
  WriteText(folder / "tokenizer.json", json.dump());
  EXPECT_NE(Tokenizer::FromHuggingFace(folder.path())->digest(), digest);

  WriteText(folder / "generation_config.json", R"({"eos_token_id": [1, 13]})");
  EXPECT_EQ(ErrorOf([&] { Tokenizer::FromHuggingFace(folder.path()); }),
            "corrupt data: generation_config.json.eos_token_id[1]: out of range: 13");
  std::filesystem::remove(folder / "tokenizer.json");
  EXPECT_TRUE(ErrorOf([&] {
                Tokenizer::FromHuggingFace(folder.path());
              }).starts_with("input/output error: "));
}

GgufVocabulary SmallVocabulary(const std::string& model) {
  GgufVocabulary vocabulary;
  vocabulary.model = model;
  vocabulary.tokens = {"<unk>", "<s>", "</s>", "a", "b", "ab", "\u2581", "<|im_end|>"};
  vocabulary.token_types = {2, 3, 3, 1, 1, 1, 1, 1};
  if (model == "llama") {
    vocabulary.scores = {0, 0, 0, -1, -2, -3, -4, -5};
  } else {
    vocabulary.merges = {"a b"};
  }
  return vocabulary;
}

TEST(GgufVocabulary, ErrorsNameTheKey) {
  const auto error = [](const std::string& model, const auto& change) {
    GgufVocabulary vocabulary = SmallVocabulary(model);
    change(vocabulary);
    return ErrorOf([&] { Tokenizer::FromGguf(vocabulary); });
  };
  using V = GgufVocabulary;
  EXPECT_EQ(error("t5", [](V&) {}),
            "unsupported: tokenizer.ggml.model: unsupported kind of vocabulary \"t5\"");
  EXPECT_EQ(error("gpt2", [](V& v) { v.pre = "klingon"; }),
            "unsupported: tokenizer.ggml.pre: unknown pre-tokenizer \"klingon\"");
  EXPECT_EQ(error("llama", [](V& v) { v.tokens.clear(); }),
            "corrupt data: tokenizer.ggml.tokens: impossible number of tokens: 0");
  EXPECT_EQ(error("llama", [](V& v) { v.scores.pop_back(); }),
            "corrupt data: tokenizer.ggml.scores: fewer scores than tokens: 7 of 8");
  EXPECT_EQ(error("llama", [](V& v) { v.scores[3] = NAN; }),
            "corrupt data: tokenizer.ggml.scores[3]: not a number");
  EXPECT_EQ(error("llama", [](V& v) { v.token_types.resize(2); }),
            "corrupt data: tokenizer.ggml.token_type: fewer types than tokens: 2 of 8");
  EXPECT_EQ(error("llama", [](V& v) { v.tokens[4] = "a"; }),
            "corrupt data: tokenizer.ggml.tokens[4]: the token is there already, as id 3");
  EXPECT_EQ(error("llama", [](V& v) { v.bos_id = 8; }),
            "corrupt data: tokenizer.ggml.bos_token_id: no token has the id 8");
  EXPECT_EQ(error("llama", [](V& v) { v.eos_id = -2; }),
            "corrupt data: tokenizer.ggml.eos_token_id: no token has the id -2");
  EXPECT_EQ(error("gpt2", [](V& v) { v.merges.push_back("ab"); }),
            "corrupt data: tokenizer.ggml.merges[1]: not two tokens");
}

TEST(GgufVocabulary, DefaultsFollowTheKind) {
  const auto spm = Tokenizer::FromGguf(SmallVocabulary("llama"));
  EXPECT_TRUE(spm->adds_bos());
  EXPECT_EQ(spm->bos_id(), 1);
  EXPECT_EQ(spm->unk_id(), 0);
  // eos by default, and what is known to end a turn by its spelling.
  EXPECT_EQ(spm->end_ids(), Ids({2, 7}));
  EXPECT_EQ(spm->Encode("ab<|im_end|>ba"), Ids({6, 5, 7, 6, 4, 3}));
  // No byte tokens: what is unknown becomes the unknown token, once for a byte.
  EXPECT_EQ(spm->Encode("\u00e9"), Ids({6, 0, 0}));
  EXPECT_EQ(spm->Decode(Ids({1, 6, 5})), " ab");
  EXPECT_EQ(spm->Decode(Ids({6, 5, 2})), "ab");
  EXPECT_EQ(spm->Decode(Ids({6, 5, 2}), /*skip_special=*/false), "ab</s>");

  GgufVocabulary vocabulary = SmallVocabulary("llama");
  vocabulary.add_bos = false;
  vocabulary.add_space_prefix = false;
  const auto changed = Tokenizer::FromGguf(vocabulary);
  EXPECT_FALSE(changed->adds_bos());
  EXPECT_EQ(changed->Encode("ab"), Ids({5}));
  EXPECT_NE(changed->digest(), spm->digest());

  vocabulary = SmallVocabulary("gpt2");
  EXPECT_FALSE(Tokenizer::FromGguf(vocabulary)->adds_bos());
  vocabulary.pre = "llama-bpe";
  EXPECT_FALSE(Tokenizer::FromGguf(vocabulary)->adds_bos());  // there is no bos to add
  vocabulary.bos_id = 1;
  EXPECT_TRUE(Tokenizer::FromGguf(vocabulary)->adds_bos());
}

TEST(GgufVocabulary, LongerSpecialTokensComeFirst) {
  GgufVocabulary vocabulary = SmallVocabulary("llama");
  // A user-defined token that begins earlier loses to a longer one that overlaps it.
  vocabulary.tokens.insert(vocabulary.tokens.end(), {"xy", "yzz"});
  vocabulary.token_types.insert(vocabulary.token_types.end(), {4, 4});
  vocabulary.scores.insert(vocabulary.scores.end(), {0, 0});
  vocabulary.add_space_prefix = false;
  const auto tokenizer = Tokenizer::FromGguf(vocabulary);
  EXPECT_EQ(tokenizer->Encode("xyzz", /*parse_special=*/false), Ids({0, 9}));
  EXPECT_EQ(tokenizer->Encode("xyz", /*parse_special=*/false), Ids({8, 0}));
}

}  // namespace
}  // namespace promptdb
