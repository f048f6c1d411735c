// The keywords and symbols of PromptQL as the grammar lists them, by token type of the generated
// parser. Keeps the generated headers out of the files that only need words.
//
// Thread-safe: immutable once built.
#ifndef PROMPTDB_PARSER_VOCABULARY_H_
#define PROMPTDB_PARSER_VOCABULARY_H_

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace promptdb {

class Vocabulary {
 public:
  Vocabulary();

  // The type of a keyword (in any case) or of a symbol; 0 when the grammar has no such word.
  size_t TypeOf(std::string_view word) const;
  // "SELECT", "(" …; "" for the tokens that are not one fixed word.
  const std::string& WordOf(size_t type) const;
  bool IsKeyword(size_t type) const { return keyword_types_.contains(type); }
  // A keyword that is no name unless it is quoted.
  bool IsReserved(std::string_view word) const { return reserved_.contains(TypeOf(word)); }
  bool IsReserved(size_t type) const { return reserved_.contains(type); }
  // A keyword that a statement can begin with.
  bool StartsStatement(size_t type) const { return statement_starts_.contains(type); }
  const std::vector<std::string>& keywords() const { return keywords_; }

 private:
  std::vector<std::string> keywords_;  // sorted
  std::vector<std::string> words_;     // by token type
  std::map<std::string, size_t, std::less<>> types_;
  std::set<size_t> keyword_types_;
  std::set<size_t> reserved_;
  std::set<size_t> statement_starts_;
};

const Vocabulary& GrammarVocabulary();

}  // namespace promptdb

#endif  // PROMPTDB_PARSER_VOCABULARY_H_
