// The regular expressions of tokenizer files, run by PCRE2 with its JIT compiler.
//
// Files write them for Oniguruma or Rust. Translate() rewrites what PCRE2 understands differently
// (\s, \w, \h, "^" and "$" at line breaks) and refuses what it can't express (nested character
// classes), so that a pattern either means what its author meant or is an error.
//
// A Regex is immutable and thread-safe; a RegexMatcher belongs to one thread.
#ifndef PROMPTDB_TOKENIZER_REGEX_H_
#define PROMPTDB_TOKENIZER_REGEX_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace promptdb {

// A half-open byte range of a text.
struct TextSpan {
  uint32_t begin = 0;
  uint32_t end = 0;

  uint32_t size() const { return end - begin; }
  bool operator==(const TextSpan&) const = default;
};

// Positions are 32-bit, and a file's own replacements can make a short text endless: throws
// Error(kTooLong) above 256 MiB.
void CheckTextSize(size_t size);

class Regex {
 public:
  // `key`: where the pattern stands in its file, for messages. Throws Error(kUnsupported).
  Regex(std::string_view pattern, std::string_view key);
  ~Regex();
  Regex(const Regex&) = delete;
  Regex& operator=(const Regex&) = delete;

  // The pattern in PCRE2's syntax.
  static std::string Translate(std::string_view pattern, std::string_view key);

 private:
  friend class RegexMatcher;
  struct Compiled;
  std::string key_;
  std::unique_ptr<Compiled> compiled_;
};

class RegexMatcher {
 public:
  // `regex` is borrowed.
  explicit RegexMatcher(const Regex& regex);
  ~RegexMatcher();
  RegexMatcher(const RegexMatcher&) = delete;
  RegexMatcher& operator=(const RegexMatcher&) = delete;

  // Appends the matches in `text`, left to right; empty ones too, but none that touches the match
  // before it. Throws Error(kResource) when the pattern backtracks without end.
  // REQUIRES: `text` is valid UTF-8.
  void FindAll(std::string_view text, std::vector<TextSpan>& matches);

 private:
  struct Scratch;
  const Regex& regex_;
  std::unique_ptr<Scratch> scratch_;
};

}  // namespace promptdb

#endif  // PROMPTDB_TOKENIZER_REGEX_H_
