// What an answer must look like: a grammar, or a JSON schema, and the texts that keep to it.
//
// A Constraint is compiled once, when the statement is bound, and thread-safe; a ConstrainedText
// belongs to one generation.
#ifndef PROMPTDB_CONSTRAINT_CONSTRAINT_H_
#define PROMPTDB_CONSTRAINT_CONSTRAINT_H_

#include <memory>
#include <mutex>
#include <string_view>

#include "constraint/automaton.h"

namespace promptdb {

class Constraint {
 public:
  enum class Kind { kGrammar, kJsonSchema };

  // Both throw Error without a place in the statement; the message has the place in `text`.
  static std::shared_ptr<Constraint> FromGrammar(std::string_view text);
  static std::shared_ptr<Constraint> FromJsonSchema(std::string_view text);

  Kind kind() const { return kind_; }
  std::string_view name() const;  // "grammar", "json_schema"

  // The automaton that texts over `vocabulary` share, so that rows of one query share their masks.
  // A new one in place of `full`, if that is the one.
  std::shared_ptr<Automaton> AutomatonFor(const std::shared_ptr<const VocabularyTrie>& vocabulary,
                                          const Automaton* full = nullptr);

 private:
  Constraint(Kind kind, const Grammar& grammar);

  const Kind kind_;
  const std::shared_ptr<const TransitionNetwork> network_;  // shared with the automata
  std::mutex mutex_;
  std::shared_ptr<Automaton> automaton_;  // guarded by mutex_
};

class ConstrainedText {
 public:
  ConstrainedText(std::shared_ptr<Constraint> constraint,
                  std::shared_ptr<const VocabularyTrie> vocabulary);

  // The tokens that may come next. None of them ends a generation.
  std::shared_ptr<const TokenMask> AllowedTokens();
  // REQUIRES: the token is allowed.
  void Push(TokenId token);

  // Whether the text is whole as it stands; whether nothing can be added to it.
  bool may_end() const { return automaton_->MayEnd(state_); }
  bool must_end() const { return automaton_->MustEnd(state_); }

 private:
  const std::shared_ptr<Constraint> constraint_;            // shared with other rows
  const std::shared_ptr<const VocabularyTrie> vocabulary_;  // the model's
  std::shared_ptr<Automaton> automaton_;                    // shared with other rows
  int state_ = Automaton::kDead;
  bool is_first_ = true;
};

}  // namespace promptdb

#endif  // PROMPTDB_CONSTRAINT_CONSTRAINT_H_
