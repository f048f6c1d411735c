#include "pml/pml_text.h"

#include "base/utf8.h"

namespace promptdb {

namespace {

bool IsSpace(char32_t code) {
  return (code >= 0x09 && code <= 0x0D) || (code >= 0x1C && code <= 0x20) || code == 0x85 ||
         code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 ||
         code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

// What is left between the white space at both ends: [begin, end), empty for a blank text.
struct Core {
  size_t begin = 0;
  size_t end = 0;
};

Core FindCore(std::string_view text) {
  Core core;
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = ReadUtf8(text, at);
    if (!IsSpace(step.code)) {
      if (core.end == 0) core.begin = at;
      core.end = at + step.size;
    }
    at += step.size;
  }
  return core;
}

}  // namespace

bool IsBlank(std::string_view text) { return FindCore(text).end == 0; }

std::string CollapseEnds(std::string_view text) {
  if (text.empty()) return "";
  const Core core = FindCore(text);
  if (core.end == 0) return " ";
  std::string out;
  out.reserve(core.end - core.begin + 2);
  if (core.begin > 0) out += ' ';
  out += text.substr(core.begin, core.end - core.begin);
  if (core.end < text.size()) out += ' ';
  return out;
}

std::string_view StripEnds(std::string_view text) {
  const Core core = FindCore(text);
  return text.substr(core.begin, core.end - core.begin);
}

std::string EscapeBraces(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (c == '{' || c == '}') out += c;
    out += c;
  }
  return out;
}

bool IsXmlCharacter(char32_t code) {
  return code == 0x09 || code == 0x0A || code == 0x0D || (code >= 0x20 && code <= 0xD7FF) ||
         (code >= 0xE000 && code <= 0xFFFD) || (code >= 0x10000 && code <= 0x10FFFF);
}

}  // namespace promptdb
