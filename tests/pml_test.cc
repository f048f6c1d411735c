// PML without a database: what a file means, what is refused and where, and the round trip from any
// schema to PML and back, on random schemas full of what XML would lose. PROMPTDB_SEED and
// PROMPTDB_CASES change what is run; the seed is printed.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <random>

#include "base/text_place.h"
#include "planner/module_path.h"
#include "planner/schema_binder.h"
#include "pml/pml_place.h"
#include "pml/pml_prompt_reader.h"
#include "pml/pml_schema_reader.h"
#include "pml/pml_writer.h"
#include "tests/support/test_folder.h"

namespace promptdb {
namespace {

using Kind = PartDefinition::Kind;

// ---- Schemas in one line, for comparing ----

std::string Quote(const std::string& text) {
  std::string out = "'";
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20) {
      out += "\\" + std::to_string(c);
    } else {
      out += c;
    }
  }
  return out + "'";
}

std::string Show(const std::vector<PartDefinition>& parts);

std::string Show(const PartDefinition& part) {
  std::string out;
  switch (part.kind) {
    case Kind::kText:
      return "TEXT " + Quote(part.text);
    case Kind::kUnion:
      out = "UNION " + part.name;
      break;
    case Kind::kRole:
      out = std::string(ChatRoleName(part.role));
      break;
    case Kind::kModule:
      out = "MODULE " + part.name;
      for (const ParameterDefinition& parameter : part.parameters) {
        out += " [" + parameter.name + " " + std::to_string(parameter.tokens);
        if (parameter.default_value) out += " = " + Quote(*parameter.default_value);
        out += "]";
      }
      if (!part.source_file.empty()) out += " FILE " + part.source_file;
      if (part.children.empty()) return out + " " + Quote(part.text);
      break;
  }
  return out + " (" + Show(part.children) + ")";
}

std::string Show(const std::vector<PartDefinition>& parts) {
  std::string out;
  for (const PartDefinition& part : parts) out += (out.empty() ? "" : ", ") + Show(part);
  return out;
}

std::string Show(const SchemaDefinition& schema) {
  std::string out = schema.name + ": " + Show(schema.parts);
  if (!schema.separator.empty()) out += " SEPARATOR " + Quote(schema.separator);
  if (schema.is_portable) out += " PORTABLE";
  for (const ScaffoldDefinition& scaffold : schema.scaffolds) {
    out += " SCAFFOLD " + scaffold.name + "(";
    for (const std::string& member : scaffold.members) out += " " + member;
    out += " )";
  }
  return out;
}

SchemaDefinition Import(const std::string& pml, const std::filesystem::path& folder = ".") {
  ast::CreateSchema statement = ReadPmlSchema(pml, folder).statement;
  statement.model.text = "m";
  return BindSchema(statement);
}

std::string ShowPml(const std::string& pml) { return Show(Import(pml)); }

// "message (line 1, column 2)" of the error that reading `pml` throws.
std::string ErrorOf(const std::string& pml, const std::filesystem::path& folder = ".") {
  try {
    Import(pml, folder);
    return "no error";
  } catch (const Error& error) {
    const std::string place =
        error.range() ? LineAndColumn(pml, static_cast<size_t>(error.range()->begin)) : "nowhere";
    return error.message() + " (" + place + ")";
  }
}

// ---- What PML means ----

TEST(PmlSchema, EveryElementHasItsPart) {
  EXPECT_EQ(ShowPml(R"(<schema name="s"><system>Be brief.</system>
<user><module name="unit.py">code</module>and<union><module name="a">A</module>
<module name="b">B</module></union></user>
<assistant>Yes.</assistant></schema>)"),
            "s: system (TEXT 'Be brief.'), user (MODULE unit.py 'code', TEXT 'and', "
            "UNION union1 (MODULE a 'A', MODULE b 'B')), assistant (TEXT 'Yes.')");
}

TEST(PmlSchema, WhiteSpaceCollapsesAtTheEndsOfATextOnly) {
  EXPECT_EQ(ShowPml("<schema name='s'><module name='a'>\n\n  one\n    two \t\n</module></schema>"),
            "s: MODULE a ' one\\10    two '");
  // Unicode's spaces as well, as Python's regular expressions have them.
  EXPECT_EQ(ShowPml("<schema name='s'><module name='a'>\u00a0\u2003one\u3000</module></schema>"),
            "s: MODULE a ' one '");
}

TEST(PmlSchema, WhiteSpaceBetweenTagsIsOneSpaceButBesideARole) {
  EXPECT_EQ(ShowPml("<schema name='s'>\n <module name='a'>A</module>\n <module name='b'>B</module>"
                    "\n <user> <module name='c'>C</module> </user>\n</schema>"),
            "s: TEXT ' ', MODULE a 'A', TEXT ' ', MODULE b 'B', user (MODULE c 'C')");
  EXPECT_EQ(ShowPml("<schema name='s' promptdb:blanks='ignored'>\n <module name='a'>A</module>\n "
                    "<module name='b'>B</module>\n</schema>"),
            "s: MODULE a 'A', MODULE b 'B'");
}

TEST(PmlSchema, XmlSpaceKeepsWhiteSpace) {
  EXPECT_EQ(ShowPml("<schema name='s'><module name='a' xml:space='preserve'> \n x  </module>"
                    "<module name='b'> \n x  </module></schema>"),
            "s: MODULE a ' \\10 x  ', MODULE b ' x '");
}

TEST(PmlSchema, CommentsCdataAndEntities) {
  EXPECT_EQ(ShowPml("<?xml version='1.0' encoding='UTF-8'?><!-- a --><!DOCTYPE schema>"
                    "<schema name='s'><module name='a'>x<!-- <b/> -->y<![CDATA[ <z> & ]]>&lt;&#65;"
                    "&#x1F600;&amp;&quot;&apos;&gt;</module></schema>"),
            "s: MODULE a 'xy <z> & <A\U0001F600&\"'>'");
  EXPECT_EQ(ShowPml("\xEF\xBB\xBF<schema name='s'>a\r\nb</schema>"), "s: TEXT 'a\\10b'");
}

TEST(PmlSchema, ParametersBecomePlacesInTheText) {
  EXPECT_EQ(ShowPml("<schema name='s'><module name='a'>For <parameter name='days' length='5'/>\n "
                    "days, {net}: <parameter name='b' length='2' scaffold='low'/>"
                    "<parameter name='c' length='1'/>.</module></schema>"),
            "s: MODULE a [days 5] [b 2 = 'low'] [c 1] 'For {days} days, {{net}}: {b}{c}.'");
  // Without parameters, braces are braces.
  EXPECT_EQ(ShowPml("<schema name='s'><module name='a'>{x}</module></schema>"),
            "s: MODULE a '{x}'");
}

TEST(PmlSchema, UnionsGetNamesThatNobodyHas) {
  const std::string u = "<union><module name='NAME'>x</module></union>";
  const auto with = [&](const std::string& name) {
    std::string text = u;
    return text.replace(text.find("NAME"), 4, name);
  };
  EXPECT_EQ(ShowPml("<schema name='s'>" + with("a") + with("union2") + with("b") + "</schema>"),
            "s: UNION union1 (MODULE a 'x'), UNION union3 (MODULE union2 'x'), "
            "UNION union4 (MODULE b 'x')");
}

TEST(PmlSchema, SourceFilesLieBesideTheSchema) {
  const TemporaryFolder folder("pml");
  std::ofstream(folder / "doc.txt") << "\n a {b}\n\n";
  EXPECT_EQ(
      Show(Import("<schema name='s'><module name='a' src='doc.txt'/></schema>", folder.path())),
      "s: MODULE a FILE " + (folder / "doc.txt").string() + " ' a {b} '");
  EXPECT_EQ(Show(Import("<schema name='s'><module name='a' src='doc.txt'>more"
                        "<module name='b'>B</module></module></schema>",
                        folder.path())),
            "s: MODULE a (TEXT ' a {b} ', TEXT 'more', MODULE b 'B')");
  EXPECT_EQ(ErrorOf("<schema name='s'>\n<module name='a' src='none.txt'/></schema>", folder.path()),
            "cannot read \"" + (folder / "none.txt").string() +
                "\": No such file or directory (line 2, column 23)");
}

TEST(PmlSchema, StrayMarkupIsTextAndToldOf) {
  const PmlSchema read = ReadPmlSchema(
      "<schema name='s'>\n<module name='a'>if 0 <= x < 1 && y</module></schema>", ".");
  EXPECT_EQ(read.statement.parts.at(1).text->text, "if 0 <= x < 1 && y");
  ASSERT_EQ(read.notices.size(), 1U);
  EXPECT_EQ(read.notices[0],
            "4 < and & that begin no markup are taken as text (first: line 2, column 23); XML "
            "wants &lt; and &amp;");
}

TEST(PmlSchema, AUnionsScaffoldJoinsWhatThePrototypeEncodesTogether) {
  const PmlSchema read = ReadPmlSchema(
      "<schema name='s'><module name='age'><union scaffold='any'><module name='old'>o</module>"
      "<module name='any'>a</module></union></module><union><module name='x'>x</module></union>"
      "<module name='rest'>r</module></schema>",
      ".");
  ASSERT_EQ(read.statement.scaffolds.size(), 1U);
  std::string members;
  for (const auto& path : read.statement.scaffolds[0].members) members += path[0].text + " ";
  EXPECT_EQ(members, "age age.any rest ");
}

TEST(PmlSchema, ErrorsSayWhere) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "the text has no element (line 1, column 1)"},
      {"hello", "PML begins with <schema …> or <prompt …>, not with text (line 1, column 1)"},
      {"<schema name='s'/><a/>",
       "PML has one root element, and this is a second (line 1, column 19)"},
      {"<schema name='s'/>x", "text stands behind the root element (line 1, column 19)"},
      {"<schema>\n<module>x</module></schema>", "<module> has no name (line 2, column 1)"},
      {"<schema><module name=''>x</module></schema>", "<module> has no name (line 1, column 17)"},
      {"<schema>\n\n é<moduel/></schema>", "PML has no element <moduel> (line 3, column 3)"},
      {"<schema><module nam='x'/></schema>",
       "<module> has no attribute \"nam\" (line 1, column 17)"},
      {"<schema name='a' name='b'/>",
       "<schema> has the attribute \"name\" twice (line 1, column 18)"},
      {"<schema><module name='a'><parameter name='p' length='five'/></module></schema>",
       "length is a whole number of tokens, not \"five\" (line 1, column 54)"},
      {"<schema><module name='a'><parameter name='p' length='0'/></module></schema>",
       "a parameter takes from 1 to 65536 tokens, not 0 (line 1, column 54)"},
      {"<schema><module name='a'><parameter name='p'/></module></schema>",
       "<parameter> has no length (line 1, column 26)"},
      {"<schema><parameter name='p' length='1'/></schema>",
       "a <parameter> stands in a <module> only (line 1, column 9)"},
      {"<schema><module name='a'>x<parameter name='p' length='1'/><parameter name='p' "
       "length='1'/></module></schema>",
       "the module has a parameter \"p\" already (line 1, column 76)"},
      {"<schema><union>text</union></schema>", "a <union> takes modules only (line 1, column 16)"},
      {"<schema><union/></schema>", "a <union> without a module (line 1, column 9)"},
      {"<schema><union scaffold='b'><module name='a'>x</module></union></schema>",
       "the union has no module \"b\" for its scaffold (line 1, column 26)"},
      {"<schema><module name='a'>x</module><module name='a'>y</module></schema>",
       "the schema has a part named \"a\" already (line 1, column 50)"},
      {"<schema><module name='a'/></schema>", "module \"a\" has no text (line 1, column 9)"},
      {"<schema><user><system>x</system></user></schema>",
       "a role cannot stand inside another role (line 1, column 15)"},
      {"<schema><module name='a' cache='no'>x</module></schema>",
       "cache is \"true\" or \"false\", not \"no\" (line 1, column 33)"},
      {"<schema>&nbsp;</schema>", "entity &nbsp; is unknown (line 1, column 9)"},
      {"<schema><module name='&nbsp;'/></schema>", "entity &nbsp; is unknown (line 1, column 23)"},
      {"<schema>&#0;</schema>", "reference &#0; stands for no character (line 1, column 9)"},
      {"<schema>&#xD800;</schema>",
       "reference &#xD800; stands for no character (line 1, column 9)"},
      {std::string("<schema>\0</schema>", 18), "XML has no character U+0000 (line 1, column 9)"},
      {"<schema>\xFF</schema>", "the text is not UTF-8 (line 1, column 9)"},
      {"\xFF\xFE<\0s\0", "the text is not UTF-8 (line 1, column 1)"},
      {"<?xml version='1.0' encoding='ISO-8859-1'?><schema/>",
       "the text says that its encoding is \"ISO-8859-1\" (line 1, column 31)"},
      {"<schema>\n<module name='a'>x",
       "<module> is not closed where the text ends (line 2, column 1)"},
      {"<schema>\n<module name='a", "the text ends inside a tag (line 2, column 1)"},
      {"<schema><user>x</schema>",
       "</schema> stands where <user> has to be closed first (line 1, column 16)"},
      {"<schema><module name=a>x</module></schema>",
       "an attribute is written name=\"value\" (line 1, column 22)"},
      {"<schema><!-- x</schema>", "<schema> is not closed where the text ends (line 1, column 1)"},
      {"<prompt schema='s'/>", "a schema in PML is a <schema>, not a <prompt> (line 1, column 1)"},
  };
  for (const auto& [pml, expected] : cases) EXPECT_EQ(ErrorOf(pml), expected) << pml;
}

TEST(PmlSchema, EntitiesAreNeverExpandedNorFilesOpened) {
  const std::string laughs =
      "<!DOCTYPE s [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;\">]>"
      "<schema name='s'>&b;</schema>";
  EXPECT_EQ(ErrorOf(laughs),
            "PML does not take entities that a DOCTYPE declares (line 1, column 14)");
  const TemporaryFolder folder("pml");
  std::ofstream(folder / "secret") << "secret";
  EXPECT_EQ(ErrorOf("<!DOCTYPE s [<!ENTITY x SYSTEM \"" + (folder / "secret").string() +
                    "\">]><schema name='s'>&x;</schema>"),
            "PML does not take entities that a DOCTYPE declares (line 1, column 14)");
  EXPECT_EQ(ErrorOf("<!DOCTYPE s [<!ENTITY % x SYSTEM \"file:///etc/passwd\"> %x;]><schema/>"),
            "PML does not take entities that a DOCTYPE declares (line 1, column 14)");
  // A DOCTYPE without them is nothing to us, and the file that it names is not read.
  EXPECT_EQ(ShowPml("<!DOCTYPE schema SYSTEM \"" + (folder / "secret").string() +
                    "\"><schema name='s'>x</schema>"),
            "s: TEXT 'x'");
}

TEST(PmlSchema, SizesAreBounded) {
  std::string deep;
  for (int i = 0; i < 200'000; ++i) deep += "<module name='a'>";
  EXPECT_EQ(ErrorOf("<schema>" + deep),
            "elements are nested deeper than 100 (line 1, column 1692)");
  std::string wide = "<schema>";
  while (wide.size() < (size_t{20} << 20)) wide += "<module name='a'/>";
  EXPECT_TRUE(ErrorOf(wide + "</schema>").starts_with("PML of more than 1000000 tags"));
  std::string attributes = "<schema";
  std::string parameters = "<schema><module name='a'>";
  for (int i = 0; i < 1001; ++i) {
    attributes += " a" + std::to_string(i) + "=''";
    parameters += "<parameter name='p" + std::to_string(i) + "' length='1'/>";
  }
  EXPECT_TRUE(ErrorOf(attributes + "/>").starts_with("<schema> has more than 1000 attributes"));
  EXPECT_TRUE(ErrorOf(parameters + "</module></schema>")
                  .starts_with("a module takes at most 1000 parameters"));
  EXPECT_EQ(ErrorOf("<schema>" + std::string(size_t{65} << 20, 'x') + "</schema>"),
            "PML takes at most 64 MiB, not 65 MiB (nowhere)");
}

// Any bytes give a schema or an Error, nothing else.
TEST(PmlSchema, DamagedFilesAreErrors) {
  const char* seed_text = std::getenv("PROMPTDB_SEED");
  const uint32_t seed = seed_text != nullptr ? static_cast<uint32_t>(std::atoi(seed_text)) : 1;
  std::printf("seed %u\n", seed);
  std::mt19937 random(seed);
  const std::string whole =
      "<?xml version='1.0'?><!DOCTYPE schema><schema name='s' promptdb:separator=' '><system>x &lt;"
      "</system><!-- c --><union scaffold='a'><module name='a'>a<parameter name='p' length='3' "
      "scaffold='q'/>{</module><module name='b'><![CDATA[ <> ]]></module></union><promptdb:text> "
      "<promptdb:character code='1F'/></promptdb:text><promptdb:scaffold name='x'><promptdb:member "
      "path='a'/></promptdb:scaffold></schema>";
  constexpr std::string_view kBytes = "<>/&;'\"=![]-?{}:ax1 \n\xC3\xA9";
  int read = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string damaged = whole;
    for (uint32_t edits = 1 + random() % 3; edits > 0; --edits) {
      const size_t at = random() % damaged.size();
      switch (random() % 3) {
        case 0:
          damaged[at] = kBytes[random() % kBytes.size()];
          break;
        case 1:
          damaged.erase(at, 1 + random() % 8);
          break;
        default:
          damaged.insert(at, 1, kBytes[random() % kBytes.size()]);
      }
      if (damaged.empty()) damaged = "<";
    }
    try {
      ReadPmlSchema(damaged, ".");
      ++read;
    } catch (const Error& error) {
      if (error.range()) {
        ASSERT_GE(error.range()->begin, 0);
        ASSERT_LE(error.range()->end, static_cast<int>(damaged.size())) << damaged;
      }
    }
  }
  EXPECT_GT(read, 1000);
}

// ---- Prompts ----

PmlPrompt Prompt(const std::string& pml) { return ReadPmlPrompt({pml, {}, 0, 0}); }

std::string Show(const PmlPrompt& prompt) {
  std::string out = prompt.schema.text + ":";
  for (const ast::UseItem& item : prompt.use) {
    out += " [";
    for (const ast::Name& name : item.path) out += (out.back() == '[' ? "" : ".") + name.text;
    for (const ast::UseArgument& argument : item.arguments) {
      out += " " + argument.name.text + "=" + Quote(argument.value.text);
    }
    if (item.role == ast::Role::kSystem) out += "system ";
    if (item.role == ast::Role::kUser) out += "user ";
    if (item.role == ast::Role::kAssistant) out += "assistant ";
    if (item.text) out += Quote(item.text->text);
    out += "]";
  }
  if (prompt.prompt) out += " PROMPT " + Quote(prompt.prompt->text);
  return out;
}

TEST(PmlPrompt, NamesModulesInModulesArgumentsAndTexts) {
  EXPECT_EQ(Show(Prompt(R"(<prompt schema="travel">
  <travel-plan duration="3 &amp; a half
days"> <!-- abroad -->
    <overseas><maldives/></overseas>
  </travel-plan>
  and then
  <unit.py/>
  <user> What now? </user><assistant>Rest.</assistant>
  Where to?
</prompt>)")),
            "travel: [travel-plan duration='3 & a half days'] [travel-plan.overseas] "
            "[travel-plan.overseas.maldives] ['and then'] [unit.py] [user 'What now?'] "
            "[assistant 'Rest.'] PROMPT 'Where to?'");
}

TEST(PmlPrompt, ErrorsStandInTheStatement) {
  const auto place = [](const std::string& pml, int quote) {
    // The statement is FROM PML '…', with quotes doubled, or with $$…$$.
    std::string literal;
    for (const char c : pml) literal += quote == 1 && c == '\'' ? "''" : std::string(1, c);
    const std::string quotes = quote == 1 ? "'" : "$$";
    const std::string statement = "FROM PML " + quotes + literal + quotes;
    try {
      ReadPmlPrompt({pml, {9, static_cast<int>(statement.size())}, 0, quote});
      return std::string("no error");
    } catch (const Error& error) {
      const SourceRange range = error.range().value();
      return error.message() + " | " +
             statement.substr(static_cast<size_t>(range.begin),
                              static_cast<size_t>(range.end - range.begin));
    }
  };
  for (const int quote : {1, 2}) {
    EXPECT_EQ(place("<prompt schema='s'><a>text</a></prompt>", quote),
              "<a> is a module in use and holds modules only, no text | text");
    EXPECT_EQ(place("<prompt schema='s'><user>x<a/></user></prompt>", quote),
              "<user> holds text only in a prompt, not <a> | <a");
    EXPECT_EQ(place("<prompt schema='s'><a><user/></a></prompt>", quote),
              "<user> cannot stand in the module <a> | <user");
    EXPECT_EQ(place("<prompt schema='s' modle='m'/>", quote),
              "<prompt> has no attribute \"modle\" | modle");
    EXPECT_EQ(place("<prompt><a/></prompt>", quote), "<prompt> has no schema | <prompt");
    EXPECT_EQ(place("<schema name='s'/>", quote),
              "a prompt in PML is a <prompt>, not a <schema> | <schema");
    EXPECT_EQ(place("<prompt schema='s'><a></prompt>", quote),
              "</prompt> stands where <a> has to be closed first | </prompt");
  }
}

// ---- The round trip ----

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
  const char* seed_text = std::getenv("PROMPTDB_SEED");
  const char* cases_text = std::getenv("PROMPTDB_CASES");
  const uint32_t seed = seed_text != nullptr ? static_cast<uint32_t>(std::atoi(seed_text)) : 1;
  const uint32_t cases =
      cases_text != nullptr ? static_cast<uint32_t>(std::atoi(cases_text)) : 2000;
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
