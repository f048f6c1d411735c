#include "tokenizer/bpe_trainer.h"

#include <algorithm>
#include <queue>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/characters.h"
#include "tokenizer/json_access.h"
#include "tokenizer/pre_tokenizer.h"

namespace promptdb {
namespace {

using SymbolId = int32_t;

uint64_t PairKey(SymbolId left, SymbolId right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

SymbolId LeftOf(uint64_t key) { return static_cast<SymbolId>(key >> 32); }
SymbolId RightOf(uint64_t key) { return static_cast<SymbolId>(key & 0xffffffffu); }

class MergeLearner {
 public:
  MergeLearner(std::span<const CountedWord> words, int64_t min_count,
               const std::set<std::string>& taken);

  std::vector<SpelledMerge> Learn(size_t limit);

 private:
  struct Word {
    std::vector<SymbolId> symbols;
    int64_t count;
  };
  struct Pair {
    int64_t count = 0;
    // Words that had the pair when they were last rewritten, each once. Some have lost it since.
    std::vector<uint32_t> words;
  };
  struct Candidate {
    int64_t count;  // when it was queued; it only falls after that
    uint64_t key;
  };
  // Whether `a` is merged after `b`.
  struct Later {
    const std::vector<std::string>& pieces;
    bool operator()(const Candidate& a, const Candidate& b) const {
      if (a.count != b.count) return a.count < b.count;
      const int order = pieces[LeftOf(a.key)].compare(pieces[LeftOf(b.key)]);
      if (order != 0) return order > 0;
      return pieces[RightOf(a.key)] > pieces[RightOf(b.key)];
    }
  };

  SymbolId AddPiece(const std::string& piece);
  void Enqueue(uint64_t key, int64_t count) {
    if (count >= min_count_) queue_.push({count, key});
  }
  void MergePair(uint64_t key, SymbolId merged);
  void RewriteWord(uint32_t index, uint64_t key, SymbolId merged, std::vector<uint64_t>& fresh);

  int64_t min_count_;
  std::vector<std::string> pieces_;  // by id
  StringMap<SymbolId> piece_ids_;    // -1: taken, and not by a symbol
  std::vector<Word> words_;
  std::unordered_map<uint64_t, Pair> pairs_;
  std::priority_queue<Candidate, std::vector<Candidate>, Later> queue_{Later{pieces_}};
};

MergeLearner::MergeLearner(std::span<const CountedWord> words, int64_t min_count,
                           const std::set<std::string>& taken)
    // A pair that has no occurrence left can't be merged, whatever the caller asks for.
    : min_count_(std::max<int64_t>(min_count, 1)) {
  for (const CountedWord& counted : words) {
    Word word{{}, counted.count};
    for (size_t i = 0; i < counted.word.size();) {
      const Utf8Step step = ReadUtf8(counted.word, i);
      word.symbols.push_back(AddPiece(counted.word.substr(i, step.size)));
      i += step.size;
    }
    words_.push_back(std::move(word));
  }
  for (const std::string& piece : taken) piece_ids_.emplace(piece, -1);
  for (uint32_t index = 0; index < words_.size(); ++index) {
    const std::vector<SymbolId>& symbols = words_[index].symbols;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      Pair& pair = pairs_[PairKey(symbols[i], symbols[i + 1])];
      pair.count += words_[index].count;
      if (pair.words.empty() || pair.words.back() != index) pair.words.push_back(index);
    }
  }
  for (const auto& [key, pair] : pairs_) Enqueue(key, pair.count);
}

SymbolId MergeLearner::AddPiece(const std::string& piece) {
  const auto [place, added] = piece_ids_.emplace(piece, static_cast<SymbolId>(pieces_.size()));
  if (added) pieces_.push_back(piece);
  return place->second;
}

std::vector<SpelledMerge> MergeLearner::Learn(size_t limit) {
  std::vector<SpelledMerge> merges;
  while (merges.size() < limit && !queue_.empty()) {
    const Candidate best = queue_.top();
    queue_.pop();
    const int64_t count = pairs_.at(best.key).count;
    if (count != best.count) {
      Enqueue(best.key, count);
      continue;
    }
    const std::string left = pieces_[LeftOf(best.key)];
    const std::string right = pieces_[RightOf(best.key)];
    if (piece_ids_.contains(left + right)) continue;
    MergePair(best.key, AddPiece(left + right));
    merges.emplace_back(left, right);
  }
  return merges;
}

void MergeLearner::MergePair(uint64_t key, SymbolId merged) {
  // The pairs that come into being all have the new symbol in them, so no old count ever rises.
  std::vector<uint64_t> fresh;
  const std::vector<uint32_t> words = std::move(pairs_.at(key).words);
  for (const uint32_t index : words) RewriteWord(index, key, merged, fresh);
  pairs_.erase(key);
  for (const uint64_t pair : fresh) Enqueue(pair, pairs_.at(pair).count);
}

void MergeLearner::RewriteWord(uint32_t index, uint64_t key, SymbolId merged,
                               std::vector<uint64_t>& fresh) {
  const int64_t count = words_[index].count;
  std::vector<SymbolId>& symbols = words_[index].symbols;
  const auto is_pair = [&](size_t i) {
    return i + 1 < symbols.size() && PairKey(symbols[i], symbols[i + 1]) == key;
  };
  size_t first = 0;
  while (first < symbols.size() && !is_pair(first)) ++first;
  if (first == symbols.size()) return;
  for (size_t i = 0; i + 1 < symbols.size(); ++i) {
    pairs_.at(PairKey(symbols[i], symbols[i + 1])).count -= count;
  }
  size_t kept = 0;
  for (size_t i = 0; i < symbols.size();) {
    const bool match = is_pair(i);
    symbols[kept++] = match ? merged : symbols[i];
    i += match ? 2 : 1;
  }
  symbols.resize(kept);
  for (size_t i = 0; i + 1 < symbols.size(); ++i) {
    const uint64_t now = PairKey(symbols[i], symbols[i + 1]);
    Pair& pair = pairs_[now];
    pair.count += count;
    if (symbols[i] != merged && symbols[i + 1] != merged) continue;
    if (pair.words.empty()) fresh.push_back(now);
    if (pair.words.empty() || pair.words.back() != index) pair.words.push_back(index);
  }
}

[[noreturn]] void Refuse(const std::string& message, const std::string& hint = "") {
  throw Error(ErrorCode::kInvalidArgument, message, hint);
}

void CheckOptions(const BpeTrainerOptions& options) {
  std::set<std::string> known;
  for (const std::string& byte : ByteTokens()) known.insert(byte);
  for (const std::string& token : options.special_tokens) {
    if (token.empty()) Refuse("a special token is empty");
    if (!IsValidUtf8(token)) Refuse("a special token is not UTF-8: \"" + token + "\"");
    if (!known.insert(token).second) {
      Refuse("a special token is in the vocabulary already: \"" + token + "\"");
    }
  }
  for (const std::string* role : {&options.bos, &options.eos, &options.unk, &options.pad}) {
    if (role->empty() ||
        std::ranges::find(options.special_tokens, *role) != options.special_tokens.end()) {
      continue;
    }
    Refuse("no special token is called \"" + *role + "\"", "Add it to special_tokens.");
  }
  if (options.vocab_size < static_cast<int>(known.size())) {
    Refuse("the vocabulary is too small: " + std::to_string(options.vocab_size),
           "256 bytes and the special tokens need " + std::to_string(known.size()) + ".");
  }
}

}  // namespace

std::vector<SpelledMerge> LearnMerges(std::span<const CountedWord> words, size_t limit,
                                      int64_t min_count, const std::set<std::string>& taken) {
  return MergeLearner(words, min_count, taken).Learn(limit);
}

std::vector<std::string> ByteTokens() {
  std::vector<std::string> tokens;
  for (char32_t code = 0; tokens.size() < 256; ++code) {
    if (!ByteSpelledBy(code)) continue;
    AppendUtf8(code, tokens.emplace_back());
  }
  return tokens;
}

BpeTrainer::BpeTrainer(BpeTrainerOptions options) : options_(std::move(options)) {
  CheckOptions(options_);
  for (size_t i = 0; i < options_.special_tokens.size(); ++i) {
    specials_.Insert(options_.special_tokens[i], static_cast<int32_t>(i));
  }
  pre_tokenizer_ =
      ReadPreTokenizer({{"type", "ByteLevel"}, {"add_prefix_space", false}}, "pre_tokenizer");
}

BpeTrainer::~BpeTrainer() = default;

void BpeTrainer::Add(std::string_view text) {
  std::string repaired;
  if (!IsValidUtf8(text)) text = repaired = ReplaceInvalidUtf8(text);
  for (size_t at = 0; at < text.size();) {
    const auto special = specials_.FindLongest(text, at);
    const size_t end = special ? special->begin : text.size();
    if (end > at) {
      CheckTextSize(end - at);
      WordList list;
      list.text = text.substr(at, end - at);
      list.words = {{0, static_cast<uint32_t>(end - at)}};
      pre_tokenizer_->Apply(list);
      for (const TextSpan span : list.words) {
        const auto word = std::string_view(list.text).substr(span.begin, span.size());
        const auto known = words_.find(word);
        if (known != words_.end()) {
          ++known->second;
        } else {
          words_.emplace(word, 1);
        }
      }
    }
    at = special ? special->begin + special->size : text.size();
  }
}

BpeVocabulary BpeTrainer::Train() const {
  const std::vector<std::string>& specials = options_.special_tokens;
  BpeVocabulary vocabulary;
  vocabulary.adds_bos = options_.adds_bos;
  vocabulary.chat_template = options_.chat_template;

  const auto add_specials = [&] {
    for (const std::string& token : specials) {
      vocabulary.special_ids.push_back(static_cast<TokenId>(vocabulary.tokens.size()));
      vocabulary.tokens.push_back(token);
    }
  };
  if (options_.specials_first) add_specials();
  for (std::string& byte : ByteTokens()) vocabulary.tokens.push_back(std::move(byte));
  std::vector<CountedWord> words;
  words.reserve(words_.size());
  for (const auto& [word, count] : words_) words.push_back({word, count});
  const size_t room = static_cast<size_t>(options_.vocab_size) - 256 - specials.size();
  vocabulary.merges = LearnMerges(words, room, options_.min_count,
                                  std::set<std::string>(specials.begin(), specials.end()));
  for (const auto& [left, right] : vocabulary.merges) vocabulary.tokens.push_back(left + right);
  if (!options_.specials_first) add_specials();

  const auto id_of = [&](const std::string& special) -> std::optional<TokenId> {
    if (special.empty()) return std::nullopt;
    return vocabulary.special_ids[std::ranges::find(specials, special) - specials.begin()];
  };
  vocabulary.bos_id = id_of(options_.bos);
  vocabulary.eos_id = id_of(options_.eos);
  vocabulary.unk_id = id_of(options_.unk);
  vocabulary.pad_id = id_of(options_.pad);
  return vocabulary;
}

BpeVocabulary TrainBpe(std::span<const std::string> texts, const BpeTrainerOptions& options) {
  BpeTrainer trainer(options);
  for (const std::string& text : texts) trainer.Add(text);
  return trainer.Train();
}

}  // namespace promptdb
