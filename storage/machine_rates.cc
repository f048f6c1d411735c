#include "storage/machine_rates.h"

#include <cmath>

#include "storage/json_rows.h"

namespace promptdb {

namespace {

using Json = nlohmann::json;

double PositiveNumber(const Json &json, const char *what) {
  const double value = json.get<double>();
  if (!std::isfinite(value) || value <= 0) CorruptRow(std::string(what) + " is no positive number");
  return value;
}

Json EncodeCurve(const RateCurve &curve) {
  Json points = Json::array();
  for (const RatePoint &point : curve) points.push_back({point.amount, point.per_second});
  return points;
}

RateCurve DecodeCurve(const Json &json, const char *field) {
  RateCurve curve;
  for (const Json &point : json.at(field)) {
    const auto amount = point.at(0).get<int64_t>();
    if (amount <= (curve.empty() ? 0 : curve.back().amount)) {
      CorruptRow(std::string(field) + " does not ascend");
    }
    curve.push_back({amount, PositiveNumber(point.at(1), field)});
  }
  if (curve.empty()) CorruptRow(std::string(field) + " has no points");
  return curve;
}

Json EncodeCompute(const ComputeRates &rates) {
  return {{"linear", EncodeCurve(rates.linear)},
          {"attention", EncodeCurve(rates.attention)},
          {"linear_values", EncodeCurve(rates.linear_values)},
          {"weights", EncodeCurve(rates.weights)},
          {"states", EncodeCurve(rates.states)},
          {"elements_per_second", rates.elements_per_second},
          {"call_seconds", rates.call_seconds}};
}

ComputeRates DecodeCompute(const Json &json) {
  const auto number = [&](const char *field) { return PositiveNumber(json.at(field), field); };
  ComputeRates rates;
  rates.linear = DecodeCurve(json, "linear");
  rates.attention = DecodeCurve(json, "attention");
  rates.linear_values = DecodeCurve(json, "linear_values");
  rates.weights = DecodeCurve(json, "weights");
  rates.states = DecodeCurve(json, "states");
  rates.elements_per_second = number("elements_per_second");
  rates.call_seconds = number("call_seconds");
  return rates;
}

MachineRates RatesFrom(const Json &json) {
  const auto number = [&](const char *field) { return PositiveNumber(json.at(field), field); };
  MachineRates rates;
  static_cast<ComputeRates &>(rates) = DecodeCompute(json);
  if (json.contains("on_device")) rates.on_device = DecodeCompute(json.at("on_device"));
  rates.processor = json.at("processor").get<std::string>();
  rates.device = json.value("device", "");
  rates.threads = json.at("threads").get<int>();
  rates.measured_at = json.value("measured_at", int64_t{0});
  rates.disk = DecodeCurve(json, "disk");
  // Earlier releases checked whenever they read.
  if (json.contains("disk_again") && !json.at("disk_again").empty()) {
    rates.disk_again = DecodeCurve(json, "disk_again");
  }
  rates.disk_block_seconds = number("disk_block_seconds");
  // Releases without a device tier did not measure it.
  if (json.contains("copy_bytes_per_second")) {
    rates.copy_bytes_per_second = number("copy_bytes_per_second");
  }
  rates.store_bytes_per_second = number("store_bytes_per_second");
  rates.store_seconds = number("store_seconds");
  return rates;
}

}  // namespace

MachineRates RatesOnDevice(MachineRates rates) {
  if (rates.on_device) static_cast<ComputeRates &>(rates) = *rates.on_device;
  return rates;
}

double RateAt(const RateCurve &curve, double amount) {
  Check(!curve.empty() && amount > 0, "a rate of something");
  if (amount <= static_cast<double>(curve.front().amount)) return curve.front().per_second;
  for (size_t i = 1; i < curve.size(); ++i) {
    const double right = static_cast<double>(curve[i].amount);
    if (amount > right) continue;
    const double left = static_cast<double>(curve[i - 1].amount);
    const double part = std::log(amount / left) / std::log(right / left);
    return curve[i - 1].per_second * std::pow(curve[i].per_second / curve[i - 1].per_second, part);
  }
  return curve.back().per_second;
}

std::string EncodeRates(const MachineRates &rates) {
  Json json = EncodeCompute(rates);
  json.update({{"version", kRowVersion},
               {"processor", rates.processor},
               {"device", rates.device},
               {"threads", rates.threads},
               {"measured_at", rates.measured_at},
               {"disk", EncodeCurve(rates.disk)},
               {"disk_again", EncodeCurve(rates.disk_again)},
               {"disk_block_seconds", rates.disk_block_seconds},
               {"copy_bytes_per_second", rates.copy_bytes_per_second},
               {"store_bytes_per_second", rates.store_bytes_per_second},
               {"store_seconds", rates.store_seconds}});
  if (rates.on_device) json["on_device"] = EncodeCompute(*rates.on_device);
  // The processor's name comes from the system and may be anything.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

MachineRates DecodeRates(std::string_view row) { return DecodeRow(row, RatesFrom); }

}  // namespace promptdb
