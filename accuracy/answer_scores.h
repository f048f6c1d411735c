// How good an answer is, by the definitions of LongBench (Bai et al., 2024), so that figures taken
// here stand beside published ones: exact match and F1 of SQuAD's normalised words, and ROUGE-L as
// the Python package "rouge" computes it.
//
// Thread-safe: pure functions. Scores are from 0 to 1.
#ifndef PROMPTDB_ACCURACY_ANSWER_SCORES_H_
#define PROMPTDB_ACCURACY_ANSWER_SCORES_H_

#include <string>
#include <string_view>
#include <vector>

namespace promptdb {

// Lower case; without ASCII punctuation; without the words a, an and the; one space between words.
std::string NormalizeAnswer(std::string_view text);

// 1 where both are the same once normalised, else 0.
double ExactMatch(std::string_view answer, std::string_view reference);

// The harmonic mean of precision and recall over the normalised words, each as often as it stands.
double AnswerF1(std::string_view answer, std::string_view reference);

// The F value of ROUGE-L at summary level, of the texts as they are: the words of the longest
// common subsequences of all pairs of sentences, against the distinct words of either text.
double RougeL(std::string_view answer, std::string_view reference);

struct AnswerScores {
  double exact_match = 0;
  double f1 = 0;
  double rouge_l = 0;
};

// Each score by the reference that is best for it. REQUIRES: there is a reference.
AnswerScores ScoreAnswer(std::string_view answer, const std::vector<std::string>& references);

}  // namespace promptdb

#endif  // PROMPTDB_ACCURACY_ANSWER_SCORES_H_
