#include "accuracy/answer_scores.h"

#include <utf8proc.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "base/utf8.h"

namespace promptdb {

namespace {

using Words = std::vector<std::string>;

// string.punctuation of Python.
bool IsAsciiPunctuation(char32_t code) {
  return (code >= 0x21 && code <= 0x2F) || (code >= 0x3A && code <= 0x40) ||
         (code >= 0x5B && code <= 0x60) || (code >= 0x7B && code <= 0x7E);
}

// What str.split() of Python parts words at.
bool IsSpace(char32_t code) {
  return (code >= 0x09 && code <= 0x0D) || (code >= 0x1C && code <= 0x20) || code == 0x85 ||
         code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 ||
         code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

// What \b of Python takes for the inside of a word: letters and numbers. (The underscore has gone
// with the punctuation by then.)
bool IsWordPart(char32_t code) {
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(code));
  return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) ||
         (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO);
}

std::vector<char32_t> CodePoints(std::string_view text) {
  std::vector<char32_t> codes;
  for (size_t at = 0; at < text.size();) {
    const Utf8Step c = ReadUtf8(text, at);
    codes.push_back(c.code);
    at += c.size;
  }
  return codes;
}

Words SplitWords(const std::vector<char32_t>& codes) {
  Words words(1);
  for (const char32_t code : codes) {
    if (!IsSpace(code)) {
      AppendUtf8(code, words.back());
    } else if (!words.back().empty()) {
      words.emplace_back();
    }
  }
  if (words.back().empty()) words.pop_back();
  return words;
}

bool IsArticle(const std::vector<char32_t>& codes, size_t begin, size_t end) {
  const size_t size = end - begin;
  if (codes[begin] == 'a') return size == 1 || (size == 2 && codes[begin + 1] == 'n');
  return size == 3 && codes[begin] == 't' && codes[begin + 1] == 'h' && codes[begin + 2] == 'e';
}

// An article goes wherever it stands between word boundaries, next to a dash for example, and
// leaves a space.
std::vector<char32_t> WithoutArticles(const std::vector<char32_t>& codes) {
  std::vector<char32_t> out;
  for (size_t at = 0; at < codes.size();) {
    size_t end = at;
    while (end < codes.size() && IsWordPart(codes[end])) ++end;
    if (end == at) {
      out.push_back(codes[at++]);
    } else if (IsArticle(codes, at, end)) {
      out.push_back(' ');
      at = end;
    } else {
      out.insert(out.end(), codes.begin() + static_cast<long>(at),
                 codes.begin() + static_cast<long>(end));
      at = end;
    }
  }
  return out;
}

Words NormalWords(std::string_view text) {
  std::vector<char32_t> codes;
  for (const char32_t code : CodePoints(text)) {
    const auto lower = static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(code)));
    if (!IsAsciiPunctuation(lower)) codes.push_back(lower);
  }
  return SplitWords(WithoutArticles(codes));
}

std::string Joined(const Words& words) {
  std::string joined;
  for (const std::string& word : words) joined += (joined.empty() ? "" : " ") + word;
  return joined;
}

// ---- ROUGE-L -----------------------------------------------------------------------------------

// A text's sentences, which end at any full stop. One of white space alone is a sentence of one
// empty word: so has it the package, and a score that differs from it would be no ROUGE-L of its
// readers.
std::vector<Words> Sentences(std::string_view text) {
  std::vector<Words> sentences;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('.', begin), text.size());
    if (end > begin) {
      Words words = SplitWords(CodePoints(text.substr(begin, end - begin)));
      if (words.empty()) words.emplace_back();
      sentences.push_back(std::move(words));
    }
    begin = end + 1;
  }
  return sentences;
}

std::set<std::string> DistinctWords(const std::vector<Words>& sentences) {
  std::set<std::string> distinct;
  for (const Words& words : sentences) distinct.insert(words.begin(), words.end());
  return distinct;
}

// Adds the words of a longest common subsequence. Among several, it is the one that the package
// finds: from the end, a word of `y` is dropped rather than one of `x` where both are as good.
void AddCommonSubsequence(const Words& x, const Words& y, std::set<std::string>& words) {
  const size_t width = y.size() + 1;
  std::vector<int> length((x.size() + 1) * width, 0);
  for (size_t i = 1; i <= x.size(); ++i) {
    for (size_t j = 1; j <= y.size(); ++j) {
      length[i * width + j] =
          x[i - 1] == y[j - 1] ? length[(i - 1) * width + j - 1] + 1
                               : std::max(length[(i - 1) * width + j], length[i * width + j - 1]);
    }
  }
  for (size_t i = x.size(), j = y.size(); i > 0 && j > 0;) {
    if (x[i - 1] == y[j - 1]) {
      words.insert(x[--i]);
      --j;
    } else if (length[(i - 1) * width + j] > length[i * width + j - 1]) {
      --i;
    } else {
      --j;
    }
  }
}

}  // namespace

std::string NormalizeAnswer(std::string_view text) { return Joined(NormalWords(text)); }

double ExactMatch(std::string_view answer, std::string_view reference) {
  return NormalWords(answer) == NormalWords(reference) ? 1 : 0;
}

double AnswerF1(std::string_view answer, std::string_view reference) {
  const Words said = NormalWords(answer), wanted = NormalWords(reference);
  std::map<std::string, int> left;
  for (const std::string& word : wanted) ++left[word];
  int same = 0;
  for (const std::string& word : said) {
    if (const auto found = left.find(word); found != left.end() && found->second > 0) {
      --found->second;
      ++same;
    }
  }
  if (same == 0) return 0;
  const double precision = static_cast<double>(same) / static_cast<double>(said.size());
  const double recall = static_cast<double>(same) / static_cast<double>(wanted.size());
  return 2 * precision * recall / (precision + recall);
}

double RougeL(std::string_view answer, std::string_view reference) {
  const std::vector<Words> said = Sentences(answer), wanted = Sentences(reference);
  if (said.empty() || wanted.empty()) return 0;
  std::set<std::string> common;
  for (const Words& sentence : wanted) {
    for (const Words& other : said) AddCommonSubsequence(sentence, other, common);
  }
  const auto same = static_cast<double>(common.size());
  const double precision = same / static_cast<double>(DistinctWords(said).size());
  const double recall = same / static_cast<double>(DistinctWords(wanted).size());
  return 2 * precision * recall / (precision + recall + 1e-8);
}

AnswerScores ScoreAnswer(std::string_view answer, const std::vector<std::string>& references) {
  Check(!references.empty(), "an answer is scored against a reference");
  AnswerScores best;
  for (const std::string& reference : references) {
    best.exact_match = std::max(best.exact_match, ExactMatch(answer, reference));
    best.f1 = std::max(best.f1, AnswerF1(answer, reference));
    best.rouge_l = std::max(best.rouge_l, RougeL(answer, reference));
  }
  return best;
}

}  // namespace promptdb
