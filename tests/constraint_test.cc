// Grammars against a matcher that tries everything: which texts they accept, and which tokens may
// come next.
#include "constraint/constraint.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <set>

#include "base/utf8.h"
#include "constraint/gbnf_parser.h"
#include "tests/support/expect_error.h"
#include "tests/support/fake_tokenizer.h"
#include "tests/support/random_cases.h"

namespace promptdb {
namespace {

// ---- A grammar of the test's own, written as GBNF and matched by trying everything --------------

struct Item {
  enum Kind { kLiteral, kSet, kSequence, kChoice, kRepeat, kRule } kind = kLiteral;
  std::u32string text;            // kLiteral
  std::set<char32_t> characters;  // kSet, out of kAlphabet
  bool is_negated = false;        // kSet: all of Unicode but them
  std::vector<Item> parts;
  int least = 0, most = -1;
  int rule = 0;
};

// One to four bytes long; two of them share their first three bytes.
const std::u32string kAlphabet = U"ab\u00e9\u20ac\U0001F600\U0001F601";

std::string Spell(char32_t character) {
  if (character < 0x80) return {static_cast<char>(character)};
  char escape[16];
  std::snprintf(escape, sizeof(escape), "\\U%08x", static_cast<unsigned>(character));
  return escape;
}

std::string Print(const Item& item) {
  std::string out;
  switch (item.kind) {
    case Item::kLiteral:
      for (const char32_t c : item.text) out += Spell(c);
      return "\"" + out + "\"";
    case Item::kSet:
      for (const char32_t c : item.characters) out += Spell(c);
      return std::string(item.is_negated ? "[^" : "[") + out + "]";
    case Item::kSequence:
      for (const Item& part : item.parts) out += Print(part) + " ";
      return "(" + out + ")";
    case Item::kChoice:
      for (const Item& part : item.parts) out += (out.empty() ? "" : " | ") + Print(part);
      return "(" + out + ")";
    case Item::kRepeat:
      out = Print(item.parts[0]);
      if (item.least == 0 && item.most < 0) return out + "*";
      if (item.least == 1 && item.most < 0) return out + "+";
      if (item.least == 0 && item.most == 1) return out + "?";
      out += "{" + std::to_string(item.least);
      if (item.most < 0) return out + ",}";
      return item.most == item.least ? out + "}" : out + "," + std::to_string(item.most) + "}";
    case Item::kRule:
      return item.rule == 0 ? "root" : "r" + std::to_string(item.rule);
  }
  return out;
}

class NaiveMatcher {
 public:
  explicit NaiveMatcher(const std::vector<Item>& rules) : rules_(rules) {}

  // Whether the bytes are a whole text of the grammar; whether they begin one.
  bool Accepts(const std::string& bytes) {
    text_ = bytes;
    wants_more_ = false;
    return Match(rules_[0], {0}).contains(text_.size());
  }
  bool Begins(const std::string& bytes) { return Accepts(bytes) || wants_more_; }

 private:
  using Ends = std::set<size_t>;

  void MatchBytes(const std::string& wanted, size_t begin, Ends& ends) {
    const std::string_view rest = std::string_view(text_).substr(begin);
    if (rest.starts_with(wanted)) {
      ends.insert(begin + wanted.size());
    } else if (std::string_view(wanted).starts_with(rest)) {
      wants_more_ = true;
    }
  }

  Ends Match(const Item& item, const Ends& begins) {
    Ends ends;
    switch (item.kind) {
      case Item::kLiteral: {
        std::string bytes;
        for (const char32_t c : item.text) AppendUtf8(c, bytes);
        for (const size_t begin : begins) MatchBytes(bytes, begin, ends);
        return ends;
      }
      case Item::kSet:
        for (const size_t begin : begins) MatchSet(item, begin, ends);
        return ends;
      case Item::kSequence:
        ends = begins;
        for (const Item& part : item.parts) ends = Match(part, ends);
        return ends;
      case Item::kChoice:
        for (const Item& part : item.parts) ends.merge(Match(part, begins));
        return ends;
      case Item::kRepeat: {
        Ends now = begins;
        if (item.least == 0) ends = begins;
        // Without an upper bound, until nothing new is reached.
        for (int i = 1; item.most < 0 || i <= item.most; ++i) {
          now = Match(item.parts[0], now);
          if (now.empty()) break;
          const size_t known = ends.size();
          if (i >= item.least) ends.insert(now.begin(), now.end());
          if (item.most < 0 && i > item.least && ends.size() == known) break;
        }
        return ends;
      }
      case Item::kRule:
        return begins.empty() ? ends : Match(rules_[static_cast<size_t>(item.rule)], begins);
    }
    return ends;
  }

  void MatchSet(const Item& item, size_t begin, Ends& ends) {
    if (!item.is_negated) {
      for (const char32_t c : item.characters) {
        std::string bytes;
        AppendUtf8(c, bytes);
        MatchBytes(bytes, begin, ends);
      }
      return;
    }
    if (begin == text_.size()) {
      wants_more_ = true;
      return;
    }
    const Utf8Step step = ReadUtf8(text_, begin);
    if (step.valid && !item.characters.contains(step.code)) ends.insert(begin + step.size);
    if (!step.cut) return;
    // An unfinished character: some character that begins so is not excluded.
    const std::string rest = text_.substr(begin);
    const std::set<std::string> fillers = {"\x80", "\x81", "\x90", "\xA0", "\xBF"};
    std::set<std::string> candidates = {rest};
    for (int i = 0; i < 3; ++i) {
      std::set<std::string> longer;
      for (const std::string& candidate : candidates) {
        const Utf8Step whole = ReadUtf8(candidate, 0);
        if (whole.valid && whole.size == candidate.size() &&
            !item.characters.contains(whole.code)) {
          wants_more_ = true;
        }
        for (const std::string& filler : fillers) longer.insert(candidate + filler);
      }
      candidates = std::move(longer);
    }
    for (const std::string& candidate : candidates) {
      const Utf8Step whole = ReadUtf8(candidate, 0);
      if (whole.valid && whole.size == candidate.size() && !item.characters.contains(whole.code)) {
        wants_more_ = true;
      }
    }
  }

  const std::vector<Item>& rules_;
  std::string text_;
  bool wants_more_ = false;
};

class RandomGrammar {
 public:
  explicit RandomGrammar(std::mt19937& random) : random_(random) {}

  std::vector<Item> Make() {
    rules_ = 1 + Below(4);
    std::vector<Item> rules;
    for (rule_ = 0; rule_ < rules_; ++rule_) rules.push_back(MakeItem(0, false));
    return rules;
  }

 private:
  int Below(int n) { return std::uniform_int_distribution<int>(0, n - 1)(random_); }
  char32_t AnyCharacter() { return kAlphabet[static_cast<size_t>(Below(6))]; }

  // `after_character`: a character has been read since the rule began, so that any rule may be
  // called, this one too; else only later ones, which keeps left recursion out.
  Item MakeItem(int depth, bool after_character) {
    Item item;
    const int kind = depth >= 3 ? Below(2) : Below(7);
    if (kind == 0) {
      item.kind = Item::kLiteral;
      for (int i = Below(4); i > 0; --i) item.text += AnyCharacter();
    } else if (kind == 1) {
      item.kind = Item::kSet;
      for (int i = 1 + Below(3); i > 0; --i) item.characters.insert(AnyCharacter());
      item.is_negated = Below(4) == 0;
    } else if (kind <= 3) {
      item.kind = Item::kSequence;
      for (int i = 1 + Below(3); i > 0; --i) {
        item.parts.push_back(MakeItem(depth + 1, after_character));
        after_character = after_character || item.parts.back().kind == Item::kSet;
      }
    } else if (kind == 4) {
      item.kind = Item::kChoice;
      for (int i = 1 + Below(3); i > 0; --i)
        item.parts.push_back(MakeItem(depth + 1, after_character));
    } else if (kind == 5) {
      item.kind = Item::kRepeat;
      item.parts.push_back(MakeItem(depth + 1, after_character));
      item.least = Below(3);
      item.most = Below(2) == 0 ? -1 : item.least + Below(6);
    } else {
      const int first = after_character ? 0 : rule_ + 1;
      if (first >= rules_) return MakeItem(3, after_character);
      item.kind = Item::kRule;
      item.rule = first + Below(rules_ - first);
      // A call of the rule itself is optional: the rule must be able to end.
      if (item.rule <= rule_) {
        Item optional;
        optional.kind = Item::kRepeat;
        optional.most = 1;
        optional.parts.push_back(std::move(item));
        return optional;
      }
    }
    return item;
  }

  std::mt19937& random_;
  int rules_ = 0;
  int rule_ = 0;
};

std::string PrintRules(const std::vector<Item>& rules) {
  std::string out;
  for (size_t i = 0; i < rules.size(); ++i) {
    Item name;
    name.kind = Item::kRule;
    name.rule = static_cast<int>(i);
    out += Print(name) + " ::= " + Print(rules[i]) + "\n";
  }
  return out;
}

// Pieces of one to three characters' bytes, cut anywhere.
std::vector<std::string> RandomTokens(std::mt19937& random) {
  std::set<std::string> tokens;
  for (int byte :
       {0x61, 0x62, 0xC3, 0xA9, 0xE2, 0x82, 0xAC, 0xF0, 0x9F, 0x98, 0x80, 0x81, 0x7A, 0x20}) {
    tokens.insert(std::string(1, static_cast<char>(byte)));
  }
  while (tokens.size() < 60) {
    std::string bytes;
    for (uint32_t i = 1 + random() % 4; i > 0; --i) AppendUtf8(kAlphabet[random() % 6], bytes);
    const size_t begin = random() % bytes.size();
    tokens.insert(bytes.substr(begin, 1 + random() % 6));
  }
  std::vector<std::string> list(tokens.begin(), tokens.end());
  list.push_back(list[3]);  // two tokens of the same bytes
  list.emplace_back();      // a control token
  return list;
}

TEST(Constraint, EqualsAMatcherThatTriesEverything) {
  const RandomCases cases(200);
  std::mt19937 random(cases.seed);
  int accepted = 0, masks = 0, grammars = 0;
  for (int round = 0; round < cases.cases; ++round) {
    const std::vector<Item> rules = RandomGrammar(random).Make();
    const std::string gbnf = PrintRules(rules);
    SCOPED_TRACE("round " + std::to_string(round) + ":\n" + gbnf);
    std::shared_ptr<Constraint> constraint;
    try {
      constraint = Constraint::FromGrammar(gbnf);
    } catch (const Error& error) {
      // A rule that begins with one that may be empty, and then calls itself.
      ASSERT_TRUE(error.message().find("left-recursive") != std::string::npos) << error.message();
      continue;
    }
    ++grammars;
    NaiveMatcher naive(rules);
    const std::vector<std::string> tokens = RandomTokens(random);
    const FakeTokenizer tokenizer(tokens);
    const auto vocabulary = std::make_shared<VocabularyTrie>(tokenizer);
    for (int walk = 0; walk < 4; ++walk) {
      ConstrainedText text(constraint, vocabulary);
      std::string so_far;
      for (int step = 0; step < 7; ++step) {
        const auto mask = text.AllowedTokens();
        std::vector<TokenId> allowed;
        for (TokenId id = 0; id < tokenizer.vocab_size(); ++id) {
          const std::string bytes = tokenizer.TokenBytes(id);
          const bool fits = !bytes.empty() && naive.Begins(so_far + bytes);
          ASSERT_EQ(mask->Allows(id), fits) << "\"" << so_far << "\" and then \"" << bytes << "\"";
          if (fits) allowed.push_back(id);
        }
        ++masks;
        ASSERT_EQ(mask->empty(), allowed.empty());
        ASSERT_EQ(text.may_end(), naive.Accepts(so_far)) << so_far;
        if (text.may_end()) ++accepted;
        // Single bytes of everything are tokens, so that only a whole text stops them.
        ASSERT_TRUE(!text.must_end() || allowed.empty());
        if (allowed.empty()) break;
        const TokenId next = allowed[random() % allowed.size()];
        text.Push(next);
        so_far += tokens[static_cast<size_t>(next)];
      }
    }
  }
  EXPECT_GT(grammars, cases.cases / 2);
  std::printf("%d grammars, %d masks of 62 tokens, %d whole texts\n", grammars, masks, accepted);
}

// ---- Single properties
// ---------------------------------------------------------------------------

bool Accepts(const std::shared_ptr<Constraint>& constraint, const std::string& text) {
  const auto vocabulary = std::make_shared<VocabularyTrie>(FakeTokenizer({}));
  const std::shared_ptr<Automaton> automaton = constraint->AutomatonFor(vocabulary);
  const int state = automaton->Advance(automaton->start(), text);
  return state != Automaton::kDead && automaton->MayEnd(state);
}

bool GrammarAccepts(const std::string& grammar, const std::string& text) {
  return Accepts(Constraint::FromGrammar(grammar), text);
}

TEST(Gbnf, WritesAllThatTheNotationHas) {
  // After the grammars that come with llama.cpp: comments, rules over several lines, groups.
  const std::string list = R"(
# a list of items
root ::=
  "- " item (   # the first
    "\n- " item
  )*
item ::= [^\n\x0b\u0085\u2028]+ |
  "\U0001F600"
)";
  EXPECT_TRUE(GrammarAccepts(list, "- one\n- two"));
  EXPECT_FALSE(GrammarAccepts(list, "- one\n"));
  EXPECT_FALSE(GrammarAccepts(list, "- one\xC2\x85"));
  EXPECT_TRUE(GrammarAccepts(list, "- \xF0\x9F\x98\x80"));

  EXPECT_TRUE(GrammarAccepts("root ::= \"a\"\n  | \"b\"\n", "b"));
  EXPECT_TRUE(GrammarAccepts("root ::= .{2}", "\xE2\x82\xAC\n"));
  EXPECT_TRUE(GrammarAccepts("root ::= [a-c\\]\\\\^-]+", "a]\\^-c"));
  EXPECT_FALSE(GrammarAccepts("root ::= [a-c\\]\\\\^-]+", "d"));
  EXPECT_TRUE(GrammarAccepts("root ::= \"\" other-rule_2\nother-rule_2 ::= \"x\" | ", ""));
  EXPECT_TRUE(GrammarAccepts("root ::= \"a\"{2,}", "aaaaa"));
  EXPECT_FALSE(GrammarAccepts("root ::= \"a\"{2,}", "a"));
  EXPECT_FALSE(GrammarAccepts("root ::= \"ab\"{ 1 , 2 }", "ababab"));
  EXPECT_TRUE(GrammarAccepts("root ::= \"x\"{0}", ""));
  EXPECT_TRUE(GrammarAccepts("root ::= (\"a\"?)+", "aa"));
  EXPECT_TRUE(GrammarAccepts("root ::= \"(\" root \")\" | \"\"", "((()))"));
  EXPECT_FALSE(GrammarAccepts("root ::= \"(\" root \")\" | \"\"", "(()"));
}

TEST(Gbnf, ErrorsNameThePlace) {
  const auto expect = [](const std::string& grammar, const std::string& message) {
    ExpectError(ErrorCode::kInvalidArgument, {message}, [&] { Constraint::FromGrammar(grammar); });
  };
  expect("", "the grammar is empty (line 1, column 1 of the grammar)");
  expect("# nothing\n\n", "the grammar is empty (line 3, column 1 of the grammar)");
  expect("other ::= \"a\"", "the grammar has no rule \"root\"");
  expect("root ::= \"\u00e9\" vlaue\nvalue ::= \"a\"",
         "there is no rule \"vlaue\" (line 1, column 14 of the grammar)");
  expect("root ::= \"abc", "the literal is not closed (line 1, column 10 of the grammar)");
  expect("root ::= [abc", "the character class is not closed (line 1, column 10 of the grammar)");
  expect("root ::= []", "the character class is empty (line 1, column 10 of the grammar)");
  expect("root ::= [z-a]", "the range is in the wrong order (line 1, column 11 of the grammar)");
  expect("root ::= [^\\x00-\\U0010FFFF]",
         "the character class matches nothing (line 1, column 10 of the grammar)");
  expect("root ::= (\"a\"\n | \"b\"", "the \"(\" is not closed (line 1, column 10 of the grammar)");
  expect("root ::= \"a\")", "no \"(\" is open here (line 1, column 13 of the grammar)");
  expect(
      "root ::= \"a\"{3,2}",
      "the repetition's lower bound is above its upper bound (line 1, column 13 of the grammar)");
  expect("root ::= \"a\"{100001}",
         "repetition bounds must be at most 100000 (line 1, column 13 of the grammar)");
  expect("root ::= \"a\"{x}",
         "a whole number is expected in the repetition (line 1, column 14 of the grammar)");
  expect("root ::= \"\\q\"", "there is no such escape (line 1, column 11 of the grammar)");
  expect("root ::= \"\\x1\"",
         "the escape needs 2 hexadecimal digits (line 1, column 11 of the grammar)");
  expect("root ::= \"\\uD800\"",
         "the escape names no character (line 1, column 11 of the grammar)");
  expect("root ::= \"a\"\nroot ::= \"b\"",
         "the rule \"root\" is defined twice (line 2, column 1 of the grammar)");
  expect("root = \"a\"",
         "\"::=\" is expected after the rule's name (line 1, column 6 of the grammar)");
  expect("root ::= a a ::= \"b\"",
         "the rule \"a\" must begin on a line of its own (line 1, column 12 of the grammar)");
  expect("root ::=", "the rule \"root\" is empty (line 1, column 1 of the grammar)");
  expect("root ::= *",
         "an element, | or the end of the line is expected (line 1, column 10 of the grammar)");
  expect("root ::= <[5]>",
         "tokens by name or number are not supported (line 1, column 10 of the grammar)");
  expect("root ::= root \"a\" | \"b\"", "the grammar is left-recursive: root -> root");
  expect("root ::= a\na ::= \"x\"? b\nb ::= c* a \"y\" | \"z\"\nc ::= \"c\"",
         "the grammar is left-recursive: a -> b -> a");
  expect("root ::= \"a\" root",
         "no text can match the rule \"root\": it always needs itself again");
}

TEST(Gbnf, SizesAreBounded) {
  const auto expect = [](ErrorCode code, const std::string& message, const std::string& grammar) {
    ExpectError(code, {message}, [&] { Constraint::FromGrammar(grammar); });
  };
  std::string nested = "root ::= ";
  for (int i = 0; i < 200; ++i) nested += "(";
  expect(ErrorCode::kInvalidArgument,
         "the grammar is nested too deeply (line 1, column 110 of the grammar)", nested);
  expect(ErrorCode::kInvalidArgument,
         "an element is repeated too many times over (line 1, column 17 of the grammar)",
         "root ::= \"a\"" + std::string(200000, '*'));
  expect(ErrorCode::kTooLong, "the constraint needs more than 262144 states",
         "root ::= (\"abc\"{1000} \"d\"){100000} (\"x\" \"y\"?){100000} \"z\"{100000}");
  expect(ErrorCode::kTooLong, "the grammar must be at most 1048576 bytes, not 1048577",
         std::string((1 << 20) + 1, ' '));
  // Every text of n letters can be read in 2^n ways, which share what they have in common.
  const auto shared = Constraint::FromGrammar(
      "root ::= \"a\" root x | \"a\" root y | \"\"\nx ::= \"b\"\ny ::= \"b\"");
  EXPECT_TRUE(Accepts(shared, std::string(100, 'a') + std::string(100, 'b')));
  EXPECT_FALSE(Accepts(shared, std::string(100, 'a') + std::string(99, 'b')));
  // Here the beginning alone can be read in 2^20 ways.
  std::string rules = "root ::= r0\n";
  for (int i = 0; i < 20; ++i) {
    const std::string name = "r" + std::to_string(i), next = "r" + std::to_string(i + 1);
    rules += name + " ::= " + next + " \"x\" | " + next + " \"y\"\n";
  }
  const auto ambiguous = Constraint::FromGrammar(rules + "r20 ::= \"a\"");
  ExpectError(ErrorCode::kResource,
              {"the constraint is too ambiguous: the text so far can be read in too many ways"},
              [&] { Accepts(ambiguous, "a"); });
}

TEST(Constraint, ListsOfAnyLengthKeepNoStack) {
  const auto right_recursive = Constraint::FromGrammar("root ::= item root | \"\"\nitem ::= [a-z]");
  const FakeTokenizer tokenizer({"a", "b"});
  const auto vocabulary = std::make_shared<VocabularyTrie>(tokenizer);
  ConstrainedText text(right_recursive, vocabulary);
  text.Push(0);
  const auto mask = text.AllowedTokens();
  for (int i = 0; i < 1000; ++i) text.Push(i % 2);
  EXPECT_EQ(text.AllowedTokens(), mask);  // the same state, so the very same mask
}

TEST(Constraint, AFullAutomatonIsLeftForANewOne) {
  // Every depth is a state of its own.
  const auto nested =
      Constraint::FromGrammar("root ::= \"(\" root \")\" | \"[\" root \"]\" | \"x\"");
  const FakeTokenizer tokenizer({"(", ")", "[", "]", "x", "]]", "))"});
  const auto vocabulary = std::make_shared<VocabularyTrie>(tokenizer);
  ConstrainedText text(nested, vocabulary);
  ConstrainedText other(nested, vocabulary);
  other.Push(0);
  const auto first_automaton = nested->AutomatonFor(vocabulary);
  const int depth = 70000;
  for (int i = 0; i < depth; ++i) {
    text.AllowedTokens();
    text.Push(i % 3 == 0 ? 2 : 0);
  }
  text.Push(4);
  for (int i = depth; i-- > 0;) {
    const auto mask = text.AllowedTokens();
    ASSERT_EQ(mask->Allows(3), i % 3 == 0);
    ASSERT_EQ(mask->Allows(1), i % 3 != 0);
    ASSERT_FALSE(text.may_end());
    text.Push(i % 3 == 0 ? 3 : 1);
  }
  EXPECT_TRUE(text.must_end());
  EXPECT_NE(nested->AutomatonFor(vocabulary), first_automaton);
  EXPECT_TRUE(other.AllowedTokens()->Allows(4));
}

TEST(Constraint, TheFirstTokenLosesTheSpaceThatIsNotShown) {
  const auto constraint = Constraint::FromGrammar("root ::= \"yes\" (\" \" \"yes\")*");
  for (const bool drops_space : {false, true}) {
    const FakeTokenizer tokenizer({" yes", "yes", " "}, drops_space);
    ConstrainedText text(constraint, std::make_shared<VocabularyTrie>(tokenizer));
    EXPECT_EQ(text.AllowedTokens()->Allows(0), drops_space);
    EXPECT_TRUE(text.AllowedTokens()->Allows(1));
    EXPECT_FALSE(text.AllowedTokens()->Allows(2));
    text.Push(1);
    EXPECT_TRUE(text.AllowedTokens()->Allows(0));
    EXPECT_FALSE(text.AllowedTokens()->Allows(1));
    EXPECT_TRUE(text.AllowedTokens()->Allows(2));
  }
}

TEST(CharacterSets, TheirBytesAreThoseOfTheirCharacters) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto character = [&] {
    constexpr uint32_t kBelow[] = {0x80, 0x900, 0x11000, 0x110000};
    return static_cast<char32_t>(random() % kBelow[random() % 4]);
  };
  for (int round = 0; round < 60; ++round) {
    std::vector<CharacterRange> ranges;
    for (uint32_t i = random() % 4; i > 0; --i) {
      char32_t first = character(), last = character();
      if (last < first) std::swap(first, last);
      ranges.push_back({first, last});
    }
    CharacterSet set(ranges);
    const bool is_negated = random() % 2 == 0;
    if (is_negated) set = set.Negated();
    const auto sequences = Utf8Sequences(set);
    for (char32_t c = 0; c <= 0x10FFFF; c += c < 0x3000 ? 1 : 1 + random() % 97) {
      if (c >= 0xD800 && c <= 0xDFFF) continue;
      bool wanted = false;
      for (const CharacterRange& range : ranges) {
        wanted = wanted || (range.first <= c && c <= range.last);
      }
      std::string bytes;
      AppendUtf8(c, bytes);
      int found = 0;
      for (const auto& sequence : sequences) {
        bool fits = sequence.size() == bytes.size();
        for (size_t i = 0; fits && i < bytes.size(); ++i) {
          const auto byte = static_cast<uint8_t>(bytes[i]);
          fits = sequence[i].first <= byte && byte <= sequence[i].last;
        }
        found += fits ? 1 : 0;
      }
      ASSERT_EQ(found, wanted != is_negated ? 1 : 0) << "character " << static_cast<uint32_t>(c);
    }
  }
}

}  // namespace
}  // namespace promptdb
