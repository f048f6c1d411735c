#include "executor/accuracy_rows.h"

#include <cmath>

#include "executor/result.h"

namespace promptdb {

namespace {

double Rounded(double value, double unit) { return std::round(value / unit) * unit; }

Value Percent(const std::optional<double>& value) {
  return value ? Value(Rounded(*value * 10, 1) / 10) : Value();
}

// Below a tenth of a millinat, rounding of f32 is all that is left.
double Nats(double value) { return Rounded(value * 1e4, 1) / 1e4; }

}  // namespace

std::vector<Column> AccuracyColumns() {
  using Type = Column::Type;
  return {{"mode", Type::kText},        {"kv_dtype", Type::kText}, {"questions", Type::kInteger},
          {"exact_match", Type::kReal}, {"f1", Type::kReal},       {"rouge_l", Type::kReal},
          {"kl", Type::kReal},          {"first_kl", Type::kReal}, {"perplexity", Type::kReal}};
}

Row AccuracyValues(const AccuracyRow& row) {
  return {row.mode,
          row.kv_dtype,
          row.questions,
          Percent(row.exact_match),
          Percent(row.f1),
          Percent(row.rouge_l),
          Nats(row.kl),
          Nats(row.first_kl),
          row.perplexity ? Value(Rounded(*row.perplexity * 1e3, 1) / 1e3) : Value()};
}

std::string AccuracySummary(const AccuracyRow& row) {
  const Row values = AccuracyValues(row);
  std::string summary;
  const auto add = [&](const std::string& name, const Value& value, const std::string& unit) {
    if (IsNull(value)) return;
    summary += (summary.empty() ? "" : ", ") + name + " " + FormatValue(value) + unit;
  };
  add("exact match", values[3], " %");
  add("F1", values[4], " %");
  add("ROUGE-L", values[5], " %");
  add("perplexity", values[8], "");
  add("KL", values[6], " nats");
  add("first token", values[7], "");
  return summary;
}

}  // namespace promptdb
