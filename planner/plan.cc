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
  if (!reason.empty()) details.emplace_back("reason", reason);
}

void ModuleScanNode::Describe(PlanDetails& details) const {
  details.emplace_back("module", module);
  details.emplace_back("tokens", int64_t{tokens});
  details.emplace_back("positions", Positions(start, start + tokens - 1));
  if (moved_by != 0) details.emplace_back("moved_by", int64_t{moved_by});
  details.emplace_back("tier", std::string(TierName(tier)));
  details.emplace_back("bytes", bytes);
  if (!reason.empty()) details.emplace_back("reason", reason);
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

std::string_view QueryNode::name() const {
  switch (kind) {
    case ast::Select::Kind::kGenerate:
      return "Generate";
    case ast::Select::Kind::kTokens:
      return "Tokens";
    case ast::Select::Kind::kLogprobs:
      return "Logprobs";
    case ast::Select::Kind::kEmbedding:
      return "Embedding";
  }
  return "";
}

void QueryNode::Describe(PlanDetails& details) const {
  details.emplace_back("schema", schema);
  details.emplace_back("model", model);
  details.emplace_back("reuse", std::string(ReuseModeName(reuse)));
  if (!cache) details.emplace_back("cache", std::string("off"));
  if (rows > 1) details.emplace_back("rows", int64_t{rows});
  details.emplace_back("prompt_tokens", int64_t{prompt_tokens});
  details.emplace_back("cached_tokens", int64_t{cached_tokens});
}

}  // namespace promptdb
