// Aggregate: groups of rows, and count, sum, min, max and avg over each.
#include <limits>
#include <map>
#include <set>

#include "executor/relational_operators.h"

namespace promptdb {

namespace {

struct OrderLess {
  bool operator()(const Value& left, const Value& right) const {
    return CompareForOrder(left, right) < 0;
  }
};

struct RowLess {
  bool operator()(const Row& left, const Row& right) const {
    for (size_t i = 0; i < left.size(); ++i) {
      const int order = CompareForOrder(left[i], right[i]);
      if (order != 0) return order < 0;
    }
    return false;
  }
};

// What an aggregate has come to over the rows of one group so far. NULLs count in count(*) only.
class Accumulator {
 public:
  void Add(const AggregateCall& call, const Row& row) {
    if (call.column < 0) {
      ++count_;
      return;
    }
    const Value& value = row[static_cast<size_t>(call.column)];
    if (IsNull(value)) return;
    if (call.is_distinct && !seen_.insert(value).second) return;
    ++count_;
    if (const auto* whole = std::get_if<int64_t>(&value)) integer_sum_ += *whole;
    if (const auto* real = std::get_if<double>(&value)) real_sum_ += *real;
    if (IsNull(least_) || CompareValues(value, least_) < 0) least_ = value;
    if (IsNull(most_) || CompareValues(value, most_) > 0) most_ = value;
  }

  Value Result(const AggregateCall& call) const {
    if (call.function == AggregateCall::Function::kCount) return count_;
    if (count_ == 0) return {};
    const bool is_integer = call.argument_type == Column::Type::kInteger;
    switch (call.function) {
      case AggregateCall::Function::kMin:
        return least_;
      case AggregateCall::Function::kMax:
        return most_;
      case AggregateCall::Function::kSum:
        return is_integer ? IntegerSum(call) : Value(real_sum_);
      default:
        break;
    }
    const auto sum = is_integer ? static_cast<long double>(integer_sum_) : real_sum_;
    return static_cast<double>(sum / static_cast<long double>(count_));
  }

 private:
  // Holds the sum of as many 64-bit integers as there can be.
  __extension__ using WideInteger = __int128;

  Value IntegerSum(const AggregateCall& call) const {
    if (integer_sum_ < std::numeric_limits<int64_t>::min() ||
        integer_sum_ > std::numeric_limits<int64_t>::max()) {
      throw Error(ErrorCode::kInvalidArgument,
                  "the sum is too large for an integer of 64 bits: " + call.text, "", call.range);
    }
    return static_cast<int64_t>(integer_sum_);
  }

  int64_t count_ = 0;
  WideInteger integer_sum_ = 0;
  double real_sum_ = 0;
  Value least_;
  Value most_;
  std::set<Value, OrderLess> seen_;  // of DISTINCT
};

}  // namespace

std::vector<Row> RunAggregate(const AggregateNode& node, const std::vector<Row>& rows) {
  struct Group {
    Row keys;
    std::vector<Accumulator> accumulators;
  };
  std::vector<Group> groups;
  std::map<Row, size_t, RowLess> places;
  const auto group_of = [&](Row keys) -> Group& {
    const auto [found, is_new] = places.emplace(std::move(keys), groups.size());
    if (is_new) groups.push_back({found->first, std::vector<Accumulator>(node.calls.size())});
    return groups[found->second];
  };
  if (!node.is_grouped) group_of({});
  for (const Row& row : rows) {
    Row keys;
    keys.reserve(node.keys.size());
    for (const int key : node.keys) keys.push_back(row[static_cast<size_t>(key)]);
    Group& group = group_of(std::move(keys));
    for (size_t i = 0; i < node.calls.size(); ++i) group.accumulators[i].Add(node.calls[i], row);
  }
  std::vector<Row> results;
  results.reserve(groups.size());
  for (Group& group : groups) {
    Row& result = results.emplace_back(std::move(group.keys));
    for (size_t i = 0; i < node.calls.size(); ++i) {
      result.push_back(group.accumulators[i].Result(node.calls[i]));
    }
  }
  return results;
}

}  // namespace promptdb
