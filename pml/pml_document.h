// PML as a tree: the XML parser's work with its places, checked and bounded.
//
// Plain values. All ranges are bytes of the text that was read. Thread-safe: a pure function.
#ifndef PROMPTDB_PML_PML_DOCUMENT_H_
#define PROMPTDB_PML_PML_DOCUMENT_H_

#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.h"

namespace promptdb {

struct PmlAttribute {
  std::string name;
  std::string value;
  SourceRange name_range;
  SourceRange value_range;  // between the quotes
};

// Characters between two tags, comments left out, CDATA and entities resolved.
struct PmlCharacters {
  std::string text;
  SourceRange range;
};

struct PmlElement {
  std::string name;
  SourceRange range;  // "<name"
  std::vector<PmlAttribute> attributes;
  std::vector<std::variant<PmlCharacters, PmlElement>> content;

  const PmlAttribute* Find(std::string_view attribute) const;
  // Throws Error(kInvalidArgument) if it is absent or empty.
  const PmlAttribute& Require(std::string_view attribute, std::string_view example) const;
  // Throws Error(kUnknownName), with the nearest name, for an attribute that is none of these and
  // declares no namespace.
  void AllowAttributes(std::span<const std::string_view> names) const;
  // What xml:space says, or `inherited`: whether white space is kept as it stands.
  bool KeepsSpace(bool inherited) const;
};

struct PmlDocument {
  PmlElement root;
  std::vector<SourceRange>
      strays;  // every < and & that was taken as text though XML wants it escaped
};

// Throws Error(kCorrupt, kUnsupported, kResource or kUnknownName) with the place in `text`: what
// ScanPml() throws, no well-formed XML, more than one element at the root, elements nested too
// deep, an attribute given twice. Neither entities nor files are ever expanded or opened.
PmlDocument ReadPmlDocument(std::string_view text);

}  // namespace promptdb

#endif  // PROMPTDB_PML_PML_DOCUMENT_H_
