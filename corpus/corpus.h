// Text whose answers can't be known beforehand: short documents about invented people, places,
// products and rules, questions about them, and plain stories. The demo model is trained on it
// (training/), and accuracy is measured with it (ANALYZE MODEL, bench/accuracy).
//
// Every name is drawn anew from syllables, so that an answer is in the documents or nowhere. The
// syllables' combinations of the two splits are disjoint: no name of kHeldOut occurs in kTraining.
//
// The form that the demo model knows: documents, each ending in a line break, one after the other;
// then the question, alone or as "Question: …\nAnswer:"; then " " and the answer, which stands
// word for word in a document; then the end of the sequence or a line break.
//
// One Corpus per thread. The same seed and options give the same text on every machine.
#ifndef PROMPTDB_CORPUS_CORPUS_H_
#define PROMPTDB_CORPUS_CORPUS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "corpus/random.h"

namespace promptdb {

enum class CorpusSplit { kTraining, kHeldOut };

struct CorpusOptions {
  int min_documents = 4;
  int max_documents = 16;
  int min_facts = 3;  // of a document
  int max_facts = 6;
  int questions = 1;  // of a prompt, each about another fact
  // Of the questions: those that take two documents. Where no document names another's thing, one.
  double two_document_share = 0;
  int kinds = 4;          // of the things of a prompt, at most
  double statements = 0;  // of the questions: those put as a statement to be completed
  // How many of the ways to state and to ask a fact are used, at least 1.
  int wordings = 100;
  // Of the statements: those that say "the town" or "Tarin" for the thing.
  double short_names = 0.4;
  int syllables = 3;  // most of a name's word
};

struct CorpusQuestion {
  std::string text;    // "Who is the mayor of Velmora?"; a statement: "The mayor of Velmora is"
  std::string answer;  // "Tarin Bosk", as it stands in the document
  std::vector<int> sources;  // the documents that it takes: one, or two
  bool is_statement = false;
};

struct CorpusPrompt {
  std::vector<std::string> documents;  // one paragraph each, with a line break at its end
  std::vector<CorpusQuestion> questions;
};

class Corpus {
 public:
  Corpus(CorpusSplit split, uint64_t seed) : split_(split), random_(seed) {}

  // Documents about different things, in random order.
  CorpusPrompt NextPrompt(const CorpusOptions& options);

  // A few sentences of a story, without a line break inside, with one at its end.
  std::string NextStory();

 private:
  CorpusSplit split_;
  Random random_;
};

}  // namespace promptdb

#endif  // PROMPTDB_CORPUS_CORPUS_H_
