// Seeds and counts of randomised tests: PROMPTDB_SEED, PROMPTDB_CASES and others change them.
#ifndef PROMPTDB_TESTS_SUPPORT_RANDOM_CASES_H_
#define PROMPTDB_TESTS_SUPPORT_RANDOM_CASES_H_

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>

namespace promptdb {

inline int FromEnvironment(const char* name, int otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr ? std::atoi(value) : otherwise;
}

struct RandomCases {
  uint32_t seed;
  int cases;

  explicit RandomCases(int default_cases) : seed(std::random_device{}()), cases(default_cases) {
    if (const char* value = std::getenv("PROMPTDB_SEED")) {
      seed = static_cast<uint32_t>(std::strtoul(value, nullptr, 10));
    }
    cases = FromEnvironment("PROMPTDB_CASES", cases);
    std::printf("seed %u, %d cases (PROMPTDB_SEED, PROMPTDB_CASES)\n", seed, cases);
  }
};

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_SUPPORT_RANDOM_CASES_H_
