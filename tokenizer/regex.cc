#include "tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/error.h"
#include "tokenizer/characters.h"

namespace promptdb {
namespace {

// A real pre-tokenizer takes a few steps a character; only a pattern made to hang comes near.
constexpr uint32_t kMatchLimit = 20'000'000;
constexpr uint32_t kHeapLimitKib = 64 * 1024;
constexpr size_t kJitStackStart = 32 * 1024;
constexpr size_t kJitStackLimit = 32 * 1024 * 1024;
constexpr size_t kMaxPatternSize = 64 * 1024;
constexpr size_t kMaxTextSize = 256 * 1024 * 1024;

[[noreturn]] void Refuse(std::string_view key, const std::string& why, std::string_view pattern) {
  constexpr size_t kShown = 120;
  std::string shown = ReplaceInvalidUtf8(pattern.substr(0, kShown));
  for (char& c : shown) {
    if (static_cast<unsigned char>(c) < ' ') c = ' ';
  }
  if (pattern.size() > kShown) shown += "…";
  throw Error(ErrorCode::kUnsupported,
              std::string(key) + ": " + why + " in the regular expression " + shown);
}

std::string Pcre2Message(int code) {
  PCRE2_UCHAR buffer[256];
  if (pcre2_get_error_message(code, buffer, sizeof buffer) < 0) return "unknown PCRE2 error";
  return reinterpret_cast<const char*>(buffer);
}

// Rewrites one pattern; a class only because the steps share the position.
class Translator {
 public:
  Translator(std::string_view pattern, std::string_view key) : pattern_(pattern), key_(key) {}

  std::string Run() {
    while (at_ < pattern_.size()) {
      const char c = pattern_[at_];
      if (c == '\\') {
        Escape();
      } else if (in_class_) {
        InClass(c);
      } else if (c == '[') {
        BeginClass();
      } else if (c == '(' && Peek(1) == '?') {
        GroupOptions();
      } else {
        Copy(1);
      }
    }
    return std::move(out_);
  }

 private:
  char Peek(size_t ahead) const {
    return at_ + ahead < pattern_.size() ? pattern_[at_ + ahead] : '\0';
  }
  void Copy(size_t count) {
    out_.append(pattern_.substr(at_, count));
    at_ += count;
  }
  void Replace(size_t count, std::string_view with) {
    out_ += with;
    at_ += count;
  }

  void BeginClass() {
    in_class_ = true;
    class_begin_ = out_.size();
    complements_.clear();
    Copy(1);
    if (Peek(0) == '^') Copy(1);
    // A bracket that comes first is a member of the class.
    if (Peek(0) == ']') Copy(1);
  }

  // A complement ("\\W") can't stand in a class of PCRE2 that lists its members; it becomes an
  // alternative to the class, or a condition beside it where the class is negated.
  void EndClass() {
    in_class_ = false;
    Copy(1);
    if (complements_.empty()) return;
    std::string listed = out_.substr(class_begin_);
    out_.resize(class_begin_);
    const bool negated = listed.starts_with("[^");
    if (negated) listed.erase(1, 1);
    const bool empty = listed == "[]";
    std::string group = "(?:";
    if (negated) {
      if (!empty) group += "(?!" + listed + ")";
      for (size_t i = 1; i < complements_.size(); ++i) group += "(?=[" + complements_[i] + "])";
      group += "[" + complements_[0] + "]";
    } else {
      for (size_t i = 0; i < complements_.size(); ++i) {
        group += (i == 0 ? "[^" : "|[^") + complements_[i] + "]";
      }
      if (!empty) group += "|" + listed;
    }
    out_ += group + ")";
  }

  void InClass(char c) {
    if (c == ']') {
      EndClass();
    } else if (c == '[' && Peek(1) == ':') {
      const size_t end = pattern_.find(":]", at_ + 2);
      if (end == std::string_view::npos) Refuse(key_, "an unfinished [: :]", pattern_);
      Copy(end + 2 - at_);
    } else if (c == '[') {
      Refuse(key_, "a character class within a character class", pattern_);
    } else if (c == '&' && Peek(1) == '&') {
      Refuse(key_, "an intersection of character classes", pattern_);
    } else {
      Copy(1);
    }
  }

  void Escape() {
    static constexpr std::string_view kWord = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";
    // On its own, not within a class, Oniguruma's \w also takes six more numbers of Latin-1.
    static constexpr std::string_view kWordAlone =
        R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{B2}\x{B3}\x{B9}\x{BC}-\x{BE})";
    switch (Peek(1)) {
      case 's':
        return Replace(2, R"(\p{White_Space})");
      case 'S':
        return Replace(2, R"(\P{White_Space})");
      case 'd':
        return Replace(2, R"(\p{Nd})");
      case 'D':
        return Replace(2, R"(\P{Nd})");
      case 'w':
        return ReplaceSet(in_class_ ? kWord : kWordAlone, false);
      case 'W':
        return ReplaceSet(in_class_ ? kWord : kWordAlone, true);
      // A hexadecimal digit in Oniguruma, horizontal space in PCRE2.
      case 'h':
        return ReplaceSet("0-9a-fA-F", false);
      case 'H':
        return ReplaceSet("0-9a-fA-F", true);
      case 'p':
      case 'P':
        return Property();
      case 'u': {
        if (at_ + 6 > pattern_.size()) Refuse(key_, "an unfinished \\u", pattern_);
        return Replace(6, R"(\x{)" + std::string(pattern_.substr(at_ + 2, 4)) + "}");
      }
      default:
        return Copy(2);
    }
  }

  // PCRE2 takes a script's name for its Script_Extensions, which hold more characters.
  void Property() {
    const size_t end = pattern_.find('}', at_);
    if (Peek(2) != '{' || end == std::string_view::npos) return Copy(2);
    std::string_view name = pattern_.substr(at_ + 3, end - at_ - 3);
    const std::string caret = name.starts_with('^') ? "^" : "";
    name.remove_prefix(caret.size());
    // General categories have one or two letters, scripts more.
    if (name.size() < 3 || !IsScript(name)) return Copy(end + 1 - at_);
    Replace(end + 1 - at_,
            std::string("\\") + Peek(1) + "{" + caret + "sc:" + std::string(name) + "}");
  }

  static bool IsScript(std::string_view name) {
    const std::string probe = "\\p{sc:" + std::string(name) + "}";
    int error = 0;
    PCRE2_SIZE place = 0;
    pcre2_code* const code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(probe.data()), probe.size(),
                                           PCRE2_UTF | PCRE2_UCP, &error, &place, nullptr);
    pcre2_code_free(code);
    return code != nullptr;
  }

  void ReplaceSet(std::string_view members, bool negated) {
    const std::string set(members);
    if (in_class_ && negated) {
      complements_.push_back(set);
      return Replace(2, "");
    }
    Replace(2, in_class_ ? set : (negated ? "[^" : "[") + set + "]");
  }

  // "(?m" is what PCRE2 calls "(?s": the dot matches line breaks.
  void GroupOptions() {
    Copy(2);
    size_t end = at_;
    while (end < pattern_.size() &&
           (std::string_view("imx-").find(pattern_[end]) != std::string_view::npos)) {
      ++end;
    }
    if (end == pattern_.size() || (pattern_[end] != ':' && pattern_[end] != ')')) return;
    for (; at_ < end; ++at_) out_ += pattern_[at_] == 'm' ? 's' : pattern_[at_];
  }

  std::string_view pattern_;
  std::string_view key_;
  size_t at_ = 0;
  bool in_class_ = false;
  size_t class_begin_ = 0;                // in out_
  std::vector<std::string> complements_;  // sets whose complement is a member of this class
  std::string out_;
};

}  // namespace

void CheckTextSize(size_t size) {
  if (size > kMaxTextSize) {
    throw Error(ErrorCode::kTooLong,
                "the text is too long to be encoded: " + std::to_string(size) + " bytes");
  }
}

struct Regex::Compiled {
  pcre2_code* code = nullptr;
  ~Compiled() { pcre2_code_free(code); }
};

std::string Regex::Translate(std::string_view pattern, std::string_view key) {
  return Translator(pattern, key).Run();
}

Regex::Regex(std::string_view pattern, std::string_view key)
    : key_(key), compiled_(std::make_unique<Compiled>()) {
  if (pattern.size() > kMaxPatternSize) {
    throw Error(ErrorCode::kUnsupported, key_ + ": the regular expression is too long: " +
                                             std::to_string(pattern.size()) + " bytes");
  }
  const std::string translated = Translate(pattern, key);
  std::unique_ptr<pcre2_compile_context, void (*)(pcre2_compile_context*)> context(
      pcre2_compile_context_create(nullptr), pcre2_compile_context_free);
  if (!context) throw Error(ErrorCode::kResource, "out of memory for a regular expression");
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);

  int error = 0;
  PCRE2_SIZE place = 0;
  compiled_->code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error,
                    &place, context.get());
  if (compiled_->code == nullptr) Refuse(key, Pcre2Message(error), pattern);
  // Where the processor has no JIT the interpreter runs the same pattern, only slower.
  pcre2_jit_compile(compiled_->code, PCRE2_JIT_COMPLETE);
}

Regex::~Regex() = default;

struct RegexMatcher::Scratch {
  pcre2_match_data* data = nullptr;
  pcre2_match_context* context = nullptr;
  pcre2_jit_stack* stack = nullptr;

  ~Scratch() {
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    pcre2_jit_stack_free(stack);
  }
};

RegexMatcher::RegexMatcher(const Regex& regex)
    : regex_(regex), scratch_(std::make_unique<Scratch>()) {
  scratch_->data = pcre2_match_data_create(1, nullptr);
  scratch_->context = pcre2_match_context_create(nullptr);
  if (scratch_->data == nullptr || scratch_->context == nullptr) {
    throw Error(ErrorCode::kResource, "out of memory for a regular expression");
  }
  pcre2_set_match_limit(scratch_->context, kMatchLimit);
  pcre2_set_heap_limit(scratch_->context, kHeapLimitKib);
}

RegexMatcher::~RegexMatcher() = default;

void RegexMatcher::FindAll(std::string_view text, std::vector<TextSpan>& matches) {
  const auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const PCRE2_SIZE* const range = pcre2_get_ovector_pointer(scratch_->data);
  size_t start = 0;
  bool after_match = false;
  while (start <= text.size()) {
    const int found = pcre2_match(regex_.compiled_->code, subject, text.size(), start,
                                  PCRE2_NO_UTF_CHECK, scratch_->data, scratch_->context);
    if (found == PCRE2_ERROR_NOMATCH) return;
    if (found == PCRE2_ERROR_JIT_STACKLIMIT && scratch_->stack == nullptr) {
      // The machine stack's small share is enough for nearly every text; this one needs more.
      scratch_->stack = pcre2_jit_stack_create(kJitStackStart, kJitStackLimit, nullptr);
      if (scratch_->stack == nullptr) {
        throw Error(ErrorCode::kResource, "out of memory for a regular expression");
      }
      pcre2_jit_stack_assign(scratch_->context, nullptr, scratch_->stack);
      continue;
    }
    if (found < 0) {
      throw Error(
          ErrorCode::kResource,
          regex_.key_ + ": the regular expression fails on this text: " + Pcre2Message(found));
    }
    // "\K" in a lookahead can move the beginning behind the end, or the whole match backwards.
    const size_t begin = range[0], end = range[1];
    if (begin > end || begin < start) {
      throw Error(ErrorCode::kUnsupported,
                  regex_.key_ + ": the regular expression matches backwards");
    }
    if (begin == end && after_match && begin == start) {
      if (start == text.size()) return;
      start += ReadUtf8(text, start).size;
      after_match = false;
      continue;
    }
    matches.push_back({static_cast<uint32_t>(begin), static_cast<uint32_t>(end)});
    start = end;
    after_match = true;
  }
}

}  // namespace promptdb
