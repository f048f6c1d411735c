#include "constraint/json_schema.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/nearest_name.h"
#include "constraint/json_keywords.h"
#include "constraint/json_numbers.h"
#include "constraint/json_pattern.h"
#include "constraint/json_schema_text.h"
#include "constraint/json_strings.h"

namespace promptdb {

namespace {

using Json = nlohmann::ordered_json;

// Nested one in the other, so bounded; nobody writes tuples of that length.
constexpr size_t kMostPrefixItems = 500;
// A grammar that excludes a name nests as deep as the name is long.
constexpr size_t kLongestName = 200;
constexpr int64_t kLargestCount = 1'000'000;

bool Contains(const std::vector<std::string>& texts, std::string_view text) {
  return std::find(texts.begin(), texts.end(), text) != texts.end();
}

Expression Comma() {
  return Expression::Sequence({Expression::Text(","), Expression::Optional(Expression::Text(" "))});
}

Expression Colon() {
  return Expression::Sequence({Expression::Text(":"), Expression::Optional(Expression::Text(" "))});
}

// A JSON text of exactly this value.
Expression JsonValue(const Json& value) {
  std::vector<Expression> parts;
  if (value.is_string()) return JsonText(value.get_ref<const std::string&>());
  if (!value.is_structured()) return Expression::Text(value.dump());
  parts.push_back(Expression::Text(value.is_object() ? "{" : "["));
  for (const auto& item : value.items()) {
    if (parts.size() > 1) parts.push_back(Comma());
    if (value.is_object()) {
      parts.push_back(JsonText(item.key()));
      parts.push_back(Colon());
    }
    parts.push_back(JsonValue(item.value()));
  }
  parts.push_back(Expression::Text(value.is_object() ? "}" : "]"));
  return Expression::Sequence(std::move(parts));
}

bool HasType(const Json& value, const std::string& type) {
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_boolean();
  if (type == "null") return value.is_null();
  if (type == "number") return value.is_number();
  if (value.is_number_float()) return std::nearbyint(value.get<double>()) == value.get<double>();
  return value.is_number_integer();
}

// As JSON writes it, so that a message stays one line.
std::string Quoted(const std::string& name) { return Json(name).dump(); }

std::string Printable(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, '?');
  return text;
}

// One step further in a JSON pointer (RFC 6901), for people.
std::string Below(const std::string& path, const std::string& key) {
  std::string escaped;
  for (const char c : Printable(key)) {
    escaped += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
  }
  return path + "/" + escaped;
}

class SchemaCompiler {
 public:
  explicit SchemaCompiler(const Json& root) : root_(root) {}

  Grammar Compile() {
    grammar_.root = RuleOf("#", root_);
    return std::move(grammar_);
  }

 private:
  [[noreturn]] static void Fail(const std::string& cause, const std::string& path,
                                const std::string& hint = "",
                                ErrorCode code = ErrorCode::kInvalidArgument) {
    throw Error(code, cause + " (at " + path + " of the JSON schema)", hint);
  }

  int RuleOf(const std::string& path, const Json& schema) {
    const auto known = rule_of_path_.find(path);
    if (known != rule_of_path_.end()) return known->second;
    const int rule = grammar_.AddRule(Printable(path), {});
    rule_of_path_.emplace(path, rule);
    Expression expression = CompileSchema(schema, Printable(path));
    grammar_.rules[static_cast<size_t>(rule)].expression = std::move(expression);
    return rule;
  }

  Expression CompileSchema(const Json& schema, const std::string& path) {
    if (schema.is_boolean()) {
      if (!schema.get<bool>()) Fail("no value fits the schema false", path);
      return Expression::Rule(AnyValue());
    }
    if (!schema.is_object()) Fail("a schema must be an object, true or false", path);
    CheckKeywords(schema, path);

    Expression expression;
    const auto whole = std::find_if(
        schema.items().begin(), schema.items().end(),
        [](const auto& item) { return JsonKeywords().at(item.key()) == JsonKeyword::kWhole; });
    if (whole != schema.items().end()) {
      expression = CompileWhole(whole.key(), schema, path);
    } else {
      const std::vector<std::string> types = TypesOf(schema, path);
      if (types.empty()) return Expression::Rule(AnyValue());
      std::vector<Expression> ways;
      for (const std::string& type : types) ways.push_back(CompileType(type, schema, path));
      expression = Expression::Alternatives(std::move(ways));
    }
    if (const auto nullable = schema.find("nullable"); nullable != schema.end()) {
      if (!nullable->is_boolean()) Fail("\"nullable\" must be true or false", path);
      if (nullable->get<bool>()) {
        expression = Expression::Alternatives({std::move(expression), Expression::Text("null")});
      }
    }
    return expression;
  }

  void CheckKeywords(const Json& schema, const std::string& path) {
    for (const auto& item : schema.items()) {
      if (JsonKeywords().contains(item.key())) continue;
      if (item.key() == "$id" && path == "#") continue;
      std::vector<std::string> known;
      known.reserve(JsonKeywords().size());
      for (const auto& [name, kind] : JsonKeywords()) known.push_back(name);
      const bool is_extension = item.key().starts_with("x-");
      Fail("the keyword " + Quoted(item.key()) + " is not supported", path,
           is_extension ? "Leave it out." : DidYouMean(item.key(), known), ErrorCode::kUnsupported);
    }
  }

  // ---- $ref, enum, const, anyOf, oneOf, allOf ---------------------------------------------------

  Expression CompileWhole(const std::string& keyword, const Json& schema, const std::string& path) {
    const bool lists_values = keyword == "enum" || keyword == "const";
    for (const auto& item : schema.items()) {
      const JsonKeyword kind = JsonKeywords().contains(item.key()) ? JsonKeywords().at(item.key())
                                                                   : JsonKeyword::kAnnotation;
      if (item.key() == keyword || kind == JsonKeyword::kAnnotation ||
          kind == JsonKeyword::kNullable || (lists_values && kind == JsonKeyword::kType)) {
        continue;
      }
      Fail(Quoted(item.key()) + " beside " + Quoted(keyword) + " is not supported", path,
           "Write what both say as one.", ErrorCode::kUnsupported);
    }
    const Json& value = schema.at(keyword);
    const std::string here = Below(path, keyword);
    if (keyword == "$ref") return Expression::Rule(ResolveReference(value, here));
    if (keyword == "const") return CompileValues(Json::array({value}), schema, path);
    if (!value.is_array() || value.empty()) {
      Fail(Quoted(keyword) + " must be an array with something in it", path);
    }
    if (keyword == "enum") return CompileValues(value, schema, path);
    if (keyword == "allOf" && value.size() > 1) {
      Fail("\"allOf\" of more than one schema is not supported", path,
           "Write what they say as one schema.", ErrorCode::kUnsupported);
    }
    std::vector<Expression> ways;
    for (size_t i = 0; i < value.size(); ++i) {
      ways.push_back(CompileSchema(value[i], Below(here, std::to_string(i))));
    }
    return Expression::Alternatives(std::move(ways));
  }

  Expression CompileValues(const Json& values, const Json& schema, const std::string& path) {
    const std::vector<std::string> types =
        schema.contains("type") ? TypesOf(schema, path) : std::vector<std::string>();
    std::vector<Expression> ways;
    for (const Json& value : values) {
      const bool fits = types.empty() ||
                        std::any_of(types.begin(), types.end(),
                                    [&](const std::string& type) { return HasType(value, type); });
      if (fits) ways.push_back(JsonValue(value));
    }
    if (ways.empty()) Fail("none of the values has the schema's type", path);
    return Expression::Alternatives(std::move(ways));
  }

  int ResolveReference(const Json& reference, const std::string& path) {
    if (!reference.is_string()) Fail("\"$ref\" must be a string", path);
    const std::string& target = reference.get_ref<const std::string&>();
    if (target == "#") return RuleOf("#", root_);
    if (!target.starts_with("#/")) {
      Fail("\"$ref\" must name a place in the schema itself, not " + Quoted(target), path,
           "Write a reference like \"#/$defs/name\".", ErrorCode::kUnsupported);
    }
    try {
      return RuleOf(target, root_.at(Json::json_pointer(target.substr(1))));
    } catch (const Json::exception&) {
      Fail("there is nothing at " + Quoted(target), path);
    }
  }

  // ---- Types ------------------------------------------------------------------------------------

  // The types that a value may have; empty: any. Keywords about one type imply it.
  std::vector<std::string> TypesOf(const Json& schema, const std::string& path) {
    static const std::vector<std::string> known = {"string", "number", "integer", "boolean",
                                                   "null",   "object", "array"};
    std::vector<std::string> types;
    const auto given = schema.find("type");
    if (given != schema.end()) {
      const Json list = given->is_array() ? *given : Json::array({*given});
      for (const Json& type : list) {
        if (!type.is_string()) Fail("\"type\" must be a name or a list of names", path);
        const std::string& name = type.get_ref<const std::string&>();
        if (!Contains(known, name)) {
          Fail("there is no type " + Quoted(name), path, DidYouMean(name, known));
        }
        if (!Contains(types, name)) types.push_back(name);
      }
      if (types.empty()) Fail("\"type\" must not be empty", path);
    }
    for (const auto& item : schema.items()) {
      if (!JsonKeywords().contains(item.key())) continue;  // $id
      const std::string type = TypeOf(JsonKeywords().at(item.key()));
      if (type.empty() || Contains(types, type)) continue;
      if (type == "number" && Contains(types, "integer")) continue;
      if (given != schema.end()) {
        Fail(Quoted(item.key()) + " says nothing about the type " + Quoted(types.front()), path,
             "Leave it out, or add the type " + Quoted(type) + ".");
      }
      types.push_back(type);
    }
    if (Contains(types, "number")) std::erase(types, "integer");
    return types;
  }

  Expression CompileType(const std::string& type, const Json& schema, const std::string& path) {
    if (type == "object") return CompileObject(schema, path);
    if (type == "array") return CompileArray(schema, path);
    if (type == "string") return CompileString(schema, path);
    if (type == "integer") return CompileInteger(schema, path);
    if (type == "number") {
      for (const auto& item : schema.items()) {
        if (!JsonKeywords().contains(item.key())) continue;
        if (JsonKeywords().at(item.key()) != JsonKeyword::kNumber) continue;
        Fail(Quoted(item.key()) + " is supported for integers alone", path,
             "Say \"type\": \"integer\", or leave the bound out.", ErrorCode::kUnsupported);
      }
      return JsonNumber();
    }
    if (type == "boolean") {
      return Expression::Alternatives({Expression::Text("true"), Expression::Text("false")});
    }
    return Expression::Text("null");
  }

  // The value of a keyword that counts something.
  std::optional<int> CountOf(const Json& schema, const char* keyword, const std::string& path) {
    const auto found = schema.find(keyword);
    if (found == schema.end()) return std::nullopt;
    if (!found->is_number_integer() || found->get<int64_t>() < 0 ||
        found->get<int64_t>() > kLargestCount) {
      Fail(Quoted(keyword) + " must be a whole number from 0 to " + std::to_string(kLargestCount) +
               ", not " + found->dump(),
           path);
    }
    return found->get<int>();
  }

  void CheckOrder(const char* least_name, int least, const char* most_name, std::optional<int> most,
                  const std::string& path) {
    if (most && *most < least) {
      Fail(Quoted(least_name) + " is above " + Quoted(most_name), path);
    }
  }

  Expression CompileString(const Json& schema, const std::string& path) {
    const int least = CountOf(schema, "minLength", path).value_or(0);
    const std::optional<int> most = CountOf(schema, "maxLength", path);
    CheckOrder("minLength", least, "maxLength", most, path);
    const bool has_length = schema.contains("minLength") || schema.contains("maxLength");
    for (const char* keyword : {"pattern", "format"}) {
      const auto found = schema.find(keyword);
      if (found == schema.end()) continue;
      if (!found->is_string()) Fail(Quoted(keyword) + " must be a string", path);
      if (has_length || (schema.contains("pattern") && schema.contains("format"))) {
        Fail(Quoted(keyword) + " is not supported beside another bound of the string", path,
             "Say it all in one pattern.", ErrorCode::kUnsupported);
      }
      const std::string& text = found->get_ref<const std::string&>();
      if (keyword == std::string_view("pattern")) return CompilePattern(text, path);
      std::optional<Expression> format = JsonTextOfFormat(text);
      if (!format) {
        Fail("the format " + Quoted(text) + " is not supported", path,
             "The formats are date, time, date-time and uuid; a pattern can say more.",
             ErrorCode::kUnsupported);
      }
      return std::move(*format);
    }
    return InQuotes(Expression::Repeat(Expression::Rule(AnyCharacter()), least,
                                       most.value_or(Expression::kUnbounded)));
  }

  Expression CompilePattern(const std::string& pattern, const std::string& path) {
    try {
      return InQuotes(ParseJsonPattern(pattern));
    } catch (const Error& error) {
      Fail(error.message(), path, error.hint(), error.code());
    }
  }

  // ---- Integers ---------------------------------------------------------------------------------

  // The integer that a bound comes to: the least one that is allowed, or the greatest.
  static int64_t IntegerBound(const Json& bound, bool is_least, bool is_exclusive) {
    constexpr int64_t kBeyond = kLargestJsonInteger + 1;
    int64_t integer = 0;
    bool is_whole = true;
    if (bound.is_number_unsigned()) {
      integer = static_cast<int64_t>(std::min<uint64_t>(bound.get<uint64_t>(), kBeyond));
    } else if (bound.is_number_integer()) {
      integer = std::clamp(bound.get<int64_t>(), -kBeyond, kBeyond);
    } else {
      const double real = std::clamp(bound.get<double>(), -static_cast<double>(kBeyond),
                                     static_cast<double>(kBeyond));
      const double rounded = is_least ? std::ceil(real) : std::floor(real);
      is_whole = rounded == real;
      integer = static_cast<int64_t>(rounded);
    }
    if (is_exclusive && is_whole) integer += is_least ? 1 : -1;
    return integer;
  }

  Expression CompileInteger(const Json& schema, const std::string& path) {
    int64_t least = -kLargestJsonInteger, most = kLargestJsonInteger;
    for (const auto& item : schema.items()) {
      if (!JsonKeywords().contains(item.key())) continue;
      if (JsonKeywords().at(item.key()) != JsonKeyword::kNumber) continue;
      if (!item.value().is_number()) Fail(Quoted(item.key()) + " must be a number", path);
      const bool is_exclusive = item.key().starts_with("exclusive");
      if (item.key() == "minimum" || item.key() == "exclusiveMinimum") {
        least = std::max(least, IntegerBound(item.value(), true, is_exclusive));
      } else {
        most = std::min(most, IntegerBound(item.value(), false, is_exclusive));
      }
    }
    if (least > most) {
      Fail("no integer of at most 18 digits is within the bounds", path);
    }
    return JsonInteger(least, most);
  }

  // ---- Objects ----------------------------------------------------------------------------------

  struct Member {
    std::string name;
    int rule = 0;  // "name": value
    bool is_required = false;
  };

  int AddMember(const std::string& name, const Json& schema, const std::string& path) {
    return grammar_.AddRule(
        path, Expression::Sequence({JsonText(name), Colon(), CompileSchema(schema, path)}));
  }

  Expression CompileObject(const Json& schema, const std::string& path) {
    static const Json kAnything = true;
    const auto properties = schema.find("properties");
    const auto required = schema.find("required");
    const auto additional = schema.find("additionalProperties");
    const Json* others = properties == schema.end() ? &kAnything : nullptr;
    if (additional != schema.end()) {
      others = *additional == false ? nullptr : &*additional;
    }

    std::set<std::string> required_names;
    if (required != schema.end()) {
      if (!required->is_array()) Fail("\"required\" must be an array of names", path);
      for (const Json& name : *required) {
        if (!name.is_string()) Fail("\"required\" must be an array of names", path);
        required_names.insert(name.get<std::string>());
      }
    }
    std::vector<Member> members;
    if (properties != schema.end()) {
      if (!properties->is_object()) Fail("\"properties\" must be an object", path);
      for (const auto& item : properties->items()) {
        const std::string here = Below(Below(path, "properties"), item.key());
        members.push_back({item.key(), AddMember(item.key(), item.value(), here),
                           required_names.erase(item.key()) > 0});
      }
    }
    // What is required without being declared comes after what is.
    for (const std::string& name : required_names) {
      if (additional != schema.end() && others == nullptr) {
        Fail("the required property " + Quoted(name) + " is not among the properties", path);
      }
      const Json& value = others == nullptr ? kAnything : *others;
      members.push_back({name, AddMember(name, value, Below(Below(path, "required"), name)), true});
    }
    Expression content = others == nullptr
                             ? MemberList(members, std::nullopt, path)
                             : MemberList(members, OtherMember(members, *others, path), path);
    return Expression::Sequence({Expression::Text("{"), std::move(content), Expression::Text("}")});
  }

  // A member whose name is none of those.
  int OtherMember(const std::vector<Member>& members, const Json& schema, const std::string& path) {
    std::vector<std::string> names;
    for (const Member& member : members) {
      if (member.name.size() > kLongestName) {
        Fail("the name of a property is longer than " + std::to_string(kLongestName) +
                 " bytes beside additional properties",
             path);
      }
      names.push_back(member.name);
    }
    const std::string here = Below(path, "additionalProperties");
    return grammar_.AddRule(here, Expression::Sequence({JsonTextOtherThan(names), Colon(),
                                                        CompileSchema(schema, here)}));
  }

  // The members in their order. Two rules for each place in it, one for when nothing has been
  // written yet and one for when a comma must come first, made from the last place to the first.
  Expression MemberList(const std::vector<Member>& members, std::optional<int> other,
                        const std::string& path) {
    const auto call = [](int rule) { return Expression::Rule(rule); };
    Expression at_first = Expression::Text(""), after_others = Expression::Text("");
    if (other) {
      after_others = Expression::Repeat(Expression::Sequence({Comma(), call(*other)}), 0,
                                        Expression::kUnbounded);
      at_first = Expression::Optional(Expression::Sequence({call(*other), after_others}));
    }
    for (size_t i = members.size(); i-- > 0;) {
      const Member& member = members[i];
      const Expression rest =
          call(grammar_.AddRule(path + " after " + Quoted(member.name), std::move(after_others)));
      Expression begin = Expression::Sequence({call(member.rule), rest});
      Expression next = Expression::Sequence({Comma(), call(member.rule)});
      if (!member.is_required) {
        const Expression without = call(grammar_.AddRule(path, std::move(at_first)));
        begin = Expression::Alternatives({std::move(begin), without});
        next = Expression::Optional(std::move(next));
      }
      at_first = std::move(begin);
      after_others = Expression::Sequence({std::move(next), rest});
    }
    return at_first;
  }

  // ---- Arrays -----------------------------------------------------------------------------------

  Expression CompileArray(const Json& schema, const std::string& path) {
    static const Json kAnything = true;
    const int least = CountOf(schema, "minItems", path).value_or(0);
    std::optional<int> most = CountOf(schema, "maxItems", path);
    CheckOrder("minItems", least, "maxItems", most, path);
    const auto items = schema.find("items");
    const auto prefix_items = schema.find("prefixItems");
    if (items != schema.end() && items->is_array()) {
      Fail("a list of schemas in \"items\" is not supported", path, "Write \"prefixItems\" for it.",
           ErrorCode::kUnsupported);
    }
    std::vector<Expression> prefix;
    if (prefix_items != schema.end()) {
      if (!prefix_items->is_array() || prefix_items->size() > kMostPrefixItems) {
        Fail("\"prefixItems\" must be an array of at most " + std::to_string(kMostPrefixItems) +
                 " schemas",
             path);
      }
      for (size_t i = 0; i < prefix_items->size(); ++i) {
        prefix.push_back(CompileSchema((*prefix_items)[i],
                                       Below(Below(path, "prefixItems"), std::to_string(i))));
      }
    }
    const Json* rest = prefix_items == schema.end() ? &kAnything : nullptr;
    if (items != schema.end()) rest = *items == false ? nullptr : &*items;
    const auto before = static_cast<int>(prefix.size());
    if (rest == nullptr) most = std::min(most.value_or(before), before);
    CheckOrder("minItems", least, "prefixItems", most, path);

    Expression content = Expression::Text("");
    if (rest != nullptr && (!most || *most > before)) {
      const std::string here = Below(path, "items");
      const Expression item = Expression::Rule(grammar_.AddRule(here, CompileSchema(*rest, here)));
      const auto following = [&](int least_items, int most_items) {
        return Expression::Repeat(Expression::Sequence({Comma(), item}), least_items, most_items);
      };
      const int most_rest = most ? *most - before : Expression::kUnbounded;
      if (before > 0) {
        content = following(std::max(least - before, 0), most_rest);
      } else {
        content = Expression::Sequence(
            {item, following(std::max(least - 1, 0), most ? most_rest - 1 : most_rest)});
        if (least == 0) content = Expression::Optional(std::move(content));
      }
    }
    for (int i = std::min(before, most.value_or(before)); i-- > 0;) {
      std::vector<Expression> parts;
      if (i > 0) parts.push_back(Comma());
      parts.push_back(std::move(prefix[static_cast<size_t>(i)]));
      parts.push_back(std::move(content));
      content = Expression::Sequence(std::move(parts));
      if (i >= least) content = Expression::Optional(std::move(content));
    }
    return Expression::Sequence({Expression::Text("["), std::move(content), Expression::Text("]")});
  }

  // ---- Anything ---------------------------------------------------------------------------------

  int AnyCharacter() {
    if (!any_character_) any_character_ = grammar_.AddRule("character", AnyJsonCharacter());
    return *any_character_;
  }

  int AnyValue() {
    if (any_value_) return *any_value_;
    const int value = grammar_.AddRule("value", {});
    any_value_ = value;
    const int text = grammar_.AddRule(
        "string",
        InQuotes(Expression::Repeat(Expression::Rule(AnyCharacter()), 0, Expression::kUnbounded)));
    const auto list = [](const char* open, const Expression& item, const char* close) {
      return Expression::Sequence(
          {Expression::Text(open),
           Expression::Optional(
               Expression::Sequence({item, Expression::Repeat(Expression::Sequence({Comma(), item}),
                                                              0, Expression::kUnbounded)})),
           Expression::Text(close)});
    };
    const int member = grammar_.AddRule(
        "member", Expression::Sequence({Expression::Rule(text), Colon(), Expression::Rule(value)}));
    grammar_.rules[static_cast<size_t>(value)].expression = Expression::Alternatives(
        {list("{", Expression::Rule(member), "}"), list("[", Expression::Rule(value), "]"),
         Expression::Rule(text), JsonNumber(), Expression::Text("true"), Expression::Text("false"),
         Expression::Text("null")});
    return value;
  }

  const Json& root_;
  Grammar grammar_;
  std::map<std::string, int> rule_of_path_;
  std::optional<int> any_value_;
  std::optional<int> any_character_;
};

}  // namespace

Grammar CompileJsonSchema(std::string_view text) {
  const Json root = ParseSchemaText(text);
  return SchemaCompiler(root).Compile();
}

}  // namespace promptdb
