#include "pml/pml_writer.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/utf8.h"
#include "pml/pml_names.h"
#include "pml/pml_text.h"

namespace promptdb {

namespace {

using Kind = PartDefinition::Kind;

// Characters as XML text. A carriage return would be read as a line break.
void AppendText(std::string_view text, std::string& out) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = ReadUtf8(text, at);
    if (step.code == '&') {
      out += "&amp;";
    } else if (step.code == '<') {
      out += "&lt;";
    } else if (step.code == '>') {
      out += "&gt;";
    } else if (step.code == '\r') {
      out += "&#13;";
    } else if (step.valid && !IsXmlCharacter(step.code)) {
      out += '<';
      out += pml::kCharacter;
      out += " code=\"";
      for (int shift = 12; shift >= 0; shift -= 4) out += kDigits[(step.code >> shift) & 15];
      out += "\"/>";
    } else {
      out += text.substr(at, step.size);
    }
    at += step.size;
  }
}

void AppendAttribute(std::string_view name, std::string_view value, std::string& out) {
  out += ' ';
  out += name;
  out += "=\"";
  for (size_t at = 0; at < value.size();) {
    const Utf8Step step = ReadUtf8(value, at);
    if (!IsXmlCharacter(step.code)) {
      throw Error(ErrorCode::kUnsupported,
                  "PML cannot hold the control character in \"" + std::string(value) + "\"",
                  "XML attributes have none: change this name, default value or separator.");
    }
    switch (step.code) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\t':
      case '\n':
      case '\r':
        out += "&#" + std::to_string(static_cast<int>(step.code)) + ";";
        break;
      default:
        out += value.substr(at, step.size);
    }
    at += step.size;
  }
  out += '"';
}

// A text cut at its parameters' places; braces are single again.
struct Piece {
  std::string text;
  const ParameterDefinition* parameter = nullptr;
};

std::vector<Piece> CutTemplate(std::string_view text,
                               const std::vector<ParameterDefinition>& parameters) {
  if (parameters.empty()) return {{std::string(text), nullptr}};
  std::vector<Piece> pieces(1);
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c != '{' && c != '}') {
      pieces.back().text += c;
    } else if (at + 1 < text.size() && text[at + 1] == c) {
      pieces.back().text += c;
      ++at;
    } else {
      const size_t end = text.find('}', at);
      Check(c == '{' && end != std::string_view::npos, "a catalog's template is well-formed");
      const std::string_view name = text.substr(at + 1, end - at - 1);
      const auto parameter = std::find_if(parameters.begin(), parameters.end(),
                                          [&](const auto& one) { return one.name == name; });
      Check(parameter != parameters.end(), "a catalog's template names parameters only");
      pieces.push_back({"", &*parameter});
      pieces.emplace_back();
      at = end;
    }
  }
  std::erase_if(
      pieces, [](const Piece& piece) { return piece.parameter == nullptr && piece.text.empty(); });
  return pieces;
}

// Names of the parameters of a module in the order in which its texts have them.
void CollectPlaces(const PartDefinition& part, const std::vector<ParameterDefinition>& parameters,
                   std::vector<std::string_view>& names) {
  for (const Piece& piece : CutTemplate(part.text, parameters)) {
    if (piece.parameter != nullptr) names.push_back(piece.parameter->name);
  }
  for (const PartDefinition& child : part.children) {
    if (child.kind == Kind::kText || child.kind == Kind::kRole) {
      CollectPlaces(child, parameters, names);
    }
  }
}

// Whether the module lists its parameters in another order than its texts.
bool NeedsIndex(const PartDefinition& module) {
  std::vector<std::string_view> names;
  CollectPlaces(module, module.parameters, names);
  return !std::equal(names.begin(), names.end(), module.parameters.begin(), module.parameters.end(),
                     [](std::string_view name, const auto& one) { return name == one.name; });
}

bool IsRole(const PartDefinition* part) { return part != nullptr && part->kind == Kind::kRole; }

bool IsSpace(const PartDefinition& part) { return part.kind == Kind::kText && part.text == " "; }

bool HoldsSpace(const std::vector<PartDefinition>& parts) {
  return std::any_of(parts.begin(), parts.end(), [](const PartDefinition& part) {
    return IsSpace(part) || HoldsSpace(part.children);
  });
}

class PmlWriter {
 public:
  // In a schema that has texts of one space, as those of the prototype have between their tags,
  // line breaks and indents are such texts and stand only where one is. In all others they are
  // free, and the file says so.
  explicit PmlWriter(const SchemaDefinition& schema)
      : schema_(schema), keeps_blanks_(HoldsSpace(schema.parts)) {}

  std::string Write() {
    WriteParts(schema_.parts, {Kind::kModule, true}, "", 1);
    for (const ScaffoldDefinition& scaffold : schema_.scaffolds) WriteScaffold(scaffold);
    if (!schema_.scaffolds.empty()) Break(0);
    std::string head = "<schema";
    AppendAttribute("name", schema_.name, head);
    if (!schema_.separator.empty()) AppendAttribute(pml::kSeparator, schema_.separator, head);
    if (schema_.is_portable) AppendAttribute(pml::kPortable, "on", head);
    if (depends_on_ignored_) AppendAttribute(pml::kBlanks, "ignored", head);
    if ((head + body_).find("promptdb:") != std::string::npos) {
      AppendAttribute("xmlns:promptdb", pml::kNamespace, head);
    }
    return head + ">" + body_ + "</schema>\n";
  }

 private:
  using Parameters = std::vector<ParameterDefinition>;

  // What stands around a list of parts.
  struct Around {
    Kind kind = Kind::kModule;  // kModule for the schema as well
    bool is_schema = false;
    const Parameters* parameters = nullptr;  // of the module that texts belong to, or none
    bool needs_index = false;                // of its parameters
  };

  void Break(int depth) {
    body_ += '\n';
    body_.append(static_cast<size_t>(depth) * 2, ' ');
  }

  // ---- Lists of parts ----

  void WriteParts(const std::vector<PartDefinition>& parts, const Around& around,
                  const std::string& path, int depth) {
    const std::vector<bool> is_plain = FindPlainTexts(parts, around);
    for (size_t i = 0; i <= parts.size(); ++i) {
      const PartDefinition* before = i > 0 ? &parts[i - 1] : nullptr;
      const PartDefinition* after = i < parts.size() ? &parts[i] : nullptr;
      const bool beside_text = (i > 0 && is_plain[i - 1]) || (after != nullptr && is_plain[i]);
      if (!beside_text) MaybeBreak(before, after, around, depth);
      if (after == nullptr) {
        if (around.is_schema) ends_in_text_ = beside_text;
        break;
      }
      if (after->kind != Kind::kText) {
        WritePart(*after, around, path, depth);
      } else if (!is_plain[i]) {
        WriteOwnText(*after, around);
      } else if (IsSpace(*after)) {
        Break(i + 1 < parts.size() ? depth : depth - 1);
      } else {
        WritePieces(CutTemplate(after->text, ParametersOf(around)), around);
      }
    }
  }

  // A line break where white space is no text: beside a role or in a union; everywhere, if the file
  // says that it is ignored.
  void MaybeBreak(const PartDefinition* before, const PartDefinition* after, const Around& around,
                  int depth) {
    const bool at_edge = before == nullptr || after == nullptr;
    const bool is_free = around.kind == Kind::kUnion || IsRole(before) || IsRole(after) ||
                         (around.kind == Kind::kRole && at_edge);
    if (!is_free && keeps_blanks_) return;
    if (!is_free) depends_on_ignored_ = true;
    // The scaffolds, which follow the last part, break the line themselves.
    if (after == nullptr && around.is_schema && !schema_.scaffolds.empty()) return;
    Break(after != nullptr ? depth : depth - 1);
  }

  static const Parameters& ParametersOf(const Around& around) {
    static const Parameters kNone;
    return around.parameters != nullptr ? *around.parameters : kNone;
  }

  // Which of the parts are texts that can stand between tags as they are.
  std::vector<bool> FindPlainTexts(const std::vector<PartDefinition>& parts,
                                   const Around& around) const {
    std::vector<bool> is_plain(parts.size(), false);
    const bool are_all_texts = std::all_of(
        parts.begin(), parts.end(), [](const auto& part) { return part.kind == Kind::kText; });
    // A module of texts alone would be read as a module with a text.
    if (around.kind == Kind::kModule && !around.is_schema && are_all_texts) return is_plain;
    for (size_t i = 0; i < parts.size(); ++i) {
      if (parts[i].kind != Kind::kText || (i > 0 && is_plain[i - 1])) continue;
      const PartDefinition* before = i > 0 ? &parts[i - 1] : nullptr;
      const PartDefinition* after = i + 1 < parts.size() ? &parts[i + 1] : nullptr;
      // Two texts side by side would be read as one.
      if (after != nullptr && after->kind == Kind::kText) continue;
      const bool ends_before_scaffold =
          around.is_schema && after == nullptr && !schema_.scaffolds.empty();
      const bool beside_role =
          IsRole(before) || IsRole(after) || ends_before_scaffold ||
          (around.kind == Kind::kRole && (before == nullptr || after == nullptr));
      if (IsSpace(parts[i])) {
        is_plain[i] = !beside_role;
      } else if (parts[i].text.empty()) {
        is_plain[i] = around.kind == Kind::kRole && parts.size() == 1;
      } else {
        is_plain[i] = Survives(CutTemplate(parts[i].text, ParametersOf(around)));
      }
    }
    return is_plain;
  }

  // Whether reading changes none of the pieces.
  static bool Survives(const std::vector<Piece>& pieces) {
    return std::all_of(pieces.begin(), pieces.end(), [&](const Piece& piece) {
      const bool is_alone = pieces.size() == 1;
      return piece.parameter != nullptr ||
             (CollapseEnds(piece.text) == piece.text && !(is_alone && IsBlank(piece.text)));
    });
  }

  // ---- Parts ----

  void WritePart(const PartDefinition& part, const Around& around, const std::string& path,
                 int depth) {
    switch (part.kind) {
      case Kind::kText:
        break;
      case Kind::kModule:
        WriteModule(part, path.empty() ? part.name : path + "." + part.name, depth);
        break;
      case Kind::kUnion: {
        body_ += "<union";
        AppendAttribute("name", part.name, body_);
        if (const std::string member = DefaultMember(part, path); !member.empty()) {
          AppendAttribute("scaffold", member, body_);
        }
        body_ += '>';
        WriteParts(part.children, {Kind::kUnion}, path, depth + 1);
        body_ += "</union>";
        break;
      }
      case Kind::kRole: {
        const std::string name(ChatRoleName(part.role));
        body_ += "<" + name + ">";
        WriteParts(part.children, {Kind::kRole, false, around.parameters, around.needs_index}, path,
                   depth + 1);
        body_ += "</" + name + ">";
        break;
      }
    }
  }

  void WriteModule(const PartDefinition& module, const std::string& path, int depth) {
    body_ += "<module";
    AppendAttribute("name", module.name, body_);
    if (!module.source_file.empty()) AppendAttribute(pml::kFile, module.source_file, body_);
    const Around around{Kind::kModule, false, &module.parameters, NeedsIndex(module)};
    if (module.children.empty()) {
      const std::vector<Piece> pieces = CutTemplate(module.text, module.parameters);
      if (!Survives(pieces)) body_ += " xml:space=\"preserve\"";
      body_ += '>';
      WritePieces(pieces, around);
    } else {
      body_ += '>';
      WriteParts(module.children, around, path, depth + 1);
    }
    body_ += "</module>";
  }

  void WriteOwnText(const PartDefinition& text, const Around& around) {
    body_ += "<promptdb:text>";
    WritePieces(CutTemplate(text.text, ParametersOf(around)), around);
    body_ += "</promptdb:text>";
  }

  void WritePieces(const std::vector<Piece>& pieces, const Around& around) {
    for (const Piece& piece : pieces) {
      if (piece.parameter == nullptr) {
        AppendText(piece.text, body_);
        continue;
      }
      const ParameterDefinition& parameter = *piece.parameter;
      body_ += "<parameter";
      AppendAttribute("name", parameter.name, body_);
      AppendAttribute("length", std::to_string(parameter.tokens), body_);
      if (parameter.default_value) AppendAttribute("scaffold", *parameter.default_value, body_);
      if (around.needs_index) {
        const auto index = &parameter - around.parameters->data() + 1;
        AppendAttribute(pml::kIndex, std::to_string(index), body_);
      }
      body_ += "/>";
    }
  }

  // ---- Scaffolds ----

  // The member that stands for the union in the first scaffold that has one: what the prototype
  // reads. Ours reads the scaffolds themselves.
  std::string DefaultMember(const PartDefinition& part, const std::string& path) const {
    for (const ScaffoldDefinition& scaffold : schema_.scaffolds) {
      for (const PartDefinition& member : part.children) {
        const std::string whole = path.empty() ? member.name : path + "." + member.name;
        if (std::find(scaffold.members.begin(), scaffold.members.end(), whole) !=
            scaffold.members.end()) {
          return member.name;
        }
      }
    }
    return "";
  }

  void WriteScaffold(const ScaffoldDefinition& scaffold) {
    // Not at the end of a text, which would grow by the line break.
    if (&scaffold != &schema_.scaffolds.front() || !ends_in_text_) Break(1);
    body_ += "<promptdb:scaffold";
    AppendAttribute("name", scaffold.name, body_);
    body_ += '>';
    for (const std::string& member : scaffold.members) {
      Break(2);
      body_ += "<promptdb:member";
      AppendAttribute("path", member, body_);
      body_ += "/>";
    }
    Break(1);
    body_ += "</promptdb:scaffold>";
  }

  const SchemaDefinition& schema_;
  const bool keeps_blanks_;
  bool depends_on_ignored_ = false;
  bool ends_in_text_ = false;  // the schema's parts
  std::string body_;
};

}  // namespace

std::string WritePml(const SchemaDefinition& schema) { return PmlWriter(schema).Write(); }

}  // namespace promptdb
