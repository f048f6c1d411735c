// bench/accuracy, the program: its table, its files, its errors.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/support/child_process.h"
#include "tests/support/tiny_checkpoint.h"

namespace promptdb {
namespace {

std::vector<std::string> LinesOf(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

std::vector<std::string> LinesOfFile(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return LinesOf(text.str());
}

class AccuracyBenchTest : public testing::Test {
 protected:
  AccuracyBenchTest() {
    TinyModel tiny = TinyModel::Of("llama");
    tiny.context = 512;
    WriteGguf(tiny, folder_ / "m.gguf", TensorDtype::kF32);
    std::ofstream(folder_ / "q.jsonl")
        << R"({"input": "Who?", "documents": ["Tarin.", "Bosk."], "answers": ["Tarin"]})"
        << "\n"
        << R"({"input": "What?", "documents": ["Tarin.", "Bosk."], "answers": ["a", "b"]})";
  }

  ChildResult Run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), PROMPTDB_ACCURACY);
    ChildOptions options;
    options.folder = folder_.path();
    return RunChild(arguments, options);
  }

  TemporaryFolder folder_{"accuracy_bench"};
};

TEST_F(AccuracyBenchTest, PrintsATableAndWritesFiles) {
  const ChildResult result =
      Run({"--model", "m.gguf", "--data", "q.jsonl", "--max-tokens", "4", "--template",
           "{input}\\n", "--csv", "a.csv", "--answers", "a.jsonl"});
  ASSERT_EQ(result.status, 0) << result.err;
  EXPECT_NE(result.out.find("| bf16 | scaffold | 2 | "), std::string::npos) << result.out;
  EXPECT_NE(result.err.find("40 of 40 answers"), std::string::npos) << result.err;
  const auto csv = LinesOfFile(folder_ / "a.csv");
  ASSERT_EQ(csv.size(), 21u);
  EXPECT_EQ(csv[0], "kv_dtype,mode,questions,tokens,exact_match,f1,rouge_l,kl,first_kl,perplexity");
  EXPECT_TRUE(csv[1].starts_with("f32,none,2,")) << csv[1];
  for (const std::string& line : csv) EXPECT_EQ(std::count(line.begin(), line.end(), ','), 9);
  const auto answers = LinesOfFile(folder_ / "a.jsonl");
  ASSERT_EQ(answers.size(), 40u);
  const auto first = nlohmann::json::parse(answers[0]);
  EXPECT_EQ(first["mode"], "none");
  EXPECT_EQ(first["prompt"], "Who?\n");
  EXPECT_EQ(first["answers"], nlohmann::json::array({"Tarin"}));
  EXPECT_EQ(first["documents"], 2);
  EXPECT_TRUE(first["answer"].is_string());
}

TEST_F(AccuracyBenchTest, ReadsTextsInTheModesAskedFor) {
  const ChildResult result = Run({"--model", "m.gguf", "--measure", "text", "--questions", "2",
                                  "--modes", "modular", "--kv", "f32", "--csv", "a.csv"});
  ASSERT_EQ(result.status, 0) << result.err;
  const auto csv = LinesOfFile(folder_ / "a.csv");
  ASSERT_EQ(csv.size(), 2u);
  EXPECT_TRUE(csv[1].starts_with("f32,modular,2,")) << csv[1];
  EXPECT_NE(csv[1].find(",,,,"), std::string::npos) << csv[1];
  EXPECT_FALSE(csv[1].ends_with(",")) << csv[1];
}

TEST_F(AccuracyBenchTest, TellsWhatIsWrong) {
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"--speed", "3"}, "there is no argument --speed"},
      {{"--csv"}, "--csv takes a value"},
      {{"--questions", "many"}, "--questions takes a number, not many"},
      {{"--questions", "0"}, "--questions takes a number above 0"},
      {{"--modes", "none,fast"}, "--modes does not take fast"},
      {{"--kv", ""}, "--kv does not take "},
      {{"--template", "Who?"}, "--template needs an {input}"},
  };
  for (const auto& [arguments, part] : cases) {
    const ChildResult result = Run(arguments);
    EXPECT_EQ(result.status, 2) << part;
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
    EXPECT_NE(result.err.find("usage: accuracy"), std::string::npos) << result.err;
  }
  EXPECT_EQ(Run({"--help"}).status, 0);
  const ChildResult absent = Run({"--model", "absent.gguf"});
  EXPECT_EQ(absent.status, 1);
  EXPECT_NE(absent.err.find("absent.gguf"), std::string::npos) << absent.err;
}

}  // namespace
}  // namespace promptdb
