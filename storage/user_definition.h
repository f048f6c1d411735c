// Users, and who may do what, as the catalog keeps them.
//
// Thread-safe: plain values.
#ifndef PROMPTDB_STORAGE_USER_DEFINITION_H_
#define PROMPTDB_STORAGE_USER_DEFINITION_H_

#include <compare>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/digest.h"

namespace promptdb {

// A key that HTTP clients show in the place of a password.
struct ApiKey {
  std::string name;    // what its user calls it
  std::string digest;  // SHA-256 of the key, in hexadecimal digits: the key itself is kept nowhere
  int64_t created_at = 0;  // seconds since 1970

  bool operator==(const ApiKey&) const = default;
};

struct UserDefinition {
  // Random, and no other user's ever: owners, rights, states and quotas refer to a user by it, so
  // that a new user of an old name inherits nothing.
  Digest id;
  std::string name;
  std::string verifier;  // SCRAM-SHA-256$…; empty: cannot log in by a password
  bool is_admin = false;
  bool is_disabled = false;
  int64_t tokens_per_day = 0;  // 0: no limit
  int64_t state_bytes = 0;     // of stored states; 0: no limit
  std::vector<ApiKey> keys;
  int64_t created_at = 0;  // seconds since 1970

  // Whether the user can run statements of PromptQL and change users.
  bool is_working_admin() const { return is_admin && !is_disabled && !verifier.empty(); }

  bool operator==(const UserDefinition&) const = default;
};

enum class Privilege {
  kUsage,   // to query
  kCreate,  // of the database: to create schemas
  kAdmin,   // to do what the owner may
};

// What rights are granted on.
struct ObjectName {
  enum class Kind { kDatabase, kModel, kSchema };
  Kind kind = Kind::kDatabase;
  std::string name;  // empty for the database

  auto operator<=>(const ObjectName&) const = default;
};

// The grantee that stands for everybody.
inline constexpr Digest kPublic = {};

struct ObjectAccess {
  ObjectName object;
  Digest owner;                                  // kPublic: none, so that only admins may change it
  std::map<Digest, std::set<Privilege>> grants;  // by user; never an empty set

  bool is_default() const { return owner == kPublic && grants.empty(); }
  bool operator==(const ObjectAccess&) const = default;
};

// What a user has made the model compute on one day (UTC).
struct TokenUsage {
  Digest user;
  int64_t day = 0;  // days since 1970
  int64_t tokens = 0;

  bool operator==(const TokenUsage&) const = default;
};

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_USER_DEFINITION_H_
