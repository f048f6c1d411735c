// The keywords of JSON Schema that we know, and what each is about.
//
// Thread-safe: constants.
#ifndef PROMPTDB_CONSTRAINT_JSON_KEYWORDS_H_
#define PROMPTDB_CONSTRAINT_JSON_KEYWORDS_H_

#include <map>
#include <string>

namespace promptdb {

enum class JsonKeyword {
  kAnnotation,  // says nothing about which values fit
  kType,
  kWhole,  // says by itself which values fit
  kObject,
  kArray,
  kString,
  kNumber,
  kNullable,
};

const std::map<std::string, JsonKeyword>& JsonKeywords();

// The type that a keyword is about, or "".
std::string TypeOf(JsonKeyword keyword);

}  // namespace promptdb

#endif  // PROMPTDB_CONSTRAINT_JSON_KEYWORDS_H_
