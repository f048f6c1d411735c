#include "tokenizer/added_tokens.h"

#include <algorithm>
#include <unordered_map>

#include "tokenizer/characters.h"

namespace promptdb {
namespace {

// Where the character that ends before `end` begins. REQUIRES: 0 < end, valid UTF-8.
size_t PreviousCharacter(std::string_view text, size_t end) {
  size_t begin = end - 1;
  while (begin > 0 && IsUtf8Continuation(text[begin])) --begin;
  return begin;
}

AddedToken ReadAddedToken(const Json& json, const std::string& key, int32_t max_id) {
  AddedToken token;
  token.id = static_cast<int32_t>(AsCount(GetMember(json, key, "id"), JoinKey(key, "id"), max_id));
  token.content = GetString(json, key, "content");
  token.special = GetBool(json, key, "special", false);
  token.normalized = GetBool(json, key, "normalized", !token.special);
  token.lstrip = GetBool(json, key, "lstrip", false);
  token.rstrip = GetBool(json, key, "rstrip", false);
  token.single_word = GetBool(json, key, "single_word", false);
  return token;
}

}  // namespace

AddedTokens::AddedTokens(const Json* json, const StringMap<int32_t>& vocabulary,
                         const Normalizer* normalizer, int32_t max_id) {
  if (json == nullptr) return;
  const std::string list_key = "added_tokens";
  std::unordered_map<int32_t, std::string_view> content_of;
  for (const auto& [content, id] : vocabulary) content_of.emplace(id, content);
  StringMap<bool> seen;
  AsArray(*json, list_key);
  for (size_t i = 0; i < json->size(); ++i) {
    const std::string key = JoinKey(list_key, i);
    AddedToken token = ReadAddedToken((*json)[i], key, max_id);
    if (token.content.empty()) continue;
    const auto in_model = vocabulary.find(token.content);
    if (in_model != vocabulary.end() && in_model->second != token.id) {
      ThrowCorrupt(JoinKey(key, "id"), "the model's vocabulary has this token as id " +
                                           std::to_string(in_model->second) + ", not " +
                                           std::to_string(token.id));
    }
    if (!seen.emplace(token.content, true).second) {
      ThrowCorrupt(JoinKey(key, "content"),
                   "an added token is there twice: id " + std::to_string(token.id));
    }
    if (in_model == vocabulary.end() && content_of.contains(token.id)) {
      ThrowCorrupt(JoinKey(key, "id"),
                   "another token has the id already: " + std::to_string(token.id));
    }
    if (token.special) special_.emplace(token.content, true);
    tokens_.push_back(std::move(token));
    content_of.emplace(tokens_.back().id, std::string_view());
  }
  // Of equal spellings (normalizing can make them so) a special token counts first.
  for (const bool special : {true, false}) {
    for (size_t i = 0; i < tokens_.size(); ++i) {
      const AddedToken& token = tokens_[i];
      if (token.special != special) continue;
      if (!token.normalized) {
        raw_trie_.Insert(token.content, static_cast<int32_t>(i));
        continue;
      }
      NormalizedText spelling{token.content, true};
      if (normalizer != nullptr) normalizer->Apply(spelling);
      normalized_trie_.Insert(spelling.text, static_cast<int32_t>(i));
    }
  }
}

std::vector<AddedTokens::Stretch> AddedTokens::Split(std::string_view text, Stage stage,
                                                     bool parse_special) const {
  const TokenTrie& trie = stage == Stage::kRawText ? raw_trie_ : normalized_trie_;
  std::vector<Stretch> stretches;
  size_t done = 0;  // all before is in `stretches`
  size_t from = 0;  // where the search goes on
  while (const auto match = trie.FindLongest(text, from)) {
    const AddedToken& token = tokens_[match->value];
    size_t begin = match->begin, end = match->begin + match->size;
    from = end;
    if (token.special && !parse_special) continue;
    if (token.single_word) {
      const bool word_before =
          begin > 0 && IsWordCharacter(ReadUtf8(text, PreviousCharacter(text, begin)).code);
      const bool word_after = end < text.size() && IsWordCharacter(ReadUtf8(text, end).code);
      if (word_before || word_after) continue;
    }
    if (token.lstrip) {
      // Not into what a token before has swallowed.
      while (begin > done) {
        const size_t previous = PreviousCharacter(text, begin);
        if (!IsWhitespace(ReadUtf8(text, previous).code)) break;
        begin = previous;
      }
      begin = std::max(begin, done);
    }
    if (token.rstrip) {
      while (end < text.size()) {
        const Utf8Step step = ReadUtf8(text, end);
        if (!IsWhitespace(step.code)) break;
        end += step.size;
      }
    }
    if (done < begin) stretches.push_back({-1, done, begin});
    stretches.push_back({token.id, begin, end});
    done = end;
  }
  if (done < text.size()) stretches.push_back({-1, done, text.size()});
  return stretches;
}

}  // namespace promptdb
