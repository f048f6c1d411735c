#include "constraint/constraint.h"

#include "base/error.h"
#include "constraint/gbnf_parser.h"
#include "constraint/json_schema.h"

namespace promptdb {

Constraint::Constraint(Kind kind, const Grammar& grammar)
    : kind_(kind), network_(std::make_shared<TransitionNetwork>(grammar)) {}

std::shared_ptr<Constraint> Constraint::FromGrammar(std::string_view text) {
  return std::shared_ptr<Constraint>(new Constraint(Kind::kGrammar, ParseGbnf(text)));
}

std::shared_ptr<Constraint> Constraint::FromJsonSchema(std::string_view text) {
  return std::shared_ptr<Constraint>(new Constraint(Kind::kJsonSchema, CompileJsonSchema(text)));
}

std::string_view Constraint::name() const {
  return kind_ == Kind::kGrammar ? "grammar" : "json_schema";
}

std::shared_ptr<Automaton> Constraint::AutomatonFor(
    const std::shared_ptr<const VocabularyTrie>& vocabulary, const Automaton* full) {
  const std::lock_guard lock(mutex_);
  if (automaton_ == nullptr || automaton_.get() == full ||
      &automaton_->vocabulary() != vocabulary.get()) {
    automaton_ = std::make_shared<Automaton>(network_, vocabulary);
  }
  return automaton_;
}

ConstrainedText::ConstrainedText(std::shared_ptr<Constraint> constraint,
                                 std::shared_ptr<const VocabularyTrie> vocabulary)
    : constraint_(std::move(constraint)),
      vocabulary_(std::move(vocabulary)),
      automaton_(constraint_->AutomatonFor(vocabulary_)),
      state_(automaton_->start()) {}

std::shared_ptr<const TokenMask> ConstrainedText::AllowedTokens() {
  if (automaton_->is_full()) {
    const Automaton::Snapshot snapshot = automaton_->Export(state_);
    automaton_ = constraint_->AutomatonFor(vocabulary_, automaton_.get());
    state_ = automaton_->Import(snapshot);
  }
  return automaton_->Mask(state_, is_first_);
}

void ConstrainedText::Push(TokenId token) {
  const std::string_view bytes = vocabulary_->Bytes(token, is_first_);
  Check(!bytes.empty(), "a token without text is never allowed");
  state_ = automaton_->Advance(state_, bytes);
  Check(state_ != Automaton::kDead, "a token that the mask allows continues the text");
  is_first_ = false;
}

}  // namespace promptdb
