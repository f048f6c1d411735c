// Where every part of a schema lies: its tokens, its positions, and what its tokens attend to.
//
// A pure function of the schema's definition, the tokenizer and the chat template. Parts follow
// each other; the members of a union share one start, and the union is as long as its longest
// member. The leaves are *atoms*: runs of tokens that are encoded, cached and scanned as one.
#ifndef PROMPTDB_PLANNER_LAYOUT_H_
#define PROMPTDB_PLANNER_LAYOUT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "planner/chat_template.h"
#include "storage/schema_definition.h"
#include "tokenizer/tokenizer.h"

namespace promptdb {

// A parameter's place in an atom: `tokens` placeholder tokens, from token `begin` of the atom on.
// They are encoded with the atom; a prompt leaves their states out and computes the value at their
// positions.
struct ParameterPlace {
  std::string name;
  int begin = 0;
  int tokens = 0;
  std::optional<std::string> default_value;
};

// A run of a schema's tokens with a fixed place.
struct Atom {
  std::string label;            // "paris", "europe.paris"; "(text 1)" for the first anonymous one,
                                // "(bos)" for the beginning-of-sequence token
  std::vector<TokenId> tokens;  // never empty
  int start = 0;                // position of the first token
  // Atoms that are certain to stand before this one in every prompt that has it: what its tokens
  // attend to besides each other. Ascending.
  std::vector<int> visible;
  std::vector<ParameterPlace> parameters;  // by place

  int end() const { return start + static_cast<int>(tokens.size()); }
};

struct LaidOutPart {
  PartDefinition::Kind kind = PartDefinition::Kind::kText;
  std::string name;  // kModule, kUnion
  std::string path;  // "parent.child" through enclosing modules, for kModule
  ChatRole role = ChatRole::kNone;
  int start = 0;            // position
  int reserved = 0;         // positions from start to the next part
  bool is_certain = false;  // stands in every prompt that has the part around it
  std::vector<int> atoms;   // of its own, in order of position: kText and kModule one (none
                            // for an empty text), kRole the words before and after
  std::vector<LaidOutPart> children;
};

// Modules that are also encoded together: in a prompt that has all of them, each of `atoms` attends
// to those before it as well.
struct LaidOutScaffold {
  std::string name;
  std::vector<std::string> members;  // paths
  // The members' own texts, but not the modules in them. Ascending, and by position too: no two
  // members are alternatives of one union.
  std::vector<int> atoms;
};

struct SchemaLayout {
  std::vector<Atom> atoms;  // in the order in which the schema writes them
  std::vector<LaidOutPart> parts;
  std::vector<LaidOutScaffold> scaffolds;
  bool has_bos = false;  // atom 0 is the beginning-of-sequence token
  int reserved = 0;      // positions the whole schema takes

  // The module with this path, or nullptr.
  const LaidOutPart* FindModule(std::string_view path) const;
  // What an atom attends to in a prompt that has all members of `complete`, indices of scaffolds.
  // Ascending.
  std::vector<int> VisibleIn(int atom, const std::vector<int>& complete) const;
};

// The tokens of a text that begins at position `start` of a prompt. A text right after the
// beginning-of-sequence token that spells that token itself does not repeat it.
std::vector<TokenId> EncodeAt(const std::string& text, int start, const Tokenizer& tokenizer);

// The tokens of a parameter's value. Throws Error(kTooLong) with both lengths if there are more
// than `tokens`.
std::vector<TokenId> CheckValueLength(const std::string& name, const std::string& value, int tokens,
                                      const Tokenizer& tokenizer);

// Appended to the label of an atom's state in a prompt that has all of `scaffold`'s members:
// " in scaffold s". Empty for an atom that the scaffold does not change: one outside, or its first.
std::string ScaffoldMark(const LaidOutScaffold& scaffold, int atom);

// The atoms that a part brings into every prompt that has it: not those of modules in it. In order
// of position.
std::vector<int> CertainAtoms(const LaidOutPart& part);

// Throws Error(kInvalidArgument) for a schema of more than 2^30 positions, and Error(kTooLong) for
// a parameter whose default value is longer than its place.
SchemaLayout LayOut(const SchemaDefinition& schema, const Tokenizer& tokenizer,
                    const ChatTemplate& chat_template);

}  // namespace promptdb

#endif  // PROMPTDB_PLANNER_LAYOUT_H_
