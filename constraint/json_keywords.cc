#include "constraint/json_keywords.h"

namespace promptdb {

const std::map<std::string, JsonKeyword>& JsonKeywords() {
  static const std::map<std::string, JsonKeyword> keywords = {
      {"title", JsonKeyword::kAnnotation},
      {"description", JsonKeyword::kAnnotation},
      {"default", JsonKeyword::kAnnotation},
      {"example", JsonKeyword::kAnnotation},
      {"examples", JsonKeyword::kAnnotation},
      {"deprecated", JsonKeyword::kAnnotation},
      {"readOnly", JsonKeyword::kAnnotation},
      {"writeOnly", JsonKeyword::kAnnotation},
      {"$schema", JsonKeyword::kAnnotation},
      {"$comment", JsonKeyword::kAnnotation},
      {"$defs", JsonKeyword::kAnnotation},  // their schemas count where a $ref names them
      {"definitions", JsonKeyword::kAnnotation},
      {"type", JsonKeyword::kType},
      {"$ref", JsonKeyword::kWhole},
      {"enum", JsonKeyword::kWhole},
      {"const", JsonKeyword::kWhole},
      {"anyOf", JsonKeyword::kWhole},
      {"oneOf", JsonKeyword::kWhole},
      {"allOf", JsonKeyword::kWhole},
      {"properties", JsonKeyword::kObject},
      {"required", JsonKeyword::kObject},
      {"additionalProperties", JsonKeyword::kObject},
      {"items", JsonKeyword::kArray},
      {"prefixItems", JsonKeyword::kArray},
      {"minItems", JsonKeyword::kArray},
      {"maxItems", JsonKeyword::kArray},
      {"minLength", JsonKeyword::kString},
      {"maxLength", JsonKeyword::kString},
      {"pattern", JsonKeyword::kString},
      {"format", JsonKeyword::kString},
      {"minimum", JsonKeyword::kNumber},
      {"maximum", JsonKeyword::kNumber},
      {"exclusiveMinimum", JsonKeyword::kNumber},
      {"exclusiveMaximum", JsonKeyword::kNumber},
      {"nullable", JsonKeyword::kNullable},
  };
  return keywords;
}

std::string TypeOf(JsonKeyword keyword) {
  switch (keyword) {
    case JsonKeyword::kObject:
      return "object";
    case JsonKeyword::kArray:
      return "array";
    case JsonKeyword::kString:
      return "string";
    case JsonKeyword::kNumber:
      return "number";
    default:
      return "";
  }
}

}  // namespace promptdb
