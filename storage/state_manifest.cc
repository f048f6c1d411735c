#include "storage/state_manifest.h"

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace promptdb {

namespace {

using Json = nlohmann::json;

constexpr int kManifestVersion = 1;

[[noreturn]] void Corrupt(const std::string& cause) {
  throw Error(ErrorCode::kCorrupt, "manifest of an attention state: " + cause);
}

StateManifest FromJson(const Json& json) {
  if (const int version = json.at("version").get<int>(); version != kManifestVersion) {
    Corrupt("unknown version " + std::to_string(version));
  }
  StateManifest manifest;
  manifest.key = Digest::FromHex(json.at("key").get<std::string>());
  manifest.shape.layers = json.at("layers").get<int>();
  manifest.shape.kv_heads = json.at("kv_heads").get<int>();
  manifest.shape.head_dim = json.at("head_dim").get<int>();
  const std::optional<KvDtype> known = KvDtypeNamed(json.at("dtype").get<std::string>());
  if (!known) Corrupt("unknown dtype");
  manifest.shape.dtype = *known;
  manifest.tokens = json.at("tokens").get<int>();
  manifest.start_position = json.at("start_position").get<int>();
  if (!IsValid(manifest.shape) || manifest.tokens < 0) Corrupt("impossible shape");
  manifest.label = json.value("label", "");
  manifest.of_chat = json.value("of_chat", false);
  if (const auto found = json.find("owner"); found != json.end()) {
    manifest.owner = Digest::FromHex(found->get<std::string>());
  }
  manifest.model = Digest::FromHex(json.at("model").get<std::string>());
  manifest.context = Digest::FromHex(json.at("context").get<std::string>());
  manifest.created_at = json.value("created_at", int64_t{0});
  manifest.encode_ms = json.value("encode_ms", 0.0);
  return manifest;
}

}  // namespace

std::string EncodeManifest(const StateManifest& manifest) {
  Json json = {
      {"version", kManifestVersion},
      {"key", manifest.key.ToHex()},
      {"layers", manifest.shape.layers},
      {"kv_heads", manifest.shape.kv_heads},
      {"head_dim", manifest.shape.head_dim},
      {"dtype", KvDtypeName(manifest.shape.dtype)},
      {"tokens", manifest.tokens},
      {"start_position", manifest.start_position},
      {"label", manifest.label},
      {"model", manifest.model.ToHex()},
      {"context", manifest.context.ToHex()},
      {"created_at", manifest.created_at},
      // JSON has no infinities.
      {"encode_ms", std::isfinite(manifest.encode_ms) ? manifest.encode_ms : 0.0},
  };
  if (manifest.of_chat) json["of_chat"] = true;
  if (manifest.owner != Digest()) json["owner"] = manifest.owner.ToHex();
  // A label is for people only, so one that is no UTF-8 must not stop the state.
  const std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  const auto text_bytes = static_cast<uint32_t>(text.size());
  std::string row(reinterpret_cast<const char*>(&text_bytes), sizeof(text_bytes));
  row += text;
  row.append(reinterpret_cast<const char*>(manifest.token_ids.data()),
             manifest.token_ids.size() * sizeof(int32_t));
  return row;
}

StateManifest DecodeManifest(std::string_view row) {
  uint32_t text_bytes = 0;
  if (row.size() < sizeof(text_bytes)) Corrupt("too short");
  std::memcpy(&text_bytes, row.data(), sizeof(text_bytes));
  row.remove_prefix(sizeof(text_bytes));
  if (text_bytes > row.size()) Corrupt("too short");
  StateManifest manifest;
  try {
    manifest = FromJson(Json::parse(row.substr(0, text_bytes)));
  } catch (const Json::parse_error& failure) {
    // Its own message quotes bytes that may be anything.
    Corrupt("no JSON at byte " + std::to_string(failure.byte));
  } catch (const Json::exception& failure) {
    Corrupt(failure.what());
  }
  row.remove_prefix(text_bytes);
  if (row.size() % sizeof(int32_t) != 0) Corrupt("token ids end in the middle of one");
  manifest.token_ids.resize(row.size() / sizeof(int32_t));
  // An empty vector has no memory to point at, and std::memcpy takes no null pointer.
  if (!row.empty()) std::memcpy(manifest.token_ids.data(), row.data(), row.size());
  return manifest;
}

StateManifest DecodeManifestAt(std::string_view key, std::string_view row) {
  StateManifest manifest = DecodeManifest(row);
  if (manifest.key.ToBytes() != key) Corrupt("it is that of another state");
  return manifest;
}

}  // namespace promptdb
