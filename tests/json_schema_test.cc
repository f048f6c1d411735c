// JSON schemas as constraints: all that they let through must parse and fit, by another validator.
#include "constraint/json_schema.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>

#include "constraint/constraint.h"
#include "constraint/json_numbers.h"
#include "constraint/json_pattern.h"
#include "tests/support/expect_error.h"
#include "tests/support/fake_tokenizer.h"
#include "tests/support/plain_schema_validator.h"
#include "tests/support/random_cases.h"
#include "tests/support/random_schema.h"
#include "tests/support/random_text.h"

namespace promptdb {
namespace {

using Json = nlohmann::ordered_json;

std::vector<std::string> ByteTokensAndWords() {
  return BytesAnd({"{\"",  "\":",   "\": ", "\",",  "\", \"", "\"}", "}}", "[[",        "]]",
                   "true", "false", "null", "12",   "-0",     "00",  "e1", "\\u00",     "\\n",
                   " \"",  "],",    "id",   "name", "  ",     "\n",  "20", "\xC3\xA9t", "needed"});
}

TEST(JsonSchema, WhatRandomModelsWriteFitsTheSchema) {
  const RandomCases cases(1000);
  std::mt19937 random(cases.seed);
  const FakeTokenizer tokenizer(ByteTokensAndWords());
  const auto vocabulary = std::make_shared<VocabularyTrie>(tokenizer);
  int texts = 0;
  size_t bytes = 0;
  for (int round = 0; round < cases.cases; ++round) {
    const Json schema = RandomSchema(random).Make();
    SCOPED_TRACE("round " + std::to_string(round) + ":\n" + schema.dump());
    const auto constraint = Constraint::FromJsonSchema(schema.dump());
    const PlainSchemaValidator validator(schema);
    for (int walk = 0; walk < 5; ++walk) {
      ConstrainedText text(constraint, vocabulary);
      std::string written;
      int step = 0;
      while (!text.must_end() && !(text.may_end() && (step > 60 || random() % 4 == 0))) {
        const auto mask = text.AllowedTokens();
        const std::vector<TokenId> allowed = AllowedIds(*mask, tokenizer.vocab_size());
        ASSERT_FALSE(allowed.empty()) << written;
        TokenId next = allowed[random() % allowed.size()];
        if (step++ > 60 || random() % 8 == 0) next = ClosingOr(*mask, next);
        ASSERT_LT(step, 5000) << written;
        text.Push(next);
        written += tokenizer.TokenBytes(next);
      }
      Json value;
      ASSERT_NO_THROW(value = Json::parse(written)) << written;
      ASSERT_TRUE(validator.Fits(value)) << written;
      ASSERT_EQ(written.find('\n'), std::string::npos) << written;
      ++texts;
      bytes += written.size();
    }
  }
  std::printf("%d texts of %zu bytes in all\n", texts, bytes);
}

bool Accepts(const std::shared_ptr<Constraint>& constraint, const std::string& text) {
  const auto vocabulary = std::make_shared<VocabularyTrie>(FakeTokenizer({}));
  const std::shared_ptr<Automaton> automaton = constraint->AutomatonFor(vocabulary);
  const int state = automaton->Advance(automaton->start(), text);
  return state != Automaton::kDead && automaton->MayEnd(state);
}

void ExpectTexts(const std::string& schema, const std::vector<std::string>& accepted,
                 const std::vector<std::string>& refused) {
  SCOPED_TRACE(schema);
  const auto constraint = Constraint::FromJsonSchema(schema);
  for (const std::string& text : accepted) EXPECT_TRUE(Accepts(constraint, text)) << text;
  for (const std::string& text : refused) EXPECT_FALSE(Accepts(constraint, text)) << text;
}

TEST(JsonSchema, EveryKeywordMeansWhatTheSpecificationSays) {
  ExpectTexts("{}",
              {"{}", "[]", "\"\"", "0", "-1.5e+10", "true", "null", R"({"a": [1, {"b":null}]})",
               R"("\u00e9\n\"")"},
              {"", "01", "[1,]", "{\"a\"}", "tru", "\"\n\"", "\"\\ud800\"", " 1", "1 ", "[1,  2]"});
  ExpectTexts(
      R"({"type": "object", "properties": {"a": {"type": "integer"}, "b": {"const": 1},
                  "c": {"type": "null"}}, "required": ["b"]})",
      {R"({"b":1})", R"({"a":5,"b":1})", R"({"b": 1, "c": null})", R"({"a":1,"b":1,"c":null})"},
      {"{}", R"({"a":5})", R"({"b":1,"a":5})", R"({"b":1,"d":2})", R"({"b":1,})", R"({,"b":1})",
       R"({"a":5 "b":1})"});
  ExpectTexts(R"({"properties": {"a": true, "b": true}})",
              {"{}", R"({"a":[]})", R"({"b":0})", R"({"a":1,"b":2})"},
              {R"({"b":1,"a":2})", R"({"c":1})"});
  ExpectTexts(R"({"properties": {"ab": {"const": 1}}, "additionalProperties": {"type": "string"}})",
              {"{}", R"({"ab":1})", R"({"ab":1,"abc":"x","a":"y"})", R"({"c":""})"},
              {R"({"ab":"x"})", R"({"c":1})", R"({"c":"","ab":1})", R"({"":"x"})"});
  ExpectTexts(R"({"type": "object", "additionalProperties": false})", {"{}"}, {R"({"a":1})"});
  ExpectTexts(R"({"type": "object", "required": ["k"]})", {R"({"k":1})", R"({"k":1,"z":2})"},
              {"{}", R"({"z":1})"});
  ExpectTexts(R"({"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 3})",
              {"[1,2]", "[1, 2, 3]"}, {"[]", "[1]", "[1,2,3,4]", "[1,true]"});
  ExpectTexts(R"({"items": {"type": "boolean"}})", {"[]", "[true]", "[true,false,true]"}, {"[1]"});
  ExpectTexts(R"({"type": "array", "maxItems": 0})", {"[]"}, {"[1]"});
  ExpectTexts(R"({"type": "array", "minItems": 1})", {"[[]]", "[1,2,3,4,5]"}, {"[]"});
  ExpectTexts(R"({"prefixItems": [{"const": 1}, {"const": 2}], "minItems": 1})", {"[1]", "[1,2]"},
              {"[]", "[2]", "[1,2,3]"});
  ExpectTexts(R"({"prefixItems": [{"const": 1}], "items": {"const": 9}, "maxItems": 3})",
              {"[]", "[1]", "[1,9]", "[1,9,9]"}, {"[9]", "[1,9,9,9]"});
  ExpectTexts(R"({"prefixItems": [{"const": 1}, {"const": 2}], "items": false, "maxItems": 1})",
              {"[]", "[1]"}, {"[1,2]"});
  ExpectTexts(R"({"enum": ["a\"b", 1, null, {"x": [1, 2]}]})",
              {R"("a\"b")", "1", "null", R"({"x":[1,2]})", R"({"x": [1, 2]})"}, {"\"a\"", "2"});
  ExpectTexts(R"({"type": ["string", "integer"], "enum": ["a", 1, 1.5, 2.0]})",
              {"\"a\"", "1", "2.0"}, {"1.5"});
  ExpectTexts(R"({"anyOf": [{"type": "null"}, {"type": "string", "maxLength": 1}]})",
              {"null", "\"\"", "\"\u20ac\"", "\"\\u20ac\"", "\"\\n\""}, {"\"ab\"", "1"});
  ExpectTexts(R"({"type": "string", "minLength": 2, "maxLength": 3})",
              {"\"ab\"", "\"\u20ac\U0001F600\"", "\"a\\\"b\""}, {"\"a\"", "\"abcd\""});
  ExpectTexts(R"({"type": "boolean", "nullable": true})", {"true", "null"}, {"0"});
  ExpectTexts(R"({"$ref": "#/definitions/n", "definitions": {"n": {"type": "object", "properties":
                  {"next": {"$ref": "#/definitions/n"}}}}})",
              {"{}", R"({"next":{"next":{}}})"}, {R"({"next":{"next":1}})"});
  ExpectTexts(R"({"type": "array", "items": {"$ref": "#"}})", {"[]", "[[],[[]]]"}, {"[1]"});
  ExpectTexts(R"({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"const": "x"}}})", {"\"x\""}, {"1"});
  ExpectTexts(R"({"type": "string", "format": "date"})",
              {"\"2024-02-29\"", "\"2000-02-29\"", "\"1999-12-31\""},
              {"\"2023-02-29\"", "\"1900-02-29\"", "\"2024-04-31\"", "\"2024-13-01\""});
  ExpectTexts(R"({"format": "date-time"})",
              {"\"2024-01-02T03:04:05Z\"", "\"2024-01-02T23:59:59.125+01:30\""},
              {"\"2024-01-02\"", "\"2024-01-02T24:00:00Z\"", "\"2024-01-02T03:04:05\""});
  ExpectTexts(R"({"format": "uuid"})", {"\"123e4567-e89b-12d3-a456-426614174000\""},
              {"\"123e4567e89b12d3a456426614174000\""});
  ExpectTexts(R"({"type": "number"})", {"0", "-0.5", "1e9", "123456789.25E-7"},
              {"+1", ".5", "1.", "00", "1e", "1e999"});
}

TEST(JsonSchema, PatternsMeanWhatEcmaScriptSays) {
  // Everything in five letters, with and without a pattern's borders.
  const std::string letters = "ab1_ ";
  for (const char* pattern : {"^ab*$", "a", "^a|1$", "^(a|b1)+$", "^[^a-b]{2}$", "^\\d\\w?\\s*$",
                              "b$", "^.a", "^(?:ab){1,2}?$", "^\\D\\W|\\S{3}", "^[\\d_-]+$",
                              "a{2,}", "^$", "^(a||b)1$", "^\\x61\\u0062$"}) {
    const auto constraint =
        Constraint::FromJsonSchema(Json{{"type", "string"}, {"pattern", pattern}}.dump());
    const std::regex regex(pattern);
    for (int length = 0; length <= 4; ++length) {
      int count = 1;
      for (int i = 0; i < length; ++i) count *= 5;
      for (int number = 0; number < count; ++number) {
        std::string text;
        for (int i = 0, rest = number; i < length; ++i, rest /= 5) {
          text += letters[static_cast<size_t>(rest % 5)];
        }
        ASSERT_EQ(Accepts(constraint, "\"" + text + "\""), std::regex_search(text, regex))
            << pattern << " on \"" << text << "\"";
      }
    }
  }
}

TEST(JsonSchema, IntegerBoundsAreExact) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int round = 0; round < 150; ++round) {
    const int scale = round % 3 == 0 ? 20 : round % 3 == 1 ? 300 : 12000;
    const auto bound = [&] { return std::uniform_int_distribution<int>(-scale, scale)(random); };
    int least = bound(), most = bound();
    if (most < least) std::swap(least, most);
    Grammar grammar;
    grammar.root = grammar.AddRule("root", JsonInteger(least, most));
    const auto vocabulary = std::make_shared<VocabularyTrie>(FakeTokenizer({}));
    Automaton automaton(std::make_shared<TransitionNetwork>(grammar), vocabulary);
    const auto accepts = [&](const std::string& text) {
      const int state = automaton.Advance(automaton.start(), text);
      return state != Automaton::kDead && automaton.MayEnd(state);
    };
    for (int number = -scale - 15; number <= scale + 15; ++number) {
      ASSERT_EQ(accepts(std::to_string(number)), least <= number && number <= most)
          << number << " in " << least << ".." << most;
      ASSERT_FALSE(accepts("0" + std::to_string(number)));
    }
    ASSERT_FALSE(accepts("-0"));
  }
  ExpectTexts(R"({"type": "integer", "minimum": -1.5, "exclusiveMaximum": 2.0})", {"-1", "0", "1"},
              {"-2", "2"});
  ExpectTexts(R"({"type": "integer", "maximum": 18446744073709551615, "exclusiveMinimum": 1e17})",
              {"100000000000000001", "999999999999999999"},
              {"100000000000000000", "1000000000000000000"});
}

TEST(JsonSchema, WhatIsNotSupportedIsAnError) {
  const auto expect = [](const std::string& schema, ErrorCode code, const std::string& message) {
    SCOPED_TRACE(schema);
    ExpectError(code, {message}, [&] { Constraint::FromJsonSchema(schema); });
  };
  const ErrorCode invalid = ErrorCode::kInvalidArgument, unsupported = ErrorCode::kUnsupported;
  expect("", invalid, "the JSON schema ends too early (line 1, column 1 of the schema)");
  expect("{\n  \"type\": strin}", invalid,
         "the JSON schema is not valid JSON (line 2, column 11 of the schema)");
  expect("{} {}", invalid, "the JSON schema is not valid JSON (line 1, column 4 of the schema)");
  expect("{\"type\": \"string\", \"type\": \"null\"}", invalid,
         "the JSON schema has the key \"type\" twice in one object");
  expect(std::string(200, '[') + std::string(200, ']'), invalid,
         "the JSON schema is nested more than 64 deep");
  expect("3", invalid, "a schema must be an object, true or false (at # of the JSON schema)");
  expect("false", invalid, "no value fits the schema false");
  for (const char* keyword :
       {"multipleOf", "uniqueItems", "contains", "patternProperties", "propertyNames",
        "minProperties", "maxProperties", "not", "if", "then", "else", "dependentRequired",
        "unevaluatedProperties", "additionalItems", "$anchor", "$dynamicRef", "contentEncoding",
        "dependentSchemas", "x-order"}) {
    expect(Json{{"properties", {{"a/b", {{keyword, true}}}}}}.dump(), unsupported,
           std::string("the keyword \"") + keyword +
               "\" is not supported (at #/properties/a~1b of the JSON schema)");
  }
  expect(R"({"type": "strnig"})", invalid, "there is no type \"strnig\"");
  expect(R"({"type": []})", invalid, "\"type\" must not be empty");
  expect(R"({"type": "string", "minimum": 1})", invalid,
         "\"minimum\" says nothing about the type \"string\"");
  expect(R"({"type": "number", "minimum": 1})", unsupported,
         "\"minimum\" is supported for integers alone");
  expect(R"({"type": "integer", "minimum": "1"})", invalid, "\"minimum\" must be a number");
  expect(R"({"type": "integer", "minimum": 2, "maximum": 1})", invalid,
         "no integer of at most 18 digits is within the bounds");
  expect(R"({"type": "integer", "minimum": 1e18})", invalid,
         "no integer of at most 18 digits is within the bounds");
  expect(R"({"type": "string", "minLength": -1})", invalid,
         "\"minLength\" must be a whole number from 0 to 1000000, not -1");
  expect(R"({"type": "string", "minLength": 3, "maxLength": 2})", invalid,
         "\"minLength\" is above \"maxLength\"");
  expect(R"({"type": "string", "maxLength": 300000})", ErrorCode::kTooLong,
         "the constraint needs more than 262144 states");
  expect(R"({"format": "email"})", unsupported, "the format \"email\" is not supported");
  expect(R"({"pattern": "^a$", "minLength": 1})", unsupported,
         "\"pattern\" is not supported beside another bound of the string");
  expect(R"({"items": [{}]})", unsupported, "a list of schemas in \"items\" is not supported");
  expect(R"({"prefixItems": [{}], "minItems": 2})", invalid,
         "\"minItems\" is above \"prefixItems\"");
  expect(R"({"required": ["a"], "additionalProperties": false})", invalid,
         "the required property \"a\" is not among the properties");
  expect(R"({"enum": []})", invalid, "\"enum\" must be an array with something in it");
  expect(R"({"enum": ["a"], "type": "integer"})", invalid,
         "none of the values has the schema's type");
  expect(R"({"enum": ["a"], "maxLength": 1})", unsupported,
         "\"maxLength\" beside \"enum\" is not supported");
  expect(R"({"allOf": [{}, {}]})", unsupported, "\"allOf\" of more than one schema");
  expect(R"({"anyOf": [{}], "type": "object"})", unsupported,
         "\"type\" beside \"anyOf\" is not supported");
  expect(R"({"$ref": "http://example.com/s"})", unsupported,
         "\"$ref\" must name a place in the schema itself");
  expect(R"({"$ref": "#/$defs/x"})", invalid, "there is nothing at \"#/$defs/x\"");
  expect(R"({"$ref": "#"})", invalid, "the grammar is left-recursive: # -> #");
  expect(R"({"properties": {"a": {"$ref": "#"}}, "required": ["a"]})", invalid,
         "no text can match the rule");
  for (const auto& [pattern, what] :
       std::vector<std::pair<std::string, std::string>>{{"(?=a)", "a special group"},
                                                        {"a\\b", "a word border"},
                                                        {"(a)\\1", "a back-reference"},
                                                        {"\\p{L}", "a character property"},
                                                        {"a^b", "an anchor inside"},
                                                        {"(^a)", "an anchor inside"},
                                                        {"(a$|b)", "an anchor inside"}}) {
    expect(Json{{"pattern", pattern}}.dump(), unsupported,
           "the pattern has " + what + ", which is not supported: " + Json(pattern).dump());
  }
  for (const auto& [pattern, what] : std::vector<std::pair<std::string, std::string>>{
           {"(a", "a \"(\" that is not closed"},
           {"a)", "a \")\" without its \"(\""},
           {"[a", "a \"[\" that is not closed"},
           {"[b-a]", "a range that is none"},
           {"*a", "a quantifier that follows nothing"},
           {"a**", "two quantifiers in a row"},
           {"a{2,1}", "a quantifier in the wrong order"},
           {"a{x}", "a \"{\" that is no quantifier"},
           {"\\y", "an escape that is none"},
           {"a\\", "a backslash at its end"}}) {
    expect(Json{{"pattern", pattern}}.dump(), invalid,
           "the pattern has " + what + ": " + Json(pattern).dump());
  }
}

}  // namespace
}  // namespace promptdb
