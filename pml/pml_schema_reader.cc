#include "pml/pml_schema_reader.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <set>

#include "base/mapped_file.h"
#include "base/nearest_name.h"
#include "base/text_place.h"
#include "base/utf8.h"
#include "pml/pml_document.h"
#include "pml/pml_names.h"
#include "pml/pml_place.h"
#include "pml/pml_scan.h"
#include "pml/pml_text.h"

namespace promptdb {

namespace {

using Content = std::variant<PmlCharacters, PmlElement>;
using ContentIterator = std::vector<Content>::const_iterator;

constexpr size_t kMostParameters = 1000;              // of one module
constexpr size_t kMostFileBytes = size_t{256} << 20;  // of all src files together

ast::Role RoleOf(std::string_view element) {
  if (element == pml::kSystem) return ast::Role::kSystem;
  if (element == pml::kUser) return ast::Role::kUser;
  if (element == pml::kAssistant) return ast::Role::kAssistant;
  return ast::Role::kNone;
}

const PmlElement* ElementOf(const Content& content) { return std::get_if<PmlElement>(&content); }

// Elements that are part of a sentence: they end no text.
bool IsInline(const PmlElement& element) {
  return element.name == pml::kParameter || element.name == pml::kCharacter;
}

bool HoldsOnlyText(const PmlElement& element) {
  return std::all_of(element.content.begin(), element.content.end(), [](const Content& content) {
    const PmlElement* inside = ElementOf(content);
    return inside == nullptr || IsInline(*inside);
  });
}

// White space beside such a tag is no text: what stands there is for the chat template to say.
bool IsRoleOrScaffold(const PmlElement& element) {
  return RoleOf(element.name) != ast::Role::kNone || element.name == pml::kScaffold;
}

// A module, or the schema: who owns parameters.
struct Scope {
  bool is_module = false;
  bool has_parameters = false;  // so that braces in its texts are doubled
  std::vector<std::pair<int64_t, ast::Parameter>> parameters;  // by place in the list
};

bool HasParameters(const PmlElement& element) {
  return std::any_of(element.content.begin(), element.content.end(), [](const Content& content) {
    const PmlElement* inside = ElementOf(content);
    if (inside == nullptr) return false;
    if (inside->name == pml::kParameter) return true;
    const bool is_own = RoleOf(inside->name) != ast::Role::kNone || inside->name == pml::kText;
    return is_own && HasParameters(*inside);
  });
}

int64_t WholeNumber(const PmlAttribute& attribute) {
  int64_t number = 0;
  const std::string& text = attribute.value;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || stop != text.data() + text.size()) {
    throw Error(ErrorCode::kInvalidArgument,
                attribute.name + " is a whole number of tokens, not \"" + text + "\"", "",
                attribute.value_range);
  }
  return number;
}

ast::Name NameOf(const PmlAttribute& attribute) { return {attribute.value, attribute.value_range}; }

class SchemaReader {
 public:
  SchemaReader(std::string_view text, const std::filesystem::path& folder)
      : text_(text), folder_(folder) {}

  PmlSchema Read() {
    const PmlDocument document = ReadPmlDocument(text_);
    const PmlElement& root = document.root;
    if (root.name != pml::kSchema) {
      throw Error(
          ErrorCode::kInvalidArgument, "a schema in PML is a <schema>, not a <" + root.name + ">",
          root.name == pml::kPrompt ? "A prompt runs with SELECT GENERATE FROM PML '…'." : "",
          root.range);
    }
    constexpr std::array<std::string_view, 5> kAllowed = {"name", pml::kSeparator, pml::kPortable,
                                                          pml::kBlanks, "xml:space"};
    root.AllowAttributes(kAllowed);
    ast::CreateSchema& schema = result_.statement;
    if (const PmlAttribute* name = root.Find("name")) schema.name = NameOf(*name);
    if (const PmlAttribute* separator = root.Find(pml::kSeparator)) {
      schema.options.push_back({{"separator", separator->name_range},
                                {separator->value, false, separator->value_range}});
    }
    if (const PmlAttribute* portable = root.Find(pml::kPortable)) {
      schema.options.push_back(
          {{"portable", portable->name_range}, {portable->value, false, portable->value_range}});
    }
    if (const PmlAttribute* blanks = root.Find(pml::kBlanks)) {
      if (blanks->value != "ignored" && blanks->value != "kept") {
        throw Error(ErrorCode::kInvalidArgument,
                    std::string(pml::kBlanks) + " is \"ignored\" or \"kept\", not \"" +
                        blanks->value + "\"",
                    "", blanks->value_range);
      }
      ignores_blanks_ = blanks->value == "ignored";
    }
    Scope scope;
    schema.parts = ReadParts(root, scope, root.KeepsSpace(false));
    NameUnions(schema.parts);
    if (schema.scaffolds.empty()) AddDefaultScaffold(schema);
    TellNotices(document.strays);
    return std::move(result_);
  }

 private:
  // ---- Texts ----

  // Characters and parameters from `at` on, up to `end`: one text.
  struct Run {
    ast::Text text;
    bool is_blank = true;  // white space only, no parameter
  };

  Run ReadRun(ContentIterator at, ContentIterator end, Scope& scope, bool keeps_space) {
    Run run;
    std::string piece;  // between two parameters
    const auto end_piece = [&] {
      if (!IsBlank(piece)) run.is_blank = false;
      if (!keeps_space) piece = CollapseEnds(piece);
      run.text.text += scope.has_parameters ? EscapeBraces(piece) : piece;
      piece.clear();
    };
    for (bool is_first = true; at != end; ++at, is_first = false) {
      const PmlElement* element = ElementOf(*at);
      const SourceRange range =
          element != nullptr ? element->range : std::get<PmlCharacters>(*at).range;
      if (is_first) run.text.range.begin = range.begin;
      run.text.range.end = range.end;
      if (element == nullptr) {
        piece += std::get<PmlCharacters>(*at).text;
      } else if (element->name == pml::kCharacter) {
        AppendUtf8(ReadCharacter(*element), piece);
      } else {
        end_piece();
        run.is_blank = false;
        run.text.text += "{" + ReadParameter(*element, scope) + "}";
      }
    }
    end_piece();
    return run;
  }

  static char32_t ReadCharacter(const PmlElement& element) {
    constexpr std::array<std::string_view, 1> kAllowed = {"code"};
    element.AllowAttributes(kAllowed);
    const PmlAttribute& code = element.Require("code", "<promptdb:character code=\"001F\"/>");
    uint32_t number = 0;
    const std::string& digits = code.value;
    const auto [stop, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), number, 16);
    const bool is_surrogate = number >= 0xD800 && number <= 0xDFFF;
    if (error != std::errc() || stop != digits.data() + digits.size() || number > 0x10FFFF ||
        is_surrogate) {
      throw Error(ErrorCode::kInvalidArgument,
                  "code is a character's hexadecimal number, not \"" + digits + "\"", "",
                  code.value_range);
    }
    return number;
  }

  // Adds it to the scope, and returns its name.
  static std::string ReadParameter(const PmlElement& element, Scope& scope) {
    if (!scope.is_module) {
      throw Error(ErrorCode::kInvalidArgument, "a <parameter> stands in a <module> only", "",
                  element.range);
    }
    constexpr std::array<std::string_view, 4> kAllowed = {"name", "length", "scaffold",
                                                          pml::kIndex};
    element.AllowAttributes(kAllowed);
    constexpr std::string_view kExample = "<parameter name=\"city\" length=\"5\"/>";
    ast::Parameter parameter;
    parameter.name = NameOf(element.Require("name", kExample));
    if (parameter.name.text.find_first_of("{}") != std::string::npos) {
      throw Error(ErrorCode::kInvalidArgument,
                  "a parameter's name has no braces: \"" + parameter.name.text + "\"", "",
                  parameter.name.range);
    }
    const PmlAttribute& length = element.Require("length", kExample);
    parameter.tokens = WholeNumber(length);
    parameter.tokens_range = length.value_range;
    if (const PmlAttribute* scaffold = element.Find("scaffold")) {
      parameter.default_value = ast::Text{scaffold->value, scaffold->value_range};
    }
    RefuseContent(element);
    if (scope.parameters.size() >= kMostParameters) {
      throw Error(ErrorCode::kResource,
                  "a module takes at most " + std::to_string(kMostParameters) + " parameters", "",
                  element.range);
    }
    int64_t index = static_cast<int64_t>(scope.parameters.size()) + 1;
    if (const PmlAttribute* place = element.Find(pml::kIndex)) index = WholeNumber(*place);
    std::string name = parameter.name.text;
    scope.parameters.emplace_back(index, std::move(parameter));
    return name;
  }

  static void RefuseContent(const PmlElement& element) {
    for (const Content& content : element.content) {
      const auto* characters = std::get_if<PmlCharacters>(&content);
      if (characters != nullptr && IsBlank(characters->text)) continue;
      throw Error(ErrorCode::kInvalidArgument, "<" + element.name + "> has nothing inside", "",
                  characters != nullptr ? characters->range : ElementOf(content)->range);
    }
  }

  // ---- Parts ----

  static ast::Part TextPart(ast::Text text) {
    ast::Part part;
    part.kind = ast::Part::Kind::kText;
    part.range = text.range;
    part.text = std::move(text);
    return part;
  }

  std::vector<ast::Part> ReadParts(const PmlElement& around, Scope& scope, bool keeps_space) {
    std::vector<ast::Part> parts;
    const bool is_role = RoleOf(around.name) != ast::Role::kNone;
    const ContentIterator end = around.content.end();
    // Whether white space alone before or after is beside a role's tag.
    bool is_beside_role = is_role;
    for (ContentIterator at = around.content.begin(); at != end;) {
      const PmlElement* element = ElementOf(*at);
      if (element != nullptr && !IsInline(*element)) {
        ReadPart(*element, scope, keeps_space, parts);
        is_beside_role = IsRoleOrScaffold(*element);
        ++at;
        continue;
      }
      const ContentIterator begin = at;
      while (at != end && (ElementOf(*at) == nullptr || IsInline(*ElementOf(*at)))) ++at;
      Run run = ReadRun(begin, at, scope, keeps_space);
      const bool precedes_role = at == end ? is_role : IsRoleOrScaffold(*ElementOf(*at));
      const bool is_layout = ignores_blanks_ || is_beside_role || precedes_role;
      if (run.is_blank && !keeps_space && is_layout) continue;
      if (!run.text.text.empty()) parts.push_back(TextPart(std::move(run.text)));
    }
    return parts;
  }

  void ReadPart(const PmlElement& element, Scope& scope, bool keeps_space,
                std::vector<ast::Part>& parts) {
    if (element.name == pml::kModule) {
      parts.push_back(ReadModule(element, keeps_space));
    } else if (element.name == pml::kUnion) {
      parts.push_back(ReadUnion(element, keeps_space));
    } else if (RoleOf(element.name) != ast::Role::kNone) {
      parts.push_back(ReadRole(element, scope, keeps_space));
    } else if (element.name == pml::kText) {
      element.AllowAttributes({});
      if (!HoldsOnlyText(element)) {
        throw Error(ErrorCode::kInvalidArgument, "<promptdb:text> holds text only", "",
                    element.range);
      }
      ast::Text text = ReadRun(element.content.begin(), element.content.end(), scope, true).text;
      text.range = element.range;
      parts.push_back(TextPart(std::move(text)));
    } else if (element.name == pml::kScaffold) {
      ReadScaffold(element, scope);
    } else {
      FailUnknown(element);
    }
  }

  [[noreturn]] static void FailUnknown(const PmlElement& element) {
    const std::vector<std::string> names = {
        std::string(pml::kModule), std::string(pml::kUnion),     std::string(pml::kParameter),
        std::string(pml::kSystem), std::string(pml::kUser),      std::string(pml::kAssistant),
        std::string(pml::kText),   std::string(pml::kCharacter), std::string(pml::kScaffold)};
    std::string hint = DidYouMean(element.name, names);
    if (hint.empty()) {
      hint =
          "A schema has <module>, <union>, <parameter>, <system>, <user> and <assistant>. A < of "
          "the text is written &lt;.";
    }
    throw Error(ErrorCode::kUnknownName, "PML has no element <" + element.name + ">", hint,
                element.range);
  }

  ast::Part ReadModule(const PmlElement& element, bool keeps_space) {
    constexpr std::array<std::string_view, 5> kAllowed = {"name", "src", "cache", "xml:space",
                                                          pml::kFile};
    element.AllowAttributes(kAllowed);
    ast::Part module;
    module.kind = ast::Part::Kind::kModule;
    module.range = element.range;
    module.name = NameOf(element.Require("name", "<module name=\"city\">"));
    keeps_space = element.KeepsSpace(keeps_space);
    CheckCache(element);
    Scope scope{true, HasParameters(element), {}};
    if (HoldsOnlyText(element)) {
      Run run = ReadRun(element.content.begin(), element.content.end(), scope, keeps_space);
      if (run.is_blank && !keeps_space && ignores_blanks_) run.text.text.clear();
      if (!element.content.empty()) module.text = std::move(run.text);
      if (!module.text) module.text = ast::Text{"", element.range};
      if (const PmlAttribute* file = element.Find(pml::kFile)) {
        module.file = ast::Text{file->value, file->value_range};
      }
      if (element.Find("src") != nullptr) AddSource(element, run.is_blank, scope, module);
    } else {
      module.children = ReadParts(element, scope, keeps_space);
      NameUnions(module.children);
      if (element.Find("src") != nullptr) AddSource(element, false, scope, module);
    }
    std::stable_sort(scope.parameters.begin(), scope.parameters.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    for (auto& [index, parameter] : scope.parameters) {
      module.parameters.push_back(std::move(parameter));
    }
    return module;
  }

  // The file's text stands before all that the module itself has.
  void AddSource(const PmlElement& element, bool is_whole_module, const Scope& scope,
                 ast::Part& module) {
    const PmlAttribute& source = *element.Find("src");
    const std::filesystem::path path = folder_ / source.value;
    ast::Text text{ReadSource(path, source), source.value_range};
    if (scope.has_parameters) text.text = EscapeBraces(text.text);
    if (is_whole_module) {
      module.text = std::move(text);
      module.file = ast::Text{path.string(), source.value_range};
      return;
    }
    if (module.children.empty()) {
      module.children.push_back(TextPart(*std::move(module.text)));
      module.text.reset();
    }
    if (!text.text.empty()) {
      module.children.insert(module.children.begin(), TextPart(std::move(text)));
    }
  }

  std::string ReadSource(const std::filesystem::path& path, const PmlAttribute& source) {
    try {
      const MappedFile file(path);
      file_bytes_ += file.text().size();
      if (file_bytes_ > kMostFileBytes) {
        throw Error(ErrorCode::kResource, "the src files have more than 256 MiB together",
                    "Split the schema.");
      }
      if (!IsValidUtf8(file.text())) {
        throw Error(ErrorCode::kCorrupt, "\"" + source.value + "\" is not UTF-8 text",
                    "Convert it, for example with iconv.");
      }
      return CollapseEnds(file.text());
    } catch (const Error& error) {
      throw error.At(source.value_range);
    }
  }

  void CheckCache(const PmlElement& element) {
    const PmlAttribute* cache = element.Find("cache");
    if (cache == nullptr || cache->value == "true") return;
    if (cache->value != "false") {
      throw Error(ErrorCode::kInvalidArgument,
                  "cache is \"true\" or \"false\", not \"" + cache->value + "\"", "",
                  cache->value_range);
    }
    ++uncached_modules_;
  }

  ast::Part ReadUnion(const PmlElement& element, bool keeps_space) {
    constexpr std::array<std::string_view, 2> kAllowed = {"name", "scaffold"};
    element.AllowAttributes(kAllowed);
    ast::Part part;
    part.kind = ast::Part::Kind::kUnion;
    part.range = element.range;
    if (const PmlAttribute* name = element.Find("name")) part.name = NameOf(*name);
    for (const Content& content : element.content) {
      const PmlElement* member = ElementOf(content);
      if (member == nullptr && IsBlank(std::get<PmlCharacters>(content).text)) continue;
      if (member == nullptr || member->name != pml::kModule) {
        throw Error(ErrorCode::kInvalidArgument, "a <union> takes modules only",
                    "Wrap it: <module name=\"…\">…</module>.",
                    member != nullptr ? member->range : std::get<PmlCharacters>(content).range);
      }
      part.children.push_back(ReadModule(*member, keeps_space));
    }
    if (part.children.empty()) {
      throw Error(ErrorCode::kInvalidArgument, "a <union> without a module", "", element.range);
    }
    if (const PmlAttribute* scaffold = element.Find("scaffold")) {
      CheckMember(*scaffold, part);
      scaffold_members_[part.range.begin] = scaffold->value;
    }
    return part;
  }

  static void CheckMember(const PmlAttribute& scaffold, const ast::Part& part) {
    std::vector<std::string> names;
    for (const ast::Part& member : part.children) names.push_back(member.name->text);
    if (std::find(names.begin(), names.end(), scaffold.value) != names.end()) return;
    throw Error(ErrorCode::kUnknownName,
                "the union has no module \"" + scaffold.value + "\" for its scaffold",
                DidYouMean(scaffold.value, names), scaffold.value_range);
  }

  ast::Part ReadRole(const PmlElement& element, Scope& scope, bool keeps_space) {
    constexpr std::array<std::string_view, 1> kAllowed = {"xml:space"};
    element.AllowAttributes(kAllowed);
    ast::Part part;
    part.kind = ast::Part::Kind::kRole;
    part.range = element.range;
    part.role = RoleOf(element.name);
    part.children = ReadParts(element, scope, element.KeepsSpace(keeps_space));
    if (part.children.empty()) part.children.push_back(TextPart({"", element.range}));
    return part;
  }

  // ---- Unions' names, and scaffolds ----

  // Names that the parts of a module, or of the schema, take in it.
  static void CollectNames(const std::vector<ast::Part>& parts, std::set<std::string>& names) {
    for (const ast::Part& part : parts) {
      if (part.name) names.insert(part.name->text);
      if (part.kind != ast::Part::Kind::kModule) CollectNames(part.children, names);
    }
  }

  // PML's unions have no names, ours do: union1, union2, … in the order of the file.
  static void NameUnions(std::vector<ast::Part>& parts) {
    std::set<std::string> names;
    CollectNames(parts, names);
    int number = 0;
    NameUnionsIn(parts, names, number);
  }

  static void NameUnionsIn(std::vector<ast::Part>& parts, std::set<std::string>& names,
                           int& number) {
    for (ast::Part& part : parts) {
      if (part.kind == ast::Part::Kind::kUnion && !part.name) {
        std::string name;
        do {
          name = "union" + std::to_string(++number);
        } while (!names.insert(name).second);
        part.name = ast::Name{std::move(name), part.range};
      }
      if (part.kind != ast::Part::Kind::kModule) NameUnionsIn(part.children, names, number);
    }
  }

  void ReadScaffold(const PmlElement& element, const Scope& scope) {
    constexpr std::array<std::string_view, 1> kAllowed = {"name"};
    element.AllowAttributes(kAllowed);
    if (scope.is_module) {
      throw Error(ErrorCode::kInvalidArgument, "a <promptdb:scaffold> stands in the <schema> only",
                  "", element.range);
    }
    ast::Scaffold scaffold;
    scaffold.range = element.range;
    scaffold.name = NameOf(element.Require("name", "<promptdb:scaffold name=\"s\">"));
    for (const Content& content : element.content) {
      const PmlElement* member = ElementOf(content);
      if (member == nullptr && IsBlank(std::get<PmlCharacters>(content).text)) continue;
      if (member == nullptr || member->name != pml::kMember) {
        throw Error(ErrorCode::kInvalidArgument, "a <promptdb:scaffold> has members only", "",
                    member != nullptr ? member->range : std::get<PmlCharacters>(content).range);
      }
      constexpr std::array<std::string_view, 1> kMemberAllowed = {"path"};
      member->AllowAttributes(kMemberAllowed);
      AddMember(NameOf(member->Require("path", "<promptdb:member path=\"doc\"/>")), scaffold);
      RefuseContent(*member);
    }
    result_.statement.scaffolds.push_back(std::move(scaffold));
  }

  static void AddMember(ast::Name path, ast::Scaffold& scaffold) {
    // A path's dots are joined with again, so that it may stay one name.
    scaffold.members.push_back({std::move(path)});
  }

  // The prototype encodes all modules together, with the member that a union's scaffold names
  // standing for the union. That is what a prompt of exactly these modules gets here.
  void AddDefaultScaffold(ast::CreateSchema& schema) {
    if (scaffold_members_.empty()) return;
    ast::Scaffold scaffold;
    CollectDefaults(schema.parts, "", scaffold);
    if (scaffold.members.size() < 2) return;
    std::set<std::string> names;
    CollectNames(schema.parts, names);
    std::string name = "scaffold";
    for (int number = 2; names.contains(name); ++number) {
      name = "scaffold" + std::to_string(number);
    }
    scaffold.range = {scaffold_members_.begin()->first, scaffold_members_.begin()->first};
    scaffold.name = {name, scaffold.range};
    schema.scaffolds.push_back(std::move(scaffold));
  }

  void CollectDefaults(const std::vector<ast::Part>& parts, const std::string& around,
                       ast::Scaffold& scaffold) const {
    for (const ast::Part& part : parts) {
      switch (part.kind) {
        case ast::Part::Kind::kText:
          break;
        case ast::Part::Kind::kModule:
          AddDefault(part, around, scaffold);
          break;
        case ast::Part::Kind::kRole:
          CollectDefaults(part.children, around, scaffold);
          break;
        case ast::Part::Kind::kUnion:
          if (const auto chosen = scaffold_members_.find(part.range.begin);
              chosen != scaffold_members_.end()) {
            for (const ast::Part& member : part.children) {
              if (member.name->text == chosen->second) AddDefault(member, around, scaffold);
            }
          }
          break;
      }
    }
  }

  void AddDefault(const ast::Part& module, const std::string& around,
                  ast::Scaffold& scaffold) const {
    const std::string path = around.empty() ? module.name->text : around + "." + module.name->text;
    AddMember({path, module.name->range}, scaffold);
    CollectDefaults(module.children, path, scaffold);
  }

  void TellNotices(const std::vector<SourceRange>& strays) {
    if (!strays.empty()) {
      const std::string first = LineAndColumn(text_, static_cast<size_t>(strays.front().begin));
      const std::string count = std::to_string(strays.size());
      result_.notices.push_back(
          (strays.size() == 1
               ? "a < or & that begins no markup is taken as text (" + first
               : count + " < and & that begin no markup are taken as text (first: " + first) +
          "); XML wants &lt; and &amp;");
    }
    if (uncached_modules_ > 0) {
      result_.notices.push_back(
          "cache=\"false\" has no effect: a module's states are cached when they are used, and "
          "give the same answers");
    }
  }

  const std::string_view text_;
  const std::filesystem::path folder_;
  PmlSchema result_;
  bool ignores_blanks_ = false;
  std::map<int, std::string> scaffold_members_;  // where the union begins -> its scaffold's name
  size_t file_bytes_ = 0;
  int uncached_modules_ = 0;
};

}  // namespace

PmlSchema ReadPmlSchema(std::string_view text, const std::filesystem::path& folder) {
  return SchemaReader(text, folder).Read();
}

}  // namespace promptdb
