#include "executor/relational_operators.h"

#include <algorithm>
#include <utility>

#include "base/stopwatch.h"

namespace promptdb {

namespace {

std::vector<Row> RunSort(const SortNode& node, std::vector<Row> rows) {
  std::stable_sort(rows.begin(), rows.end(), [&](const Row& left, const Row& right) {
    for (const SortNode::Key& key : node.keys) {
      const auto column = static_cast<size_t>(key.column);
      const int order = CompareForOrder(left[column], right[column]);
      if (order != 0) return key.is_descending ? order > 0 : order < 0;
    }
    return false;
  });
  return rows;
}

std::vector<Row> RunLimit(const LimitNode& node, std::vector<Row> rows) {
  const auto count = static_cast<int64_t>(rows.size());
  const int64_t begin = std::min(node.offset, count);
  const int64_t end = begin + std::min(node.limit.value_or(count), count - begin);
  rows.erase(rows.begin() + end, rows.end());
  rows.erase(rows.begin(), rows.begin() + begin);
  return rows;
}

std::vector<Row> RunProject(const ProjectNode& node, const std::vector<Row>& rows) {
  std::vector<Row> projected;
  projected.reserve(rows.size());
  for (const Row& row : rows) {
    Row& values = projected.emplace_back();
    values.reserve(node.values.size());
    for (const Scalar& value : node.values) values.push_back(value.In(row));
  }
  return projected;
}

std::vector<Row> RunNode(const RelationalNode& node, std::vector<Row> rows) {
  if (const auto* filter = dynamic_cast<const FilterNode*>(&node)) {
    return RunFilter(*filter, std::move(rows));
  }
  if (const auto* aggregate = dynamic_cast<const AggregateNode*>(&node)) {
    return RunAggregate(*aggregate, rows);
  }
  if (const auto* sort = dynamic_cast<const SortNode*>(&node)) {
    return RunSort(*sort, std::move(rows));
  }
  if (const auto* limit = dynamic_cast<const LimitNode*>(&node)) {
    return RunLimit(*limit, std::move(rows));
  }
  const auto* project = dynamic_cast<const ProjectNode*>(&node);
  Check(project != nullptr, "every relational node has its operator");
  return RunProject(*project, rows);
}

}  // namespace

int CompareForOrder(const Value& left, const Value& right) {
  if (IsNull(left) || IsNull(right)) {
    return static_cast<int>(IsNull(left)) - static_cast<int>(IsNull(right));
  }
  return CompareValues(left, right);
}

std::vector<Row> RunRelationalPlan(const RelationalPlan& plan, const TableScan& scan,
                                   std::vector<NodeActuals>* actuals,
                                   const ProgressListener& progress) {
  const Stopwatch total;
  if (actuals != nullptr) actuals->assign(static_cast<size_t>(plan.nodes), {});
  std::vector<const RelationalNode*> nodes;  // from the scan up
  for (const RelationalNode* node = plan.root.get();; node = &node->input()) {
    nodes.push_back(node);
    if (node->children.empty()) break;
  }
  std::reverse(nodes.begin(), nodes.end());
  std::vector<Row> rows;
  for (const RelationalNode* node : nodes) {
    if (progress.IsCanceled()) throw Error(ErrorCode::kCanceled, "the query was stopped");
    const Stopwatch watch;
    if (const auto* leaf = dynamic_cast<const TableScanNode*>(node)) {
      rows = scan(*leaf);
    } else {
      rows = RunNode(*node, std::move(rows));
    }
    if (actuals != nullptr) {
      NodeActuals& actual = (*actuals)[static_cast<size_t>(node->id)];
      actual.ms = node == plan.root.get() ? total.Milliseconds() : watch.Milliseconds();
      actual.rows = static_cast<int64_t>(rows.size());
    }
  }
  return rows;
}

}  // namespace promptdb
