// A query's plan: an immutable tree of nodes. Whatever changes while it runs lives in the operators
// (executor/), never here.
//
//   Generate
//     Decode
//       Prefill                 the new text, over the states below
//         ModuleScan            a cached segment
//         ModuleScan (miss)
//           Encode              what the scan computes and stores
//
// A state on disk that takes longer to read than to compute has an Encode in the place of its scan.
// With `cache = off` there are Encode nodes without scans; with `reuse = 'none'` the whole prompt
// is in the Prefill. SELECT LOGPROBS and EMBEDDING have the Prefill right under their root, and
// SELECT TOKENS has a root alone.
#ifndef PROMPTDB_PLANNER_PLAN_H_
#define PROMPTDB_PLANNER_PLAN_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "planner/prompt_binder.h"
#include "planner/state_key.h"
#include "storage/state_cache.h"

namespace promptdb {

// A node's details, in the order in which EXPLAIN prints them.
using PlanDetail = std::variant<int64_t, double, std::string, std::vector<std::string>>;
using PlanDetails = std::vector<std::pair<std::string, PlanDetail>>;

// Rows of PROMPT IN that are computed together: enough for products to run at full speed.
inline constexpr int kMostRowsAtOnce = 32;

class PlanNode {
 public:
  virtual ~PlanNode() = default;

  virtual std::string_view name() const = 0;
  virtual void Describe(PlanDetails& details) const = 0;
  virtual bool has_estimate() const { return true; }

  // Index of the node in its plan, in the order in which EXPLAIN prints them.
  int id = 0;
  double estimate_ms = 0;  // of the node without its children; of the whole plan in Generate
  std::vector<std::unique_ptr<PlanNode>> children;
};

// Computes the states of a schema's segment that are not cached.
class EncodeNode : public PlanNode {
 public:
  std::string_view name() const override { return "Encode"; }
  void Describe(PlanDetails& details) const override;

  int segment = 0;  // index in the prompt
  std::string module;
  int tokens = 0;
  int start = 0;
  double flops = 0;
  bool is_scanned = false;  // stands under a ModuleScan, which prints the place
  std::string reason;       // why a state that is on disk is not read; else ""
  bool lacks_room = false;  // the buffer pool's being too small is a part of that
  int64_t state_bytes = 0;
};

// Reads the states of a segment from the cache.
class ModuleScanNode : public PlanNode {
 public:
  std::string_view name() const override { return "ModuleScan"; }
  void Describe(PlanDetails& details) const override;

  int segment = 0;  // index in the prompt
  std::string module;
  int tokens = 0;
  int start = 0;
  Digest key;
  int moved_by = 0;         // positions from where the states were computed for
  Tier tier = Tier::kMiss;  // where the states were when the plan was made
  int64_t bytes = 0;
  std::string reason;  // of a miss, for reads_apart or for lacks_device_room
  // The buffer pool has no room beside the query's other states: read into memory of its own.
  bool reads_apart = false;
  // The device, which is home, has no room: read in the CPU tier, or as reads_apart says.
  bool lacks_device_room = false;
  // What to do where there turns out to be no room, against the plan: read, or else compute.
  bool is_cheaper_to_read = true;
};

// Computes the new text, all of its segments in one pass.
class PrefillNode : public PlanNode {
 public:
  std::string_view name() const override { return "Prefill"; }
  void Describe(PlanDetails& details) const override;

  std::vector<int>
      segments;  // indices in the prompt; empty when the prompt ends in a cached module,
                 // of which only the last token is computed again, for its logits
  int tokens = 0;
  int first_position = 0;
  int last_position = 0;
  double flops = 0;
};

class DecodeNode : public PlanNode {
 public:
  std::string_view name() const override { return "Decode"; }
  void Describe(PlanDetails& details) const override;

  int max_tokens = 0;
  double temperature = 0;
  std::string constraint;  // "grammar", "json_schema"; "": none
};

// The root: what the query asks for, named after it.
class QueryNode : public PlanNode {
 public:
  std::string_view name() const override;  // "Generate", "Tokens", "Logprobs", "Embedding"
  void Describe(PlanDetails& details) const override;

  ast::Select::Kind kind = ast::Select::Kind::kGenerate;
  std::string schema;
  std::string model;
  ReuseMode reuse = ReuseMode::kModular;
  bool cache = true;
  int rows = 1;  // prompts of PROMPT IN; the plan is the first one's
  int prompt_tokens = 0;
  int cached_tokens = 0;
};

struct QueryPlan {
  BoundPrompt prompt;
  std::vector<SegmentKeys> keys;  // by segment
  std::unique_ptr<QueryNode> root;
  // Borrowed from the tree:
  const DecodeNode* decode = nullptr;        // Generate alone has one
  const PrefillNode* prefill = nullptr;      // Tokens has none
  std::vector<const ModuleScanNode*> scans;  // by segment
  std::vector<const EncodeNode*> encodes;    // by segment; those below scans too
  int nodes = 0;
};

}  // namespace promptdb

#endif  // PROMPTDB_PLANNER_PLAN_H_
