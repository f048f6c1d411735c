// What the JSON rows of Family::kCatalog have in common: a version, and that a row which can't be
// read is damage. For the files of storage/ that read and write them.
//
// Thread-safe: functions without shared state.
#ifndef PROMPTDB_STORAGE_JSON_ROWS_H_
#define PROMPTDB_STORAGE_JSON_ROWS_H_

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/error.h"

namespace promptdb {

inline constexpr int kRowVersion = 1;

[[noreturn]] inline void CorruptRow(const std::string& cause) {
  throw Error(ErrorCode::kCorrupt, cause);
}

// from(the row's JSON), which may throw what the JSON library throws. Throws Error: kCorrupt that
// says what is wrong, kUnsupported for a row of a newer version.
template <typename Definition>
Definition DecodeRow(std::string_view row, Definition (*from)(const nlohmann::json& json)) {
  try {
    const nlohmann::json json = nlohmann::json::parse(row);
    const int version = json.at("version").get<int>();
    if (version > kRowVersion) {
      throw Error(ErrorCode::kUnsupported,
                  "written by a newer release: row version " + std::to_string(version));
    }
    return from(json);
  } catch (const nlohmann::json::exception& failure) {
    CorruptRow(failure.what());
  }
}

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_JSON_ROWS_H_
