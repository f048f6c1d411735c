#include "planner/planner.h"

#include <algorithm>

namespace promptdb {

namespace {

// A saving of less than this, in milliseconds and as a part, is within what estimates are off by.
constexpr double kLeastSavingMs = 0.1;
constexpr double kLeastSaving = 1.1;

constexpr std::string_view kNoRoom = "no room in cpu_cache";
constexpr std::string_view kNoDeviceRoom = "no room in gpu_cache";

class Planner {
 public:
  Planner(BoundPrompt prompt, const PlanContext& context)
      : context_(context), model_{context.config, context.kv_shape, context.weight_bytes} {
    plan_.prompt = std::move(prompt);
  }

  QueryPlan Plan() {
    const BoundPrompt& prompt = plan_.prompt;
    auto root = std::make_unique<QueryNode>();
    root->kind = prompt.kind;
    root->schema = prompt.schema;
    root->model = prompt.model;
    root->reuse = prompt.reuse;
    root->cache = prompt.cache;
    root->rows = prompt.rows;
    root->prompt_tokens = prompt.prompt_tokens;
    plan_.keys = ComputeSegmentKeys(prompt.segments, context_.model_fingerprint,
                                    context_.config.positions, prompt.owner.salt);
    plan_.scans.resize(prompt.segments.size());
    plan_.encodes.resize(prompt.segments.size());

    std::unique_ptr<PlanNode> below;
    if (prompt.kind != ast::Select::Kind::kTokens) below = MakePrefill();
    if (prompt.kind == ast::Select::Kind::kGenerate) below = MakeDecode(std::move(below));
    if (below != nullptr) root->children.push_back(std::move(below));
    for (const auto& scan : plan_.scans) {
      if (scan == nullptr || scan->tier == Tier::kMiss) continue;
      root->cached_tokens += prompt.segments[static_cast<size_t>(scan->segment)].prompt_tokens();
    }
    root->estimate_ms = TotalEstimate(*root);
    Number(*root);
    plan_.root = std::move(root);
    return std::move(plan_);
  }

 private:
  // What becomes of a segment.
  struct Choice {
    enum class Source { kPrefill, kEncode, kScan };
    Source source = Source::kPrefill;
    StateInfo info;
    double read_ms = 0;  // from disk
    double copy_ms = 0;  // between host and device
    bool reads_apart = false;
    bool goes_to_device = false;
    bool lacks_device_room = false;
    std::string reason;
  };

  std::unique_ptr<PlanNode> MakePrefill() {
    auto prefill = std::make_unique<PrefillNode>();
    std::vector<Choice> choices = ListChoices();
    if (plan_.prompt.cache) {
      FindRoom(choices);
      if (context_.may_recompute) ChooseRecomputed(choices);
    }
    for (size_t i = 0; i < choices.size(); ++i) {
      switch (choices[i].source) {
        case Choice::Source::kPrefill:
          prefill->segments.push_back(static_cast<int>(i));
          break;
        case Choice::Source::kEncode:
          prefill->children.push_back(MakeEncode(i, choices[i]));
          break;
        case Choice::Source::kScan:
          prefill->children.push_back(MakeScan(i, choices[i]));
          break;
      }
    }
    EstimateEncodes();
    EstimatePrefill(*prefill);
    plan_.prefill = prefill.get();
    return prefill;
  }

  std::unique_ptr<PlanNode> MakeDecode(std::unique_ptr<PlanNode> below) {
    const BoundPrompt& prompt = plan_.prompt;
    auto decode = std::make_unique<DecodeNode>();
    decode->max_tokens = prompt.generate.max_tokens;
    decode->temperature = prompt.generate.temperature;
    if (prompt.generate.constraint != nullptr) {
      decode->constraint = prompt.generate.constraint->name();
    }
    decode->estimate_ms =
        context_.cost.DecodeMs(model_, RowsTogether(), prompt.prompt_tokens, decode->max_tokens);
    decode->children.push_back(std::move(below));
    plan_.decode = decode.get();
    return decode;
  }

  // Schema segments are scanned or encoded. In exact reuse that holds up to the first new text:
  // what comes after depends on the query's own words, and would fill the cache with states of one
  // use.
  std::vector<Choice> ListChoices() const {
    const std::vector<PromptSegment>& segments = plan_.prompt.segments;
    std::vector<Choice> choices(segments.size());
    bool after_new_text = false;
    for (size_t i = 0; i < segments.size(); ++i) {
      Choice& choice = choices[i];
      after_new_text = after_new_text || segments[i].is_new;
      if (segments[i].is_new || plan_.prompt.reuse == ReuseMode::kNone ||
          (plan_.prompt.reuse == ReuseMode::kExact && after_new_text)) {
        continue;
      }
      if (!plan_.prompt.cache) {
        choice.source = Choice::Source::kEncode;
        continue;
      }
      choice.source = Choice::Source::kScan;
      choice.info = context_.cache.Probe(plan_.keys[i].key, context_.home);
      if (choice.info.tier == Tier::kMiss) {
        choice.reason = MissReason(context_.cache, Label(segments[i]), plan_.keys[i],
                                   context_.model_fingerprint, segments[i]);
      } else if (choice.info.tier == Tier::kDisk) {
        choice.read_ms = ReadMs(i, choice.info, choice.info.bytes - choice.info.memory_bytes);
      }
    }
    return choices;
  }

  // States on the device stay there while the query runs; what is elsewhere gets the room that is
  // left, in the prompt's order.
  void FindDeviceRoom(std::vector<Choice>& choices) const {
    int64_t room = context_.cache.DeviceRoom();
    for (size_t i = 0; i < choices.size(); ++i) {
      Choice& choice = choices[i];
      if (choice.info.tier != Tier::kGpu) continue;
      choice.goes_to_device = true;
      // What a policy keeps there is pinned already.
      if (!context_.cache.IsHeld(plan_.keys[i].key)) room -= choice.info.bytes;
    }
    for (Choice& choice : choices) {
      if (choice.info.tier != Tier::kCpu && choice.info.tier != Tier::kDisk) continue;
      if (choice.info.bytes <= room) {
        room -= choice.info.bytes;
        choice.goes_to_device = true;
        choice.copy_ms = context_.cost.CopyMs(choice.info.bytes - choice.info.gpu_bytes);
      } else {
        choice.lacks_device_room = true;
        choice.reason = std::string(kNoDeviceRoom) + ", read in the CPU tier";
        choice.copy_ms = context_.cost.CopyMs(choice.info.memory_bytes - choice.info.cpu_bytes);
      }
    }
  }

  // The same in the CPU tier, for all but what goes to the device.
  void FindRoom(std::vector<Choice>& choices) const {
    if (context_.home == Tier::kGpu && context_.cache.HasDevice()) FindDeviceRoom(choices);
    int64_t room = context_.cache.Room();
    for (size_t i = 0; i < choices.size(); ++i) {
      // What a policy keeps in memory is pinned already.
      if (choices[i].info.tier == Tier::kCpu && !choices[i].goes_to_device &&
          !context_.cache.IsHeld(plan_.keys[i].key)) {
        room -= choices[i].info.bytes;
      }
    }
    for (size_t i = 0; i < choices.size(); ++i) {
      Choice& choice = choices[i];
      const bool comes_in = choice.info.tier == Tier::kDisk || choice.info.tier == Tier::kGpu;
      if (!comes_in || choice.goes_to_device) continue;
      if (choice.info.bytes <= room) {
        room -= choice.info.bytes;
      } else {
        choice.reads_apart = true;
        choice.reason = std::string(kNoRoom) + ", read for this query alone";
        choice.read_ms = ReadMs(i, choice.info, choice.info.bytes);
        choice.copy_ms = 0;
      }
    }
  }

  // Computes in the place of reading where that saves time. What is computed is one forward pass
  // together with what the cache lacks, so a state costs what it adds to that; where nothing else
  // is computed, all that could be are tried at once.
  void ChooseRecomputed(std::vector<Choice>& choices) const {
    std::vector<CostedRows> pass;
    std::vector<size_t> candidates;
    for (size_t i = 0; i < choices.size(); ++i) {
      if (choices[i].source != Choice::Source::kScan) continue;
      if (choices[i].info.tier == Tier::kMiss) pass.push_back(RowsOf(i));
      // Nearly always reading is so much cheaper that nothing more has to be worked out.
      if (choices[i].info.tier == Tier::kDisk &&
          IsWorth(context_.cost.LeastMs(Flops(plan_.prompt.segments[i])), choices[i].read_ms)) {
        candidates.push_back(i);
      }
    }
    if (candidates.empty()) return;
    for (const size_t i : WhatIsWorth(candidates, choices, std::move(pass))) {
      Choice& choice = choices[i];
      choice.source = Choice::Source::kEncode;
      const std::string why = "cheaper to compute than to read " +
                              std::to_string(choice.info.bytes) + " bytes from disk";
      choice.reason = choice.reads_apart ? std::string(kNoRoom) + ", " + why : why;
    }
  }

  // Those of `candidates` that are, computed with `pass`.
  std::vector<size_t> WhatIsWorth(const std::vector<size_t>& candidates,
                                  const std::vector<Choice>& choices,
                                  std::vector<CostedRows> pass) const {
    std::vector<size_t> chosen;
    double pass_ms = 0, read_ms = 0;
    if (pass.empty()) {
      std::vector<CostedRows> all;
      for (const size_t i : candidates) {
        all.push_back(RowsOf(i));
        read_ms += choices[i].read_ms;
      }
      if (IsWorth(context_.cost.ForwardMs(model_, all), read_ms)) return candidates;
    } else {
      pass_ms = context_.cost.ForwardMs(model_, pass);
    }
    for (const size_t i : candidates) {
      pass.push_back(RowsOf(i));
      const double with_ms = context_.cost.ForwardMs(model_, pass);
      if (IsWorth(with_ms - pass_ms, choices[i].read_ms)) {
        chosen.push_back(i);
        pass_ms = with_ms;
      } else {
        pass.pop_back();
      }
    }
    return chosen;
  }

  static bool IsWorth(double compute_ms, double read_ms) {
    return compute_ms * kLeastSaving + kLeastSavingMs < read_ms;
  }

  std::unique_ptr<EncodeNode> MakeEncode(size_t index, const Choice& choice) {
    const PromptSegment& segment = plan_.prompt.segments[index];
    auto encode = std::make_unique<EncodeNode>();
    encode->segment = static_cast<int>(index);
    encode->module = Label(segment);
    encode->tokens = static_cast<int>(segment.tokens.size());
    encode->start = segment.start;
    encode->is_scanned = choice.source == Choice::Source::kScan;
    encode->flops = Flops(segment);
    encode->state_bytes = BlockGrid(context_.kv_shape, encode->tokens).TotalBytes();
    if (!encode->is_scanned) {
      encode->reason = choice.reason;
      encode->lacks_room = choice.reads_apart;
    }
    plan_.encodes[index] = encode.get();
    encodes_.push_back(encode.get());
    return encode;
  }

  std::unique_ptr<ModuleScanNode> MakeScan(size_t index, const Choice& choice) {
    const PromptSegment& segment = plan_.prompt.segments[index];
    auto scan = std::make_unique<ModuleScanNode>();
    scan->segment = static_cast<int>(index);
    scan->module = Label(segment);
    scan->tokens = static_cast<int>(segment.tokens.size());
    scan->start = segment.start;
    scan->key = plan_.keys[index].key;
    if (context_.config.positions == PositionScheme::kRope) {
      scan->moved_by = plan_.keys[index].origin;
    }
    scan->tier = choice.info.tier;
    scan->reason = choice.reason;
    scan->reads_apart = choice.reads_apart;
    scan->lacks_device_room = choice.lacks_device_room;
    const BlockGrid grid(context_.kv_shape, scan->tokens);
    if (scan->tier == Tier::kMiss) {
      scan->bytes = grid.TotalBytes();
      scan->children.push_back(MakeEncode(index, choice));
    } else {
      scan->bytes = choice.info.bytes;
      scan->estimate_ms = choice.read_ms + choice.copy_ms + context_.cost.PinMs(grid.blocks());
      scan->is_cheaper_to_read = IsCheaperToRead(index, choice.info);
    }
    plan_.scans[index] = scan.get();
    return scan;
  }

  bool IsCheaperToRead(size_t index, const StateInfo& info) const {
    const double read_ms = ReadMs(index, info, info.bytes);
    if (!IsWorth(context_.cost.LeastMs(Flops(plan_.prompt.segments[index])), read_ms)) return true;
    const CostedRows rows = RowsOf(index);
    return !IsWorth(context_.cost.ForwardMs(model_, {&rows, 1}), read_ms);
  }

  // All that is encoded is one forward pass; each node has its share by operations, and the time to
  // store what it computes.
  void EstimateEncodes() {
    std::vector<CostedRows> pass;
    double flops = 0;
    for (const EncodeNode* encode : encodes_) {
      pass.push_back(RowsOf(static_cast<size_t>(encode->segment)));
      flops += encode->flops;
    }
    if (pass.empty()) return;
    const double pass_ms = context_.cost.ForwardMs(model_, pass);
    for (EncodeNode* encode : encodes_) {
      encode->estimate_ms = pass_ms * encode->flops / flops;
      if (!encode->is_scanned) continue;
      encode->estimate_ms += context_.cost.StoreMs(encode->state_bytes);
    }
  }

  void EstimatePrefill(PrefillNode& prefill) const {
    const std::vector<PromptSegment>& segments = plan_.prompt.segments;
    // Rows of PROMPT IN go through the layers together.
    const int64_t together = RowsTogether();
    std::vector<CostedRows> pass;
    if (prefill.segments.empty()) {
      const PromptSegment& last = segments.back();
      const double seen = SeenBefore(last) + static_cast<double>(last.tokens.size());
      prefill.tokens = 1;
      prefill.first_position = prefill.last_position = last.end() - 1;
      prefill.flops = PrefillFlops(context_.config, 1, seen);
      pass.push_back({together, seen - 1, together});
    } else {
      prefill.first_position = plan_.prompt.end_position;
      for (const int index : prefill.segments) {
        const PromptSegment& segment = segments[static_cast<size_t>(index)];
        prefill.tokens += static_cast<int>(segment.tokens.size());
        prefill.flops += Flops(segment);
        prefill.first_position = std::min(prefill.first_position, segment.start);
        prefill.last_position = std::max(prefill.last_position, segment.end() - 1);
        pass.push_back(RowsOf(static_cast<size_t>(index)));
      }
      pass.back().rows *= together;
      pass.back().wanted = together;
    }
    prefill.estimate_ms = context_.cost.ForwardMs(model_, pass);
  }

  // Of PROMPT IN, computed in one batch.
  int64_t RowsTogether() const {
    const bool shares = plan_.prompt.cache && plan_.prompt.reuse != ReuseMode::kNone;
    return shares ? std::clamp(plan_.prompt.rows, 1, kMostRowsAtOnce) : 1;
  }

  CostedRows RowsOf(size_t index) const {
    const PromptSegment& segment = plan_.prompt.segments[index];
    return {static_cast<int64_t>(segment.tokens.size()), SeenBefore(segment), 0};
  }

  // `bytes` of a state, from disk.
  double ReadMs(size_t index, const StateInfo& info, int64_t bytes) const {
    const auto tokens = static_cast<int>(plan_.prompt.segments[index].tokens.size());
    return context_.cost.ReadMs(bytes, BlockGrid(context_.kv_shape, tokens).blocks(),
                                info.checked_bytes);
  }

  static double SeenBefore(const PromptSegment& segment) {
    double seen = 0;
    for (const AttendedSpan& span : segment.attends) seen += span.end - span.begin;
    return seen;
  }

  double Flops(const PromptSegment& segment) const {
    const auto rows = static_cast<int64_t>(segment.tokens.size());
    return PrefillFlops(context_.config, rows,
                        SeenBefore(segment) + (static_cast<double>(rows) + 1) / 2);
  }

  std::string Label(const PromptSegment& segment) const {
    if (!segment.chat_label.empty()) return segment.chat_label;
    return StateLabel(plan_.prompt.schema, segment.label);
  }

  static double TotalEstimate(const PlanNode& node) {
    double total = node.estimate_ms;
    for (const auto& child : node.children) total += TotalEstimate(*child);
    return total;
  }

  void Number(PlanNode& node) {
    node.id = plan_.nodes++;
    for (const auto& child : node.children) Number(*child);
  }

  const PlanContext& context_;
  const CostedModel model_;
  QueryPlan plan_;
  std::vector<EncodeNode*> encodes_;  // of the plan, in the prompt's order
};

}  // namespace

std::string MissReason(const StateCache& cache, const std::string& label, const SegmentKeys& keys,
                       const Digest& model_fingerprint, const PromptSegment& segment) {
  const std::optional<StateManifest> last = cache.LastUnderLabel(label);
  if (!last) return "never encoded";
  if (last->key == keys.key) return "evicted";
  if (last->model != model_fingerprint) return "model changed";
  const auto difference = std::mismatch(last->token_ids.begin(), last->token_ids.end(),
                                        segment.tokens.begin(), segment.tokens.end());
  if (difference.first != last->token_ids.end() || difference.second != segment.tokens.end()) {
    return "text changed at token " + std::to_string(difference.second - segment.tokens.begin());
  }
  if (last->start_position != segment.start - keys.origin) {
    return "moved from position " + std::to_string(last->start_position);
  }
  return "context changed";
}

std::string StateLabel(const std::string& schema, const std::string& segment) {
  return schema + "." + segment;
}

QueryPlan PlanQuery(BoundPrompt prompt, const PlanContext& context) {
  return Planner(std::move(prompt), context).Plan();
}

}  // namespace promptdb
