// A schema in PML, the markup of the prototype of "Prompt Cache" (Gim et al., MLSys 2024), as the
// syntax tree that CREATE SCHEMA has: all checks of names and values are the schema binder's.
//
// Thread-safe: a pure function, but for the files that src attributes name.
#ifndef PROMPTDB_PML_PML_SCHEMA_READER_H_
#define PROMPTDB_PML_PML_SCHEMA_READER_H_

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "parser/ast.h"

namespace promptdb {

struct PmlSchema {
  // The name is the file's, or empty where it has none; the model's is empty. All ranges are bytes
  // of the PML. A module with `src` has a file and its text, read already.
  ast::CreateSchema statement;
  std::vector<std::string> notices;  // what the reader forgave or has no meaning here
};

// `folder`: where relative src paths begin. Throws Error with the place in `text`: everything that
// ReadPmlDocument() throws, an element or attribute that PML doesn't have or that stands in the
// wrong place, a name or length that is missing or no number, a src file that can't be read.
PmlSchema ReadPmlSchema(std::string_view text, const std::filesystem::path& folder);

}  // namespace promptdb

#endif  // PROMPTDB_PML_PML_SCHEMA_READER_H_
