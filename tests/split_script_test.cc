// How a script is cut into statements, for whoever sends them one by one.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/text_place.h"
#include "parser/parser.h"

namespace promptdb {
namespace {

using Strings = std::vector<std::string>;

struct SplitCase {
  std::string script;
  Strings statements;
  std::string rest;
  bool open = false;
};

TEST(SplitScriptTest, StatementsEndAtSemicolonsOutsideQuotesAndComments) {
  const std::vector<SplitCase> cases = {
      {"", {}, ""},
      {" \n ", {}, ""},
      {";;", {}, ""},
      {"a;b", {"a;"}, "b"},
      {" a ; b ;\n", {"a ;", "b ;"}, ""},
      {"a 'x;''y' ; b", {"a 'x;''y' ;"}, "b"},
      {"a \";\"\";\";", {"a \";\"\";\";"}, ""},
      {"a $$;$x$;$$; $t$;$$;$t$;", {"a $$;$x$;$$;", "$t$;$$;$t$;"}, ""},
      {"a -- ;'\n; b", {"a -- ;'\n;"}, "b"},
      {"a /* ; /* ' */ ; */; b", {"a /* ; /* ' */ ; */;"}, "b"},
      {"-- only a comment", {}, ""},
      {"a; -- a comment", {"a;"}, ""},
      {"a 'x; ", {}, "a 'x;", true},
      {"a \"x;", {}, "a \"x;", true},
      {"a; b $q$ ; $$", {"a;"}, "b $q$ ; $$", true},
      {"a; /* b;", {"a;"}, "/* b;", true},
      {"a '", {}, "a '", true},
      {"a -- '", {}, "a -- '", false},
      {"@ # \xff;b", {"@ # \xff;"}, "b"},
      {"été;à", {"été;"}, "à"},
  };
  for (const SplitCase& c : cases) {
    const ScriptSplit split = SplitScript(c.script);
    Strings statements;
    for (const SourceRange& range : split.statements) {
      statements.emplace_back(TextAt(c.script, range));
    }
    EXPECT_EQ(statements, c.statements) << c.script;
    EXPECT_EQ(TextAt(c.script, split.rest), c.rest) << c.script;
    EXPECT_EQ(split.rest_is_open_quote, c.open) << c.script;
  }
}

}  // namespace
}  // namespace promptdb
