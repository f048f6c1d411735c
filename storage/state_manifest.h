// What is stored beside the blocks of an attention state: what it is, and what it was made of.
//
// A row is the size of a JSON object (u32), the object, then the token ids (i32 each),
// little-endian; docs/storage-format.md lists the fields.
//
// Thread-safe: values and functions without shared state.
#ifndef PROMPTDB_STORAGE_STATE_MANIFEST_H_
#define PROMPTDB_STORAGE_STATE_MANIFEST_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "storage/kv_format.h"

namespace promptdb {

struct StateManifest {
  Digest key;
  KvShape shape;
  int tokens = 0;
  int start_position = 0;
  std::string label;     // "schema.module", for people
  bool of_chat = false;  // belongs to the chats that name it, and goes with the last of them
  Digest owner;          // the user whose words it holds, and whose quota; zero: nobody's
  Digest model;          // digest of the model's weights and settings
  Digest context;        // digest of what the tokens attend to before them
  std::vector<int32_t> token_ids;
  int64_t created_at = 0;  // seconds since 1970
  double encode_ms = 0;    // what it took to compute
};

std::string EncodeManifest(const StateManifest& manifest);
// Throws Error(kCorrupt) that says what is wrong.
StateManifest DecodeManifest(std::string_view row);
// Of a row of Family::kStates. Throws as well when the row is that of another state than its key.
StateManifest DecodeManifestAt(std::string_view key, std::string_view row);

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_STATE_MANIFEST_H_
