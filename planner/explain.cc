#include "planner/explain.h"

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace promptdb {

namespace {

std::string FormatMs(double ms) {
  char buffer[32];
  std::snprintf(buffer, sizeof(buffer), "%.3f", ms);
  return buffer;
}

// 1234567 as "1.23M".
std::string FormatCount(double count) {
  static constexpr const char* kUnits[] = {"", "k", "M", "G", "T", "P"};
  int unit = 0;
  while (count >= 1000 && unit < 5) {
    count /= 1000;
    ++unit;
  }
  char buffer[32];
  std::snprintf(buffer, sizeof(buffer), unit == 0 ? "%.4g%s" : "%.3g%s", count, kUnits[unit]);
  return buffer;
}

std::string FormatDetail(const std::string& name, const PlanDetail& value) {
  if (const auto* whole = std::get_if<int64_t>(&value)) return std::to_string(*whole);
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  if (const auto* list = std::get_if<std::vector<std::string>>(&value)) {
    std::string joined;
    for (const std::string& text : *list) joined += (joined.empty() ? "" : ", ") + text;
    return "[" + joined + "]";
  }
  const double real = std::get<double>(value);
  if (name == "flops") return FormatCount(real);
  char buffer[32];
  std::snprintf(buffer, sizeof(buffer), "%g", real);
  return buffer;
}

void PrintText(const PlanNode& node, int depth, const std::vector<NodeActuals>* actuals,
               std::vector<std::string>& lines) {
  PlanDetails details;
  node.Describe(details);
  std::string line(static_cast<size_t>(depth) * 2, ' ');
  std::string described;
  for (const auto& [name, value] : details) {
    described += (described.empty() ? "" : ", ") + name + "=" + FormatDetail(name, value);
  }
  if (node.has_estimate()) {
    described += (described.empty() ? "" : ", ");
    described += "est_ms=" + FormatMs(node.estimate_ms);
  }
  line += std::string(node.name()) + " (" + described + ")";
  if (actuals != nullptr) {
    const NodeActuals& actual = (*actuals)[static_cast<size_t>(node.id)];
    line += " [actual_ms=" + FormatMs(actual.ms) + ", rows=" + std::to_string(actual.rows);
    if (actual.tier) line += ", tier=" + std::string(TierName(*actual.tier));
    line += "]";
  }
  lines.push_back(std::move(line));
  for (const auto& child : node.children) PrintText(*child, depth + 1, actuals, lines);
}

nlohmann::ordered_json ToJson(const PlanNode& node, const std::vector<NodeActuals>* actuals) {
  nlohmann::ordered_json json;
  json["node"] = node.name();
  PlanDetails details;
  node.Describe(details);
  for (const auto& [name, value] : details) {
    std::visit([&, &key = name](const auto& v) { json[key] = v; }, value);
  }
  if (node.has_estimate()) json["estimate_ms"] = std::round(node.estimate_ms * 1e3) / 1e3;
  if (actuals != nullptr) {
    const NodeActuals& actual = (*actuals)[static_cast<size_t>(node.id)];
    json["actual_ms"] = std::round(actual.ms * 1e3) / 1e3;
    json["rows"] = actual.rows;
    if (actual.tier) json["actual_tier"] = TierName(*actual.tier);
  }
  if (!node.children.empty()) {
    json["children"] = nlohmann::ordered_json::array();
    for (const auto& child : node.children) json["children"].push_back(ToJson(*child, actuals));
  }
  return json;
}

}  // namespace

std::vector<std::string> ExplainText(const PlanNode& root,
                                     const std::vector<NodeActuals>* actuals) {
  std::vector<std::string> lines;
  PrintText(root, 0, actuals, lines);
  return lines;
}

std::string ExplainJson(const PlanNode& root, const std::vector<NodeActuals>* actuals) {
  return ToJson(root, actuals).dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace promptdb
