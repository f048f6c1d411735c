// Vocabularies that we train: merges against a trainer that counts all pairs anew in every round,
// and both stored forms against each other.
#include "tokenizer/bpe_trainer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "base/error.h"
#include "model/gguf_writer.h"
#include "tests/support/expect_error.h"
#include "tests/support/random_cases.h"
#include "tests/support/test_folder.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/tokenizer.h"

namespace promptdb {
namespace {

using Strings = std::vector<std::string>;

// The reference: one word is its pieces, nothing is remembered from round to round.
struct PlainTrainer {
  std::map<Strings, int64_t> words;
  std::vector<SpelledMerge> merges;

  void Train(size_t limit, int64_t min_count, std::set<std::string> known) {
    for (const auto& [word, count] : words) known.insert(word.begin(), word.end());
    while (merges.size() < limit) {
      std::map<SpelledMerge, int64_t> counts;
      for (const auto& [word, count] : words) {
        for (size_t i = 0; i + 1 < word.size(); ++i) counts[{word[i], word[i + 1]}] += count;
      }
      const SpelledMerge* best = nullptr;
      int64_t best_count = min_count - 1;
      for (const auto& [pair, count] : counts) {
        if (count <= best_count || known.contains(pair.first + pair.second)) continue;
        best = &pair;
        best_count = count;
      }
      if (best == nullptr) return;
      merges.push_back(*best);
      known.insert(best->first + best->second);
      std::map<Strings, int64_t> rewritten;
      for (const auto& [word, count] : words) rewritten[Apply(merges.back(), word)] += count;
      words = std::move(rewritten);
    }
  }

  static Strings Apply(const SpelledMerge& merge, const Strings& word) {
    Strings out;
    for (size_t i = 0; i < word.size(); ++i) {
      if (i + 1 < word.size() && word[i] == merge.first && word[i + 1] == merge.second) {
        out.push_back(word[i] + word[i + 1]);
        ++i;
      } else {
        out.push_back(word[i]);
      }
    }
    return out;
  }

  Strings Encode(Strings word) const {
    for (const SpelledMerge& merge : merges) word = Apply(merge, word);
    return word;
  }
};

Strings Letters(const std::string& word) {
  Strings letters;
  for (const char c : word) letters.emplace_back(1, c);
  return letters;
}

class Dice {
 public:
  explicit Dice(uint32_t seed) : engine_(seed) {}
  int Roll(int low, int high) { return std::uniform_int_distribution<int>(low, high)(engine_); }
  // Few letters and many repetitions: pairs overlap, counts are equal, pieces come about twice.
  std::string Word() {
    std::string word;
    const int letters = Roll(1, 4);
    for (int i = Roll(1, 12); i > 0; --i) word += static_cast<char>('a' + Roll(0, letters));
    return word;
  }
  template <typename T>
  const T& Pick(const std::vector<T>& from) {
    return from[static_cast<size_t>(Roll(0, static_cast<int>(from.size()) - 1))];
  }

 private:
  std::mt19937 engine_;
};

TEST(BpeTrainer, LearnsWhatRecountingEveryRoundLearns) {
  const RandomCases random(200);
  Dice dice(random.seed);
  size_t merges = 0;
  for (int n = 0; n < random.cases; ++n) {
    PlainTrainer reference;
    std::vector<CountedWord> words;
    for (int i = dice.Roll(1, 40); i > 0; --i) {
      const std::string word = dice.Word();
      const int64_t count = dice.Roll(1, 5);
      words.push_back({word, count});
      reference.words[Letters(word)] += count;
    }
    const auto limit = static_cast<size_t>(dice.Roll(0, 80));
    const int64_t min_count = dice.Roll(1, 4);
    std::set<std::string> taken;
    if (dice.Roll(0, 1) == 0) taken = {dice.Word(), "ab", "aa"};
    reference.Train(limit, min_count, taken);
    ASSERT_EQ(LearnMerges(words, limit, min_count, taken), reference.merges) << "case " << n;
    merges += reference.merges.size();
  }
  EXPECT_GT(merges, static_cast<size_t>(random.cases));
}

TEST(BpeTrainer, CountsWordsAndEncodesThemAsItLearntThem) {
  const RandomCases random(30);
  Dice dice(random.seed);
  for (int n = 0; n < random.cases; ++n) {
    // Words parted by one space, which belongs to the word after it: no regular expression needed.
    PlainTrainer reference;
    const std::string space(SpellByte(' '));
    Strings texts;
    Strings all_words;
    for (int i = dice.Roll(1, 6); i > 0; --i) {
      std::string& text = texts.emplace_back();
      for (int words = dice.Roll(1, 30); words > 0; --words) {
        const std::string word = dice.Word();
        Strings symbols = Letters(word);
        if (!text.empty()) {
          text += ' ';
          symbols.insert(symbols.begin(), space);
        }
        text += word;
        ++reference.words[symbols];
        all_words.push_back(word);
      }
    }
    BpeTrainerOptions options;
    options.vocab_size = 256 + dice.Roll(0, 100);
    const BpeVocabulary vocabulary = TrainBpe(texts, options);
    reference.Train(static_cast<size_t>(options.vocab_size - 256), options.min_count, {});
    ASSERT_EQ(vocabulary.merges, reference.merges) << "case " << n;
    ASSERT_EQ(vocabulary.tokens.size(), 256 + reference.merges.size());
    for (size_t i = 0; i < reference.merges.size(); ++i) {
      const auto& [left, right] = reference.merges[i];
      ASSERT_EQ(vocabulary.tokens[256 + i], left + right);
    }

    const auto tokenizer = Tokenizer::FromGguf(ToGgufVocabulary(vocabulary));
    for (const std::string& word : all_words) {
      Strings pieces;
      for (const TokenId id : tokenizer->Encode(word)) {
        pieces.push_back(tokenizer->TokenSpelling(id));
      }
      ASSERT_EQ(pieces, reference.Encode(Letters(word))) << "case " << n << ": " << word;
    }
  }
}

TEST(BpeTrainer, BytesHaveTheOrderOfGpt2) {
  const Strings bytes = ByteTokens();
  ASSERT_EQ(bytes.size(), 256u);
  EXPECT_EQ(bytes[0], "!");
  EXPECT_EQ(bytes[93], "~");
  EXPECT_EQ(bytes[94], "¡");
  EXPECT_EQ(bytes[187], "ÿ");
  EXPECT_EQ(bytes[188], "Ā");  // byte 0
  EXPECT_EQ(bytes[220], "Ġ");  // the space
  EXPECT_EQ(bytes[255], "Ń");
}

// Text as it comes, and as it does not: many alphabets, spaces of all kinds, digits, special tokens
// in the middle of words.
std::string RandomText(Dice& dice, const Strings& specials) {
  static const Strings kParts = {"the",     " the",   " harbour", "don't",  " they'll",
                                 "I'M",     "42",     " 1999",    "3.14",   " ",
                                 "  ",      "\n",     "\n\n",     "\t",     " \n ",
                                 "\r\n",    "!?",     " ...",     "(a+b)",  "über",
                                 " Straße", "今日は", "привет",   "🙂",   "👩‍👩‍👧",
                                 "e\u0301", "\u00a0", "\u2003",   "<|",     "|>",
                                 "_x_",     "Ġ",      "▁",        "\u200b", "x\x01y",
                                 "٣٤"};
  std::string text;
  for (int i = dice.Roll(0, 25); i > 0; --i) {
    if (!specials.empty() && dice.Roll(0, 9) == 0) {
      text += dice.Pick(specials);
    } else {
      text += dice.Pick(kParts);
    }
  }
  return text;
}

const Strings kSpecials = {"<|begin|>", "<|end|>", "<|pad|>", "<|user|>", "<|assistant|>"};

BpeTrainerOptions SomeOptions(bool specials_first) {
  BpeTrainerOptions options;
  options.vocab_size = 400;
  options.special_tokens = kSpecials;
  options.specials_first = specials_first;
  options.bos = "<|begin|>";
  options.eos = "<|end|>";
  options.pad = "<|pad|>";
  options.chat_template = "{% for m in messages %}<|user|>{{ m['content'] }}{% endfor %}";
  return options;
}

class StoredVocabulary : public testing::TestWithParam<bool> {};

TEST_P(StoredVocabulary, BothFormsEncodeAlikeAndDecodeToTheText) {
  const RandomCases random(300);
  Dice dice(random.seed);
  const BpeTrainerOptions options = SomeOptions(GetParam());
  BpeTrainer trainer(options);
  for (int i = 0; i < 200; ++i) trainer.Add(RandomText(dice, kSpecials));
  const BpeVocabulary vocabulary = trainer.Train();
  ASSERT_EQ(vocabulary.tokens.size(), 400u);

  const TemporaryFolder folder("bpe");
  WriteTokenizerFiles(vocabulary, folder.path());
  const auto hugging_face = Tokenizer::FromHuggingFace(folder.path());
  GgufWriter writer;
  AddGgufVocabulary(ToGgufVocabulary(vocabulary), writer);
  writer.Write(folder / "v.gguf");
  const auto gguf = Tokenizer::FromGguf(ReadGgufVocabulary(folder / "v.gguf"));

  const TokenId first_special = GetParam() ? 0 : 395;
  for (const Tokenizer* tokenizer : {hugging_face.get(), gguf.get()}) {
    EXPECT_EQ(tokenizer->vocab_size(), 400);
    EXPECT_EQ(tokenizer->bos_id(), first_special);
    EXPECT_EQ(tokenizer->eos_id(), first_special + 1);
    EXPECT_EQ(tokenizer->pad_id(), first_special + 2);
    EXPECT_EQ(tokenizer->unk_id(), std::nullopt);
    EXPECT_TRUE(tokenizer->adds_bos());
    EXPECT_TRUE(tokenizer->IsEnd(first_special + 1));
    EXPECT_FALSE(tokenizer->IsEnd(first_special));
    EXPECT_EQ(tokenizer->chat_template(), options.chat_template);
    for (size_t i = 0; i < kSpecials.size(); ++i) {
      const TokenId id = first_special + static_cast<TokenId>(i);
      EXPECT_EQ(tokenizer->Encode(kSpecials[i]), std::vector<TokenId>{id});
      EXPECT_EQ(tokenizer->TokenSpelling(id), kSpecials[i]);
      EXPECT_EQ(tokenizer->TokenBytes(id), "");
      EXPECT_GT(tokenizer->Encode(kSpecials[i], /*parse_special=*/false).size(), 1u);
    }
  }
  for (int n = 0; n < random.cases; ++n) {
    const std::string text = RandomText(dice, kSpecials);
    for (const bool parse_special : {true, false}) {
      const std::vector<TokenId> ids = hugging_face->Encode(text, parse_special);
      ASSERT_EQ(ids, gguf->Encode(text, parse_special)) << "case " << n << ": " << text;
      ASSERT_EQ(hugging_face->Decode(ids, /*skip_special=*/false), text) << "case " << n;
      ASSERT_EQ(gguf->Decode(ids, /*skip_special=*/false), text) << "case " << n;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(SpecialTokens, StoredVocabulary, testing::Bool(),
                         [](const auto& info) { return info.param ? "First" : "Last"; });

TEST(BpeTrainer, SpecialTokensAreNoPartOfWords) {
  BpeTrainerOptions options;
  options.vocab_size = 300;
  options.special_tokens = {"<s>", "<s>>"};
  options.bos = "<s>";
  const Strings texts = {"<s>ab<s>ab<s>>ab", "xy"};
  const BpeVocabulary vocabulary = TrainBpe(texts, options);
  EXPECT_EQ(vocabulary.merges, (std::vector<SpelledMerge>{{"a", "b"}}));  // "x y" is there once
  EXPECT_EQ(vocabulary.tokens.size(), 2u + 256 + 1);
  EXPECT_EQ(vocabulary.special_ids, (std::vector<TokenId>{0, 1}));
  EXPECT_EQ(vocabulary.tokens.back(), "ab");

  // What spells a special token is learnt around it: a token's spelling is there once.
  options.special_tokens = {"Ġab"};
  options.bos = "";
  const Strings spaced = {"x ab ab ab ab"};
  const BpeVocabulary around = TrainBpe(spaced, options);
  EXPECT_EQ(around.merges, (std::vector<SpelledMerge>{{"a", "b"}}));
}

TEST(BpeTrainer, RefusesOptionsThatMakeNoVocabulary) {
  BpeTrainerOptions options;
  const auto expect_refusal = [&](const std::string& message) {
    ExpectError(ErrorCode::kInvalidArgument, {message}, [&] { BpeTrainer trainer(options); });
  };
  options.vocab_size = 257;
  options.special_tokens = {"<s>", "</s>"};
  expect_refusal("the vocabulary is too small: 257");
  options.vocab_size = 300;
  options.eos = "<eos>";
  expect_refusal("no special token is called \"<eos>\"");
  options.eos = "</s>";
  options.special_tokens.push_back("<s>");
  expect_refusal("a special token is in the vocabulary already: \"<s>\"");
  options.special_tokens.back() = "Ġ";
  expect_refusal("a special token is in the vocabulary already: \"Ġ\"");
  options.special_tokens.back() = "";
  expect_refusal("a special token is empty");
}

TEST(BpeTrainer, NoTextGivesBytesAlone) {
  BpeTrainerOptions options;
  options.vocab_size = 1000;
  const BpeVocabulary vocabulary = TrainBpe({}, options);
  EXPECT_EQ(vocabulary.tokens, ByteTokens());
  const auto tokenizer = Tokenizer::FromGguf(ToGgufVocabulary(vocabulary));
  EXPECT_FALSE(tokenizer->adds_bos());
  EXPECT_EQ(tokenizer->Decode(tokenizer->Encode("né\n")), "né\n");
}

}  // namespace
}  // namespace promptdb
