#include "parser/parser.h"

#include <algorithm>
#include <charconv>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <variant>

#include "PromptQLParser.h"
#include "base/nearest_name.h"
#include "base/text_place.h"
#include "parser/ast_builder.h"
#include "parser/expectation.h"
#include "parser/syntax_error.h"
#include "parser/token_reader.h"
#include "parser/vocabulary.h"

namespace promptdb {

namespace {

using Grammar = grammar::PromptQLParser;
using antlr4::atn::PredictionMode;

// Stops ANTLR at the first error. Not an std::exception, so that nothing takes it for one of its
// own on the way up.
struct FirstError {
  size_t offending = 0;  // index of the token
};

// Remembers the last token that was matched, and throws FirstError instead of recovering.
class StopAtFirstError : public antlr4::DefaultErrorStrategy {
 public:
  void reportMatch(antlr4::Parser* parser) override {
    state_ = parser->getState();
    context_ = parser->getContext();
    next_ = parser->getTokenStream()->index() + 1;
  }
  void reset(antlr4::Parser*) override {
    context_ = nullptr;
    next_ = 0;
  }
  void sync(antlr4::Parser*) override {}
  bool inErrorRecoveryMode(antlr4::Parser*) override { return false; }
  antlr4::Token* recoverInline(antlr4::Parser* parser) override {
    throw FirstError{parser->getTokenStream()->index()};
  }
  void reportError(antlr4::Parser*, const antlr4::RecognitionException& error) override {
    throw FirstError{error.getOffendingToken()->getTokenIndex()};
  }
  void recover(antlr4::Parser* parser, std::exception_ptr) override {
    throw FirstError{parser->getTokenStream()->index()};
  }

  // What could stand at token `offending`, which must not be before the last matched one.
  Expectation ExpectationAt(const antlr4::atn::ATN& network, std::span<const Token> tokens,
                            size_t offending) const {
    std::vector<size_t> looked_at;
    for (size_t i = next_; i < offending; ++i) looked_at.push_back(tokens[i].type);
    return FindExpectation(network, Grammar::RuleSingleStatement, state_, context_, looked_at,
                           ErrorRules());
  }

 private:
  size_t state_ = 0;
  antlr4::RuleContext* context_ = nullptr;
  size_t next_ = 0;  // index of the first token that is not matched
};

// The parse of one statement: its tokens, ANTLR's objects over them, and the tree they own.
class StatementParse {
 public:
  StatementParse(std::string_view text, std::span<const Token> tokens)
      : text_(text),
        tokens_(tokens),
        source_(AntlrTokens(tokens)),
        stream_(&source_),
        parser_(&stream_),
        strategy_(std::make_shared<StopAtFirstError>()) {
    parser_.removeErrorListeners();
    parser_.setErrorHandler(strategy_);
  }

  ast::Statement Run() {
    // Prediction without the full context is several times faster, and right whenever it succeeds;
    // whether a failure is real only the full one can tell.
    Grammar::SingleStatementContext* tree = nullptr;
    try {
      tree = Attempt(PredictionMode::SLL);
    } catch (const FirstError&) {
      parser_.reset();
    }
    try {
      if (tree == nullptr) tree = Attempt(PredictionMode::LL);
    } catch (const FirstError& error) {
      throw ErrorAt(error.offending);
    }
    return BuildStatement(text_, *tree->statement());
  }

 private:
  static std::vector<std::unique_ptr<antlr4::Token>> AntlrTokens(std::span<const Token> tokens) {
    std::vector<std::unique_ptr<antlr4::Token>> out;
    out.reserve(tokens.size());
    for (const Token& token : tokens) {
      auto made = std::make_unique<antlr4::CommonToken>(token.type);
      made->setStartIndex(static_cast<size_t>(token.range.begin));
      made->setStopIndex(static_cast<size_t>(token.range.end) - 1);
      out.push_back(std::move(made));
    }
    return out;
  }

  Grammar::SingleStatementContext* Attempt(PredictionMode mode) {
    // All parsers of a process learn into one prediction table, which ANTLR's runtime reads without
    // a lock in places. A statement takes microseconds, so one at a time is no loss.
    static std::mutex prediction_table;
    const std::lock_guard<std::mutex> lock(prediction_table);
    parser_.getInterpreter<antlr4::atn::ParserATNSimulator>()->setPredictionMode(mode);
    return parser_.singleStatement();
  }

  Error ErrorAt(size_t offending) {
    // SELECT GENERAT FROM cities is a correct query of a system table up to the table's name. Where
    // the word after SELECT is nearly a kind of query, that word is the mistake.
    for (size_t i = 1; i < offending; ++i) {
      if (tokens_[i - 1].type == Grammar::SELECT && tokens_[i].type == Grammar::IDENTIFIER &&
          !MisspelledQuery(tokens_[i]).empty()) {
        return Reparsed(i);
      }
    }
    return SyntaxError(text_, tokens_, offending,
                       strategy_->ExpectationAt(parser_.getATN(), tokens_, offending));
  }

  std::string MisspelledQuery(const Token& token) const {
    const std::vector<std::string> kinds = {"GENERATE", "TOKENS", "LOGPROBS", "EMBEDDING"};
    return NearestName(TextAt(text_, token.range), kinds);
  }

  // The error of the same statement if the token at `offending` did not fit.
  Error Reparsed(size_t offending) {
    std::vector<size_t> before;
    for (size_t i = 0; i < offending; ++i) before.push_back(tokens_[i].type);
    return SyntaxError(text_, tokens_, offending,
                       FindExpectation(parser_.getATN(), Grammar::RuleSingleStatement, 0, nullptr,
                                       before, ErrorRules()));
  }

  std::string_view text_;
  std::span<const Token> tokens_;
  antlr4::ListTokenSource source_;
  antlr4::CommonTokenStream stream_;
  Grammar parser_;
  std::shared_ptr<StopAtFirstError> strategy_;  // ANTLR wants to share its owner
};

constexpr int kMostParameters = 64;

// Returns the highest number of a parameter; below it, every one is used. `is_allowed`: their
// values will come.
int CheckParameters(std::string_view text, std::span<const Token> tokens, bool is_allowed) {
  std::vector<SourceRange> places(kMostParameters);
  int highest = 0;
  for (const Token& token : tokens) {
    if (token.type != Grammar::PARAMETER) continue;
    if (!is_allowed) {
      throw Error(ErrorCode::kSyntax, "parameter outside a PREPARE has no value",
                  "Write the value itself, or PREPARE the query and EXECUTE it with values.",
                  token.range);
    }
    const char* const end = text.data() + token.range.end;
    int number = 0;
    const auto read = std::from_chars(text.data() + token.range.begin + 1, end, number);
    if (read.ec != std::errc() || number < 1 || number > kMostParameters) {
      throw Error(ErrorCode::kSyntax, "parameters are $1 to $" + std::to_string(kMostParameters),
                  "", token.range);
    }
    places[static_cast<size_t>(number - 1)] = token.range;
    highest = std::max(highest, number);
  }
  for (int i = 0; i < highest; ++i) {
    if (places[static_cast<size_t>(i)].end > 0) continue;
    throw Error(ErrorCode::kSyntax,
                "there is a $" + std::to_string(highest) + ", but no $" + std::to_string(i + 1),
                "Number the parameters without gaps.", places[static_cast<size_t>(highest - 1)]);
  }
  return highest;
}

ast::Statement ParseStatement(std::string_view text, std::span<const Token> tokens) {
  try {
    return StatementParse(text, tokens).Run();
  } catch (const antlr4::RuntimeException& error) {
    throw Error(ErrorCode::kInternal, std::string("parser failed: ") + error.what(), "",
                SourceRange{tokens.front().range.begin, tokens.back().range.end});
  }
}

}  // namespace

std::vector<ast::Statement> Parse(std::string_view text) {
  std::vector<ast::Statement> statements;
  TokenReader reader(text);
  while (true) {
    const std::vector<Token> tokens = reader.NextStatement();
    if (tokens.empty()) return statements;
    statements.push_back(ParseStatement(text, tokens));
    // A parameter gets its value from EXECUTE, so only a PREPARE can hold one.
    auto* prepare = std::get_if<ast::Prepare>(&statements.back().node);
    const int parameters = CheckParameters(text, tokens, prepare != nullptr);
    if (prepare != nullptr) prepare->parameters = parameters;
  }
}

std::optional<ParameterizedStatement> ParseParameterized(std::string_view text) {
  TokenReader reader(text);
  const std::vector<Token> tokens = reader.NextStatement();
  if (tokens.empty()) return std::nullopt;
  ParameterizedStatement parsed;
  parsed.statement = ParseStatement(text, tokens);
  parsed.parameters = CheckParameters(text, tokens, true);
  if (auto* prepare = std::get_if<ast::Prepare>(&parsed.statement.node)) {
    // Those are EXECUTE's to give.
    prepare->parameters = std::exchange(parsed.parameters, 0);
  }
  if (const std::vector<Token> more = reader.NextStatement(); !more.empty()) {
    throw Error(ErrorCode::kSyntax, "a prepared statement can't hold several statements", "",
                more.front().range);
  }
  return parsed;
}

}  // namespace promptdb
