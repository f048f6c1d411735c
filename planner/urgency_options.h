// priority and deadline, of SET and of WITH.
//
// Pure functions; thread-safe.
#ifndef PROMPTDB_PLANNER_URGENCY_OPTIONS_H_
#define PROMPTDB_PLANNER_URGENCY_OPTIONS_H_

#include <chrono>
#include <string>
#include <vector>

#include "base/urgency.h"
#include "parser/ast.h"

namespace promptdb {

// What a statement that names neither gets.
struct UrgencyDefaults {
  int priority = 0;
  std::chrono::milliseconds deadline{0};  // from when the statement comes; 0: none
};

// 'high', 'normal', 'low', or a whole number from -100 to 100.
int LiteralPriority(const ast::Literal& literal);
// What a statement names as its own priority, or SET as the session's; nullptr where it names none.
const ast::Literal* NamedPriority(const ast::StatementNode& statement);
// As it is shown: the word, where the number has one.
std::string PriorityName(int priority);

// '500ms', '2s', '1min'; a whole number is seconds.
std::chrono::milliseconds LiteralDeadline(const ast::Literal& literal);
std::string DeadlineName(std::chrono::milliseconds deadline);  // "2s", "none"

// Of a statement that came at `came`: by its WITH, if it may have one, or the defaults. Throws
// Error at the value to blame.
Urgency UrgencyOf(const ast::StatementNode& statement, const UrgencyDefaults& defaults,
                  Urgency::Clock::time_point came);

}  // namespace promptdb

#endif  // PROMPTDB_PLANNER_URGENCY_OPTIONS_H_
