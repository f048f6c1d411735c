// PML without a database: what a file means, and what is refused and where. PROMPTDB_SEED changes
// how files are damaged; the seed is printed.
#include <gtest/gtest.h>

#include <fstream>
#include <random>

#include "base/text_place.h"
#include "pml/pml_prompt_reader.h"
#include "pml/pml_schema_reader.h"
#include "tests/pml_show.h"
#include "tests/support/random_cases.h"
#include "tests/support/test_folder.h"

namespace promptdb {
namespace {

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
  const auto seed = static_cast<uint32_t>(FromEnvironment("PROMPTDB_SEED", 1));
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
      return error.message() + " | " + std::string(TextAt(statement, error.range().value()));
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

}  // namespace
}  // namespace promptdb
