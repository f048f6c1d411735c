#include "executor/answer_constraint.h"

#include <limits>
#include <utility>

namespace promptdb {

AnswerConstraint::AnswerConstraint(const GenerateOptions& generate, const Tokenizer& tokenizer,
                                   std::shared_ptr<const VocabularyTrie> vocabulary)
    : tokenizer_(tokenizer), ignore_eos_(generate.ignore_eos) {
  if (generate.constraint != nullptr) text_.emplace(generate.constraint, std::move(vocabulary));
}

bool AnswerConstraint::IsComplete() {
  if (!text_) return false;
  if (text_->must_end()) return true;
  if (!text_->AllowedTokens()->empty()) return false;
  if (text_->may_end()) return true;
  throw Error(ErrorCode::kInvalidArgument,
              "no token of the model's vocabulary continues the answer as its constraint asks",
              "The constraint may need characters that the vocabulary lacks.");
}

void AnswerConstraint::Mask(std::span<float> logits) {
  if (!text_) return;
  const std::shared_ptr<const TokenMask> mask = text_->AllowedTokens();
  const bool end_allowed = !ignore_eos_ && text_->may_end();
  for (size_t i = 0; i < logits.size(); ++i) {
    const auto token = static_cast<TokenId>(i);
    if (mask->Allows(token) || (end_allowed && tokenizer_.IsEnd(token))) continue;
    logits[i] = -std::numeric_limits<float>::infinity();
  }
}

void AnswerConstraint::Push(TokenId token) {
  if (text_) text_->Push(token);
}

}  // namespace promptdb
