// The users that may log in: a file with a line for each, NAME:SCRAM-SHA-256$…, which is no use to
// whoever reads it. Lines that begin with # are comments.
//
// Thread-safe: functions on a file, and a value.
#ifndef PROMPTDB_SERVER_USER_FILE_H_
#define PROMPTDB_SERVER_USER_FILE_H_

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "server/scram.h"

namespace promptdb {

using UserVerifiers = std::map<std::string, ScramVerifier, std::less<>>;

// An absent file has no users. Throws Error(kCorrupt) with the line that is none, Error(kIo).
UserVerifiers ReadUserFile(const std::filesystem::path& file);

// Adds the user, or gives a user of that name the new password. The file is replaced as a whole,
// and readable by its owner only. Throws Error for an empty name or password, a name with a colon
// or a line break, and Error(kIo).
void PutUser(const std::filesystem::path& file, std::string_view name, std::string_view password);

}  // namespace promptdb

#endif  // PROMPTDB_SERVER_USER_FILE_H_
