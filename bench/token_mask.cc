// What a constraint costs a token: the time to find which tokens may come next, for a vocabulary of
// full size.
//
//   token_mask VOCABULARY [STEPS]
//
// VOCABULARY is a GGUF file or a folder with tokenizer.json. Random answers are written under some
// constraints; "cold" is the first mask of a state, "cached" every other. Prints one line a
// constraint.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <unordered_set>
#include <vector>

#include "base/error.h"
#include "bench/program.h"
#include "constraint/constraint.h"
#include "model/checkpoint.h"
#include "tokenizer/tokenizer.h"

namespace promptdb {
namespace {

using Clock = std::chrono::steady_clock;

double MillisecondsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

std::string Summary(std::vector<double> times) {
  if (times.empty()) return "none";
  std::sort(times.begin(), times.end());
  double sum = 0;
  for (const double time : times) sum += time;
  char text[96];
  std::snprintf(text, sizeof(text), "%zu, mean %.4f ms, median %.4f, worst %.3f", times.size(),
                sum / static_cast<double>(times.size()), times[times.size() / 2], times.back());
  return text;
}

void Measure(const char* name, const std::shared_ptr<Constraint>& constraint,
             const std::shared_ptr<const VocabularyTrie>& vocabulary, int steps) {
  std::mt19937 random(1);
  std::vector<double> cold, cached, pushes;
  std::unordered_set<const TokenMask*> seen;
  std::vector<std::shared_ptr<const TokenMask>> kept;  // so that no address comes twice
  for (int step = 0; step < steps;) {
    ConstrainedText text(constraint, vocabulary);
    for (; step < steps && !text.must_end(); ++step) {
      const auto begin = Clock::now();
      const std::shared_ptr<const TokenMask> mask = text.AllowedTokens();
      const double time = MillisecondsSince(begin);
      const bool is_new = seen.insert(mask.get()).second;
      (is_new ? cold : cached).push_back(time);
      if (is_new) kept.push_back(mask);
      // Any allowed token; random ones seldom end a text, so most states are met in its middle.
      TokenId token =
          static_cast<TokenId>(random() % static_cast<uint32_t>(vocabulary->vocab_size()));
      while (!mask->Allows(token)) token = (token + 1) % vocabulary->vocab_size();
      const auto push = Clock::now();
      text.Push(token);
      pushes.push_back(MillisecondsSince(push));
    }
  }
  std::printf("%-10s cold: %s\n%-10s cached: %s\n%-10s push: %s\n", name, Summary(cold).c_str(), "",
              Summary(cached).c_str(), "", Summary(pushes).c_str());
}

int Run(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: token_mask VOCABULARY [STEPS]\n");
    return 2;
  }
  const std::filesystem::path path = argv[1];
  const int steps = argc > 2 ? std::atoi(argv[2]) : 2000;
  const std::unique_ptr<Tokenizer> tokenizer = std::filesystem::is_directory(path)
                                                   ? Tokenizer::FromHuggingFace(path)
                                                   : Tokenizer::FromGguf(ReadGgufVocabulary(path));
  const auto start = Clock::now();
  const auto vocabulary = std::make_shared<const VocabularyTrie>(*tokenizer);
  std::printf("%d tokens, %zu nodes, built in %.1f ms\n", tokenizer->vocab_size(),
              vocabulary->nodes(false).size(), MillisecondsSince(start));
  Measure("any JSON", Constraint::FromJsonSchema("{}"), vocabulary, steps);
  Measure("record", Constraint::FromJsonSchema(R"({"type": "object", "properties": {
      "name": {"type": "string", "maxLength": 40}, "age": {"type": "integer", "minimum": 0,
      "maximum": 150}, "kind": {"enum": ["new", "used", "broken"]}, "tags": {"type": "array",
      "items": {"type": "string", "maxLength": 12}, "maxItems": 8}},
      "required": ["name", "age", "kind", "tags"]})"),
          vocabulary, steps);
  Measure("text", Constraint::FromGrammar("root ::= [^\\n]+ \"\\n\""), vocabulary, steps);
  Measure("digits", Constraint::FromGrammar("root ::= [0-9]{1,400}"), vocabulary, steps);
  return 0;
}

}  // namespace
}  // namespace promptdb

int main(int argc, char** argv) { return promptdb::RunProgram(promptdb::Run, argc, argv); }
