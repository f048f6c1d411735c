#include "planner/layout.h"

#include <algorithm>

#include "base/error.h"
#include "planner/module_template.h"

namespace promptdb {

namespace {

constexpr int64_t kMostPositions = int64_t{1} << 30;

// Whether a part has text of its own in every prompt that has the part around it. Modules never do:
// they are in a prompt only when it uses them.
bool HasCertainText(const PartDefinition& part) {
  switch (part.kind) {
    case PartDefinition::Kind::kText:
      return !part.text.empty();
    case PartDefinition::Kind::kRole:
      return std::any_of(part.children.begin(), part.children.end(), HasCertainText);
    case PartDefinition::Kind::kModule:
    case PartDefinition::Kind::kUnion:
      return false;
  }
  return false;
}

class LayoutBuilder {
 public:
  LayoutBuilder(const SchemaDefinition& schema, const Tokenizer& tokenizer,
                const ChatTemplate& chat_template)
      : schema_(schema), tokenizer_(tokenizer), chat_template_(chat_template) {}

  SchemaLayout Build() {
    std::vector<int> certain;
    int cursor = 0;
    if (tokenizer_.adds_bos() && tokenizer_.bos_id()) {
      layout_.has_bos = true;
      certain.push_back(AddAtom("(bos)", {*tokenizer_.bos_id()}, cursor, certain));
    }
    layout_.parts = PlaceAll(schema_.parts, "", cursor, certain);
    layout_.reserved = cursor;
    return std::move(layout_);
  }

 private:
  // Places parts one after another from `cursor`, which moves past them. `certain` grows by the
  // atoms that later parts of the same scope can rely on.
  std::vector<LaidOutPart> PlaceAll(const std::vector<PartDefinition>& parts,
                                    const std::string& path, int& cursor,
                                    std::vector<int>& certain) {
    std::vector<LaidOutPart> placed;
    for (const PartDefinition& part : parts) placed.push_back(Place(part, path, cursor, certain));
    return placed;
  }

  LaidOutPart Place(const PartDefinition& part, const std::string& path, int& cursor,
                    std::vector<int>& certain) {
    LaidOutPart placed;
    placed.kind = part.kind;
    placed.name = part.name;
    placed.role = part.role;
    placed.start = cursor;
    placed.is_certain = HasCertainText(part);
    switch (part.kind) {
      case PartDefinition::Kind::kText:
        AddText("(text " + std::to_string(++anonymous_) + ")", part.text, placed, cursor, certain);
        break;
      case PartDefinition::Kind::kModule: {
        placed.path = path.empty() ? part.name : path + "." + part.name;
        std::vector<int> inside = certain;
        if (part.children.empty() && !part.parameters.empty()) {
          AddTemplate(part, placed, cursor, inside);
        } else if (part.children.empty()) {
          AddText(placed.path, part.text, placed, cursor, inside);
        } else {
          placed.children = PlaceAll(part.children, placed.path, cursor, inside);
        }
        break;
      }
      case PartDefinition::Kind::kUnion: {
        int end = cursor;
        for (const PartDefinition& member : part.children) {
          int member_cursor = placed.start;
          std::vector<int> inside = certain;
          placed.children.push_back(Place(member, path, member_cursor, inside));
          end = std::max(end, member_cursor);
        }
        cursor = end;
        break;
      }
      case PartDefinition::Kind::kRole:
        PlaceRole(part, path, placed, cursor, certain);
        break;
    }
    placed.reserved = cursor - placed.start;
    return placed;
  }

  // The words of the chat template stand before and after the parts. A role around modules only is
  // in the prompt when one of them is, so later parts can't rely on its words.
  void PlaceRole(const PartDefinition& part, const std::string& path, LaidOutPart& placed,
                 int& cursor, std::vector<int>& certain) {
    const RoleWords& words = chat_template_.Wrap(part.role);
    const std::string label = std::string(ChatRoleName(part.role)) + " " + std::to_string(++roles_);
    std::vector<int> inside = certain;
    std::vector<int>& scope = placed.is_certain ? certain : inside;
    const bool is_one_text =
        part.children.size() == 1 && part.children[0].kind == PartDefinition::Kind::kText;
    if (is_one_text) {
      // Tokenized as one text, as the model saw it in training.
      const std::string text = words.before + part.children[0].text + words.after;
      AddText("(" + label + ")", text, placed, cursor, scope);
      return;
    }
    AddText("(" + label + " begin)", words.before, placed, cursor, scope, false);
    placed.children = PlaceAll(part.children, path, cursor, scope);
    AddText("(" + label + " end)", words.after, placed, cursor, scope);
  }

  void AddText(std::string label, const std::string& text, LaidOutPart& placed, int& cursor,
               std::vector<int>& certain, bool with_separator = true) {
    if (text.empty()) return;
    std::vector<TokenId> tokens =
        EncodeAt(with_separator ? text + schema_.separator : text, cursor, tokenizer_);
    if (tokens.empty()) return;
    const int atom = AddAtom(std::move(label), std::move(tokens), cursor, certain);
    placed.atoms.push_back(atom);
    certain.push_back(atom);
  }

  // One atom of the literal pieces and, between them, placeholders.
  void AddTemplate(const PartDefinition& part, LaidOutPart& placed, int& cursor,
                   std::vector<int>& certain) {
    std::vector<TokenId> tokens;
    std::vector<ParameterPlace> places;
    std::vector<TemplatePiece> pieces = ParseTemplate(part.text, part.parameters);
    if (!schema_.separator.empty()) pieces.push_back({schema_.separator, nullptr});
    for (const TemplatePiece& piece : pieces) {
      const int begin = static_cast<int>(tokens.size());
      if (piece.parameter == nullptr) {
        const std::vector<TokenId> ids = EncodeAt(piece.text, cursor + begin, tokenizer_);
        tokens.insert(tokens.end(), ids.begin(), ids.end());
        continue;
      }
      const ParameterDefinition& parameter = *piece.parameter;
      if (parameter.default_value) {
        CheckValueLength(parameter.name, *parameter.default_value, parameter.tokens, tokenizer_);
      }
      tokens.insert(tokens.end(), static_cast<size_t>(parameter.tokens), Placeholder());
      places.push_back({parameter.name, begin, parameter.tokens, parameter.default_value});
    }
    const int atom = AddAtom(placed.path, std::move(tokens), cursor, certain);
    layout_.atoms.back().parameters = std::move(places);
    placed.atoms.push_back(atom);
    certain.push_back(atom);
  }

  TokenId Placeholder() const {
    if (tokenizer_.unk_id()) return *tokenizer_.unk_id();
    if (tokenizer_.pad_id()) return *tokenizer_.pad_id();
    return tokenizer_.end_ids().empty() ? 0 : tokenizer_.end_ids().front();
  }

  int AddAtom(std::string label, std::vector<TokenId> tokens, int& cursor,
              const std::vector<int>& certain) {
    if (cursor + static_cast<int64_t>(tokens.size()) > kMostPositions) {
      throw Error(ErrorCode::kInvalidArgument, "the schema takes more than 2^30 positions");
    }
    Atom atom;
    atom.label = std::move(label);
    atom.tokens = std::move(tokens);
    atom.start = cursor;
    atom.visible = certain;
    cursor = atom.end();
    layout_.atoms.push_back(std::move(atom));
    return static_cast<int>(layout_.atoms.size()) - 1;
  }

  const SchemaDefinition& schema_;
  const Tokenizer& tokenizer_;
  const ChatTemplate& chat_template_;
  SchemaLayout layout_;
  int anonymous_ = 0;
  int roles_ = 0;
};

const LaidOutPart* FindIn(const std::vector<LaidOutPart>& parts, std::string_view path) {
  for (const LaidOutPart& part : parts) {
    if (part.kind == PartDefinition::Kind::kModule && part.path == path) return &part;
    if (const LaidOutPart* found = FindIn(part.children, path)) return found;
  }
  return nullptr;
}

void CollectPaths(const std::vector<LaidOutPart>& parts, std::vector<std::string>& out) {
  for (const LaidOutPart& part : parts) {
    if (part.kind == PartDefinition::Kind::kModule) out.push_back(part.path);
    CollectPaths(part.children, out);
  }
}

}  // namespace

const LaidOutPart* SchemaLayout::FindModule(std::string_view path) const {
  return FindIn(parts, path);
}

std::vector<std::string> SchemaLayout::ModulePaths() const {
  std::vector<std::string> paths;
  CollectPaths(parts, paths);
  return paths;
}

std::vector<TokenId> EncodeAt(const std::string& text, int start, const Tokenizer& tokenizer) {
  std::vector<TokenId> tokens = tokenizer.Encode(text);
  const bool follows_bos = start == 1 && tokenizer.adds_bos() && tokenizer.bos_id();
  if (follows_bos && !tokens.empty() && tokens.front() == *tokenizer.bos_id()) {
    tokens.erase(tokens.begin());
  }
  return tokens;
}

std::vector<TokenId> CheckValueLength(const std::string& name, const std::string& value, int tokens,
                                      const Tokenizer& tokenizer) {
  std::vector<TokenId> ids = tokenizer.Encode(value);
  if (static_cast<int>(ids.size()) > tokens) {
    throw Error(
        ErrorCode::kTooLong,
        "the value of parameter \"" + name + "\" has " + std::to_string(ids.size()) +
            " tokens, and its place " + std::to_string(tokens),
        "Shorten it, or declare the parameter with TOKENS(" + std::to_string(ids.size()) + ").");
  }
  return ids;
}

SchemaLayout LayOut(const SchemaDefinition& schema, const Tokenizer& tokenizer,
                    const ChatTemplate& chat_template) {
  return LayoutBuilder(schema, tokenizer, chat_template).Build();
}

}  // namespace promptdb
