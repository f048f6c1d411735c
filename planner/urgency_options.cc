#include "planner/urgency_options.h"

#include <utility>

#include "planner/options.h"

namespace promptdb {

namespace {

constexpr int kMostPriority = 100;
constexpr std::pair<const char*, int> kPriorities[] = {{"high", 10}, {"normal", 0}, {"low", -10}};

const std::vector<ast::Option>* WithOptions(const ast::StatementNode& statement) {
  if (const auto* select = std::get_if<ast::Select>(&statement)) return &select->with_options;
  if (const auto* turn = std::get_if<ast::ContinueChat>(&statement)) return &turn->with_options;
  if (const auto* explain = std::get_if<ast::Explain>(&statement)) {
    const auto* query = std::get_if<ast::Select>(&explain->query);
    return query == nullptr ? nullptr : &query->with_options;
  }
  return nullptr;
}

const ast::Literal* NamedInWith(const char* name, const ast::StatementNode& statement) {
  const std::vector<ast::Option>* options = WithOptions(statement);
  const ast::Option* option = options == nullptr ? nullptr : FindOption(*options, name);
  return option == nullptr ? nullptr : &option->value;
}

}  // namespace

const ast::Literal* NamedPriority(const ast::StatementNode& statement) {
  const auto* set = std::get_if<ast::Set>(&statement);
  if (set != nullptr && set->name.text == "priority") return &set->value;
  return NamedInWith("priority", statement);
}

int LiteralPriority(const ast::Literal& literal) {
  if (std::holds_alternative<std::string>(literal.value) && !UntypedInteger(literal)) {
    const std::string name = LiteralChoice(literal, "priority", {"high", "normal", "low"});
    for (const auto& [known, priority] : kPriorities) {
      if (name == known) return priority;
    }
  }
  return static_cast<int>(LiteralInteger(literal, "priority", -kMostPriority, kMostPriority));
}

std::string PriorityName(int priority) {
  for (const auto& [name, known] : kPriorities) {
    if (priority == known) return name;
  }
  return std::to_string(priority);
}

std::chrono::milliseconds LiteralDeadline(const ast::Literal& literal) {
  return std::chrono::milliseconds(LiteralMilliseconds(literal, "deadline"));
}

std::string DeadlineName(std::chrono::milliseconds deadline) {
  if (deadline.count() == 0) return "none";
  if (deadline.count() % 1000 == 0) return std::to_string(deadline.count() / 1000) + "s";
  return std::to_string(deadline.count()) + "ms";
}

Urgency UrgencyOf(const ast::StatementNode& statement, const UrgencyDefaults& defaults,
                  Urgency::Clock::time_point came) {
  Urgency urgency;
  urgency.priority = defaults.priority;
  std::chrono::milliseconds deadline = defaults.deadline;
  if (const ast::Literal* named = NamedInWith("priority", statement)) {
    urgency.priority = LiteralPriority(*named);
  }
  if (const ast::Literal* named = NamedInWith("deadline", statement)) {
    deadline = LiteralDeadline(*named);
  }
  if (deadline.count() > 0) urgency.deadline = came + deadline;
  return urgency;
}

}  // namespace promptdb
