// The parts of the tokenizers: components of tokenizer.json one by one against the official
// `tokenizers` (references made by tests/data/tokenizer/make_references.mjs), merging against an
// obvious implementation, and regular expressions.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/support/error_of.h"
#include "tests/support/tokenizer_references.h"
#include "tokenizer/bpe.h"
#include "tokenizer/characters.h"
#include "tokenizer/json_access.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/regex.h"
#include "tokenizer/token_decoder.h"
#include "tokenizer/token_trie.h"
#include "tokenizer/tokenizer.h"

namespace promptdb {
namespace {

using Ids = std::vector<TokenId>;
using Strings = std::vector<std::string>;

// --- Components against the official implementation ---------------------------------------------

TEST(Components, EqualTheReference) {
  std::map<std::string, int> checked;
  for (const Json& component : ReadReference("components")) {
    const std::string kind = component["kind"];
    const Json& json = component["json"];
    for (const Json& example : component["cases"]) {
      SCOPED_TRACE(kind + " " + json.dump() + " of " + example[0].dump());
      ++checked[kind];
      if (kind == "pre_tokenizer") {
        WordList list;
        list.text = example[0];
        if (!list.text.empty()) list.words = {{0, static_cast<uint32_t>(list.text.size())}};
        list.at_start = true;
        ReadPreTokenizer(json, kind)->Apply(list);
        Strings words;
        for (const TextSpan span : list.words) {
          words.push_back(list.text.substr(span.begin, span.size()));
        }
        // The reference's listing may show empty words, which its encoding then drops.
        Strings expected = example[1];
        std::erase(expected, "");
        EXPECT_EQ(words, expected);
      } else if (kind == "normalizer") {
        NormalizedText text{example[0], true};
        ReadNormalizer(json, kind)->Apply(text);
        EXPECT_EQ(text.text, example[1].get<std::string>());
      } else {
        DecoderTraits traits;
        Strings tokens = example[0];
        ReadTokenDecoder(json, kind, traits)->Apply(tokens);
        std::string text;
        for (const std::string& token : tokens) text += token;
        EXPECT_EQ(text, example[1].get<std::string>());
      }
    }
  }
  EXPECT_GT(checked["pre_tokenizer"], 1000);
  EXPECT_GT(checked["normalizer"], 500);
  EXPECT_GT(checked["decoder"], 100);
}

// --- Merging
// --------------------------------------------------------------------------------------

struct SlowMerge {
  uint32_t rank;
  int32_t merged;
};
using SlowTable = std::map<std::pair<int32_t, int32_t>, SlowMerge>;

// Looks at all pairs, merges the best one, begins again.
Ids MergeSlowly(const SlowTable& table, Ids ids) {
  while (true) {
    size_t best = ids.size();
    SlowMerge merge{};
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      const auto found = table.find({ids[i], ids[i + 1]});
      if (found == table.end()) continue;
      if (best == ids.size() || found->second.rank < merge.rank) {
        best = i;
        merge = found->second;
      }
    }
    if (best == ids.size()) return ids;
    ids[best] = merge.merged;
    ids.erase(ids.begin() + static_cast<ptrdiff_t>(best) + 1);
  }
}

TEST(MergeSymbols, EqualsAnObviousImplementation) {
  const uint32_t seed = 7;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  int merged = 0;
  for (int round = 0; round < 60; ++round) {
    // A random grammar: each merge joins two symbols that exist so far. Ranks needn't grow with
    // ids, and several pairs may share one (as equal scores do).
    const int letters = 2 + static_cast<int>(random() % 4);
    SlowTable slow;
    MergeTable fast;
    int32_t next = letters;
    for (int i = 0; i < 40; ++i) {
      const auto left = static_cast<int32_t>(random() % next);
      const auto right = static_cast<int32_t>(random() % next);
      const uint32_t rank = random() % (round % 2 == 0 ? 1000 : 8);
      if (!slow.emplace(std::pair(left, right), SlowMerge{rank, next}).second) continue;
      fast.Insert(left, right, {rank, next}, false);
      ++next;
    }
    EXPECT_EQ(fast.size(), slow.size());
    for (const size_t length :
         {size_t{0}, size_t{1}, size_t{5}, size_t{24}, size_t{25}, size_t{400}}) {
      Ids ids;
      std::vector<Symbol> symbols;
      for (size_t i = 0; i < length; ++i) {
        // Now and then a symbol that merges with nothing.
        ids.push_back(random() % 40 == 0 ? -1 : static_cast<int32_t>(random() % letters));
        symbols.push_back({ids.back(), static_cast<uint32_t>(i), 1});
      }
      MergeSymbols(fast, symbols);
      Ids result;
      uint32_t at = 0;
      for (const Symbol& symbol : symbols) {
        result.push_back(symbol.id);
        EXPECT_EQ(symbol.begin, at);
        at += symbol.size;
      }
      EXPECT_EQ(at, length);
      EXPECT_EQ(result, MergeSlowly(slow, ids));
      merged += static_cast<int>(length - result.size());
    }
  }
  EXPECT_GT(merged, 5000);
}

TEST(MergeTable, KeepsOrReplaces) {
  MergeTable table;
  table.Insert(1, 2, {5, 10}, false);
  table.Insert(1, 2, {6, 11}, false);
  EXPECT_EQ(table.Find(1, 2)->merged, 10);
  table.Insert(1, 2, {7, 12}, true);
  EXPECT_EQ(table.Find(1, 2)->merged, 12);
  EXPECT_EQ(table.size(), 1u);
  EXPECT_EQ(table.Find(2, 1), nullptr);
  EXPECT_EQ(table.Find(-1, -1), nullptr);
}

TEST(TokenTrie, FindsTheLeftmostAndLongest) {
  TokenTrie trie;
  EXPECT_TRUE(trie.empty());
  trie.Insert("<a>", 1);
  trie.Insert("<a>b", 2);
  trie.Insert("a>bc", 3);
  trie.Insert("<a>", 4);
  trie.Insert("", 5);
  const auto match = trie.FindLongest("x<a>bc", 0);
  ASSERT_TRUE(match);
  EXPECT_EQ(match->value, 2);
  EXPECT_EQ(match->begin, 1u);
  EXPECT_EQ(match->size, 4u);
  EXPECT_EQ(trie.FindLongest("x<a>bc", 2)->value, 3);
  EXPECT_FALSE(trie.FindLongest("x<a", 0));
  EXPECT_EQ(trie.FindAll("x<a>bc").size(), 3u);
}

// --- UTF-8 and regular expressions
// ----------------------------------------------------------------

TEST(Characters, TellUnfinishedFromDamaged) {
  EXPECT_EQ(UnfinishedSuffixSize(""), 0u);
  EXPECT_EQ(UnfinishedSuffixSize("abc"), 0u);
  EXPECT_EQ(UnfinishedSuffixSize("a\xE2\x82"), 2u);
  EXPECT_EQ(UnfinishedSuffixSize("a\xE2\x82\xAC"), 0u);
  EXPECT_EQ(UnfinishedSuffixSize("\xF0\x9F\x98"), 3u);
  EXPECT_EQ(UnfinishedSuffixSize("\xF0"), 1u);
  EXPECT_EQ(UnfinishedSuffixSize("\xE0\x80"), 0u);  // overlong: nothing can finish it
  EXPECT_EQ(UnfinishedSuffixSize("\xFF"), 0u);
  EXPECT_EQ(UnfinishedSuffixSize("\x80\x80\x80\x80"), 0u);
}

std::vector<std::string> MatchesOf(const std::string& pattern, const std::string& text) {
  const Regex regex(pattern, "key");
  std::vector<TextSpan> spans;
  RegexMatcher(regex).FindAll(text, spans);
  std::vector<std::string> matches;
  for (const TextSpan span : spans) matches.push_back(text.substr(span.begin, span.size()));
  return matches;
}

TEST(Regex, MeansWhatOnigurumaMeans) {
  EXPECT_EQ(MatchesOf("\\s+", "a\u00A0\u3000b\u180Ec\u0085"), Strings({"\u00A0\u3000", "\u0085"}));
  EXPECT_EQ(MatchesOf("\\w+", "e\u0301x_1 \u0967-"), Strings({"e\u0301x_1", "\u0967"}));
  EXPECT_EQ(MatchesOf("[^\\W\\d]+", "ab1_\u00e9-\u00b2"), Strings({"ab", "_\u00e9"}));
  EXPECT_EQ(MatchesOf("\\p{Han}+|\\p{^Han}", "\u4f60\u337f"), Strings({"\u4f60", "\u337f"}));
  EXPECT_EQ(MatchesOf("[\\W1]+", "ab1- c"), Strings({"1- "}));
  EXPECT_EQ(MatchesOf("[^\\W]", "- a"), Strings({"a"}));
  EXPECT_EQ(MatchesOf("[\\s\\d]+", "a1 2\u0967b"), Strings({"1 2\u0967"}));
  EXPECT_EQ(MatchesOf("\\h+", "0aF g"), Strings({"0aF"}));
  EXPECT_EQ(MatchesOf("(?m:a.b)", "a\nb"), Strings({"a\nb"}));
  EXPECT_EQ(MatchesOf("a.b", "a\nb"), Strings());
  EXPECT_EQ(MatchesOf("^b$", "a\nb\nc"), Strings({"b"}));
  EXPECT_EQ(MatchesOf("[]x]+", "x]"), Strings({"x]"}));
  EXPECT_EQ(MatchesOf("[^]x]+", "ab]c"), Strings({"ab", "c"}));
  EXPECT_EQ(MatchesOf("\\u00e9", "\u00E9"), Strings({"\u00E9"}));
  EXPECT_EQ(MatchesOf("\\[\\\\[[:alpha:]]", "[\\a"), Strings({"[\\a"}));
  EXPECT_EQ(MatchesOf("x*", "xa"), Strings({"x", ""}));
}

TEST(Regex, RefusesWhatItCannotSay) {
  for (const char* const pattern :
       {"[a[bc]]", "[a&&b]", "(", "[a", "\\p{Nonsense}", "a{2", "(?<n>a)\\k<m>", "\\"}) {
    const std::string error = ErrorOf([&] { Regex(pattern, "model.x"); });
    // "a{2" is plain text to PCRE2, as it is to Oniguruma.
    if (std::string(pattern) == "a{2") {
      EXPECT_EQ(error, "no error");
    } else {
      EXPECT_TRUE(error.starts_with("unsupported: model.x: ")) << pattern << ": " << error;
    }
  }
  EXPECT_EQ(ErrorOf([] { Regex(std::string(70'000, 'a'), "k"); }),
            "unsupported: k: the regular expression is too long: 70000 bytes");
}

TEST(Regex, GivesUpOnEndlessBacktracking) {
  const Regex regex("(a|aa)+[bc]", "key");
  std::vector<TextSpan> spans;
  const std::string error =
      ErrorOf([&] { RegexMatcher(regex).FindAll(std::string(200, 'a'), spans); });
  EXPECT_TRUE(error.starts_with("out of resources: key: ")) << error;
}

TEST(Regex, MatchesLongRuns) {
  const std::string text(300'000, 'a');
  EXPECT_EQ(MatchesOf("(?:a|b)+", text), Strings({text}));
}

}  // namespace
}  // namespace promptdb
