#include "tokenizer/pre_tokenizer.h"

#include <functional>
#include <optional>
#include <string_view>

#include "model/quoted_name.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/characters.h"
#include "tokenizer/normalizer.h"

namespace promptdb {
namespace {

// What becomes of the text that a pattern matches, the delimiter.
enum class Delimiter { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };

struct Part {
  TextSpan span;
  bool delimiter = false;
};

// Joins or drops `parts` (which cover a word) as `delimiter` says. Reuses `parts`.
void Arrange(Delimiter delimiter, std::vector<Part>& parts) {
  std::vector<Part> out;
  switch (delimiter) {
    case Delimiter::kIsolated:
      return;
    case Delimiter::kRemoved:
      std::erase_if(parts, [](const Part& p) { return p.delimiter; });
      return;
    case Delimiter::kContiguous:
      for (const Part& part : parts) {
        if (!out.empty() && out.back().delimiter == part.delimiter) {
          out.back().span.end = part.span.end;
        } else {
          out.push_back(part);
        }
      }
      break;
    case Delimiter::kMergedWithPrevious: {
      bool previous = false;
      for (const Part& part : parts) {
        if (part.delimiter && !previous && !out.empty()) {
          out.back().span.end = part.span.end;
        } else {
          out.push_back(part);
        }
        previous = part.delimiter;
      }
      break;
    }
    case Delimiter::kMergedWithNext: {
      // The mirror image: from the right.
      bool next = false;
      for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
        if (part->delimiter && !next && !out.empty()) {
          out.back().span.begin = part->span.begin;
        } else {
          out.push_back(*part);
        }
        next = part->delimiter;
      }
      out = {out.rbegin(), out.rend()};
      break;
    }
  }
  parts = std::move(out);
}

// Cuts every word of `list`. `find(word, matches)` appends the delimiters in a word.
void Cut(WordList& list, Delimiter delimiter, bool invert,
         const std::function<void(std::string_view, std::vector<TextSpan>&)>& find) {
  std::vector<TextSpan> words, matches;
  std::vector<Part> parts;
  words.reserve(list.words.size());
  const uint32_t start = list.words.empty() ? 0 : list.words[0].begin;
  for (const TextSpan word : list.words) {
    matches.clear();
    parts.clear();
    find(std::string_view(list.text).substr(word.begin, word.size()), matches);
    uint32_t at = word.begin;
    for (const TextSpan match : matches) {
      const uint32_t begin = word.begin + match.begin, end = word.begin + match.end;
      if (begin > at) parts.push_back({{at, begin}, invert});
      parts.push_back({{begin, end}, !invert});
      at = end;
    }
    if (word.end > at) parts.push_back({{at, word.end}, invert});
    Arrange(delimiter, parts);
    for (const Part& part : parts) {
      if (part.span.size() > 0) words.push_back(part.span);
    }
  }
  list.words = std::move(words);
  list.at_start = list.at_start && !list.words.empty() && list.words[0].begin == start;
}

void CutAtRegex(WordList& list, const Regex& regex, Delimiter delimiter, bool invert) {
  RegexMatcher matcher(regex);
  Cut(list, delimiter, invert, [&](std::string_view word, std::vector<TextSpan>& matches) {
    matcher.FindAll(word, matches);
  });
}

void CutAtCharacters(WordList& list, Delimiter delimiter, bool (*is_delimiter)(char32_t)) {
  Cut(list, delimiter, false, [&](std::string_view word, std::vector<TextSpan>& matches) {
    for (size_t i = 0; i < word.size();) {
      const Utf8Step step = ReadUtf8(word, i);
      if (is_delimiter(step.code)) {
        matches.push_back({static_cast<uint32_t>(i), static_cast<uint32_t>(i + step.size)});
      }
      i += step.size;
    }
  });
}

// Rewrites every word; `rewrite(word, first)` gives its new text.
void Rewrite(WordList& list, const std::function<std::string(std::string_view, bool)>& rewrite) {
  CheckTextSize(list.text.size());
  std::string text;
  text.reserve(list.text.size() + list.words.size());
  for (size_t i = 0; i < list.words.size(); ++i) {
    TextSpan& word = list.words[i];
    const auto begin = static_cast<uint32_t>(text.size());
    text += rewrite(std::string_view(list.text).substr(word.begin, word.size()), i == 0);
    word = {begin, static_cast<uint32_t>(text.size())};
  }
  list.text = std::move(text);
}

Delimiter ReadBehavior(const Json& json, const std::string& key,
                       std::optional<Delimiter> otherwise) {
  const std::optional<std::string> name = FindString(json, key, "behavior");
  if (!name && otherwise) return *otherwise;
  if (!name) ThrowCorrupt(JoinKey(key, "behavior"), "missing");
  if (*name == "Removed") return Delimiter::kRemoved;
  if (*name == "Isolated") return Delimiter::kIsolated;
  if (*name == "MergedWithPrevious") return Delimiter::kMergedWithPrevious;
  if (*name == "MergedWithNext") return Delimiter::kMergedWithNext;
  if (*name == "Contiguous") return Delimiter::kContiguous;
  ThrowCorrupt(JoinKey(key, "behavior"), "unknown behavior " + QuotedName(*name));
}

class PreTokenizerSequence final : public PreTokenizer {
 public:
  PreTokenizerSequence(const Json& json, const std::string& key, int nesting) {
    const std::string list_key = JoinKey(key, "pretokenizers");
    const Json& list = AsArray(GetMember(json, key, "pretokenizers"), list_key);
    for (size_t i = 0; i < list.size(); ++i) {
      steps_.push_back(ReadPreTokenizer(list[i], JoinKey(list_key, i), nesting + 1));
    }
  }
  void Apply(WordList& list) const override {
    for (const auto& step : steps_) step->Apply(list);
  }

 private:
  std::vector<std::unique_ptr<PreTokenizer>> steps_;
};

class ByteLevel final : public PreTokenizer {
 public:
  ByteLevel(const Json& json, const std::string& key)
      : add_prefix_space_(GetBool(json, key, "add_prefix_space", true)) {
    if (GetBool(json, key, "use_regex", true)) {
      regex_ = std::make_unique<Regex>(
          R"('(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", key);
    }
  }
  void Apply(WordList& list) const override {
    if (add_prefix_space_) {
      Rewrite(list, [](std::string_view word, bool) {
        return (word.starts_with(' ') ? "" : " ") + std::string(word);
      });
    }
    if (regex_ != nullptr) CutAtRegex(list, *regex_, Delimiter::kIsolated, false);
    CheckTextSize(list.text.size());
    // As Rewrite(), without a string for every word: most texts go through here.
    std::string text;
    text.reserve(list.text.size() + list.text.size() / 2);
    for (TextSpan& word : list.words) {
      const auto begin = static_cast<uint32_t>(text.size());
      for (uint32_t i = word.begin; i < word.end; ++i) {
        text += SpellByte(static_cast<unsigned char>(list.text[i]));
      }
      word = {begin, static_cast<uint32_t>(text.size())};
    }
    list.text = std::move(text);
  }

 private:
  bool add_prefix_space_;
  std::unique_ptr<Regex> regex_;
};

class Split final : public PreTokenizer {
 public:
  Split(const Json& json, const std::string& key)
      : pattern_(GetMember(json, key, "pattern"), JoinKey(key, "pattern")),
        behavior_(ReadBehavior(json, key, std::nullopt)),
        invert_(GetBool(json, key, "invert", false)) {
    const Json& pattern = GetMember(json, key, "pattern");
    if (const auto regex = FindString(pattern, key, "Regex")) {
      regex_ = std::make_unique<Regex>(*regex, JoinKey(key, "pattern.Regex"));
    }
  }
  void Apply(WordList& list) const override {
    if (regex_ != nullptr) return CutAtRegex(list, *regex_, behavior_, invert_);
    Cut(list, behavior_, invert_, [&](std::string_view word, std::vector<TextSpan>& matches) {
      for (const TextSpan match : pattern_.FindAll(word)) matches.push_back(match);
    });
  }

 private:
  TextPattern pattern_;
  std::unique_ptr<Regex> regex_;  // shares one matcher between the words, which pattern_ can't
  Delimiter behavior_;
  bool invert_;
};

class Metaspace final : public PreTokenizer {
 public:
  Metaspace(const Json& json, const std::string& key)
      : replacement_(FindString(json, key, "replacement").value_or("\u2581")),
        split_(GetBool(json, key, "split", true)) {
    if (replacement_.empty() || ReadUtf8(replacement_, 0).size != replacement_.size()) {
      ThrowCorrupt(JoinKey(key, "replacement"), "not one character");
    }
    // Old files say only add_prefix_space.
    const std::string scheme =
        FindString(json, key, "prepend_scheme")
            .value_or(GetBool(json, key, "add_prefix_space", true) ? "always" : "never");
    if (scheme != "always" && scheme != "first" && scheme != "never") {
      ThrowCorrupt(JoinKey(key, "prepend_scheme"), "unknown scheme " + QuotedName(scheme));
    }
    always_ = scheme == "always";
    first_ = scheme == "first";
  }

  void Apply(WordList& list) const override {
    const bool at_start = list.at_start;
    Rewrite(list, [&](std::string_view word, bool first) {
      std::string text;
      const bool marked = word.starts_with(' ') || word.starts_with(replacement_);
      if (!marked && (always_ || (first_ && first && at_start))) text = replacement_;
      for (const char c : word) {
        if (c == ' ') {
          text += replacement_;
        } else {
          text += c;
        }
      }
      return text;
    });
    if (!split_) return;
    Cut(list, Delimiter::kMergedWithNext, false,
        [&](std::string_view word, std::vector<TextSpan>& matches) {
          for (size_t at = 0; (at = word.find(replacement_, at)) != std::string_view::npos;) {
            const size_t end = at + replacement_.size();
            matches.push_back({static_cast<uint32_t>(at), static_cast<uint32_t>(end)});
            at = end;
          }
        });
  }

 private:
  std::string replacement_;
  bool split_;
  bool always_ = false, first_ = false;
};

// Digits, Punctuation, WhitespaceSplit: cut at a class of characters.
class CharacterSplit final : public PreTokenizer {
 public:
  CharacterSplit(bool (*is_delimiter)(char32_t), Delimiter delimiter)
      : is_delimiter_(is_delimiter), delimiter_(delimiter) {}
  void Apply(WordList& list) const override { CutAtCharacters(list, delimiter_, is_delimiter_); }

 private:
  bool (*is_delimiter_)(char32_t);
  Delimiter delimiter_;
};

// Runs of word characters, and runs of what is neither word character nor space.
class Whitespace final : public PreTokenizer {
 public:
  explicit Whitespace(const std::string& key)
      : regex_(
            // The word characters of Rust's own regular expressions, not Oniguruma's.
            R"([\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]+)"
            R"(|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}\s]+)",
            key) {}
  void Apply(WordList& list) const override {
    CutAtRegex(list, regex_, Delimiter::kRemoved, /*invert=*/true);
  }

 private:
  Regex regex_;
};

}  // namespace

std::unique_ptr<PreTokenizer> ReadPreTokenizer(const Json& json, const std::string& key,
                                               int nesting) {
  const std::string& type = GetType(json, key, nesting);
  if (type == "Sequence") return std::make_unique<PreTokenizerSequence>(json, key, nesting);
  if (type == "ByteLevel") return std::make_unique<ByteLevel>(json, key);
  if (type == "Split") return std::make_unique<Split>(json, key);
  if (type == "Metaspace") return std::make_unique<Metaspace>(json, key);
  if (type == "Whitespace") return std::make_unique<Whitespace>(key);
  if (type == "WhitespaceSplit") {
    return std::make_unique<CharacterSplit>(&IsWhitespace, Delimiter::kRemoved);
  }
  if (type == "Digits") {
    const bool individual = GetBool(json, key, "individual_digits", false);
    return std::make_unique<CharacterSplit>(
        &IsNumeric, individual ? Delimiter::kIsolated : Delimiter::kContiguous);
  }
  if (type == "Punctuation") {
    return std::make_unique<CharacterSplit>(&IsPunctuation,
                                            ReadBehavior(json, key, Delimiter::kIsolated));
  }
  ThrowUnsupported(JoinKey(key, "type"), "pre-tokenizer " + QuotedName(type));
}

}  // namespace promptdb
