// What the demo model is taught, and when: batches as a function of the seed and the step.
//
// A model of this size that is asked questions from the first step on learns nothing for very long.
// So half of the first samples are random tokens, repeated, from which copying is learnt; and the
// documents are few, plain and short at first.
//
// Documents are laid out in three ways, so that a query finds whatever it does with them in
// distribution: as one text; as one text with gaps in its positions; and as modules, which see the
// text before the first of them and nothing of each other, with gaps.
//
// Not thread-safe.
#ifndef PROMPTDB_TRAINING_CURRICULUM_H_
#define PROMPTDB_TRAINING_CURRICULUM_H_

#include <cstdint>

#include "corpus/corpus.h"
#include "tokenizer/bpe_vocabulary.h"
#include "tokenizer/tokenizer.h"
#include "training/training_batch.h"

namespace promptdb {

// A vocabulary of the corpus's own text, with "<s>" and "</s>".
BpeVocabulary TrainCorpusVocabulary(int size, uint64_t seed);

enum class DocumentLayout { kPlain, kGaps, kModules };

class Curriculum {
 public:
  // `tokenizer` is borrowed. `context`: positions of the model. `rows`: of a batch, about.
  Curriculum(const Tokenizer& tokenizer, int context, int rows, uint64_t seed);

  TrainingBatch BatchOf(int step) const;

  // Questions about held-out documents, as the last stage has them: about `questions` in number.
  TrainingBatch Evaluation(DocumentLayout layout, int questions) const;

 private:
  void AddRepetition(TrainingBatch& batch, Random& random) const;
  void AddStories(TrainingBatch& batch, Corpus& corpus, Random& random) const;
  void AddQuestions(TrainingBatch& batch, const CorpusPrompt& prompt, DocumentLayout layout,
                    float document_weight, Random& random) const;

  const Tokenizer& tokenizer_;
  const int context_;
  const int rows_;
  const uint64_t seed_;
};

}  // namespace promptdb

#endif  // PROMPTDB_TRAINING_CURRICULUM_H_
