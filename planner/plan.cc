#include "planner/plan.h"

namespace promptdb {

namespace {

std::string Positions(int first, int last) {
  return std::to_string(first) + ".." + std::to_string(last);
}

}  // namespace

void EncodeNode::Describe(PlanDetails& details) const {
  if (!is_scanned) details.emplace_back("module", module);
  details.emplace_back("tokens", int64_t{tokens});
  if (!is_scanned) details.emplace_back("positions", Positions(start, start + tokens - 1));
  details.emplace_back("flops", flops);
}

void ModuleScanNode::Describe(PlanDetails& details) const {
  details.emplace_back("module", module);
  details.emplace_back("tokens", int64_t{tokens});
  details.emplace_back("positions", Positions(start, start + tokens - 1));
  details.emplace_back("tier", std::string(TierName(tier)));
  details.emplace_back("bytes", bytes);
  if (!miss_reason.empty()) details.emplace_back("reason", miss_reason);
}

void PrefillNode::Describe(PlanDetails& details) const {
  details.emplace_back("tokens", int64_t{tokens});
  details.emplace_back("positions", Positions(first_position, last_position));
  details.emplace_back("flops", flops);
}

void DecodeNode::Describe(PlanDetails& details) const {
  details.emplace_back("max_tokens", int64_t{max_tokens});
  details.emplace_back("temperature", temperature);
  if (!constraint.empty()) details.emplace_back("constraint", constraint);
}

void GenerateNode::Describe(PlanDetails& details) const {
  details.emplace_back("schema", schema);
  details.emplace_back("model", model);
  details.emplace_back("reuse", std::string(ReuseModeName(reuse)));
  if (!cache) details.emplace_back("cache", std::string("off"));
  details.emplace_back("prompt_tokens", int64_t{prompt_tokens});
  details.emplace_back("cached_tokens", int64_t{cached_tokens});
}

}  // namespace promptdb
