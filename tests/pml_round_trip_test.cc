// The round trip from any schema to PML and back, on random schemas full of what XML would lose.
// PROMPTDB_SEED and PROMPTDB_CASES change what is run; the seed is printed.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>

#include "planner/module_path.h"
#include "pml/pml_writer.h"
#include "tests/pml_show.h"
#include "tests/support/random_cases.h"

namespace promptdb {
namespace {

using Kind = PartDefinition::Kind;

class RandomSchema {
 public:
  explicit RandomSchema(uint32_t seed) : random_(seed) {}

  SchemaDefinition Draw() {
    SchemaDefinition schema;
    names_ = 0;
    schema.name = Name();
    schema.model = "m";
    if (Chance(4)) schema.separator = Chars(AnyText(3));
    schema.is_portable = Chance(4);
    // Half of them look like the prototype's, with a space between tags.
    has_spaces_ = Chance(2);
    schema.parts = Parts(3, false, nullptr, false);
    if (Chance(2)) AddScaffolds(schema);
    return schema;
  }

 private:
  // A module and one in it, which a prompt can always have together.
  void AddScaffolds(SchemaDefinition& schema) {
    const std::vector<std::string> paths = ModulePaths(schema.parts);
    for (const std::string& inside : paths) {
      for (const std::string& around : paths) {
        if (!inside.starts_with(around + ".") || !Chance(4)) continue;
        schema.scaffolds.push_back({Name(), {around, inside}});
      }
    }
  }

  uint32_t Below(uint32_t n) { return random_() % n; }
  bool Chance(uint32_t n) { return Below(n) == 0; }

  // Names that are no SQL identifiers, and unique, with all that attributes can hold.
  std::string Name() {
    constexpr std::array<std::string_view, 8> kWords = {"a",    "unit.py",   "<&>",  "\"x\"",
                                                        "it's", "two words", "\t\n", "é☃"};
    return std::string(kWords[Below(8)]) + std::to_string(++names_);
  }

  // What XML, white space or templates could change.
  std::string AnyText(uint32_t pieces) {
    constexpr std::array<std::string_view, 22> kPieces = {
        "word", " ",    "\n", "\t", "\r",     "\r\n",   "  ",         "&", "<",    ">",    "]]>",
        "<b>",  "&lt;", "\"", "'",  "\u00a0", "\u3000", "\U0001F600", "é", "<!--", "\x1f", "\x01"};
    std::string text;
    for (uint32_t i = Below(pieces + 1); i > 0; --i) text += kPieces[Below(22)];
    if (Chance(6)) text += "\uFFFF";
    return text;
  }

  // Without what attributes can't hold.
  static std::string Chars(std::string text) {
    std::erase_if(text, [](char c) { return c == '\x1f' || c == '\x01'; });
    if (const size_t at = text.find("\uFFFF"); at != std::string::npos) text.erase(at);
    return text;
  }

  // Parameters that have no place yet are put into the text.
  std::string Template(std::vector<ParameterDefinition>* free_parameters, bool has_parameters,
                       bool takes_all) {
    std::string text = Braces(AnyText(4), has_parameters);
    while (free_parameters != nullptr && !free_parameters->empty() && (takes_all || Chance(2))) {
      text += "{" + free_parameters->back().name + "}" + Braces(AnyText(2), has_parameters);
      free_parameters->pop_back();
    }
    return text;
  }

  std::string Braces(const std::string& text, bool has_parameters) {
    if (!Chance(3)) return text;
    return text + (has_parameters ? "{{x}}" : "{x}");
  }

  std::vector<ParameterDefinition> Parameters() {
    std::vector<ParameterDefinition> parameters;
    if (!Chance(3)) return parameters;
    for (uint32_t i = 1 + Below(3); i > 0; --i) {
      ParameterDefinition parameter;
      parameter.name = Name();
      parameter.tokens = 1 + static_cast<int>(Below(9));
      if (Chance(2)) parameter.default_value = Chars(AnyText(3));
      parameters.push_back(parameter);
    }
    return parameters;
  }

  PartDefinition Text(std::vector<ParameterDefinition>* free_parameters, bool has_parameters) {
    PartDefinition part;
    part.text = has_spaces_ && Chance(2) ? " " : Template(free_parameters, has_parameters, false);
    return part;
  }

  PartDefinition Module(int depth, bool inside_role) {
    PartDefinition part;
    part.kind = Kind::kModule;
    part.name = Name();
    part.parameters = Parameters();
    std::vector<ParameterDefinition> free_parameters = part.parameters;
    std::shuffle(free_parameters.begin(), free_parameters.end(), random_);
    const bool has_parameters = !part.parameters.empty();
    if (depth == 0 || Chance(2)) {
      part.text = Template(&free_parameters, has_parameters, true);
      if (part.text.empty()) part.text = "x";
      if (Chance(5)) part.source_file = "/" + Name();
      return part;
    }
    part.children = Parts(depth - 1, inside_role, &free_parameters, has_parameters);
    while (!free_parameters.empty()) {
      PartDefinition& text = part.children.emplace_back();
      text.text = Template(&free_parameters, true, true);
    }
    return part;
  }

  std::vector<PartDefinition> Parts(int depth, bool inside_role,
                                    std::vector<ParameterDefinition>* free_parameters,
                                    bool has_parameters) {
    std::vector<PartDefinition> parts;
    for (uint32_t i = 1 + Below(5); i > 0; --i) {
      const uint32_t kind = Below(6);
      if (kind < 2) {
        parts.push_back(Text(free_parameters, has_parameters));
      } else if (kind < 4 || depth == 0) {
        parts.push_back(Module(depth, inside_role));
      } else if (kind == 4 || inside_role) {
        PartDefinition& part = parts.emplace_back();
        part.kind = Kind::kUnion;
        part.name = Name();
        std::vector<PartDefinition> members;
        for (uint32_t k = 1 + Below(3); k > 0; --k)
          members.push_back(Module(depth - 1, inside_role));
        part.children = std::move(members);
      } else {
        PartDefinition role;
        role.kind = Kind::kRole;
        role.role = static_cast<ChatRole>(1 + Below(3));
        role.children = Parts(depth - 1, true, free_parameters, has_parameters);
        parts.push_back(std::move(role));
      }
    }
    return parts;
  }

  std::mt19937 random_;
  int names_ = 0;
  bool has_spaces_ = false;
};

TEST(PmlRoundTrip, AnySchemaComesBackAsItWas) {
  const auto seed = static_cast<uint32_t>(FromEnvironment("PROMPTDB_SEED", 1));
  const auto cases = static_cast<uint32_t>(FromEnvironment("PROMPTDB_CASES", 2000));
  std::printf("seed %u, %u schemas\n", seed, cases);
  for (uint32_t i = 0; i < cases; ++i) {
    const SchemaDefinition schema = RandomSchema(seed + i).Draw();
    const std::string pml = WritePml(schema);
    SchemaDefinition again;
    try {
      again = Import(pml);
    } catch (const Error& error) {
      FAIL() << "case " << seed + i << ": " << error.message() << "\n" << pml;
    }
    ASSERT_EQ(Show(again), Show(schema)) << "case " << seed + i << "\n" << pml;
    ASSERT_EQ(WritePml(again), pml);
  }
}

TEST(PmlRoundTrip, WhatThePrototypeHasIsWrittenInItsWords) {
  const std::string pml =
      "<schema name=\"s\">\n"
      "  <system>You are &lt;kind&gt;.</system>\n"
      "  <user>\n"
      "    <union name=\"u\">\n"
      "      <module name=\"a\">A <parameter name=\"p\" length=\"3\" scaffold=\"q\"/>.</module>\n"
      "      <module name=\"b\">B</module>\n"
      "    </union>\n"
      "  </user>\n"
      "</schema>\n";
  EXPECT_EQ(WritePml(Import(pml)), pml);
  // With a space between modules, as the prototype reads the line breaks of its files.
  const std::string spaces =
      "<schema name=\"s\">\n"
      "  <module name=\"a\">A</module>\n"
      "  <module name=\"b\">B</module>\n"
      "</schema>\n";
  EXPECT_EQ(WritePml(Import(spaces)), spaces);
  EXPECT_EQ(
      WritePml(Import("<schema name='s'><module name='a'>A</module>"
                      "<module name='b'>  B</module>c<promptdb:text> d</promptdb:text></schema>")),
      "<schema name=\"s\" promptdb:blanks=\"ignored\" xmlns:promptdb=\"urn:promptdb:pml\">\n"
      "  <module name=\"a\">A</module>\n"
      "  <module name=\"b\"> B</module>\n"
      "  <promptdb:text>c</promptdb:text> d</schema>\n");
}

TEST(PmlRoundTrip, ControlCharactersInNamesAreRefused) {
  SchemaDefinition schema;
  schema.name = "a\x01";
  EXPECT_THROW(WritePml(schema), Error);
}

}  // namespace
}  // namespace promptdb
