#include "parser/token_reader.h"

#include <charconv>
#include <string>

#include "PromptQLParser.h"
#include "base/text_place.h"
#include "base/utf8.h"
#include "parser/quoting.h"
#include "parser/vocabulary.h"

namespace promptdb {

namespace {

using Grammar = grammar::PromptQLParser;

bool IsTypographicQuote(std::string_view character) {
  return character == "\u2018" || character == "\u2019" || character == "\u201c" ||
         character == "\u201d" || character == "`";
}

SourceRange RangeAt(size_t at, size_t length) {
  return {static_cast<int>(at), static_cast<int>(at + length)};
}

}  // namespace

TokenReader::TokenReader(std::string_view text) : text_(text), scanner_(text) {
  if (text.size() > kMaxScriptBytes) {
    throw Error(ErrorCode::kTooLong,
                "statement text of " + std::to_string(text.size()) + " bytes is longer than " +
                    std::to_string(kMaxScriptBytes),
                "Keep long texts in files and use MODULE … AS FILE.");
  }
  if (const size_t at = FindInvalidUtf8(text); at != std::string_view::npos) {
    throw Error(ErrorCode::kSyntax, "text is not valid UTF-8 at byte " + std::to_string(at),
                "Save the file as UTF-8.", RangeAt(at, 1));
  }
  if (const size_t at = text.find('\0'); at != std::string_view::npos) {
    throw Error(ErrorCode::kSyntax, "NUL byte in the text at byte " + std::to_string(at), "",
                RangeAt(at, 1));
  }
}

std::string_view TokenReader::Source(const SourceRange& range) const {
  return TextAt(text_, range);
}

std::vector<Token> TokenReader::NextStatement() {
  std::vector<Token> tokens;
  int depth = 0;
  while (true) {
    const Lexeme lexeme = scanner_.Next();
    if (lexeme.kind == LexemeKind::kSemicolon || lexeme.kind == LexemeKind::kEnd) {
      if (tokens.empty() && lexeme.kind == LexemeKind::kSemicolon) continue;
      if (tokens.empty()) return tokens;
      SourceRange range = lexeme.range;
      if (lexeme.kind == LexemeKind::kEnd) {
        range = {tokens.back().range.end, tokens.back().range.end};
      }
      tokens.push_back({antlr4::Token::EOF, range});
      return tokens;
    }
    tokens.push_back(TokenOf(lexeme));
    if (tokens.back().type == Grammar::LEFT_PARENTHESIS && ++depth > kMaxNesting) {
      throw Error(ErrorCode::kSyntax,
                  "parentheses are nested deeper than " + std::to_string(kMaxNesting), "",
                  lexeme.range);
    }
    if (tokens.back().type == Grammar::RIGHT_PARENTHESIS) --depth;
    if (tokens.size() > kMaxStatementTokens) {
      throw Error(ErrorCode::kTooLong,
                  "statement has more than " + std::to_string(kMaxStatementTokens) +
                      " words, texts and symbols",
                  "", lexeme.range);
    }
  }
}

Token TokenReader::TokenOf(const Lexeme& lexeme) const {
  const std::string_view source = Source(lexeme.range);
  switch (lexeme.kind) {
    case LexemeKind::kWord: {
      const size_t keyword = GrammarVocabulary().TypeOf(source);
      if (keyword != 0) return {keyword, lexeme.range};
      CheckName(lexeme);
      const bool system = source.size() >= 3 && FoldName(source.substr(0, 3)) == "pc_";
      return {system ? Grammar::SYSTEM_TABLE : Grammar::IDENTIFIER, lexeme.range};
    }
    case LexemeKind::kQuotedName:
      CheckName(lexeme);
      return {Grammar::QUOTED_NAME, lexeme.range};
    case LexemeKind::kText:
      return {Grammar::TEXT_LITERAL, lexeme.range};
    case LexemeKind::kInteger: {
      int64_t value = 0;
      const auto result = std::from_chars(source.data(), source.data() + source.size(), value);
      if (result.ec != std::errc()) {
        throw Error(ErrorCode::kSyntax,
                    "number is above " + std::to_string(INT64_MAX) + ": " +
                        std::string(source.substr(0, 40)),
                    "", lexeme.range);
      }
      return {Grammar::INTEGER, lexeme.range};
    }
    case LexemeKind::kDecimal: {
      double value = 0;
      const auto result = std::from_chars(source.data(), source.data() + source.size(), value);
      if (result.ec != std::errc()) {
        throw Error(ErrorCode::kSyntax,
                    "number is outside the range of a double: " + std::string(source.substr(0, 40)),
                    "", lexeme.range);
      }
      return {Grammar::DECIMAL, lexeme.range};
    }
    case LexemeKind::kParameter:
      return {Grammar::PARAMETER, lexeme.range};
    case LexemeKind::kSymbol:
      return {GrammarVocabulary().TypeOf(source), lexeme.range};
    default:
      Refuse(lexeme);
  }
}

void TokenReader::CheckName(const Lexeme& lexeme) const {
  const std::string name = NameFromLexeme(Source(lexeme.range));
  if (name.empty()) {
    throw Error(ErrorCode::kSyntax, "a name is empty: \"\"",
                "Texts are written in 'single quotes', names in \"double quotes\".", lexeme.range);
  }
  if (name.size() > kMaxNameBytes) {
    throw Error(ErrorCode::kTooLong,
                "name of " + std::to_string(name.size()) + " bytes is longer than " +
                    std::to_string(kMaxNameBytes),
                "", lexeme.range);
  }
}

void TokenReader::Refuse(const Lexeme& lexeme) const {
  const std::string source(Source(lexeme.range));
  std::string message;
  std::string hint;
  switch (lexeme.kind) {
    case LexemeKind::kOpenText:
      message = "text has no closing quote: '";
      hint = "Inside a text, write a quote twice: 'it''s'.";
      break;
    case LexemeKind::kOpenDollarText:
      message = "text has no closing " + source;
      hint = "End the text with the same " + source + " that opens it.";
      break;
    case LexemeKind::kOpenName:
      message = "name has no closing quote: \"";
      hint = "Inside a quoted name, write a quote twice: \"a \"\"b\"\"\".";
      break;
    case LexemeKind::kOpenComment:
      message = "comment has no closing */";
      hint = "Comments nest: every /* needs its own */.";
      break;
    case LexemeKind::kMalformedNumber:
      message = "number runs into a word: " + source.substr(0, 40);
      hint = "A value with a unit is a text: '" + source.substr(0, 40) + "'.";
      break;
    default:
      message = "unknown character \"" + source + "\"";
      if (IsTypographicQuote(source)) hint = "Texts are written in straight 'single quotes'.";
      if (source == "{" || source == "}") hint = "Braces only have a meaning inside texts.";
      if (source == "\\") hint = "A backslash command stands at the start of a line of its own.";
      break;
  }
  throw Error(ErrorCode::kSyntax, message, hint, lexeme.range);
}

}  // namespace promptdb
