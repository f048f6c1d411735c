#include "executor/logprobs.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/utf8.h"

namespace promptdb {

namespace {

using Json = nlohmann::ordered_json;

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json Entry(const TokenLogprob& token, const Tokenizer& tokenizer) {
  return {{"id", token.id},
          {"token", ShownToken(token.id, tokenizer)},
          {"logprob", std::round(token.logprob * 1e6) / 1e6}};
}

Json EntryWithBytes(const TokenLogprob& token, const Tokenizer& tokenizer) {
  Json entry = Entry(token, tokenizer);
  const std::string bytes = tokenizer.TokenBytes(token.id);
  if (entry["token"] != bytes) {
    Json& list = entry["bytes"] = Json::array();
    for (const char byte : bytes) list.push_back(static_cast<unsigned char>(byte));
  }
  return entry;
}

}  // namespace

Distribution::Distribution(std::span<const float> logits) : logits_(logits) {
  const float most = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - most);
  log_sum_ = most + std::log(sum);
}

std::vector<TokenLogprob> Distribution::Top(int count) const {
  std::vector<TokenId> ids(logits_.size());
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<TokenId>(i);
  const auto end = ids.begin() + std::min<long>(count, static_cast<long>(ids.size()));
  std::partial_sort(ids.begin(), end, ids.end(), [&](TokenId a, TokenId b) {
    const float of_a = logits_[static_cast<size_t>(a)], of_b = logits_[static_cast<size_t>(b)];
    return of_a != of_b ? of_a > of_b : a < b;
  });
  std::vector<TokenLogprob> top;
  for (auto id = ids.begin(); id != end; ++id) top.push_back({*id, Logprob(*id)});
  return top;
}

std::string ShownToken(TokenId id, const Tokenizer& tokenizer) {
  std::string bytes = tokenizer.TokenBytes(id);
  return bytes.empty() || !IsValidUtf8(bytes) ? tokenizer.TokenSpelling(id) : bytes;
}

std::string TopJson(std::span<const TokenLogprob> top, const Tokenizer& tokenizer) {
  Json list = Json::array();
  for (const TokenLogprob& token : top) list.push_back(Entry(token, tokenizer));
  return Dump(list);
}

std::string AnswerJson(std::span<const AnswerToken> tokens, const Tokenizer& tokenizer) {
  Json list = Json::array();
  for (const AnswerToken& answer : tokens) {
    Json entry = EntryWithBytes(answer.token, tokenizer);
    Json& top = entry["top"] = Json::array();
    for (const TokenLogprob& token : answer.top) top.push_back(EntryWithBytes(token, tokenizer));
    list.push_back(std::move(entry));
  }
  return Dump(list);
}

}  // namespace promptdb
