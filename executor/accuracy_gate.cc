#include "executor/accuracy_gate.h"

#include <algorithm>
#include <cstdio>

namespace promptdb {

namespace {

// Whether the prompt's states are those of full causal attention, whatever its way of reuse.
bool SeesAll(const BoundPrompt& prompt) {
  const std::vector<PromptSegment>& segments = prompt.segments;
  for (size_t i = 0; i < segments.size(); ++i) {
    // A parameter's value is not seen by the words of its module behind it.
    if (!segments[i].placeholders.empty()) return false;
    int before = 0, seen = 0;
    for (size_t k = 0; k < i; ++k) {
      before += std::clamp(segments[i].start - segments[k].start, 0,
                           static_cast<int>(segments[k].tokens.size()));
    }
    for (const AttendedSpan& span : segments[i].attends) seen += span.end - span.begin;
    if (seen < before) return false;
  }
  return true;
}

std::string Number(double value, const char* format) {
  char text[32];
  std::snprintf(text, sizeof(text), format, value);
  return text;
}

}  // namespace

std::string AccuracyWarning(const BoundPrompt& prompt, const OpenModel& model,
                            const Catalog& catalog, const AccuracyTolerance& tolerance) {
  if (prompt.reuse == ReuseMode::kNone) return "";
  const auto accuracy = catalog.FindAccuracy(prompt.model);
  if (!accuracy || accuracy->fingerprint != model.fingerprint()) return "";
  if (prompt.reuse == ReuseMode::kModular && SeesAll(prompt)) return "";

  const std::string mode(ReuseModeName(prompt.reuse));
  const std::string_view kv_dtype = KvDtypeName(model.kv_shape().dtype);
  const AccuracyRow* none = accuracy->Find("none", kv_dtype);
  const bool is_portable = prompt.reuse == ReuseMode::kModular && prompt.is_portable;
  const AccuracyRow* used = accuracy->Find(is_portable ? "portable" : mode, kv_dtype);
  if (none == nullptr || used == nullptr) return "";

  std::string loss;
  if (none->exact_match && used->exact_match && *none->exact_match >= kLeastExactMatch) {
    const double points = *none->exact_match - *used->exact_match;
    if (points <= tolerance.points) return "";
    loss = "answers " + Number(*used->exact_match, "%.1f") + " % of " +
           std::to_string(used->questions) + " questions right, reuse = 'none' " +
           Number(*none->exact_match, "%.1f") + " % (accuracy_tolerance is " +
           Number(tolerance.points, "%g") + ")";
  } else {
    if (used->kl <= tolerance.nats) return "";
    loss = "is " + Number(used->kl, "%.3f") +
           " nats of KL divergence away from reuse = 'none' (kl_tolerance is " +
           Number(tolerance.nats, "%g") + ")";
  }
  const std::string fix = prompt.reuse == ReuseMode::kModular
                              ? "WITH (reuse = 'exact'), or a SCAFFOLD over the modules, loses less"
                              : "WITH (reuse = 'none') loses nothing";
  return "model \"" + prompt.model + "\" with reuse = '" + mode +
         (is_portable ? "' and portable modules " : "' ") + loss + "; " + fix;
}

}  // namespace promptdb
