// The prototype's own travel schema: imported, used in every way that its unions allow, exported
// and imported again. Prints what each selection takes from the cache.
#include <gtest/gtest.h>

#include <algorithm>

#include "executor/database.h"
#include "executor/result.h"
#include "executor/session.h"
#include "tests/support/tiny_checkpoint.h"

namespace promptdb {
namespace {

constexpr std::string_view kUserText = "Where do I begin?";

class CollectingSink : public QuietSink {
 public:
  void OnColumns(const std::vector<Column>& names) override {
    columns.clear();
    for (const Column& column : names) columns.push_back(column.name);
    rows.clear();
  }
  void OnRow(const std::vector<Value>& row) override {
    std::vector<std::string>& values = rows.emplace_back();
    for (const Value& value : row) values.push_back(FormatValue(value));
  }
  void OnNotice(std::string_view notice) override { notices.emplace_back(notice); }

  // The only row's value in this column.
  std::string Field(std::string_view column) const {
    const auto found = std::find(columns.begin(), columns.end(), column);
    return rows.at(0).at(static_cast<size_t>(found - columns.begin()));
  }

  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;
  std::vector<std::string> notices;
};

// A use of modules, as a prompt in PML has it.
struct Selection {
  std::string modules;              // "travel-plan, overseas, maldives"
  std::string elements;             // <travel-plan …><overseas>…
  std::vector<std::string> values;  // of its parameters
};

// Every valid use of a list of parts: of a union no member or one, of a module that or not.
std::vector<Selection> SelectionsOf(const std::vector<PartDefinition>& parts);

Selection Joined(const Selection& a, const Selection& b) {
  Selection both = a;
  both.modules += (a.modules.empty() || b.modules.empty() ? "" : ", ") + b.modules;
  both.elements += b.elements;
  both.values.insert(both.values.end(), b.values.begin(), b.values.end());
  return both;
}

std::vector<Selection> SelectionsOf(const PartDefinition& part) {
  switch (part.kind) {
    case PartDefinition::Kind::kText:
      return {{}};
    case PartDefinition::Kind::kRole:
      return SelectionsOf(part.children);
    case PartDefinition::Kind::kUnion: {
      std::vector<Selection> selections = {{}};
      for (const PartDefinition& member : part.children) {
        for (Selection& used : SelectionsOf(member)) {
          if (!used.modules.empty()) selections.push_back(std::move(used));
        }
      }
      return selections;
    }
    case PartDefinition::Kind::kModule:
      break;
  }
  std::vector<Selection> selections = {{}};
  for (const Selection& inside : SelectionsOf(part.children)) {
    Selection used;
    used.modules = part.name;
    used.elements = "<" + part.name;
    for (const ParameterDefinition& parameter : part.parameters) {
      const std::string value = parameter.name == "city" ? "Kyoto" : "3d";
      used.elements += " " + parameter.name + "=\"" + value + "\"";
      used.values.push_back(value);
    }
    used.elements += ">";
    Selection whole = Joined(used, inside);
    whole.elements += "</" + part.name + ">";
    selections.push_back(std::move(whole));
  }
  return selections;
}

std::vector<Selection> SelectionsOf(const std::vector<PartDefinition>& parts) {
  std::vector<Selection> selections = {{}};
  for (const PartDefinition& part : parts) {
    std::vector<Selection> longer;
    for (const Selection& before : selections) {
      for (const Selection& here : SelectionsOf(part)) longer.push_back(Joined(before, here));
    }
    selections = std::move(longer);
  }
  return selections;
}

class TravelTest : public testing::Test {
 protected:
  TravelTest() : folder_("travel"), database_(folder_ / "db"), session_(&database_) {
    TinyModel model;
    model.context = 8192;
    WriteGguf(model, folder_ / "tiny.gguf", TensorDtype::kF32);
    Run("CREATE MODEL tiny FROM '" + (folder_ / "tiny.gguf").string() +
        "' WITH (chat_template = 'chatml')");
    Run("IMPORT SCHEMA FROM PML '" PROMPTDB_SOURCE_DIR "/tests/data/pml/travel.xml' USING tiny");
  }

  void Run(const std::string& statement) { session_.Execute(statement, sink_); }

  const TemporaryFolder folder_;
  Database database_;
  Session session_;
  CollectingSink sink_;
};

TEST_F(TravelTest, EverySelectionGeneratesFromTheCache) {
  const auto schema = database_.rep().Open(ast::Name{"travel", {}}, sink_);
  const Tokenizer& tokenizer = schema->model->tokenizer();
  const std::vector<Selection> selections = SelectionsOf(schema->definition.parts);
  // Nothing; the plan with no destination, at home, or abroad to nowhere or one of eight places.
  ASSERT_EQ(selections.size(), 12U);
  std::printf("%-36s | %13s | %13s\n", "selection", "prompt_tokens", "cached_tokens");
  for (const Selection& selection : selections) {
    const std::string query = "SELECT GENERATE (max_tokens => 4, ignore_eos => true) FROM PML $$" +
                              ("<prompt schema=\"travel\">" + selection.elements + "<user>" +
                               std::string(kUserText) + "</user></prompt>") +
                              "$$";
    Run(query);
    const std::string first_text = sink_.Field("text");
    Run(query);
    EXPECT_EQ(sink_.Field("text"), first_text);
    EXPECT_EQ(sink_.Field("output_tokens"), "4");
    size_t new_tokens = 0;
    for (const std::string& value : selection.values) new_tokens += tokenizer.Encode(value).size();
    const ChatTemplate& roles = schema->model->chat_template();
    const RoleWords& words = roles.Wrap(ChatRole::kUser);
    new_tokens += tokenizer.Encode(words.before + std::string(kUserText) + words.after).size();
    new_tokens += tokenizer.Encode(roles.opening()).size();
    const int prompt_tokens = std::stoi(sink_.Field("prompt_tokens"));
    const int cached_tokens = std::stoi(sink_.Field("cached_tokens"));
    EXPECT_EQ(cached_tokens, prompt_tokens - static_cast<int>(new_tokens)) << selection.modules;
    std::printf("%-36s | %13d | %13d\n",
                selection.modules.empty() ? "(none)" : selection.modules.c_str(), prompt_tokens,
                cached_tokens);
  }
}

TEST_F(TravelTest, ExportAndImportGiveTheSameSchema) {
  const std::string file = (folder_ / "again.xml").string();
  Run("EXPORT SCHEMA travel TO PML '" + file + "'");
  Run("IMPORT SCHEMA again FROM PML '" + file + "' USING tiny");
  Run("DESCRIBE SCHEMA travel");
  const auto described = sink_.rows;
  EXPECT_EQ(described.size(), 20U);
  Run("DESCRIBE SCHEMA again");
  EXPECT_EQ(sink_.rows, described);
  // The same in every text, too: whatever the one has cached is there for the other.
  Run("WARM travel");
  Run("DESCRIBE SCHEMA again");
  for (const auto& row : sink_.rows) EXPECT_NE(row.back(), "miss") << row.front();
}

}  // namespace
}  // namespace promptdb
