#include "planner/prompt_binder.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/nearest_name.h"
#include "planner/module_path.h"
#include "planner/options.h"
#include "planner/schema_binder.h"

namespace promptdb {

std::string_view ReuseModeName(ReuseMode mode) {
  switch (mode) {
    case ReuseMode::kModular:
      return "modular";
    case ReuseMode::kExact:
      return "exact";
    case ReuseMode::kNone:
      return "none";
  }
  return "";
}

ReuseMode ReuseModeNamed(std::string_view name) {
  if (name == "exact") return ReuseMode::kExact;
  if (name == "none") return ReuseMode::kNone;
  return ReuseMode::kModular;
}

int PromptSegment::prompt_tokens() const {
  int count = static_cast<int>(tokens.size());
  for (const ParameterPlace& place : placeholders) count -= place.tokens;
  return count;
}

void PromptSegment::AppendVisible(int index, int count, std::vector<AttendedSpan>& spans) const {
  int begin = 0;
  for (const ParameterPlace& place : placeholders) {
    if (place.begin >= count) break;
    if (place.begin > begin) spans.push_back({index, begin, place.begin});
    begin = place.begin + place.tokens;
  }
  if (begin < count) spans.push_back({index, begin, count});
}

void PromptSegment::AppendAllVisible(int index, std::vector<AttendedSpan>& spans) const {
  AppendVisible(index, static_cast<int>(tokens.size()), spans);
}

namespace {

class PromptBinder {
 public:
  PromptBinder(const ast::Select& query, const SchemaDefinition& schema, const SchemaLayout& layout,
               const Tokenizer& tokenizer, const ChatTemplate& chat_template, int context_length)
      : query_(query),
        schema_(schema),
        layout_(layout),
        tokenizer_(tokenizer),
        chat_template_(chat_template),
        context_length_(context_length),
        paths_(ModulePaths(schema.parts)) {}

  // Before Bind(): the prompt is what a chat begins with. It may be empty, and the words that open
  // an answer come with each turn.
  void BeginChat() { begins_chat_ = true; }

  BoundPrompt Bind(const QueryDefaults& defaults, int row) {
    prompt_.kind = query_.kind;
    prompt_.schema = schema_.name;
    prompt_.model = schema_.model;
    prompt_.is_portable = schema_.is_portable;
    if (query_.kind == ast::Select::Kind::kGenerate) {
      prompt_.generate = BindGenerateOptions(query_.options, defaults.max_tokens, "GENERATE");
    } else {
      prompt_.inspect = BindInspectOptions(query_.options, query_.kind);
    }
    std::vector<std::string> known = {"reuse", "cache"};
    if (!begins_chat_) known.insert(known.end(), {"priority", "deadline"});
    if (prompt_.kind == ast::Select::Kind::kGenerate && !begins_chat_) known.push_back("stream");
    const OptionReader with(query_.with_options, "WITH", known);
    const auto reuse = with.Choice("reuse", {"modular", "exact", "none"});
    prompt_.reuse = reuse ? ReuseModeNamed(*reuse) : defaults.reuse;
    prompt_.cache = with.Boolean("cache").value_or(defaults.cache);
    prompt_.stream = with.Boolean("stream").value_or(false);
    prompt_.urgency = defaults.urgency;
    if (prompt_.stream && query_.prompt_in.size() > 1) {
      throw Error(ErrorCode::kInvalidArgument, "stream = on is for a query with one prompt",
                  "Leave it out, or write PROMPT 'text'.", with.RangeOf("stream"));
    }
    // What is asked of every token has to compute every token: states alone don't tell.
    if (query_.kind == ast::Select::Kind::kLogprobs || prompt_.inspect.pooling == Pooling::kMean) {
      prompt_.cache = false;
    }

    ResolveUse();
    CheckParts(layout_.parts, "");
    FindCompleteScaffolds();
    if (layout_.has_bos) AddAtom(0);
    AddParts(layout_.parts, nullptr);
    PlaceFreeTexts();
    AddPrompt(row);
    // What follows a user's turn is the assistant's, and the model was taught to answer behind the
    // words that open it.
    if (ends_in_user_turn_ && !begins_chat_) {
      AddNewText("(answer)", chat_template_.opening(), last_range_.value_or(query_.range));
    }
    CheckLength();
    SetAttention();
    if (prompt_.rows > 1) prompt_.shared_segments = static_cast<int>(prompt_.segments.size()) - 1;
    return std::move(prompt_);
  }

 private:
  void AddPrompt(int row) {
    if (query_.prompt_in.empty() && !query_.prompt) return;
    prompt_.rows = std::max(1, static_cast<int>(query_.prompt_in.size()));
    const ast::Text& text =
        query_.prompt_in.empty() ? *query_.prompt : query_.prompt_in[static_cast<size_t>(row)];
    if (!query_.prompt_in.empty() && text.text.empty()) {
      throw Error(ErrorCode::kInvalidArgument, "a prompt of PROMPT IN is empty", "", text.range);
    }
    if (text.text.empty()) return;
    AddNewText("(prompt)", text.text, text.range);
    ends_in_user_turn_ = false;
  }

  void ResolveUse() {
    for (const ast::UseItem& item : query_.use) {
      if (item.kind != ast::UseItem::Kind::kModule) continue;
      const std::string path = ResolveModule(item.path, paths_, schema_.name);
      if (!used_.emplace(path, &item).second) {
        throw Error(ErrorCode::kInvalidArgument, "module \"" + path + "\" is used twice", "",
                    item.range);
      }
    }
    for (const auto& [path, item] : used_) {
      const size_t dot = path.rfind('.');
      if (dot == std::string::npos) continue;
      const std::string parent = path.substr(0, dot);
      // A module's own name may hold a dot, so only a path that is a module's counts as a parent.
      if (layout_.FindModule(parent) != nullptr && !used_.contains(parent)) {
        throw Error(
            ErrorCode::kInvalidArgument,
            "module \"" + path + "\" stands in module \"" + parent + "\", which is not used",
            "Write USE " + parent + ", " + path + ".", item->range);
      }
    }
  }

  bool IsUsed(const LaidOutPart& part) const {
    if (part.kind == PartDefinition::Kind::kModule) return used_.contains(part.path);
    return std::any_of(part.children.begin(), part.children.end(),
                       [&](const LaidOutPart& child) { return IsUsed(child); });
  }

  // At most one member of each union.
  void CheckParts(const std::vector<LaidOutPart>& parts, const std::string& union_name) {
    const LaidOutPart* first = nullptr;
    for (const LaidOutPart& part : parts) {
      if (!union_name.empty() && IsUsed(part)) {
        if (first != nullptr) {
          throw Error(ErrorCode::kInvalidArgument,
                      "modules \"" + first->path + "\" and \"" + part.path +
                          "\" are both members of union \"" + union_name + "\"",
                      "Use one of them.", used_.at(part.path)->range);
        }
        first = &part;
      }
      CheckParts(part.children, part.kind == PartDefinition::Kind::kUnion ? part.name : "");
    }
  }

  // In modular reuse, the scaffolds of which the prompt has every member.
  void FindCompleteScaffolds() {
    if (prompt_.reuse != ReuseMode::kModular) return;
    for (size_t i = 0; i < layout_.scaffolds.size(); ++i) {
      const std::vector<std::string>& members = layout_.scaffolds[i].members;
      const auto is_used = [&](const std::string& path) { return used_.contains(path); };
      if (std::all_of(members.begin(), members.end(), is_used)) {
        complete_scaffolds_.push_back(static_cast<int>(i));
      }
    }
  }

  // `item`: the USE item of the module around the parts; null at the schema's root.
  void AddParts(const std::vector<LaidOutPart>& parts, const ast::UseItem* item) {
    for (const LaidOutPart& part : parts) {
      switch (part.kind) {
        case PartDefinition::Kind::kText:
          AddAtoms(part, item);
          break;
        case PartDefinition::Kind::kModule: {
          const auto used = used_.find(part.path);
          if (used == used_.end()) break;
          CheckArguments(part, *used->second);
          segment_of_module_[part.path] = prompt_.segments.size();
          AddAtoms(part, used->second);
          AddParts(part.children, used->second);
          break;
        }
        case PartDefinition::Kind::kUnion:
          AddParts(part.children, item);
          break;
        case PartDefinition::Kind::kRole:
          if (!part.is_certain && !IsUsed(part)) break;
          AddRole(part, item);
          break;
      }
    }
  }

  // The role's first words, the parts in it, its last words.
  void AddRole(const LaidOutPart& part, const ast::UseItem* item) {
    const auto is_before = [&](int atom) {
      return layout_.atoms[static_cast<size_t>(atom)].start == part.start;
    };
    for (const int atom : part.atoms) {
      if (is_before(atom)) AddAtom(atom, item);
    }
    AddParts(part.children, item);
    for (const int atom : part.atoms) {
      if (!is_before(atom)) AddAtom(atom, item);
    }
    ends_in_user_turn_ = part.role == ChatRole::kUser;
  }

  void AddAtoms(const LaidOutPart& part, const ast::UseItem* item) {
    for (const int atom : part.atoms) AddAtom(atom, item);
  }

  void AddAtom(int index, const ast::UseItem* item) {
    if (layout_.atoms[static_cast<size_t>(index)].parameters.empty()) {
      AddAtom(index);
    } else if (prompt_.reuse == ReuseMode::kModular) {
      AddCachedTemplate(index, *item);
    } else {
      AddFilledTemplate(index, *item);
    }
  }

  // Every argument is one of the module's parameters, and given once.
  void CheckArguments(const LaidOutPart& part, const ast::UseItem& item) const {
    std::vector<std::string> names;
    for (const int atom : CertainAtoms(part)) {
      for (const ParameterPlace& place : layout_.atoms[static_cast<size_t>(atom)].parameters) {
        names.push_back(place.name);
      }
    }
    for (const ast::UseArgument& argument : item.arguments) {
      if (std::find(names.begin(), names.end(), argument.name.text) == names.end()) {
        throw Error(ErrorCode::kUnknownName,
                    "module \"" + part.path + "\" has no parameter \"" + argument.name.text + "\"",
                    DidYouMean(argument.name.text, names), argument.name.range);
      }
      const auto same_name = [&](const ast::UseArgument& other) {
        return other.name.text == argument.name.text;
      };
      if (std::find_if(item.arguments.begin(), item.arguments.end(), same_name)->name.range.begin !=
          argument.name.range.begin) {
        throw Error(ErrorCode::kInvalidArgument,
                    "parameter \"" + argument.name.text + "\" is given twice", "",
                    argument.name.range);
      }
    }
  }

  // The value's tokens; they may be none.
  std::vector<TokenId> ValueTokens(const ParameterPlace& place, const ast::UseItem& item) const {
    for (const ast::UseArgument& argument : item.arguments) {
      if (argument.name.text != place.name) continue;
      try {
        return CheckValueLength(place.name, argument.value.text, place.tokens, tokenizer_);
      } catch (const Error& error) {
        throw error.At(argument.value.range);
      }
    }
    if (place.default_value) return tokenizer_.Encode(*place.default_value);
    const std::string module = JoinPath(item.path);
    throw Error(ErrorCode::kInvalidArgument,
                "parameter \"" + place.name + "\" of module \"" + module + "\" has no value",
                "Write " + module + "(" + place.name + " => '…').", item.range);
  }

  // The module as it is cached, placeholders and all, then the values at the placeholders'
  // positions.
  void AddCachedTemplate(int index, const ast::UseItem& item) {
    const Atom& atom = layout_.atoms[static_cast<size_t>(index)];
    AddAtom(index);
    prompt_.segments.back().placeholders = atom.parameters;
    for (const ParameterPlace& place : atom.parameters) AddValue(atom, place, item);
  }

  // The module's text with the values in it: what full causal attention sees.
  void AddFilledTemplate(int index, const ast::UseItem& item) {
    const Atom& atom = layout_.atoms[static_cast<size_t>(index)];
    int begin = 0;
    const auto add_literal = [&](int end) {
      if (begin == end) return;
      PromptSegment segment;
      segment.label = atom.label;
      segment.tokens.assign(atom.tokens.begin() + begin, atom.tokens.begin() + end);
      segment.start = atom.start + begin;
      atom_of_segment_.push_back(index);
      prompt_.segments.push_back(std::move(segment));
    };
    for (const ParameterPlace& place : atom.parameters) {
      add_literal(place.begin);
      AddValue(atom, place, item);
      begin = place.begin + place.tokens;
    }
    add_literal(static_cast<int>(atom.tokens.size()));
  }

  void AddValue(const Atom& atom, const ParameterPlace& place, const ast::UseItem& item) {
    PromptSegment segment;
    segment.tokens = ValueTokens(place, item);
    if (segment.tokens.empty()) return;
    segment.label = atom.label + "(" + place.name + ")";
    segment.start = atom.start + place.begin;
    segment.is_new = true;
    atom_of_segment_.push_back(-1);
    prompt_.segments.push_back(std::move(segment));
  }

  void AddAtom(int index) {
    ends_in_user_turn_ = false;
    const Atom& atom = layout_.atoms[static_cast<size_t>(index)];
    PromptSegment segment;
    segment.label = atom.label;
    segment.tokens = atom.tokens;
    segment.start = atom.start;
    atom_of_segment_.push_back(index);
    prompt_.segments.push_back(std::move(segment));
  }

  // A free text stands before the module that follows it in USE, or else at the end.
  void PlaceFreeTexts() {
    size_t inserted = 0;
    for (size_t i = 0; i < query_.use.size(); ++i) {
      const ast::UseItem& item = query_.use[i];
      if (item.kind == ast::UseItem::Kind::kModule || item.text->text.empty()) continue;
      const RoleWords& words = chat_template_.Wrap(ToChatRole(item.role));
      const std::string label = "(free text " + std::to_string(++free_texts_) + ")";
      const std::string text = words.before + item.text->text + words.after;
      const auto next = std::find_if(
          query_.use.begin() + static_cast<long>(i), query_.use.end(),
          [](const ast::UseItem& other) { return other.kind == ast::UseItem::Kind::kModule; });
      const std::string path =
          next == query_.use.end() ? "" : ResolveModule(next->path, paths_, schema_.name);
      // The module may have no text of its own, and none may follow.
      if (path.empty() || segment_of_module_.at(path) + inserted >= prompt_.segments.size()) {
        AddNewText(label, text, item.range);
        ends_in_user_turn_ = item.role == ast::Role::kUser;
        continue;
      }
      InsertNewText(segment_of_module_.at(path) + inserted, path, label, text, item.range);
      ++inserted;
    }
  }

  PromptSegment NewText(const std::string& label, const std::string& text, int start) {
    PromptSegment segment;
    segment.label = label;
    segment.is_new = true;
    segment.tokens = EncodeAt(text, start, tokenizer_);
    segment.start = start;
    return segment;
  }

  // The position after all of the first `count` segments.
  int EndOfFirst(size_t count) const {
    int end = 0;
    for (size_t i = 0; i < count; ++i) end = std::max(end, prompt_.segments[i].end());
    return end;
  }

  void AddNewText(const std::string& label, const std::string& text, SourceRange range) {
    PromptSegment segment = NewText(label, text, EndOfFirst(prompt_.segments.size()));
    if (segment.tokens.empty()) return;
    last_range_ = range;
    atom_of_segment_.push_back(-1);
    prompt_.segments.push_back(std::move(segment));
  }

  void InsertNewText(size_t at, const std::string& module, const std::string& label,
                     const std::string& text, SourceRange range) {
    PromptSegment segment = NewText(label, text, EndOfFirst(at));
    if (segment.tokens.empty()) return;
    const int gap = prompt_.segments[at].start - segment.start;
    if (static_cast<int>(segment.tokens.size()) > gap) {
      throw Error(ErrorCode::kTooLong,
                  "a free text of " + std::to_string(segment.tokens.size()) +
                      " tokens does not fit before module \"" + module + "\", where " +
                      std::to_string(gap) + " positions are free",
                  "Put it after the last module, or into PROMPT.", range);
    }
    prompt_.segments.insert(prompt_.segments.begin() + static_cast<long>(at), std::move(segment));
    atom_of_segment_.insert(atom_of_segment_.begin() + static_cast<long>(at), -1);
  }

  void CheckLength() {
    for (const PromptSegment& segment : prompt_.segments) {
      prompt_.prompt_tokens += segment.prompt_tokens();
    }
    prompt_.end_position = EndOfFirst(prompt_.segments.size());
    const bool is_bos_alone = prompt_.segments.size() == 1 && layout_.has_bos;
    if (!begins_chat_ && (prompt_.segments.empty() || is_bos_alone)) {
      throw Error(ErrorCode::kInvalidArgument, "the prompt is empty",
                  "Add PROMPT '…', or USE a module of the schema.", query_.range);
    }
    if (prompt_.end_position >= context_length_) {
      throw Error(ErrorCode::kTooLong,
                  "the prompt takes " + std::to_string(prompt_.end_position) +
                      " positions, and the model has a context of " +
                      std::to_string(context_length_) + ", of which at least one is for the answer",
                  "Use fewer or shorter modules.", last_range_.value_or(query_.range));
    }
  }

  // In modular reuse, a schema's segment sees what its layout says; every other segment sees all
  // that stands before its first position.
  void SetAttention() {
    std::map<int, int> segment_of_atom;
    std::vector<PromptSegment>& segments = prompt_.segments;
    for (size_t i = 0; i < segments.size(); ++i) {
      PromptSegment& segment = segments[i];
      const int atom = atom_of_segment_[i];
      if (prompt_.reuse == ReuseMode::kModular && !segment.is_new) {
        for (const int visible : layout_.VisibleIn(atom, complete_scaffolds_)) {
          const int index = segment_of_atom.at(visible);
          segments[static_cast<size_t>(index)].AppendAllVisible(index, segment.attends);
        }
        for (const int scaffold : complete_scaffolds_) {
          segment.label += ScaffoldMark(layout_.scaffolds[static_cast<size_t>(scaffold)], atom);
        }
      } else {
        for (size_t k = 0; k < i; ++k) {
          const int size = static_cast<int>(segments[k].tokens.size());
          const int before = std::min(size, segment.start - segments[k].start);
          segments[k].AppendVisible(static_cast<int>(k), before, segment.attends);
        }
      }
      if (atom >= 0) segment_of_atom[atom] = static_cast<int>(i);
    }
  }

  const ast::Select& query_;
  const SchemaDefinition& schema_;
  const SchemaLayout& layout_;
  const Tokenizer& tokenizer_;
  const ChatTemplate& chat_template_;
  const int context_length_;
  const std::vector<std::string> paths_;  // of all modules

  BoundPrompt prompt_;
  std::map<std::string, const ast::UseItem*> used_;  // module path -> its USE item
  std::map<std::string, size_t> segment_of_module_;  // path -> index of its first segment
  std::vector<int> atom_of_segment_;                 // -1 for new text
  std::vector<int> complete_scaffolds_;              // indices in the layout
  std::optional<SourceRange> last_range_;            // of the last new text
  bool ends_in_user_turn_ = false;                   // what has been added so far
  int free_texts_ = 0;
  bool begins_chat_ = false;
};

}  // namespace

BoundPrompt BindPrompt(const ast::Select& query, const SchemaDefinition& schema,
                       const SchemaLayout& layout, const Tokenizer& tokenizer,
                       const ChatTemplate& chat_template, int context_length,
                       const QueryDefaults& defaults, int row) {
  return PromptBinder(query, schema, layout, tokenizer, chat_template, context_length)
      .Bind(defaults, row);
}

BoundPrompt BindOpening(const ast::BeginChat& chat, const SchemaDefinition& schema,
                        const SchemaLayout& layout, const Tokenizer& tokenizer,
                        const ChatTemplate& chat_template, int context_length,
                        const QueryDefaults& defaults) {
  ast::Select query;
  query.range = chat.range;
  query.schema = chat.schema;
  query.use = chat.use;
  query.with_options = chat.with_options;
  PromptBinder binder(query, schema, layout, tokenizer, chat_template, context_length);
  binder.BeginChat();
  return binder.Bind(defaults, 0);
}

void GiveTo(const StateOwner& owner, BoundPrompt& prompt) {
  prompt.owner = owner;
  const bool has_salt = owner.salt != Digest();
  for (PromptSegment& segment : prompt.segments) {
    segment.is_private = has_salt && (segment.is_new || !segment.chat_label.empty());
  }
}

}  // namespace promptdb
