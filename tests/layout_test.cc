// Where parts lie and what they attend to, with a tokenizer of one token a byte, so that every
// number below can be counted by hand.
#include "planner/layout.h"

#include <gtest/gtest.h>

#include "parser/parser.h"
#include "planner/schema_binder.h"

namespace promptdb {
namespace {

class ByteTokenizer : public Tokenizer {
 public:
  explicit ByteTokenizer(bool adds_bos) {
    vocab_size_ = 257;
    adds_bos_ = adds_bos;
    bos_id_ = 256;
  }
  std::vector<TokenId> Encode(std::string_view text, bool) const override {
    std::vector<TokenId> ids;
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  std::string Decode(std::span<const TokenId> ids, bool) const override {
    return {ids.begin(), ids.end()};
  }
  std::string TokenBytes(TokenId id) const override { return {static_cast<char>(id)}; }
  std::string TokenSpelling(TokenId id) const override { return TokenBytes(id); }
};

SchemaLayout LayOutText(const std::string& parts, bool adds_bos = false,
                        std::string_view chat_template = "plain", const std::string& with = "") {
  const auto statements = Parse("CREATE SCHEMA s USING m " + with + " (" + parts + ")");
  return LayOut(BindSchema(std::get<ast::CreateSchema>(statements[0].node)),
                ByteTokenizer(adds_bos), ChatTemplate::Named(chat_template));
}

// "label@start+tokens<visible labels>" of every atom.
std::vector<std::string> Atoms(const SchemaLayout& layout) {
  std::vector<std::string> out;
  for (const Atom& atom : layout.atoms) {
    std::string line = atom.label + "@" + std::to_string(atom.start) + "+" +
                       std::to_string(atom.tokens.size()) + "<";
    for (const int visible : atom.visible) {
      line += (line.back() == '<' ? "" : " ") + layout.atoms[static_cast<size_t>(visible)].label;
    }
    out.push_back(line + ">");
  }
  return out;
}

using Lines = std::vector<std::string>;

TEST(LayoutTest, PartsFollowEachOtherAndModulesSeeOnlyTexts) {
  const SchemaLayout layout =
      LayOutText("TEXT 'abc', MODULE a AS 'xy', MODULE b AS 'z', TEXT 'end'");
  EXPECT_EQ(Atoms(layout), (Lines{"(text 1)@0+3<>", "a@3+2<(text 1)>", "b@5+1<(text 1)>",
                                  "(text 2)@6+3<(text 1)>"}));
  EXPECT_EQ(layout.reserved, 9);
}

TEST(LayoutTest, BeginningOfSequenceIsAtPositionZeroAndSeenByAll) {
  const SchemaLayout layout = LayOutText("MODULE a AS 'xy', TEXT 't'", true);
  EXPECT_TRUE(layout.has_bos);
  EXPECT_EQ(Atoms(layout), (Lines{"(bos)@0+1<>", "a@1+2<(bos)>", "(text 1)@3+1<(bos)>"}));
}

TEST(LayoutTest, ATextThatSpellsTheBeginningOfSequenceDoesNotRepeatIt) {
  class SpelledBos : public ByteTokenizer {
   public:
    SpelledBos() : ByteTokenizer(true) {}
    std::vector<TokenId> Encode(std::string_view text, bool special) const override {
      if (!text.starts_with("<s>")) return ByteTokenizer::Encode(text, special);
      std::vector<TokenId> ids = ByteTokenizer::Encode(text.substr(3), special);
      ids.insert(ids.begin(), 256);
      return ids;
    }
  };
  EXPECT_EQ(EncodeAt("<s>ab", 1, SpelledBos()), (std::vector<TokenId>{'a', 'b'}));
  EXPECT_EQ(EncodeAt("<s>ab", 2, SpelledBos()), (std::vector<TokenId>{256, 'a', 'b'}));
}

TEST(LayoutTest, UnionMembersShareOneStartAndTheLongestCounts) {
  const SchemaLayout layout =
      LayOutText("UNION u (MODULE a AS 'x', MODULE b AS 'wxyz', MODULE c AS 'xy'), TEXT 't'");
  EXPECT_EQ(Atoms(layout), (Lines{"a@0+1<>", "b@0+4<>", "c@0+2<>", "(text 1)@4+1<>"}));
  EXPECT_EQ(layout.parts[0].reserved, 4);
  EXPECT_EQ(layout.parts[0].children[2].reserved, 2);
}

TEST(LayoutTest, NestedModulesSeeTheTextAroundThem) {
  const SchemaLayout layout = LayOutText(
      "TEXT 'r', MODULE out AS (TEXT 'ab', UNION u (MODULE p AS 'x', MODULE q AS 'yy'), TEXT 'c'), "
      "MODULE last AS 'z'");
  EXPECT_EQ(Atoms(layout), (Lines{"(text 1)@0+1<>", "(text 2)@1+2<(text 1)>",
                                  "out.p@3+1<(text 1) (text 2)>", "out.q@3+2<(text 1) (text 2)>",
                                  "(text 3)@5+1<(text 1) (text 2)>", "last@6+1<(text 1)>"}));
  ASSERT_NE(layout.FindModule("out.q"), nullptr);
  EXPECT_EQ(layout.FindModule("out.q")->start, 3);
  EXPECT_EQ(layout.FindModule("q"), nullptr);
}

TEST(LayoutTest, ARoleOfOneTextIsTokenizedWithItsWords) {
  const SchemaLayout layout = LayOutText("SYSTEM 'hi', MODULE a AS 'x'", false, "chatml");
  const std::string rendered = "<|im_start|>system\nhi<|im_end|>\n";
  EXPECT_EQ(Atoms(layout), (Lines{"(system 1)@0+" + std::to_string(rendered.size()) + "<>",
                                  "a@" + std::to_string(rendered.size()) + "+1<(system 1)>"}));
  EXPECT_EQ(ByteTokenizer(false).Decode(layout.atoms[0].tokens, false), rendered);
}

TEST(LayoutTest, ARoleAroundModulesOnlyIsNotCertain) {
  const SchemaLayout layout =
      LayOutText("USER (MODULE q AS 'x'), MODULE after AS 'y'", false, "chatml");
  EXPECT_EQ(Atoms(layout), (Lines{"(user 1 begin)@0+17<>", "q@17+1<(user 1 begin)>",
                                  "(user 1 end)@18+11<(user 1 begin)>", "after@29+1<>"}));
  EXPECT_FALSE(layout.parts[0].is_certain);
}

TEST(LayoutTest, ARoleWithTextIsCertainForWhatFollows) {
  const SchemaLayout layout =
      LayOutText("USER (TEXT 't', MODULE q AS 'x'), MODULE after AS 'y'", false, "chatml");
  EXPECT_EQ(Atoms(layout),
            (Lines{"(user 1 begin)@0+17<>", "(text 1)@17+1<(user 1 begin)>",
                   "q@18+1<(user 1 begin) (text 1)>", "(user 1 end)@19+11<(user 1 begin) (text 1)>",
                   "after@30+1<(user 1 begin) (text 1) (user 1 end)>"}));
}

TEST(LayoutTest, PlainRolesAddNoTokens) {
  const SchemaLayout layout = LayOutText("USER (TEXT 't', MODULE q AS 'x')");
  EXPECT_EQ(Atoms(layout), (Lines{"(text 1)@0+1<>", "q@1+1<(text 1)>"}));
}

TEST(LayoutTest, TheSeparatorFollowsEveryText) {
  const SchemaLayout layout =
      LayOutText("TEXT 'a', MODULE m AS 'b'", false, "plain", "WITH (separator = '--')");
  EXPECT_EQ(Atoms(layout), (Lines{"(text 1)@0+3<>", "m@3+3<(text 1)>"}));
}

TEST(LayoutTest, EmptyTextTakesNoPlace) {
  const SchemaLayout layout = LayOutText("TEXT '', MODULE m AS 'b'");
  EXPECT_EQ(Atoms(layout), (Lines{"m@0+1<>"}));
}

// "label<what it sees>" of the atoms that a scaffold changes.
Lines Changed(const SchemaLayout& layout, const std::vector<int>& complete) {
  Lines out;
  for (size_t i = 0; i < layout.atoms.size(); ++i) {
    const std::vector<int> visible = layout.VisibleIn(static_cast<int>(i), complete);
    if (visible == layout.atoms[i].visible) continue;
    std::string line = layout.atoms[i].label + "<";
    for (const int seen : visible) {
      line += (line.back() == '<' ? "" : " ") + layout.atoms[static_cast<size_t>(seen)].label;
    }
    out.push_back(line + ">");
  }
  return out;
}

TEST(LayoutTest, AScaffoldsMembersSeeThoseBeforeThem) {
  const SchemaLayout layout = LayOutText(
      "TEXT 't', MODULE a AS 'x', MODULE b AS 'y', MODULE c AS 'z', MODULE d AS 'w', "
      "SCAFFOLD s (d, a, c)");
  EXPECT_EQ(Changed(layout, {}), Lines{});
  EXPECT_EQ(Changed(layout, {0}), (Lines{"c<(text 1) a>", "d<(text 1) a c>"}));
  EXPECT_EQ(ScaffoldMark(layout.scaffolds[0], 1), "");
  EXPECT_EQ(ScaffoldMark(layout.scaffolds[0], 2), "");
  EXPECT_EQ(ScaffoldMark(layout.scaffolds[0], 3), " in scaffold s");
}

TEST(LayoutTest, AScaffoldTakesAMembersOwnTextsAndNotTheModulesInIt) {
  const SchemaLayout layout = LayOutText(
      "MODULE a AS (TEXT 'x', MODULE inn AS 'y', USER (TEXT 'u', MODULE v AS 'w'), TEXT 'z'), "
      "MODULE b AS 'w', SCAFFOLD s (a, b)");
  EXPECT_EQ(Changed(layout, {0}), (Lines{"b<(text 1) (text 2) (text 3)>"}));
}

TEST(LayoutTest, OverlappingScaffoldsAddUp) {
  const SchemaLayout layout = LayOutText(
      "MODULE a AS 'x', MODULE b AS 'y', MODULE c AS 'z', SCAFFOLD s (a, c), SCAFFOLD t (b, c)");
  EXPECT_EQ(Changed(layout, {0}), (Lines{"c<a>"}));
  EXPECT_EQ(Changed(layout, {1}), (Lines{"c<b>"}));
  EXPECT_EQ(Changed(layout, {0, 1}), (Lines{"c<a b>"}));
}

TEST(LayoutTest, AScaffoldOfScaffoldsHasAllTheirMembers) {
  const SchemaLayout layout = LayOutText(
      "MODULE a AS 'x', MODULE b AS 'y', MODULE c AS 'z', SCAFFOLD s (t, c), SCAFFOLD t (a, b)");
  EXPECT_EQ(layout.scaffolds[0].members, (Lines{"a", "b", "c"}));
}

// "name@begin+tokens" of an atom's parameters.
Lines Places(const Atom& atom) {
  Lines out;
  for (const ParameterPlace& place : atom.parameters) {
    out.push_back(place.name + "@" + std::to_string(place.begin) + "+" +
                  std::to_string(place.tokens));
  }
  return out;
}

TEST(LayoutTest, ParametersStandInTheTextsOfAModuleOfParts) {
  const SchemaLayout layout = LayOutText(
      "MODULE m (p TOKENS(3), q TOKENS(2)) AS (TEXT 'a{p}', MODULE inn AS '{p}', USER 'b{q}')",
      false, "chatml");
  const std::string begin = "<|im_start|>user\nb";
  ASSERT_EQ(layout.atoms.size(), 3u);
  EXPECT_EQ(Places(layout.atoms[0]), (Lines{"p@1+3"}));
  EXPECT_EQ(Places(layout.atoms[1]), Lines{});  // a module without parameters is no template
  EXPECT_EQ(layout.atoms[1].tokens.size(), 3u);
  EXPECT_EQ(Places(layout.atoms[2]), (Lines{"q@" + std::to_string(begin.size()) + "+2"}));
  EXPECT_EQ(layout.atoms[2].end(), layout.reserved);
}

}  // namespace
}  // namespace promptdb
