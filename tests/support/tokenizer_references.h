// The reference ids and texts in tests/data/tokenizer, made by make_references.mjs there.
#ifndef PROMPTDB_TESTS_SUPPORT_TOKENIZER_REFERENCES_H_
#define PROMPTDB_TESTS_SUPPORT_TOKENIZER_REFERENCES_H_

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

namespace promptdb {

inline std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

inline nlohmann::json ReadReference(const std::string& name) {
  return nlohmann::json::parse(ReadFile(std::filesystem::path(PROMPTDB_SOURCE_DIR) /
                                        "tests/data/tokenizer" / (name + ".json")));
}

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_SUPPORT_TOKENIZER_REFERENCES_H_
