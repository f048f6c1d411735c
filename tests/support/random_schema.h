// Random JSON schemas out of all keywords that constraints know.
#ifndef PROMPTDB_TESTS_SUPPORT_RANDOM_SCHEMA_H_
#define PROMPTDB_TESTS_SUPPORT_RANDOM_SCHEMA_H_

#include <nlohmann/json.hpp>
#include <random>
#include <string>

namespace promptdb {

class RandomSchema {
 public:
  using Json = nlohmann::ordered_json;

  explicit RandomSchema(std::mt19937& random) : random_(random) {}

  Json Make() {
    // A list and a tree, so that references are recursive.
    Json root = OneIn(2) ? MakeObject(0) : MakeSchema(0);
    if (!root.is_object()) root = Json{{"anyOf", Json::array({root})}};
    root["$defs"] = {
        {"list",
         {{"type", "object"},
          {"properties", {{"value", MakeSchema(3)}, {"next", {{"$ref", "#/$defs/list"}}}}},
          {"required", {"value"}}}},
        {"tree",
         {{"anyOf",
           {{{"type", "integer"}}, {{"type", "array"}, {"items", {{"$ref", "#/$defs/tree"}}}}}}}}};
    return root;
  }

 private:
  int Below(int n) { return std::uniform_int_distribution<int>(0, n - 1)(random_); }
  bool OneIn(int n) { return Below(n) == 0; }

  Json MakeSchema(int depth) {
    Json schema = MakeBareSchema(depth);
    if (!schema.is_object()) return schema;
    if (OneIn(6)) schema["description"] = "whatever";
    if (OneIn(12)) schema["nullable"] = OneIn(2);
    return schema;
  }

  Json MakeBareSchema(int depth) {
    switch (Below(depth >= 3 ? 8 : 13)) {
      case 0:
        return MakeInteger();
      case 1:
        return {{"type", "number"}};
      case 2:
      case 3:
        return MakeString();
      case 4:
        return {{"type", OneIn(2) ? "boolean" : "null"}};
      case 5:
        return {
            {"enum", {"red", "gr\"een", 3, -1.5, nullptr, {{"a", 1}, {"b", {1, 2}}}, "bl\u00fce"}}};
      case 6:
        return {{"const", OneIn(2) ? Json("fixed\n") : Json(42)}};
      case 7:
        return {{"type", {"integer", "string", "null"}}, {"minimum", 0}, {"maxLength", 3}};
      case 8:
      case 9:
        return MakeObject(depth);
      case 10:
        return MakeArray(depth);
      case 11: {
        if (OneIn(2)) return {{"$ref", OneIn(2) ? "#/$defs/list" : "#/$defs/tree"}};
        if (OneIn(3)) return OneIn(2) ? Json(true) : Json(Json::object());
        Json ways = Json::array();
        for (int i = 1 + Below(3); i > 0; --i) ways.push_back(MakeSchema(depth + 1));
        return {{OneIn(2) ? "anyOf" : "oneOf", ways}};
      }
      default:
        return {{"allOf", Json::array({MakeSchema(depth + 1)})}};
    }
  }

  Json MakeInteger() {
    Json schema = {{"type", "integer"}};
    const int64_t scale = OneIn(3) ? 1'000'000'000'000 : OneIn(2) ? 5000 : 12;
    const auto bound = [&] {
      return std::uniform_int_distribution<int64_t>(-scale, scale)(random_);
    };
    int64_t least = bound(), most = bound();
    if (most < least + 2) most = least + 2 + Below(20);
    if (OneIn(2)) schema[OneIn(3) ? "exclusiveMinimum" : "minimum"] = least;
    if (OneIn(2)) schema[OneIn(3) ? "exclusiveMaximum" : "maximum"] = most;
    if (OneIn(8)) schema["maximum"] = static_cast<double>(most) + 0.5;
    return schema;
  }

  Json MakeString() {
    Json schema = {{"type", "string"}};
    switch (Below(4)) {
      case 0: {
        const int least = Below(4);
        if (OneIn(2)) schema["minLength"] = least;
        schema["maxLength"] = least + Below(8);
        break;
      }
      case 1: {
        constexpr const char* kPatterns[] = {
            "^[A-Z]{2}-\\d{3,5}$", "^(a|bc)+\\.?$", "[0-9]$",
            "^\"\\\\[^a-z]?",      "^x*$|^yy",      "^\\w+@\\S+?$"};
        schema["pattern"] = kPatterns[Below(6)];
        break;
      }
      case 2: {
        constexpr const char* kFormats[] = {"date", "time", "date-time", "uuid"};
        schema["format"] = kFormats[Below(4)];
        break;
      }
      default:
        break;
    }
    return schema;
  }

  Json MakeObject(int depth) {
    constexpr const char* kNames[] = {"id",     "identity",      "i",  "name",
                                      "na\"me", "\u00e9t\u00e9", "x y"};
    Json schema = {{"type", "object"}};
    Json required = Json::array();
    if (!OneIn(5)) {
      schema["properties"] = Json::object();
      for (const char* name : kNames) {
        if (!OneIn(3)) continue;
        schema["properties"][name] = MakeSchema(depth + 1);
        if (OneIn(2)) required.push_back(name);
      }
    }
    if (OneIn(3)) {
      schema["additionalProperties"] = OneIn(2) ? Json(OneIn(2)) : MakeSchema(depth + 1);
    }
    if (OneIn(6) && schema.value("additionalProperties", Json(true)) != false) {
      required.push_back("needed");
    }
    if (!required.empty()) schema["required"] = required;
    return schema;
  }

  Json MakeArray(int depth) {
    Json schema = {{"type", "array"}};
    int before = 0;
    if (OneIn(3)) {
      before = 1 + Below(3);
      schema["prefixItems"] = Json::array();
      for (int i = 0; i < before; ++i) schema["prefixItems"].push_back(MakeSchema(depth + 1));
    }
    bool is_open = before == 0;
    if (OneIn(2)) {
      schema["items"] = MakeSchema(depth + 1);
      is_open = true;
    }
    const int least = is_open ? Below(5) : Below(before + 1);
    if (OneIn(2)) schema["minItems"] = least;
    if (OneIn(2)) schema["maxItems"] = least + Below(4);
    return schema;
  }

  std::mt19937& random_;
};

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_SUPPORT_RANDOM_SCHEMA_H_
