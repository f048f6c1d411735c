#include "pml/pml_document.h"

#include <algorithm>
#include <pugixml.hpp>

#include "base/nearest_name.h"
#include "pml/pml_scan.h"

namespace promptdb {

namespace {

constexpr size_t kMostAttributes = 1000;  // of one element: they are compared with each other
constexpr std::string_view kXmlSpace = "\t\n\r ";

bool DeclaresNamespace(std::string_view attribute) {
  return attribute == "xmlns" || attribute.starts_with("xmlns:");
}

// The parser's text, with the two stand-ins made characters again.
std::string TextOf(const char* parsed) {
  std::string text(parsed);
  std::replace(text.begin(), text.end(), kPlainLess, '<');
  std::replace(text.begin(), text.end(), kPlainAmpersand, '&');
  return text;
}

class TreeBuilder {
 public:
  explicit TreeBuilder(std::string_view xml) : xml_(xml) {}

  PmlElement Build(pugi::xml_node node) const {
    PmlElement element;
    element.name = node.name();
    const auto begin = static_cast<size_t>(node.offset_debug());
    const size_t end = begin + element.name.size();
    element.range = {static_cast<int>(begin) - 1, static_cast<int>(end)};
    AddAttributes(node, end, element);
    for (const pugi::xml_node child : node) {
      if (child.type() == pugi::node_element) {
        element.content.emplace_back(Build(child));
      } else {
        AddCharacters(child, element);
      }
    }
    return element;
  }

 private:
  // The parser keeps no places of attributes. It has made sure of their form, though.
  void AddAttributes(pugi::xml_node node, size_t at, PmlElement& element) const {
    for (const pugi::xml_attribute parsed : node.attributes()) {
      PmlAttribute& attribute = element.attributes.emplace_back();
      attribute.name = parsed.name();
      attribute.value = TextOf(parsed.value());
      const size_t name = xml_.find_first_not_of(kXmlSpace, at);
      const size_t quote = xml_.find_first_of("'\"", name);
      const size_t closing = xml_.find(xml_[quote], quote + 1);
      attribute.name_range = {static_cast<int>(name),
                              static_cast<int>(name + attribute.name.size())};
      attribute.value_range = {static_cast<int>(quote) + 1, static_cast<int>(closing)};
      if (element.attributes.size() > kMostAttributes) {
        throw Error(ErrorCode::kResource,
                    "<" + element.name + "> has more than " + std::to_string(kMostAttributes) +
                        " attributes",
                    "", attribute.name_range);
      }
      CheckReferences(xml_, quote + 1, closing);
      at = closing + 1;
      if (element.Find(attribute.name) != &attribute) {
        throw Error(ErrorCode::kDuplicateName,
                    "<" + element.name + "> has the attribute \"" + attribute.name + "\" twice", "",
                    attribute.name_range);
      }
    }
  }

  // Characters that only a comment or a CDATA section's border parts are one text.
  static void AddCharacters(pugi::xml_node node, PmlElement& element) {
    const auto begin = static_cast<int>(node.offset_debug());
    std::string text = TextOf(node.value());
    const int end = begin + static_cast<int>(text.size());
    if (!element.content.empty()) {
      if (auto* before = std::get_if<PmlCharacters>(&element.content.back())) {
        before->text += text;
        before->range.end = end;
        return;
      }
    }
    element.content.emplace_back(PmlCharacters{std::move(text), {begin, end}});
  }

  const std::string_view xml_;
};

std::string_view Complaint(pugi::xml_parse_status status) {
  switch (status) {
    case pugi::status_bad_attribute:
      return "an attribute is written name=\"value\"";
    case pugi::status_bad_comment:
      return "a comment is not closed with -->";
    case pugi::status_bad_cdata:
      return "a CDATA section is not closed with ]]>";
    case pugi::status_bad_pi:
      return "a <? is not closed with ?>";
    case pugi::status_bad_start_element:
    case pugi::status_bad_end_element:
      return "a tag is not written as XML has it";
    case pugi::status_no_document_element:
      return "the text has no element";
    default:
      return "this is not XML";
  }
}

}  // namespace

const PmlAttribute* PmlElement::Find(std::string_view attribute) const {
  const auto found = std::find_if(attributes.begin(), attributes.end(),
                                  [&](const auto& other) { return other.name == attribute; });
  return found == attributes.end() ? nullptr : &*found;
}

const PmlAttribute& PmlElement::Require(std::string_view attribute,
                                        std::string_view example) const {
  const PmlAttribute* found = Find(attribute);
  if (found == nullptr || found->value.empty()) {
    throw Error(ErrorCode::kInvalidArgument, "<" + name + "> has no " + std::string(attribute),
                "Write " + std::string(example) + ".",
                found != nullptr ? found->name_range : range);
  }
  return *found;
}

void PmlElement::AllowAttributes(std::span<const std::string_view> names) const {
  for (const PmlAttribute& attribute : attributes) {
    if (DeclaresNamespace(attribute.name)) continue;
    if (std::find(names.begin(), names.end(), attribute.name) != names.end()) continue;
    throw Error(ErrorCode::kUnknownName,
                "<" + name + "> has no attribute \"" + attribute.name + "\"",
                DidYouMean(attribute.name, std::vector<std::string>(names.begin(), names.end())),
                attribute.name_range);
  }
}

bool PmlElement::KeepsSpace(bool inherited) const {
  const PmlAttribute* space = Find("xml:space");
  if (space == nullptr) return inherited;
  if (space->value == "preserve") return true;
  if (space->value == "default") return false;
  throw Error(ErrorCode::kInvalidArgument,
              "xml:space is \"preserve\" or \"default\", not \"" + space->value + "\"", "",
              space->value_range);
}

PmlDocument ReadPmlDocument(std::string_view text) {
  PmlScan scan = ScanPml(text);
  pugi::xml_document parsed;
  const pugi::xml_parse_result result =
      parsed.load_buffer(scan.xml.data(), scan.xml.size(),
                         pugi::parse_default | pugi::parse_ws_pcdata, pugi::encoding_utf8);
  if (result.status == pugi::status_out_of_memory) throw std::bad_alloc();
  if (!result) {
    const auto at = static_cast<int>(std::min(static_cast<size_t>(result.offset), text.size()));
    throw Error(ErrorCode::kCorrupt, std::string(Complaint(result.status)), "",
                SourceRange{at, at});
  }
  return {TreeBuilder(scan.xml).Build(parsed.document_element()), std::move(scan.strays)};
}

}  // namespace promptdb
