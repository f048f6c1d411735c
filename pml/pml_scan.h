// A first look over PML's bytes, before the XML parser has them: what the parser would let through
// or would need too much memory for, and where people's files are no XML but clear all the same.
//
// Thread-safe: pure functions.
#ifndef PROMPTDB_PML_PML_SCAN_H_
#define PROMPTDB_PML_PML_SCAN_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace promptdb {

inline constexpr size_t kMostPmlBytes = size_t{64} << 20;
inline constexpr int kMostPmlDepth = 100;
inline constexpr int64_t kMostPmlTags = 1'000'000;  // and attributes

// Stand for a < and an & that begin no markup ("if a < b", "AT&T"), which the prototype's parser
// forgives. No XML text has these characters.
inline constexpr char kPlainLess = '\x01';
inline constexpr char kPlainAmpersand = '\x02';

struct PmlScan {
  std::string xml;                  // the text with those two in it; every offset is as it was
  std::vector<SourceRange> strays;  // where they stand
};

// Throws Error, with the place in `text`: longer than 64 MiB, no UTF-8 or declared as something
// else, a character that XML doesn't have, an entity that PML doesn't have, a DOCTYPE that declares
// entities, too many tags or too deeply nested ones, tags that don't match, text outside the root.
PmlScan ScanPml(std::string_view text);

// Throws Error for the references (&amp;, &#10;, …) between `begin` and `end` that stand for no
// character.
void CheckReferences(std::string_view text, size_t begin, size_t end);

}  // namespace promptdb

#endif  // PROMPTDB_PML_PML_SCAN_H_
