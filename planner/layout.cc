#include "planner/layout.h"

#include <algorithm>
#include <set>

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
    layout_.parts = PlaceAll(schema_.parts, {}, cursor, certain);
    layout_.reserved = cursor;
    for (const ScaffoldDefinition& scaffold : schema_.scaffolds) AddScaffold(scaffold);
    return std::move(layout_);
  }

 private:
  // The module around a part: its path, and the parameters that its texts may have.
  struct Enclosing {
    std::string path;
    const std::vector<ParameterDefinition>* parameters = nullptr;  // null at the schema's root
  };

  // Places parts one after another from `cursor`, which moves past them. `certain` grows by the
  // atoms that later parts of the same scope can rely on.
  std::vector<LaidOutPart> PlaceAll(const std::vector<PartDefinition>& parts,
                                    const Enclosing& around, int& cursor,
                                    std::vector<int>& certain) {
    std::vector<LaidOutPart> placed;
    placed.reserve(parts.size());
    for (const PartDefinition& part : parts) placed.push_back(Place(part, around, cursor, certain));
    return placed;
  }

  LaidOutPart Place(const PartDefinition& part, const Enclosing& around, int& cursor,
                    std::vector<int>& certain) {
    LaidOutPart placed;
    placed.kind = part.kind;
    placed.name = part.name;
    placed.role = part.role;
    placed.start = cursor;
    placed.is_certain = HasCertainText(part);
    switch (part.kind) {
      case PartDefinition::Kind::kText:
        AddText({"(text " + std::to_string(++anonymous_) + ")", part.text, around.parameters},
                placed, cursor, certain);
        break;
      case PartDefinition::Kind::kModule: {
        placed.path = around.path.empty() ? part.name : around.path + "." + part.name;
        const bool sees_nothing = schema_.is_portable && around.path.empty();
        std::vector<int> inside = sees_nothing ? std::vector<int>() : certain;
        if (part.children.empty()) {
          AddText({placed.path, part.text, &part.parameters}, placed, cursor, inside);
        } else {
          placed.children =
              PlaceAll(part.children, {placed.path, &part.parameters}, cursor, inside);
        }
        break;
      }
      case PartDefinition::Kind::kUnion: {
        int end = cursor;
        for (const PartDefinition& member : part.children) {
          int member_cursor = placed.start;
          std::vector<int> inside = certain;
          placed.children.push_back(Place(member, around, member_cursor, inside));
          end = std::max(end, member_cursor);
        }
        cursor = end;
        break;
      }
      case PartDefinition::Kind::kRole:
        PlaceRole(part, around, placed, cursor, certain);
        break;
    }
    placed.reserved = cursor - placed.start;
    return placed;
  }

  // The words of the chat template stand before and after the parts. A role around modules only is
  // in the prompt when one of them is, so later parts can't rely on its words.
  void PlaceRole(const PartDefinition& part, const Enclosing& around, LaidOutPart& placed,
                 int& cursor, std::vector<int>& certain) {
    const RoleWords& words = chat_template_.Wrap(part.role);
    const std::string label = std::string(ChatRoleName(part.role)) + " " + std::to_string(++roles_);
    std::vector<int> inside = certain;
    std::vector<int>& scope = placed.is_certain ? certain : inside;
    const bool is_one_text =
        part.children.size() == 1 && part.children[0].kind == PartDefinition::Kind::kText;
    if (is_one_text) {
      // Tokenized as one text, as the model saw it in training.
      Text text{"(" + label + ")", part.children[0].text, around.parameters};
      text.before = words.before;
      text.after = words.after;
      AddText(text, placed, cursor, scope);
      return;
    }
    Text begin{"(" + label + " begin)", words.before};
    begin.has_separator = false;
    AddText(begin, placed, cursor, scope);
    placed.children = PlaceAll(part.children, around, cursor, scope);
    AddText({"(" + label + " end)", words.after}, placed, cursor, scope);
  }

  // A text that becomes an atom.
  struct Text {
    std::string label;
    std::string text;
    const std::vector<ParameterDefinition>* parameters = nullptr;  // null or none: no template
    std::string_view before = "", after = "";                      // words around it
    bool has_separator = true;
  };

  // One atom: the literal pieces of the text and, between them, placeholders. None for a text
  // without tokens.
  void AddText(const Text& text, LaidOutPart& placed, int& cursor, std::vector<int>& certain) {
    static const std::vector<ParameterDefinition> kNoParameters;
    std::set<std::string> used;
    std::vector<TemplatePiece> pieces = ParseTemplate(
        text.text, text.parameters != nullptr ? *text.parameters : kNoParameters, used);
    AddLiteral(text.before, pieces, true);
    AddLiteral(text.after, pieces, false);
    const bool is_empty =
        pieces.empty() || (pieces.size() == 1 && used.empty() && pieces[0].text.empty());
    if (text.has_separator && !is_empty) AddLiteral(schema_.separator, pieces, false);

    std::vector<TokenId> tokens;
    std::vector<ParameterPlace> places;
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
    if (tokens.empty()) return;
    const int atom = AddAtom(text.label, std::move(tokens), cursor, certain);
    layout_.atoms.back().parameters = std::move(places);
    placed.atoms.push_back(atom);
    certain.push_back(atom);
  }

  // Adds to the literal piece at the begin or end, so that both are tokenized as one text.
  static void AddLiteral(std::string_view literal, std::vector<TemplatePiece>& pieces,
                         bool at_begin) {
    if (literal.empty()) return;
    const auto at = at_begin ? pieces.begin() : pieces.end();
    if (pieces.empty() || (at_begin ? pieces.front() : pieces.back()).parameter != nullptr) {
      pieces.insert(at, {std::string(literal), nullptr});
    } else if (at_begin) {
      pieces.front().text.insert(0, literal);
    } else {
      pieces.back().text += literal;
    }
  }

  void AddScaffold(const ScaffoldDefinition& scaffold) {
    LaidOutScaffold laid_out{scaffold.name, scaffold.members, {}};
    for (const std::string& member : scaffold.members) {
      const std::vector<int> atoms = CertainAtoms(*layout_.FindModule(member));
      laid_out.atoms.insert(laid_out.atoms.end(), atoms.begin(), atoms.end());
    }
    std::sort(laid_out.atoms.begin(), laid_out.atoms.end());
    layout_.scaffolds.push_back(std::move(laid_out));
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

void AddCertainAtoms(const LaidOutPart& part, std::vector<int>& atoms) {
  atoms.insert(atoms.end(), part.atoms.begin(), part.atoms.end());
  for (const LaidOutPart& child : part.children) {
    if (child.is_certain) AddCertainAtoms(child, atoms);
  }
}

}  // namespace

const LaidOutPart* SchemaLayout::FindModule(std::string_view path) const {
  return FindIn(parts, path);
}

std::vector<int> SchemaLayout::VisibleIn(int atom, const std::vector<int>& complete) const {
  const std::vector<int>& own = atoms[static_cast<size_t>(atom)].visible;
  if (complete.empty()) return own;  // as in nearly every prompt
  std::set<int> visible(own.begin(), own.end());
  for (const int index : complete) {
    const std::vector<int>& together = scaffolds[static_cast<size_t>(index)].atoms;
    const auto place = std::lower_bound(together.begin(), together.end(), atom);
    if (place != together.end() && *place == atom) visible.insert(together.begin(), place);
  }
  return {visible.begin(), visible.end()};
}

std::vector<int> CertainAtoms(const LaidOutPart& part) {
  std::vector<int> atoms;
  AddCertainAtoms(part, atoms);
  std::sort(atoms.begin(), atoms.end());
  return atoms;
}

std::string ScaffoldMark(const LaidOutScaffold& scaffold, int atom) {
  const std::vector<int>& atoms = scaffold.atoms;
  const bool is_changed =
      std::binary_search(atoms.begin(), atoms.end(), atom) && atom != atoms.front();
  return is_changed ? " in scaffold " + scaffold.name : "";
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
