#include "tokenizer/normalizer.h"

#include <utf8proc.h>

#include <cstdlib>
#include <vector>

#include "base/error.h"
#include "model/quoted_name.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/characters.h"

namespace promptdb {
namespace {

class NormalizerSequence final : public Normalizer {
 public:
  NormalizerSequence(const Json& json, const std::string& key, int nesting) {
    const std::string list_key = JoinKey(key, "normalizers");
    const Json& list = AsArray(GetMember(json, key, "normalizers"), list_key);
    for (size_t i = 0; i < list.size(); ++i) {
      steps_.push_back(ReadNormalizer(list[i], JoinKey(list_key, i), nesting + 1));
    }
  }
  void Apply(NormalizedText& text) const override {
    for (const auto& step : steps_) step->Apply(text);
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> steps_;
};

// The four forms of Unicode's Annex 15, and what utf8proc does on the way to them.
class UnicodeForm final : public Normalizer {
 public:
  explicit UnicodeForm(int options) : options_(static_cast<utf8proc_option_t>(options)) {}

  void Apply(NormalizedText& text) const override {
    bool ascii = true;
    for (const char c : text.text) ascii = ascii && static_cast<unsigned char>(c) < 0x80;
    if (ascii) return;
    utf8proc_uint8_t* mapped = nullptr;
    const utf8proc_ssize_t size =
        utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.text.data()),
                     static_cast<utf8proc_ssize_t>(text.text.size()), &mapped, options_);
    if (size < 0) {
      throw Error(ErrorCode::kResource,
                  std::string("Unicode normalization failed: ") + utf8proc_errmsg(size));
    }
    text.text.assign(reinterpret_cast<const char*>(mapped), static_cast<size_t>(size));
    std::free(mapped);
  }

 private:
  utf8proc_option_t options_;
};

class Lowercase final : public Normalizer {
 public:
  void Apply(NormalizedText& text) const override {
    std::string out;
    for (size_t i = 0; i < text.text.size();) {
      const Utf8Step step = ReadUtf8(text.text, i);
      // The one character whose lower case is two.
      if (step.code == 0x130) {
        out += "i\u0307";
      } else {
        AppendUtf8(
            static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(step.code))), out);
      }
      i += step.size;
    }
    text.text = std::move(out);
  }
};

class StripAccents final : public Normalizer {
 public:
  void Apply(NormalizedText& text) const override {
    std::string out;
    for (size_t i = 0; i < text.text.size();) {
      const Utf8Step step = ReadUtf8(text.text, i);
      const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(step.code));
      const bool mark = category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_MC ||
                        category == UTF8PROC_CATEGORY_ME;
      if (!mark) out.append(text.text, i, step.size);
      i += step.size;
    }
    text.text = std::move(out);
  }
};

class StripSpace final : public Normalizer {
 public:
  StripSpace(const Json& json, const std::string& key)
      : left_(GetBool(json, key, "strip_left", false)),
        right_(GetBool(json, key, "strip_right", false)) {}

  void Apply(NormalizedText& text) const override {
    size_t begin = 0, end = 0;
    bool leading = left_;
    for (size_t i = 0; i < text.text.size();) {
      const Utf8Step step = ReadUtf8(text.text, i);
      i += step.size;
      const bool space = IsWhitespace(step.code);
      leading = leading && space;
      if (leading) begin = i;
      if (!space || !right_) end = i;
    }
    end = std::max(begin, end);
    text.at_start = text.at_start && begin == 0;
    text.text = text.text.substr(begin, end - begin);
  }

 private:
  bool left_, right_;
};

class Prepend final : public Normalizer {
 public:
  Prepend(const Json& json, const std::string& key) : text_(GetString(json, key, "prepend")) {}
  void Apply(NormalizedText& text) const override {
    if (text.text.empty()) return;
    CheckTextSize(text.text.size() + text_.size());
    text.text.insert(0, text_);
  }

 private:
  std::string text_;
};

class Replace final : public Normalizer {
 public:
  Replace(const Json& json, const std::string& key)
      : pattern_(GetMember(json, key, "pattern"), JoinKey(key, "pattern")),
        content_(GetString(json, key, "content")) {}
  void Apply(NormalizedText& text) const override {
    text.text = pattern_.ReplaceAll(text.text, content_);
  }

 private:
  TextPattern pattern_;
  std::string content_;
};

class SpellBytesNormalizer final : public Normalizer {
 public:
  void Apply(NormalizedText& text) const override { text.text = SpellBytes(text.text); }
};

}  // namespace

TextPattern::TextPattern(const Json& json, const std::string& key) {
  if (const auto literal = FindString(json, key, "String")) {
    literal_ = *literal;
  } else if (const auto pattern = FindString(json, key, "Regex")) {
    regex_ = std::make_unique<Regex>(*pattern, JoinKey(key, "Regex"));
  } else {
    ThrowCorrupt(key, "neither \"String\" nor \"Regex\"");
  }
}

std::vector<TextSpan> TextPattern::FindAll(std::string_view text) const {
  std::vector<TextSpan> found;
  if (text.empty()) return found;  // not even for a pattern that matches the empty text
  if (regex_ != nullptr) {
    RegexMatcher(*regex_).FindAll(text, found);
  } else if (!literal_.empty()) {
    for (size_t at = 0; (at = text.find(literal_, at)) != std::string_view::npos;) {
      found.push_back({static_cast<uint32_t>(at), static_cast<uint32_t>(at + literal_.size())});
      at += literal_.size();
    }
  }
  return found;
}

std::string TextPattern::ReplaceAll(std::string_view text, std::string_view with) const {
  std::string out;
  if (regex_ == nullptr && !literal_.empty()) {
    // Without a list of all places, which takes several times the memory of the text.
    size_t at = 0;
    for (size_t next = 0; (next = text.find(literal_, at)) != std::string_view::npos;) {
      out.append(text.substr(at, next - at)).append(with);
      CheckTextSize(out.size());
      at = next + literal_.size();
    }
    return out.append(text.substr(at));
  }
  const std::vector<TextSpan> found = FindAll(text);
  CheckTextSize(text.size() + found.size() * with.size());
  out.reserve(text.size() + found.size() * with.size());
  uint32_t at = 0;
  for (const TextSpan match : found) {
    out.append(text.substr(at, match.begin - at)).append(with);
    at = match.end;
  }
  return out.append(text.substr(at));
}

std::unique_ptr<Normalizer> ReadNormalizer(const Json& json, const std::string& key, int nesting) {
  const std::string& type = GetType(json, key, nesting);
  if (type == "Sequence") return std::make_unique<NormalizerSequence>(json, key, nesting);
  constexpr int kForm = UTF8PROC_STABLE;
  if (type == "NFC") return std::make_unique<UnicodeForm>(kForm | UTF8PROC_COMPOSE);
  if (type == "NFD") return std::make_unique<UnicodeForm>(kForm | UTF8PROC_DECOMPOSE);
  if (type == "NFKC") {
    return std::make_unique<UnicodeForm>(kForm | UTF8PROC_COMPOSE | UTF8PROC_COMPAT);
  }
  if (type == "NFKD") {
    return std::make_unique<UnicodeForm>(kForm | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT);
  }
  if (type == "Lowercase") return std::make_unique<Lowercase>();
  if (type == "StripAccents") return std::make_unique<StripAccents>();
  if (type == "Strip") return std::make_unique<StripSpace>(json, key);
  if (type == "Prepend") return std::make_unique<Prepend>(json, key);
  if (type == "Replace") return std::make_unique<Replace>(json, key);
  if (type == "ByteLevel") return std::make_unique<SpellBytesNormalizer>();
  ThrowUnsupported(JoinKey(key, "type"), "normalizer " + QuotedName(type));
}

}  // namespace promptdb
