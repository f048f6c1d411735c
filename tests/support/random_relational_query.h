// Random queries over a random table with NULLs, each with its answer by plain loops: what the
// relational operators are held against.
//
// Thread-safe: plain values.
#ifndef PROMPTDB_TESTS_SUPPORT_RANDOM_RELATIONAL_QUERY_H_
#define PROMPTDB_TESTS_SUPPORT_RANDOM_RELATIONAL_QUERY_H_

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "base/value.h"
#include "planner/relational_binder.h"

namespace promptdb {

inline constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();
inline constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

// What the queries are over: one table, pc_random.
inline constexpr SystemColumn kColumns[] = {
    {"i", Column::Type::kInteger, ""},   {"big", Column::Type::kInteger, ""},
    {"r", Column::Type::kReal, ""},      {"t", Column::Type::kText, ""},
    {"schema", Column::Type::kText, ""}, {"b", Column::Type::kBoolean, ""},
};
inline constexpr SystemTable kTables[] = {
    {SystemTable::Id::kModules, "pc_random", "", kColumns, true}};

struct RandomQuery {
  std::string text;
  std::vector<Row> table;                  // the rows of pc_random
  std::optional<std::vector<Row>> answer;  // nullopt: a sum overflows
};

// Always the same for the same seed.
RandomQuery MakeRandomQuery(uint64_t seed);

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_SUPPORT_RANDOM_RELATIONAL_QUERY_H_
