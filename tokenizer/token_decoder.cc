#include "tokenizer/token_decoder.h"

#include "base/digits.h"
#include "model/quoted_name.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/characters.h"
#include "tokenizer/normalizer.h"

namespace promptdb {
namespace {

std::string ReadCharacter(const Json& json, const std::string& key, const char* name) {
  const std::string& text = GetString(json, key, name);
  if (text.empty() || ReadUtf8(text, 0).size != text.size()) {
    ThrowCorrupt(JoinKey(key, name), "not one character");
  }
  return text;
}

class DecoderSequence final : public TokenDecoder {
 public:
  DecoderSequence(const Json& json, const std::string& key, DecoderTraits& traits, int nesting) {
    const std::string list_key = JoinKey(key, "decoders");
    const Json& list = AsArray(GetMember(json, key, "decoders"), list_key);
    for (size_t i = 0; i < list.size(); ++i) {
      steps_.push_back(ReadTokenDecoder(list[i], JoinKey(list_key, i), traits, nesting + 1));
    }
  }
  void Apply(std::vector<std::string>& tokens) const override {
    for (const auto& step : steps_) step->Apply(tokens);
  }

 private:
  std::vector<std::unique_ptr<TokenDecoder>> steps_;
};

void JoinAll(std::vector<std::string>& tokens) {
  std::string all;
  for (const std::string& token : tokens) all += token;
  tokens.assign(1, std::move(all));
}

class Fuse final : public TokenDecoder {
 public:
  void Apply(std::vector<std::string>& tokens) const override { JoinAll(tokens); }
};

class ByteLevelDecoder final : public TokenDecoder {
 public:
  void Apply(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) token = UnspellBytes(token);
    JoinAll(tokens);
    tokens[0] = ReplaceInvalidUtf8(tokens[0]);
  }
};

class ByteFallback final : public TokenDecoder {
 public:
  void Apply(std::vector<std::string>& tokens) const override {
    std::vector<std::string> out;
    std::string bytes;
    const auto flush = [&] {
      if (bytes.empty()) return;
      if (IsValidUtf8(bytes)) {
        out.push_back(bytes);
      } else {
        // The reference gives one replacement for each byte of the run, the good ones too.
        out.insert(out.end(), bytes.size(), "\uFFFD");
      }
      bytes.clear();
    };
    for (std::string& token : tokens) {
      if (const auto byte = ParseByteFallback(token)) {
        bytes += static_cast<char>(*byte);
      } else {
        flush();
        out.push_back(std::move(token));
      }
    }
    flush();
    tokens = std::move(out);
  }
};

class ReplaceDecoder final : public TokenDecoder {
 public:
  ReplaceDecoder(const Json& json, const std::string& key)
      : pattern_(GetMember(json, key, "pattern"), JoinKey(key, "pattern")),
        content_(GetString(json, key, "content")) {}
  void Apply(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) token = pattern_.ReplaceAll(token, content_);
  }

 private:
  TextPattern pattern_;
  std::string content_;
};

class StripDecoder final : public TokenDecoder {
 public:
  StripDecoder(const Json& json, const std::string& key)
      : content_(ReadCharacter(json, key, "content")),
        start_(AsCount(GetMember(json, key, "start"), JoinKey(key, "start"), INT32_MAX)),
        stop_(AsCount(GetMember(json, key, "stop"), JoinKey(key, "stop"), INT32_MAX)) {}

  bool looks_ahead() const { return stop_ > 0; }

  void Apply(std::vector<std::string>& tokens) const override {
    for (std::string& token : tokens) {
      std::string_view rest = token;
      for (int64_t i = 0; i < start_ && rest.starts_with(content_); ++i) {
        rest.remove_prefix(content_.size());
      }
      for (int64_t i = 0; i < stop_ && rest.ends_with(content_); ++i) {
        rest.remove_suffix(content_.size());
      }
      if (rest.size() != token.size()) token = std::string(rest);
    }
  }

 private:
  std::string content_;
  int64_t start_, stop_;
};

class MetaspaceDecoder final : public TokenDecoder {
 public:
  MetaspaceDecoder(const Json& json, const std::string& key)
      : replacement_(FindMember(json, key, "replacement") == nullptr
                         ? "\u2581"
                         : ReadCharacter(json, key, "replacement")),
        drop_at_start_(
            FindString(json, key, "prepend_scheme")
                .value_or(GetBool(json, key, "add_prefix_space", true) ? "always" : "never") !=
            "never") {}

  void Apply(std::vector<std::string>& tokens) const override {
    for (size_t i = 0; i < tokens.size(); ++i) {
      const std::string& token = tokens[i];
      const std::string_view space = i == 0 && drop_at_start_ ? "" : " ";
      std::string text;
      for (size_t at = 0; at < token.size();) {
        if (std::string_view(token).substr(at).starts_with(replacement_)) {
          text += space;
          at += replacement_.size();
        } else {
          text += token[at++];
        }
      }
      tokens[i] = std::move(text);
    }
  }

 private:
  std::string replacement_;
  bool drop_at_start_;
};

// Words end in a suffix, which is a space except at the end.
class BpeDecoder final : public TokenDecoder {
 public:
  BpeDecoder(const Json& json, const std::string& key)
      : suffix_(FindString(json, key, "suffix").value_or("</w>")) {}

  void Apply(std::vector<std::string>& tokens) const override {
    if (suffix_.empty()) return;
    for (size_t i = 0; i < tokens.size(); ++i) {
      const std::string_view with = i + 1 == tokens.size() ? "" : " ";
      std::string text;
      for (size_t at = 0; at < tokens[i].size();) {
        if (std::string_view(tokens[i]).substr(at).starts_with(suffix_)) {
          text += with;
          at += suffix_.size();
        } else {
          text += tokens[i][at++];
        }
      }
      tokens[i] = std::move(text);
    }
  }

 private:
  std::string suffix_;
};

}  // namespace

std::optional<unsigned char> ParseByteFallback(std::string_view spelling) {
  if (spelling.size() != 6 || !spelling.starts_with("<0x") || spelling[5] != '>') {
    return std::nullopt;
  }
  const int high = HexDigit(spelling[3]), low = HexDigit(spelling[4]);
  if (high < 0 || low < 0) return std::nullopt;
  return static_cast<unsigned char>(high * 16 + low);
}

std::string UnspellBytes(std::string_view spelling) {
  std::string bytes;
  bytes.reserve(spelling.size());
  for (size_t i = 0; i < spelling.size();) {
    const Utf8Step step = ReadUtf8(spelling, i);
    const std::optional<unsigned char> byte = ByteSpelledBy(step.code);
    if (!byte) return std::string(spelling);
    bytes += static_cast<char>(*byte);
    i += step.size;
  }
  return bytes;
}

std::unique_ptr<TokenDecoder> ReadTokenDecoder(const Json& json, const std::string& key,
                                               DecoderTraits& traits, int nesting) {
  const std::string& type = GetType(json, key, nesting);
  if (type == "Sequence") return std::make_unique<DecoderSequence>(json, key, traits, nesting);
  if (type == "Fuse") {
    traits.fused = true;
    return std::make_unique<Fuse>();
  }
  if (type == "ByteLevel") {
    traits.byte_level = true;
    traits.looks_ahead = traits.looks_ahead || traits.fused;
    traits.fused = true;
    return std::make_unique<ByteLevelDecoder>();
  }
  if (type == "ByteFallback") {
    traits.byte_fallback = true;
    return std::make_unique<ByteFallback>();
  }
  if (type == "Replace") {
    // On joined text a pattern can match across tokens.
    traits.looks_ahead = traits.looks_ahead || traits.fused;
    return std::make_unique<ReplaceDecoder>(json, key);
  }
  if (type == "Strip") {
    auto strip = std::make_unique<StripDecoder>(json, key);
    traits.looks_ahead = traits.looks_ahead || (traits.fused && strip->looks_ahead());
    return strip;
  }
  if (type == "Metaspace") return std::make_unique<MetaspaceDecoder>(json, key);
  if (type == "BPEDecoder") {
    traits.looks_ahead = true;
    return std::make_unique<BpeDecoder>(json, key);
  }
  ThrowUnsupported(JoinKey(key, "type"), "decoder " + QuotedName(type));
}

}  // namespace promptdb
