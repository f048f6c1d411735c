// The tokens of the hand-written scanner are those of the grammar's lexer rules.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "PromptQLLexer.h"
#include "parser/token_reader.h"

namespace promptdb {
namespace {

struct Seen {
  size_t type;
  std::string text;

  bool operator==(const Seen&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Seen& seen) {
  return out << seen.type << ":" << seen.text;
}

// Keywords are matched in upper case, so the lexer gets ASCII letters in upper case; `text` has no
// letters that this makes different tokens of.
std::vector<Seen> ByLexerRules(const std::string& text) {
  antlr4::ANTLRInputStream input(text);
  grammar::PromptQLLexer lexer(&input);
  lexer.removeErrorListeners();
  std::vector<Seen> out;
  for (auto token = lexer.nextToken(); token->getType() != antlr4::Token::EOF;
       token = lexer.nextToken()) {
    if (token->getChannel() == antlr4::Token::DEFAULT_CHANNEL &&
        token->getType() != grammar::PromptQLLexer::SEMICOLON) {
      out.push_back({token->getType(), token->getText()});
    }
  }
  return out;
}

std::vector<Seen> ByScanner(const std::string& text) {
  TokenReader reader(text);
  std::vector<Seen> out;
  while (true) {
    const std::vector<Token> tokens = reader.NextStatement();
    if (tokens.empty()) return out;
    for (const Token& token : tokens) {
      if (token.type == antlr4::Token::EOF) continue;
      out.push_back({token.type, text.substr(static_cast<size_t>(token.range.begin),
                                             static_cast<size_t>(token.range.end) -
                                                 static_cast<size_t>(token.range.begin))});
    }
  }
}

TEST(GrammarTest, ScannerAndLexerRulesAgree) {
  // Each piece is whole, so that any row of them is a row of tokens; $tag$ quotes are the scanner's
  // alone.
  const std::vector<std::string> pieces = {"SELECT",     "FROM",
                                           "GENERATE",   "NULL",
                                           "PC_MODULES", "PC_",
                                           "PC",         "NAME_1",
                                           "_",          "ÉTÉ",
                                           "名前",       "\"A \"\"B\"\" ;\"",
                                           "'IT''S'",    "''",
                                           "'A\nB'",     "$$X $ ' Y$$",
                                           "$$$$",       "12",
                                           "0",          "1.5",
                                           "2.",         ".5",
                                           "1E5",        "1.5E-3",
                                           ".5E+2",      "$1",
                                           "$23",        "(",
                                           ")",          ",",
                                           "*",          "-",
                                           "=>",         "=",
                                           "<>",         "!=",
                                           "<",          "<=",
                                           ">",          ">=",
                                           ";",          "-- ' COMMENT\n",
                                           "/* ' */",    "/* A /* B */ C */",
                                           "/**/",       "\u00a0",
                                           "\u3000",     "\n",
                                           "\t",         "हिन्दी"};
  const uint32_t seed = 7;
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    for (size_t i = 0; i < 12; ++i) {
      text += pieces[random() % pieces.size()];
      text += " ";
    }
    int depth = 0;
    for (const char c : text) depth += c == '(';
    ASSERT_LT(depth, kMaxNesting);
    ASSERT_EQ(ByScanner(text), ByLexerRules(text)) << text;
  }
}

TEST(GrammarTest, TokensNeedNoSpaceBetweenThem) {
  for (const std::string text :
       {"(A,B)=>'X'", "A.B.C", "X=-1", "X<=-1.5", "F(*)", "A<>B!=C", "'A'$$B$$", "\"A\"\"B\"",
        "A--B\nC", "A/**/B", "$1,$2", "P(D=>$1)", "1,2", "A=>=B", "-.5", "A;B"}) {
    EXPECT_EQ(ByScanner(text), ByLexerRules(text)) << text;
  }
}

}  // namespace
}  // namespace promptdb
