// Scores of answers against values worked out by hand, and question sets as people write them.
#include <gtest/gtest.h>

#include <fstream>

#include "accuracy/answer_scores.h"
#include "accuracy/question_set.h"
#include "tests/support/expect_error.h"
#include "tests/support/test_folder.h"

namespace promptdb {
namespace {

TEST(AnswerScoresTest, NormalizesAsLongBenchDoes) {
  EXPECT_EQ(NormalizeAnswer("The  Eiffel-Tower, in\tParis!"), "eiffeltower in paris");
  EXPECT_EQ(NormalizeAnswer("a an the"), "");
  EXPECT_EQ(NormalizeAnswer("Theatre an-d Anna's"), "theatre and annas");
  EXPECT_EQ(NormalizeAnswer("ÉCOLE de l’Été"), "école de l’été");
  // The dash is no ASCII punctuation, so it stays, and it is a word boundary for \b.
  EXPECT_EQ(NormalizeAnswer("the–cat"), "–cat");
  EXPECT_EQ(NormalizeAnswer("the\u00A0cat"), "cat");
  EXPECT_EQ(NormalizeAnswer("él a"), "él");
  EXPECT_EQ(NormalizeAnswer("éa"), "éa");  // the é is of the word, so that "a" is no article
}

TEST(AnswerScoresTest, ExactMatchIsOfNormalizedTexts) {
  EXPECT_EQ(ExactMatch(" Tarin Bosk.", "tarin bosk"), 1);
  EXPECT_EQ(ExactMatch("The Tarin", "Tarin"), 1);
  EXPECT_EQ(ExactMatch("Tarin", "Tarin Bosk"), 0);
  EXPECT_EQ(ExactMatch("", "..."), 1);
}

TEST(AnswerScoresTest, F1CountsWordsAsOftenAsTheyStand) {
  // Two of three words said, two of two wanted: 2 * (2/3) * 1 / (2/3 + 1).
  EXPECT_DOUBLE_EQ(AnswerF1("Tarin Bosk lives", "the Tarin Bosk"), 0.8);
  // "no" twice, of which one is wanted: precision 1/2, recall 1/1.
  EXPECT_DOUBLE_EQ(AnswerF1("no, no", "No!"), 2.0 / 3);
  EXPECT_DOUBLE_EQ(AnswerF1("no no", "no no yes"), 0.8);
  EXPECT_EQ(AnswerF1("yes", "no"), 0);
  EXPECT_EQ(AnswerF1("", ""), 0);
}

TEST(AnswerScoresTest, RougeLIsThePackages) {
  EXPECT_NEAR(RougeL("a b c", "a b c"), 1, 1e-7);
  EXPECT_EQ(RougeL("", "a"), 0);
  EXPECT_EQ(RougeL("a", "..."), 0);
  // Longest common subsequence "a c": precision 2/3, recall 2/4.
  EXPECT_NEAR(RougeL("a b c", "a x c y"), 2 * (2.0 / 3) * 0.5 / (2.0 / 3 + 0.5), 1e-7);
  // Neither case nor punctuation but full stops is changed.
  EXPECT_EQ(RougeL("Paris", "paris"), 0);
  EXPECT_NEAR(RougeL("Paris.", "Paris"), 1, 1e-7);
  // Words count once: "a a a" is one word of the two.
  EXPECT_NEAR(RougeL("a a a", "a b"), 2 * 1 * 0.5 / 1.5, 1e-7);
  // The union over sentences, w1 w2 w3 w5 of five, by Lin's own example; eight words were said.
  EXPECT_NEAR(RougeL("w1 w2 w6 w7 w8. w1 w3 w8 w9 w5", "w1 w2 w3 w4 w5"),
              2 * (4.0 / 8) * (4.0 / 5) / (4.0 / 8 + 4.0 / 5), 1e-7);
  // Of the two longest subsequences, the package takes the one that drops words of the answer: "b",
  // which the second sentence has too.
  EXPECT_NEAR(RougeL("b a. b", "a b"), 0.5, 1e-7);
  // A sentence of white space is one empty word to it: precision 1/2.
  EXPECT_NEAR(RougeL("a. ", "a"), 2 * 0.5 / 1.5, 1e-7);
}

// The example of the package's own manual, whose value it prints there.
TEST(AnswerScoresTest, RougeLOfThePackagesManual) {
  EXPECT_NEAR(
      RougeL("the #### transcript is a written version of each day 's cnn student news program use "
             "this transcript to he    lp students with reading comprehension and vocabulary use "
             "the weekly newsquiz to test your knowledge of storie s you     saw on cnn student "
             "news",
             "this page includes the show transcript use the transcript to help students with "
             "reading comprehension and     vocabulary at the bottom of the page , comment for a "
             "chance to be mentioned on cnn student news . you must be a teac    her or a student "
             "age # # or older to request a mention on the cnn student news roll call . the weekly "
             "newsquiz tests     students ' knowledge of even ts in the news"),
      0.44705881864636676, 1e-12);
}

TEST(AnswerScoresTest, TheBestReferenceCountsForEachScore) {
  const AnswerScores scores = ScoreAnswer("the red fox", {"red", "a red fox jumps", "Fox, red"});
  EXPECT_EQ(scores.exact_match, 0);
  EXPECT_DOUBLE_EQ(scores.f1, 1);  // of "Fox, red", which has the same words
  EXPECT_NEAR(scores.rouge_l, 2 * (2.0 / 3) * 0.5 / (2.0 / 3 + 0.5), 1e-7);  // of the second
}

TEST(QuestionSetTest, ReadsLongBenchLines) {
  const auto all = ParseQuestions(
      R"({"input": "Who?", "context": "Passage 1:\nA.\nPassage 2:\nB.", "answers": ["x", "y"],)"
      R"( "length": 9, "dataset": "d"})"
      "\n\n"
      R"({"input": "Where?", "context": "Passage 1:\nA.\nPassage 2:\nB.", "answers": "z"})"
      "\n"
      R"({"question": "What?", "documents": ["one", {"title": "T", "text": "two\n"}, " "],)"
      R"( "answer": "w"})",
      "q.jsonl");
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].documents, (std::vector<std::string>{"Passage 1:\nA.\n", "Passage 2:\nB.\n"}));
  ASSERT_EQ(all[0].questions.size(), 2u);
  EXPECT_EQ(all[0].questions[0].text, "Who?");
  EXPECT_EQ(all[0].questions[0].answers, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(all[0].questions[1].answers, (std::vector<std::string>{"z"}));
  EXPECT_EQ(all[1].documents, (std::vector<std::string>{"one\n", "T\ntwo\n"}));
  EXPECT_EQ(all[1].questions[0].text, "What?");
}

TEST(QuestionSetTest, ReadsAList) {
  const auto all = ParseQuestions(
      R"([{"question": "Who?", "ctxs": [{"title": "", "text": "A."}], "answers": ["x"]}])", "q");
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].documents, (std::vector<std::string>{"A.\n"}));
}

TEST(QuestionSetTest, ErrorsNameTheLine) {
  const std::string good = R"({"input": "Who?", "context": "A.", "answers": ["x"]})";
  const auto fails = [&](const std::string& line, const std::vector<std::string>& parts) {
    ExpectError(ErrorCode::kInvalidArgument, parts,
                [&] { ParseQuestions(good + "\n\n" + line + "\n", "q.jsonl"); });
  };
  fails("{\"input\": ", {"line 3 of q.jsonl is no JSON"});
  fails("{\"input\": \"\xff\"}", {"line 3 of q.jsonl is no JSON"});
  fails("7", {"no JSON object is in line 3 of q.jsonl"});
  fails(R"({"context": "A.", "answers": ["x"]})", {"\"input\" is missing in line 3"});
  fails(R"({"input": 5, "context": "A.", "answers": ["x"]})", {"\"input\" is no text in line 3"});
  fails(R"({"input": "", "answers": ["x"]})", {"\"context\" is missing in line 3"});
  fails(R"({"input": "", "context": " \n", "answers": ["x"]})", {"\"context\" is empty in line 3"});
  fails(R"({"input": "", "context": "A."})", {"\"answers\" is missing in line 3"});
  fails(R"({"input": "", "context": "A.", "answers": []})", {"\"answers\" is no list of texts in"});
  fails(R"({"input": "", "context": "A.", "answers": [1]})", {"no text stands in line 3"});
  fails(R"({"input": "", "documents": [], "answers": "x"})", {"\"documents\" is no list of texts"});
  fails(R"({"input": "", "documents": [3], "answers": "x"})", {"neither a text nor", "line 3"});
  ExpectError(ErrorCode::kInvalidArgument, {"no questions in q.jsonl"},
              [] { ParseQuestions("\n \n", "q.jsonl"); });
  ExpectError(ErrorCode::kInvalidArgument, {"no JSON object is in entry 1 of q.json"},
              [] { ParseQuestions("[[]]", "q.json"); });
  ExpectError(ErrorCode::kIo, {"absent.jsonl"}, [] { ReadQuestions("/absent.jsonl"); });
}

TEST(QuestionSetTest, FilesAreRead) {
  const TemporaryFolder folder("questions");
  const auto path = folder / "q.jsonl";
  std::ofstream(path) << R"({"input": "Who?", "context": "A.", "answers": ["x"]})";
  EXPECT_EQ(ReadQuestions(path).at(0).questions.at(0).text, "Who?");
}

std::string Joined(const std::vector<std::string>& pieces) {
  std::string joined;
  for (const std::string& piece : pieces) joined += piece;
  return joined;
}

TEST(QuestionSetTest, HeadingsPartDocuments) {
  using Texts = std::vector<std::string>;
  EXPECT_EQ(CutIntoDocuments("Read this.\nDocument [1](Title: A) a\nDocument [12](Title: B) b\n"),
            (Texts{"Read this.\n", "Document [1](Title: A) a\n", "Document [12](Title: B) b\n"}));
  EXPECT_EQ(CutIntoDocuments("\nDocument 1\na\n\nDocument 2\nb"),
            (Texts{"\nDocument 1\na\n\n", "Document 2\nb"}));
  // No headings: in the middle of a line, or without a number, or a number of something else.
  const std::string none = "See Passage 1: no.\nPassage one:\nDocument 7 is lost.\nDocument [2";
  EXPECT_EQ(CutIntoDocuments(none), Texts{none});
}

TEST(QuestionSetTest, OtherTextsAreCutWhereTheyHaveAnEnd) {
  std::string paragraphs;
  for (int i = 0; i < 40; ++i) {
    paragraphs += "Paragraph " + std::to_string(i) + " says a few words of its own.\n\n";
  }
  const auto pieces = CutIntoDocuments(paragraphs);
  EXPECT_GE(pieces.size(), 8u);
  EXPECT_LE(pieces.size(), 16u);
  EXPECT_EQ(Joined(pieces), paragraphs);
  for (const std::string& piece : pieces) {
    EXPECT_TRUE(piece.ends_with(".\n\n")) << piece;
    EXPECT_TRUE(piece.starts_with("Paragraph ")) << piece;
  }
  // Nothing to cut at: between characters.
  std::string word;
  for (int i = 0; i < 500; ++i) word += "é";
  for (const std::string& piece : CutIntoDocuments(word)) EXPECT_EQ(piece.size() % 2, 0u);
  EXPECT_EQ(Joined(CutIntoDocuments(word)), word);
  EXPECT_EQ(CutIntoDocuments("short"), (std::vector<std::string>{"short"}));
  const std::string blank_end = std::string(200, 'x') + "\n";
  EXPECT_EQ(CutIntoDocuments(blank_end), (std::vector<std::string>{blank_end}));
}

}  // namespace
}  // namespace promptdb
