// How well a model answered under each way of reuse, as ANALYZE MODEL measured it and the catalog
// keeps it.
//
// Thread-safe: plain values.
#ifndef PROMPTDB_STORAGE_MODEL_ACCURACY_H_
#define PROMPTDB_STORAGE_MODEL_ACCURACY_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"

namespace promptdb {

// One way of reuse with states of one dtype. Percentages are from 0 to 100, divergences in nats.
struct AccuracyRow {
  // "none", "exact", "modular"; "portable": modular, of a portable schema; "scaffold": modular,
  // with one over all.
  std::string mode;
  std::string kv_dtype;   // "f32", "bf16"
  int64_t questions = 0;  // that were answered, or texts that were read
  int64_t tokens = 0;     // whose distributions the divergence is over
  double kl = 0;          // mean of KL(none with f32 states || this) over the tokens
  double first_kl = 0;    // the same over the first token of each answer or text
  // Of answers, in percent; of texts there are none.
  std::optional<double> exact_match;
  std::optional<double> f1;
  std::optional<double> rouge_l;
  std::optional<double> perplexity;  // of texts alone

  bool operator==(const AccuracyRow&) const = default;
};

struct ModelAccuracy {
  std::string model;        // its name
  Digest fingerprint;       // of the model that was measured: of another, this says nothing
  std::string source;       // for people: "held-out questions, seed 1", "questions.jsonl"
  int64_t measured_at = 0;  // seconds since 1970
  std::vector<AccuracyRow> rows;

  // The row of that mode and dtype, or nullptr.
  const AccuracyRow* Find(std::string_view mode, std::string_view kv_dtype) const {
    for (const AccuracyRow& row : rows) {
      if (row.mode == mode && row.kv_dtype == kv_dtype) return &row;
    }
    return nullptr;
  }

  bool operator==(const ModelAccuracy&) const = default;
};

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_MODEL_ACCURACY_H_
