#include "planner/planner.h"

#include <algorithm>

#include "planner/state_key.h"

namespace promptdb {

namespace {

double Milliseconds(double amount, double per_second) { return amount / per_second * 1e3; }

class Planner {
 public:
  Planner(BoundPrompt prompt, const PlanContext& context) : context_(context) {
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
  std::unique_ptr<PlanNode> MakePrefill() {
    auto prefill = std::make_unique<PrefillNode>();
    AddSegments(*prefill);
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
        prompt.generate.max_tokens *
        (Milliseconds(static_cast<double>(context_.weight_bytes),
                      context_.cost.weight_bytes_per_second) +
         Milliseconds(static_cast<double>(context_.kv_shape.BytesPerToken()) * prompt.prompt_tokens,
                      context_.cost.cpu_bytes_per_second));
    decode->children.push_back(std::move(below));
    plan_.decode = decode.get();
    return decode;
  }

  // Schema segments are scanned or encoded. In exact reuse that holds up to the first new text:
  // what comes after depends on the query's own words, and would fill the cache with states of one
  // use.
  void AddSegments(PrefillNode& prefill) {
    const std::vector<PromptSegment>& segments = plan_.prompt.segments;
    const std::vector<SegmentKeys> keys = ComputeSegmentKeys(segments, context_.model_fingerprint);
    bool after_new_text = false;
    for (size_t i = 0; i < segments.size(); ++i) {
      const PromptSegment& segment = segments[i];
      after_new_text = after_new_text || segment.is_new;
      const bool is_computed = segment.is_new || plan_.prompt.reuse == ReuseMode::kNone ||
                               (plan_.prompt.reuse == ReuseMode::kExact && after_new_text);
      if (is_computed) {
        prefill.segments.push_back(static_cast<int>(i));
      } else if (!plan_.prompt.cache) {
        prefill.children.push_back(MakeEncode(i, false));
      } else {
        prefill.children.push_back(MakeScan(i, keys[i]));
      }
    }
  }

  std::unique_ptr<EncodeNode> MakeEncode(size_t index, bool is_scanned) {
    const PromptSegment& segment = plan_.prompt.segments[index];
    auto encode = std::make_unique<EncodeNode>();
    encode->segment = static_cast<int>(index);
    encode->module = Label(segment);
    encode->tokens = static_cast<int>(segment.tokens.size());
    encode->start = segment.start;
    encode->is_scanned = is_scanned;
    encode->flops = Flops(segment);
    encode->estimate_ms = Milliseconds(encode->flops, context_.cost.flops_per_second);
    plan_.encodes[index] = encode.get();
    return encode;
  }

  std::unique_ptr<ModuleScanNode> MakeScan(size_t index, const SegmentKeys& keys) {
    const PromptSegment& segment = plan_.prompt.segments[index];
    auto scan = std::make_unique<ModuleScanNode>();
    scan->segment = static_cast<int>(index);
    scan->module = Label(segment);
    scan->tokens = static_cast<int>(segment.tokens.size());
    scan->start = segment.start;
    scan->key = keys.key;
    scan->context = keys.context;
    const StateInfo info = context_.cache.Probe(keys.key);
    scan->tier = info.tier;
    scan->bytes = info.tier == Tier::kMiss ? BlockGrid(context_.kv_shape, scan->tokens).TotalBytes()
                                           : info.bytes;
    if (info.tier == Tier::kMiss) {
      scan->miss_reason =
          MissReason(context_.cache, scan->module, keys, context_.model_fingerprint, segment);
      scan->children.push_back(MakeEncode(index, true));
    } else {
      const double on_disk = static_cast<double>(info.bytes - info.cpu_bytes);
      scan->estimate_ms = Milliseconds(on_disk, context_.cost.disk_bytes_per_second);
    }
    plan_.scans[index] = scan.get();
    return scan;
  }

  void EstimatePrefill(PrefillNode& prefill) {
    const std::vector<PromptSegment>& segments = plan_.prompt.segments;
    if (prefill.segments.empty()) {
      const PromptSegment& last = segments.back();
      prefill.tokens = 1;
      prefill.first_position = prefill.last_position = last.end() - 1;
      prefill.flops = PrefillFlops(context_.config, 1, SeenBefore(last) + last.tokens.size());
    } else {
      prefill.first_position = plan_.prompt.end_position;
      for (const int index : prefill.segments) {
        const PromptSegment& segment = segments[static_cast<size_t>(index)];
        prefill.tokens += static_cast<int>(segment.tokens.size());
        prefill.flops += Flops(segment);
        prefill.first_position = std::min(prefill.first_position, segment.start);
        prefill.last_position = std::max(prefill.last_position, segment.end() - 1);
      }
    }
    // States are read once, whoever brought them into memory; weights once at least.
    const double state_bytes =
        static_cast<double>(context_.kv_shape.BytesPerToken()) * plan_.prompt.prompt_tokens;
    prefill.estimate_ms = std::max(Milliseconds(prefill.flops, context_.cost.flops_per_second),
                                   Milliseconds(static_cast<double>(context_.weight_bytes),
                                                context_.cost.weight_bytes_per_second)) +
                          Milliseconds(state_bytes, context_.cost.cpu_bytes_per_second);
  }

  double SeenBefore(const PromptSegment& segment) const {
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
  QueryPlan plan_;
};

}  // namespace

std::vector<SegmentKeys> ComputeSegmentKeys(const std::vector<PromptSegment>& segments,
                                            const Digest& model_fingerprint) {
  std::vector<SegmentKeys> keys;
  for (const PromptSegment& segment : segments) {
    std::vector<AttendedKey> attended;
    for (const AttendedSpan& span : segment.attends) {
      attended.push_back({keys[static_cast<size_t>(span.segment)].key, span.begin, span.end});
    }
    SegmentKeys own;
    own.context = ContextDigest(attended);
    own.key = segment.prefix_of
                  ? *segment.prefix_of
                  : StateKey(model_fingerprint, own.context, segment.tokens, segment.start);
    keys.push_back(own);
  }
  return keys;
}

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
  if (last->start_position != segment.start) {
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
