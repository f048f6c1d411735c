#include "tests/support/contract_mask.h"

#include <algorithm>

#include "base/error.h"

namespace promptdb {

namespace {

// A run of text of the schema, in the order in which it is written.
struct Leaf {
  std::set<std::string> modules;  // around it
  std::string module;             // the innermost of them
  int role = -1;                  // the role around it, by number
  bool is_optional_word = false;  // a word of a role that stands there only with one of its modules
};

class LeafList {
 public:
  LeafList(const std::set<std::string>& used, const ChatTemplate& chat_template)
      : used_(used), chat_template_(chat_template) {}

  void Walk(const std::vector<PartDefinition>& parts, const Leaf& around) {
    for (const PartDefinition& part : parts) {
      switch (part.kind) {
        case PartDefinition::Kind::kText:
          if (!part.text.empty()) leaves.push_back(around);
          break;
        case PartDefinition::Kind::kUnion:
          Walk(part.children, around);
          break;
        case PartDefinition::Kind::kModule: {
          Leaf inside = around;
          inside.module = around.module.empty() ? part.name : around.module + "." + part.name;
          inside.modules.insert(inside.module);
          if (!used_.contains(inside.module)) break;
          if (part.children.empty()) {
            leaves.push_back(inside);
          } else {
            Walk(part.children, inside);
          }
          break;
        }
        case PartDefinition::Kind::kRole:
          WalkRole(part, around);
          break;
      }
    }
  }

  std::vector<Leaf> leaves;

 private:
  void WalkRole(const PartDefinition& part, const Leaf& around) {
    const RoleWords& words = chat_template_.Wrap(part.role);
    Leaf inside = around;
    inside.role = next_role_++;
    if (part.children.size() == 1 && part.children[0].kind == PartDefinition::Kind::kText) {
      if (!(words.before + part.children[0].text + words.after).empty()) leaves.push_back(inside);
      return;
    }
    const bool has_text =
        std::any_of(part.children.begin(), part.children.end(), [](const PartDefinition& child) {
          return child.kind == PartDefinition::Kind::kText && !child.text.empty();
        });
    Leaf word = inside;
    word.is_optional_word = !has_text;
    const size_t begin = leaves.size();
    Walk(part.children, inside);
    if (!has_text && leaves.size() == begin) return;
    if (!words.before.empty()) leaves.insert(leaves.begin() + static_cast<long>(begin), word);
    if (!words.after.empty()) leaves.push_back(word);
  }

  const std::set<std::string>& used_;
  const ChatTemplate& chat_template_;
  int next_role_ = 0;
};

// Whether `seen`, which is written before `leaf`, stands before it in every prompt that has `leaf`.
bool IsCertain(const Leaf& seen, const Leaf& leaf) {
  if (seen.is_optional_word && seen.role != leaf.role) return false;
  return std::includes(leaf.modules.begin(), leaf.modules.end(), seen.modules.begin(),
                       seen.modules.end());
}

// Whether both stand in the same module at the root of the schema, or neither in any.
bool HaveOneRoot(const Leaf& a, const Leaf& b) {
  const auto root = [](const Leaf& leaf) { return leaf.module.substr(0, leaf.module.find('.')); };
  return root(a) == root(b);
}

bool AreTogether(const Leaf& a, const Leaf& b, const SchemaDefinition& schema,
                 const std::set<std::string>& used) {
  if (a.is_optional_word || b.is_optional_word) return false;
  return std::any_of(
      schema.scaffolds.begin(), schema.scaffolds.end(), [&](const ScaffoldDefinition& scaffold) {
        const std::vector<std::string>& members = scaffold.members;
        const auto has = [&](const std::string& path) {
          return std::find(members.begin(), members.end(), path) != members.end();
        };
        const auto is_used = [&](const std::string& path) { return used.contains(path); };
        return std::all_of(members.begin(), members.end(), is_used) && has(a.module) &&
               has(b.module);
      });
}

}  // namespace

AttentionMask ContractMask(const SchemaDefinition& schema, const std::set<std::string>& used,
                           const ChatTemplate& chat_template, const BoundPrompt& prompt) {
  LeafList list(used, chat_template);
  if (prompt.segments.front().label == "(bos)") list.leaves.emplace_back();
  list.Walk(schema.parts, Leaf());

  struct Token {
    int segment;
    int position;
    bool is_placeholder;
    const Leaf* leaf;  // null for new text
  };
  std::vector<Token> tokens;
  size_t next_leaf = 0;
  const bool is_modular = prompt.reuse == ReuseMode::kModular;
  for (size_t s = 0; s < prompt.segments.size(); ++s) {
    const PromptSegment& segment = prompt.segments[s];
    const Leaf* leaf = nullptr;
    if (is_modular && !segment.is_new) {
      Check(next_leaf < list.leaves.size(),
            "the prompt has no more segments than the schema has texts");
      leaf = &list.leaves[next_leaf++];
    }
    for (size_t i = 0; i < segment.tokens.size(); ++i) {
      const int at = static_cast<int>(i);
      const bool is_placeholder =
          std::any_of(segment.placeholders.begin(), segment.placeholders.end(),
                      [&](const ParameterPlace& place) {
                        return at >= place.begin && at < place.begin + place.tokens;
                      });
      tokens.push_back({static_cast<int>(s), segment.start + at, is_placeholder, leaf});
    }
  }
  Check(!is_modular || next_leaf == list.leaves.size(), "every text of the schema is a segment");

  AttentionMask mask(tokens.size(), std::vector<bool>(tokens.size(), false));
  for (size_t i = 0; i < tokens.size(); ++i) {
    for (size_t j = 0; j < tokens.size(); ++j) {
      const Token& token = tokens[i];
      const Token& seen = tokens[j];
      if (token.segment == seen.segment) {
        mask[i][j] = seen.position <= token.position;
      } else if (seen.is_placeholder || seen.position >= token.position) {
        mask[i][j] = false;
      } else if (token.leaf == nullptr) {
        mask[i][j] = true;  // new text, or full causal attention
      } else {
        mask[i][j] = seen.leaf != nullptr && seen.leaf < token.leaf &&
                     ((IsCertain(*seen.leaf, *token.leaf) &&
                       (!schema.is_portable || token.leaf->module.empty() ||
                        HaveOneRoot(*seen.leaf, *token.leaf))) ||
                      AreTogether(*seen.leaf, *token.leaf, schema, used));
      }
    }
  }
  return mask;
}

}  // namespace promptdb
