#include "pml/pml_prompt_reader.h"

#include <algorithm>
#include <array>

#include "pml/pml_document.h"
#include "pml/pml_names.h"
#include "pml/pml_place.h"
#include "pml/pml_text.h"

namespace promptdb {

namespace {

ast::Role RoleOf(std::string_view element) {
  if (element == pml::kSystem) return ast::Role::kSystem;
  if (element == pml::kUser) return ast::Role::kUser;
  if (element == pml::kAssistant) return ast::Role::kAssistant;
  return ast::Role::kNone;
}

class PromptReader {
 public:
  explicit PromptReader(const ast::Text& pml) : pml_(pml) {}

  PmlPrompt Read() {
    const PmlDocument document = ReadPmlDocument(pml_.text);
    const PmlElement& root = document.root;
    if (root.name != pml::kPrompt) {
      throw Error(
          ErrorCode::kInvalidArgument, "a prompt in PML is a <prompt>, not a <" + root.name + ">",
          root.name == pml::kSchema ? "IMPORT SCHEMA reads a schema from a file." : "", root.range);
    }
    constexpr std::array<std::string_view, 2> kAllowed = {"schema", "xml:space"};
    root.AllowAttributes(kAllowed);
    const PmlAttribute& schema = root.Require("schema", "<prompt schema=\"travel\">");
    prompt_.schema = {schema.value, Place(schema.value_range)};
    const bool keeps_space = root.KeepsSpace(false);
    for (size_t i = 0; i < root.content.size(); ++i) {
      if (const auto* element = std::get_if<PmlElement>(&root.content[i])) {
        ReadElement(*element, keeps_space);
      } else {
        const bool is_last = i + 1 == root.content.size();
        ReadText(std::get<PmlCharacters>(root.content[i]), keeps_space, is_last);
      }
    }
    return std::move(prompt_);
  }

  SourceRange Place(SourceRange range) const { return InText(pml_, range); }

 private:
  static std::string Trimmed(const std::string& text, bool keeps_space) {
    return keeps_space ? text : std::string(StripEnds(text));
  }

  void ReadText(const PmlCharacters& characters, bool keeps_space, bool is_last) {
    if (IsBlank(characters.text)) return;
    ast::Text text{Trimmed(characters.text, keeps_space), Place(characters.range)};
    if (is_last) {
      prompt_.prompt = std::move(text);
      return;
    }
    ast::UseItem item;
    item.kind = ast::UseItem::Kind::kText;
    item.range = text.range;
    item.text = std::move(text);
    prompt_.use.push_back(std::move(item));
  }

  void ReadElement(const PmlElement& element, bool keeps_space) {
    if (RoleOf(element.name) != ast::Role::kNone) {
      ReadRole(element, element.KeepsSpace(keeps_space));
    } else {
      ReadModule(element, {});
    }
  }

  void ReadRole(const PmlElement& element, bool keeps_space) {
    constexpr std::array<std::string_view, 1> kAllowed = {"xml:space"};
    element.AllowAttributes(kAllowed);
    ast::UseItem item;
    item.kind = ast::UseItem::Kind::kRoleText;
    item.role = RoleOf(element.name);
    item.range = Place(element.range);
    item.text = ast::Text{"", item.range};
    for (const auto& content : element.content) {
      if (const auto* inside = std::get_if<PmlElement>(&content)) {
        throw Error(
            ErrorCode::kInvalidArgument,
            "<" + element.name + "> holds text only in a prompt, not <" + inside->name + ">",
            "Put the module before it, or the role into the schema.", inside->range);
      }
      const auto& characters = std::get<PmlCharacters>(content);
      item.text = ast::Text{Trimmed(characters.text, keeps_space), Place(characters.range)};
    }
    prompt_.use.push_back(std::move(item));
  }

  void ReadModule(const PmlElement& element, std::vector<ast::Name> path) {
    path.push_back({element.name, Place({element.range.begin + 1, element.range.end})});
    ast::UseItem item;
    item.range = path.back().range;
    item.path = path;
    for (const PmlAttribute& attribute : element.attributes) {
      if (attribute.name == "xmlns" || attribute.name.starts_with("xmlns:")) continue;
      item.arguments.push_back({{attribute.name, Place(attribute.name_range)},
                                {attribute.value, Place(attribute.value_range)}});
    }
    prompt_.use.push_back(std::move(item));
    for (const auto& content : element.content) {
      const auto* inside = std::get_if<PmlElement>(&content);
      if (inside == nullptr) {
        const auto& characters = std::get<PmlCharacters>(content);
        if (IsBlank(characters.text)) continue;
        throw Error(ErrorCode::kInvalidArgument,
                    "<" + element.name + "> is a module in use and holds modules only, no text",
                    "Put the text before or after it.", characters.range);
      }
      if (RoleOf(inside->name) != ast::Role::kNone) {
        throw Error(ErrorCode::kInvalidArgument,
                    "<" + inside->name + "> cannot stand in the module <" + element.name + ">",
                    "Put it before or after the module.", inside->range);
      }
      ReadModule(*inside, path);
    }
  }

  const ast::Text& pml_;
  PmlPrompt prompt_;
};

}  // namespace

PmlPrompt ReadPmlPrompt(const ast::Text& pml) {
  PromptReader reader(pml);
  try {
    return reader.Read();
  } catch (const Error& error) {
    if (!error.range()) throw error.At(pml.range);
    throw Error(error.code(), error.message(), error.hint(), reader.Place(*error.range()));
  }
}

}  // namespace promptdb
