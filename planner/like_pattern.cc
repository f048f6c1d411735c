#include "planner/like_pattern.h"

#include "base/error.h"
#include "base/utf8.h"

namespace promptdb {

LikePattern::LikePattern(std::string_view pattern) {
  for (size_t at = 0; at < pattern.size();) {
    Element element;
    if (pattern[at] == '%' || pattern[at] == '_') {
      element.kind = pattern[at] == '%' ? Element::Kind::kAny : Element::Kind::kOne;
      ++at;
    } else {
      if (pattern[at] == '\\' && ++at == pattern.size()) {
        throw Error(ErrorCode::kInvalidArgument, "a LIKE pattern can't end in a single backslash",
                    "Write \\\\ for a backslash.");
      }
      const size_t size = ReadUtf8(pattern, at).size;
      element.bytes = pattern.substr(at, size);
      at += size;
    }
    elements_.push_back(std::move(element));
  }
}

bool LikePattern::Matches(std::string_view text) const {
  // Only the last % ever has to take back what it left: what an earlier one could give up, the last
  // one can take.
  constexpr size_t kNone = static_cast<size_t>(-1);
  size_t after_any = kNone;  // the element after the last % met
  size_t any_end = 0;        // where that % ends in the text, so far
  size_t at = 0;
  size_t element = 0;
  while (at < text.size()) {
    const size_t size = ReadUtf8(text, at).size;
    if (element < elements_.size()) {
      const Element& wanted = elements_[element];
      if (wanted.kind == Element::Kind::kAny) {
        after_any = ++element;
        any_end = at;
        continue;
      }
      if (wanted.kind == Element::Kind::kOne || wanted.bytes == text.substr(at, size)) {
        ++element;
        at += size;
        continue;
      }
    }
    if (after_any == kNone) return false;
    any_end += ReadUtf8(text, any_end).size;
    at = any_end;
    element = after_any;
  }
  while (element < elements_.size() && elements_[element].kind == Element::Kind::kAny) ++element;
  return element == elements_.size();
}

}  // namespace promptdb
