#include "tokenizer/token_trie.h"

namespace promptdb {

TokenTrie::TokenTrie() : values_(1, -1) {}

int32_t TokenTrie::Child(int32_t node, char byte) const {
  const Merge* const child = children_.Find(node, static_cast<unsigned char>(byte));
  return child == nullptr ? -1 : child->merged;
}

void TokenTrie::Insert(std::string_view spelling, int32_t value) {
  if (spelling.empty()) return;
  begins_[static_cast<unsigned char>(spelling[0])] = true;
  int32_t node = 0;
  for (const char byte : spelling) {
    int32_t child = Child(node, byte);
    if (child < 0) {
      child = static_cast<int32_t>(values_.size());
      values_.push_back(-1);
      children_.Insert(node, static_cast<unsigned char>(byte), {0, child}, false);
    }
    node = child;
  }
  if (values_[node] < 0) values_[node] = value;
}

std::optional<TokenTrie::Match> TokenTrie::FindLongest(std::string_view text, size_t from) const {
  for (size_t begin = from; begin < text.size(); ++begin) {
    if (!begins_[static_cast<unsigned char>(text[begin])]) continue;
    Match match;
    int32_t node = 0;
    for (size_t i = begin; i < text.size(); ++i) {
      node = Child(node, text[i]);
      if (node < 0) break;
      if (values_[node] >= 0) match = {values_[node], begin, i + 1 - begin};
    }
    if (match.value >= 0) return match;
  }
  return std::nullopt;
}

std::vector<TokenTrie::Match> TokenTrie::FindAll(std::string_view text) const {
  std::vector<Match> matches;
  for (size_t begin = 0; begin < text.size(); ++begin) {
    if (!begins_[static_cast<unsigned char>(text[begin])]) continue;
    int32_t node = 0;
    for (size_t i = begin; i < text.size(); ++i) {
      node = Child(node, text[i]);
      if (node < 0) break;
      if (values_[node] >= 0) matches.push_back({values_[node], begin, i + 1 - begin});
    }
  }
  return matches;
}

}  // namespace promptdb
