#include "shell/display_text.h"

#include <utf8proc.h>

#include <cstdio>

namespace promptdb {

namespace {

// Calls visit(code point or -1 for an invalid byte, its bytes) for every character of `text`.
template <typename Visit>
void ForEachCharacter(std::string_view text, Visit visit) {
  size_t at = 0;
  while (at < text.size()) {
    const unsigned char first = static_cast<unsigned char>(text[at]);
    if (first < 0x80) {
      if (!visit(static_cast<utf8proc_int32_t>(first), text.substr(at, 1))) return;
      ++at;
      continue;
    }
    utf8proc_int32_t code = -1;
    const utf8proc_ssize_t used =
        utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data() + at),
                         static_cast<utf8proc_ssize_t>(text.size() - at), &code);
    const size_t length = used > 0 ? static_cast<size_t>(used) : 1;
    if (!visit(used > 0 ? code : -1, text.substr(at, length))) return;
    at += length;
  }
}

// Embeddings, overrides and isolates: they reorder what stands around them on the screen.
bool IsDirectionOverride(utf8proc_int32_t code) {
  return (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

void AppendEscaped(std::string& out, utf8proc_int32_t code, std::string_view bytes) {
  char escape[16];
  if (code < 0) {
    std::snprintf(escape, sizeof escape, "\\x%02x", static_cast<unsigned char>(bytes[0]));
  } else if (code < 0x20 || code == 0x7f) {
    std::snprintf(escape, sizeof escape, "\\x%02x", static_cast<unsigned>(code));
  } else if ((code >= 0x80 && code < 0xa0) || IsDirectionOverride(code)) {
    std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(code));
  } else {
    out += bytes;
    return;
  }
  out += escape;
}

size_t CharacterWidth(utf8proc_int32_t code) {
  const int width = utf8proc_charwidth(code);
  return width > 0 ? static_cast<size_t>(width) : 0;
}

}  // namespace

size_t DisplayWidth(std::string_view text) {
  size_t width = 0;
  ForEachCharacter(text, [&](utf8proc_int32_t code, std::string_view) {
    width += code < 0 ? 1 : CharacterWidth(code);
    return true;
  });
  return width;
}

std::string EscapeControls(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  ForEachCharacter(text, [&](utf8proc_int32_t code, std::string_view bytes) {
    if (code == '\n' || code == '\t') {
      out += static_cast<char>(code);
    } else {
      AppendEscaped(out, code, bytes);
    }
    return true;
  });
  return out;
}

std::vector<std::string> CellLines(std::string_view text) {
  std::vector<std::string> lines(1);
  ForEachCharacter(text, [&](utf8proc_int32_t code, std::string_view bytes) {
    if (code == '\n') {
      lines.emplace_back();
    } else if (code == '\t') {
      lines.back().append(8 - DisplayWidth(lines.back()) % 8, ' ');
    } else {
      AppendEscaped(lines.back(), code, bytes);
    }
    return true;
  });
  return lines;
}

std::string CutToWidth(std::string_view text, size_t width) {
  if (DisplayWidth(text) <= width) return std::string(text);
  std::string out;
  if (width == 0) return out;
  size_t used = 0;
  ForEachCharacter(text, [&](utf8proc_int32_t code, std::string_view bytes) {
    const size_t next = code < 0 ? 1 : CharacterWidth(code);
    if (used + next > width - 1) return false;
    used += next;
    out += bytes;
    return true;
  });
  return out + "…";
}

}  // namespace promptdb
