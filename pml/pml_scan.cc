#include "pml/pml_scan.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/utf8.h"
#include "pml/pml_text.h"

namespace promptdb {

namespace {

constexpr size_t kLongestEncodingName = 40;

SourceRange RangeOf(size_t begin, size_t end) {
  return {static_cast<int>(begin), static_cast<int>(end)};
}

bool IsNameStart(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':' ||
         static_cast<unsigned char>(c) >= 0x80;
}

bool IsNameCharacter(char c) {
  return IsNameStart(c) || (c >= '0' && c <= '9') || c == '-' || c == '.';
}

std::string CodeName(char32_t code) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string digits;
  for (; code > 0; code /= 16) digits.insert(digits.begin(), kDigits[code % 16]);
  while (digits.size() < 4) digits.insert(digits.begin(), '0');
  return "U+" + digits;
}

void CheckCharacters(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = ReadUtf8(text, at);
    if (!step.valid) {
      throw Error(ErrorCode::kCorrupt, "the text is not UTF-8",
                  "Convert it, for example with iconv.", RangeOf(at, at + step.size));
    }
    if (!IsXmlCharacter(step.code)) {
      throw Error(ErrorCode::kCorrupt, "XML has no character " + CodeName(step.code), "",
                  RangeOf(at, at + step.size));
    }
    at += step.size;
  }
}

// The length of the reference that begins with the & at `at`, or 0 where the & begins none.
// Throws Error for one that stands for no character.
size_t ReferenceLength(std::string_view text, size_t at, size_t end) {
  constexpr std::array<std::string_view, 5> kEntities = {"amp", "lt", "gt", "quot", "apos"};
  size_t to = at + 1;
  const bool is_number = to < end && text[to] == '#';
  if (is_number) ++to;
  const size_t begin = to;
  while (to < end && (IsNameCharacter(text[to]) && text[to] != ':')) ++to;
  if (to == end || text[to] != ';' || to == begin) return 0;
  const std::string_view name = text.substr(begin, to - begin);
  const size_t length = to + 1 - at;
  if (!is_number) {
    if (!IsNameStart(name.front())) return 0;
    if (std::find(kEntities.begin(), kEntities.end(), name) != kEntities.end()) return length;
    throw Error(ErrorCode::kUnknownName, "entity &" + std::string(name) + "; is unknown",
                "PML has &amp; &lt; &gt; &quot; &apos; and numbers as in &#160; only.",
                RangeOf(at, at + length));
  }
  const bool is_hex = name.front() == 'x';
  uint32_t code = 0;
  const std::string_view digits = is_hex ? name.substr(1) : name;
  const auto [stop, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), code, is_hex ? 16 : 10);
  if (error != std::errc() || stop != digits.data() + digits.size() || !IsXmlCharacter(code)) {
    throw Error(ErrorCode::kCorrupt,
                "reference " + std::string(text.substr(at, length)) + " stands for no character",
                "", RangeOf(at, at + length));
  }
  return length;
}

class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) { scan_.xml = std::string(text); }

  PmlScan Scan() {
    if (Sees("\xEF\xBB\xBF")) at_ += 3;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '<') {
        ScanLess();
      } else if (open_.empty() && !IsBlank(text_.substr(at_, 1))) {
        throw Error(ErrorCode::kCorrupt,
                    has_root_ ? "text stands behind the root element"
                              : "PML begins with <schema …> or <prompt …>, not with text",
                    "", RangeOf(at_, at_ + ReadUtf8(text_, at_).size));
      } else if (c == '&') {
        ScanAmpersand();
      } else {
        ++at_;
      }
    }
    if (!open_.empty()) {
      throw Error(ErrorCode::kCorrupt,
                  "<" + std::string(open_.back().name) + "> is not closed where the text ends",
                  "Is the file whole?", open_.back().range);
    }
    return std::move(scan_);
  }

 private:
  bool Sees(std::string_view word) const { return text_.substr(at_, word.size()) == word; }

  // To behind the next `end`, or to the end of the text: the parser tells what is not closed.
  void SkipPast(std::string_view end) {
    const size_t found = text_.find(end, at_);
    at_ = found == std::string_view::npos ? text_.size() : found + end.size();
  }

  void ScanLess() {
    const char next = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
    if (Sees("<!--")) {
      SkipPast("-->");
    } else if (Sees("<![CDATA[")) {
      SkipPast("]]>");
    } else if (Sees("<!DOCTYPE")) {
      ScanDoctype();
    } else if (Sees("<?")) {
      if (Sees("<?xml ")) CheckDeclaration();
      SkipPast("?>");
    } else if (next == '/' || IsNameStart(next)) {
      ScanTag();
    } else {
      MarkStray(kPlainLess);
    }
  }

  void ScanAmpersand() {
    const size_t length = ReferenceLength(text_, at_, text_.size());
    if (length > 0) {
      at_ += length;
    } else {
      MarkStray(kPlainAmpersand);
    }
  }

  void MarkStray(char stands_for) {
    scan_.xml[at_] = stands_for;
    scan_.strays.push_back(RangeOf(at_, at_ + 1));
    ++at_;
  }

  void ScanTag() {
    Count();
    const size_t begin = at_++;
    const bool is_closing = text_[at_] == '/';
    if (is_closing) ++at_;
    const size_t name_begin = at_;
    while (at_ < text_.size() && IsNameCharacter(text_[at_])) ++at_;
    const std::string_view name = text_.substr(name_begin, at_ - name_begin);
    const SourceRange range = RangeOf(begin, at_);
    while (at_ < text_.size() && text_[at_] != '>') {
      const char c = text_[at_++];
      if (c != '"' && c != '\'') continue;
      Count();
      SkipPast(std::string_view(&c, 1));
    }
    if (at_ == text_.size()) {
      throw Error(ErrorCode::kCorrupt, "the text ends inside a tag", "Is the file whole?", range);
    }
    const bool is_empty = text_[at_ - 1] == '/';
    ++at_;
    if (is_closing) {
      Close(name, range);
    } else {
      Open({name, range}, is_empty);
    }
  }

  struct Tag {
    std::string_view name;
    SourceRange range;
  };

  void Open(Tag tag, bool is_empty) {
    if (open_.empty() && has_root_) {
      throw Error(ErrorCode::kCorrupt, "PML has one root element, and this is a second", "",
                  tag.range);
    }
    has_root_ = true;
    if (open_.size() >= static_cast<size_t>(kMostPmlDepth)) {
      throw Error(ErrorCode::kResource,
                  "elements are nested deeper than " + std::to_string(kMostPmlDepth), "",
                  tag.range);
    }
    if (!is_empty) open_.push_back(tag);
  }

  void Close(std::string_view name, SourceRange range) {
    if (open_.empty() || open_.back().name != name) {
      const std::string closer = "</" + std::string(name) + ">";
      throw Error(ErrorCode::kCorrupt,
                  open_.empty() ? closer + " closes nothing"
                                : closer + " stands where <" + std::string(open_.back().name) +
                                      "> has to be closed first",
                  "", range);
    }
    open_.pop_back();
  }

  // Elements and attributes take far more memory than the bytes that write them.
  void Count() {
    if (++tags_ > kMostPmlTags) {
      throw Error(ErrorCode::kResource,
                  "PML of more than " + std::to_string(kMostPmlTags) + " tags and attributes",
                  "Split the schema.", RangeOf(at_, at_ + 1));
    }
  }

  void CheckDeclaration() {
    const std::string_view declaration = text_.substr(at_, text_.find("?>", at_) - at_);
    const size_t word = declaration.find("encoding");
    if (word == std::string_view::npos) return;
    const size_t begin = declaration.find_first_of("'\"", word);
    if (begin == std::string_view::npos) return;
    const size_t end = declaration.find(declaration[begin], begin + 1);
    if (end == std::string_view::npos) return;
    std::string name(declaration.substr(begin + 1, end - begin - 1));
    const bool is_name = std::all_of(name.begin(), name.end(), [](char c) {
      return IsNameCharacter(c) && static_cast<unsigned char>(c) < 0x80;
    });
    if (!is_name || name.size() > kLongestEncodingName) {
      throw Error(ErrorCode::kCorrupt, "the text begins with an encoding that is no name", "",
                  RangeOf(at_ + begin + 1, at_ + end));
    }
    std::string folded = name;
    for (char& c : folded) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    if (folded == "utf-8" || folded == "utf8" || folded == "us-ascii" || folded == "ascii") return;
    throw Error(ErrorCode::kUnsupported, "the text says that its encoding is \"" + name + "\"",
                "Convert it to UTF-8, for example with iconv, and change the declaration.",
                RangeOf(at_ + begin + 1, at_ + end));
  }

  // A DOCTYPE says nothing that PML needs, and what it names is never read. Entities are another
  // matter: a text that uses them would lose them.
  void ScanDoctype() {
    bool is_inside = false;
    while (at_ < text_.size()) {
      if (Sees("<!--")) {
        SkipPast("-->");
        continue;
      }
      if (Sees("<!ENTITY")) {
        throw Error(ErrorCode::kUnsupported, "PML does not take entities that a DOCTYPE declares",
                    "Write their text where they are used.", RangeOf(at_, at_ + 8));
      }
      const char c = text_[at_++];
      if (c == '"' || c == '\'') {
        SkipPast(std::string_view(&c, 1));
      } else if (c == '[') {
        is_inside = true;
      } else if (c == ']') {
        is_inside = false;
      } else if (c == '>' && !is_inside) {
        return;
      }
    }
  }

  const std::string_view text_;
  PmlScan scan_;
  size_t at_ = 0;
  int64_t tags_ = 0;
  bool has_root_ = false;
  std::vector<Tag> open_;  // elements that are not closed yet
};

}  // namespace

PmlScan ScanPml(std::string_view text) {
  if (text.size() > kMostPmlBytes) {
    throw Error(ErrorCode::kResource,
                "PML takes at most 64 MiB, not " + std::to_string(text.size() >> 20) + " MiB",
                "Keep long texts in files of their own: <module name=\"…\" src=\"file.txt\"/>.");
  }
  CheckCharacters(text);
  return Scanner(text).Scan();
}

void CheckReferences(std::string_view text, size_t begin, size_t end) {
  for (size_t at = begin; at < end; ++at) {
    if (text[at] == '&') ReferenceLength(text, at, end);
  }
}

}  // namespace promptdb
