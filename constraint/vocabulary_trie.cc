#include "constraint/vocabulary_trie.h"

#include <algorithm>

namespace promptdb {

namespace {

// A node's depth is 16 bits; no real token comes near.
constexpr size_t kLongestToken = 4096;

}  // namespace

VocabularyTrie::VocabularyTrie(const Tokenizer& tokenizer) : vocab_size_(tokenizer.vocab_size()) {
  rest_.bytes.resize(static_cast<size_t>(vocab_size_));
  for (TokenId id = 0; id < vocab_size_; ++id) {
    if (tokenizer.IsEnd(id)) continue;
    std::string bytes = tokenizer.TokenBytes(id);
    if (bytes.size() <= kLongestToken) rest_.bytes[static_cast<size_t>(id)] = std::move(bytes);
  }
  first_.bytes = rest_.bytes;
  for (TokenId id = 0; id < vocab_size_; ++id) {
    std::string& bytes = first_.bytes[static_cast<size_t>(id)];
    if (!bytes.starts_with(' ')) continue;
    std::string alone = tokenizer.Decode({&id, 1});
    if (alone.size() >= bytes.size() || !bytes.ends_with(alone)) continue;
    bytes = std::move(alone);
    has_first_ = true;
  }
  Build(rest_);
  if (has_first_) {
    Build(first_);
  } else {
    first_ = {};
  }
}

std::string_view VocabularyTrie::Bytes(TokenId token, bool first) const {
  if (token < 0 || token >= vocab_size_) return "";
  return TreeOf(first).bytes[static_cast<size_t>(token)];
}

void VocabularyTrie::Build(Tree& tree) {
  std::vector<TokenId> order;
  for (TokenId id = 0; id < vocab_size_; ++id) {
    if (!tree.bytes[static_cast<size_t>(id)].empty()) order.push_back(id);
  }
  const auto bytes_of = [&](TokenId id) -> const std::string& {
    return tree.bytes[static_cast<size_t>(id)];
  };
  std::sort(order.begin(), order.end(), [&](TokenId a, TokenId b) {
    const int compared = bytes_of(a).compare(bytes_of(b));
    return compared != 0 ? compared < 0 : a < b;
  });
  tree.next_alike.assign(tree.bytes.size(), -1);
  std::vector<uint32_t> path;  // the node at each depth of the last token
  const auto close_below = [&](size_t depth) {
    while (path.size() > depth) {
      tree.nodes[path.back()].skip = static_cast<uint32_t>(tree.nodes.size());
      path.pop_back();
    }
  };
  for (size_t i = 0; i < order.size(); ++i) {
    const std::string& bytes = bytes_of(order[i]);
    if (i > 0 && bytes == bytes_of(order[i - 1])) {
      tree.next_alike[static_cast<size_t>(order[i - 1])] = order[i];
      continue;
    }
    size_t shared = 0;
    if (i > 0) {
      const std::string& before = bytes_of(order[i - 1]);
      const size_t most = std::min(before.size(), bytes.size());
      while (shared < most && before[shared] == bytes[shared]) ++shared;
    }
    close_below(shared);
    for (size_t at = shared; at < bytes.size(); ++at) {
      path.push_back(static_cast<uint32_t>(tree.nodes.size()));
      tree.nodes.push_back({0, -1, static_cast<uint16_t>(at + 1), static_cast<uint8_t>(bytes[at])});
    }
    tree.nodes.back().token = order[i];
    max_depth_ = std::max(max_depth_, static_cast<int>(bytes.size()));
  }
  close_below(0);
}

}  // namespace promptdb
