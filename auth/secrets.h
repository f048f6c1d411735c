// What secrets are made of and compared by, over OpenSSL.
//
// Thread-safe: pure functions.
#ifndef PROMPTDB_AUTH_SECRETS_H_
#define PROMPTDB_AUTH_SECRETS_H_

#include <optional>
#include <string>
#include <string_view>

namespace promptdb {

// Bytes from the operating system's generator.
std::string RandomBytes(size_t count);

std::string EncodeBase64(std::string_view bytes);
std::optional<std::string> DecodeBase64(std::string_view text);

// Whether both are the same, in a time that does not tell where they differ.
bool EqualSecrets(std::string_view a, std::string_view b);

std::string Sha256(std::string_view bytes);

// Lower-case hexadecimal digits.
std::string HexOf(std::string_view bytes);

}  // namespace promptdb

#endif  // PROMPTDB_AUTH_SECRETS_H_
