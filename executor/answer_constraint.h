// Keeps one answer to what GENERATE's grammar or json_schema says, or lets everything pass where
// there is neither.
//
// Not thread-safe: one per generation.
#ifndef PROMPTDB_EXECUTOR_ANSWER_CONSTRAINT_H_
#define PROMPTDB_EXECUTOR_ANSWER_CONSTRAINT_H_

#include <memory>
#include <optional>
#include <span>

#include "constraint/constraint.h"
#include "planner/generate_options.h"

namespace promptdb {

class AnswerConstraint {
 public:
  // `tokenizer` is borrowed. `vocabulary` is the tokenizer's, and is needed only when there is a
  // constraint.
  AnswerConstraint(const GenerateOptions& generate, const Tokenizer& tokenizer,
                   std::shared_ptr<const VocabularyTrie> vocabulary);

  // Whether the answer is whole and no token can be added to it. Throws Error(kInvalidArgument)
  // when it isn't whole and no token of the model's vocabulary can go on.
  bool IsComplete();

  // Makes the logits of all tokens that must not come next minus infinity. Tokens that end a
  // generation stay where the answer is whole, unless ignore_eos bars them. REQUIRES:
  // !IsComplete().
  void Mask(std::span<float> logits);

  // The token that was taken; not one that ends the generation.
  void Push(TokenId token);

 private:
  const Tokenizer& tokenizer_;
  const bool ignore_eos_;
  std::optional<ConstrainedText> text_;
};

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_ANSWER_CONSTRAINT_H_
