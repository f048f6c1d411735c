// SCRAM-SHA-256 (RFC 5802, RFC 7677), the server's side, as PostgreSQL speaks it.
//
// Thread-safe: pure functions, and an exchange that belongs to its connection.
#ifndef PROMPTDB_AUTH_SCRAM_H_
#define PROMPTDB_AUTH_SCRAM_H_

#include <optional>
#include <string>
#include <string_view>

namespace promptdb {

// What the server knows of a password: enough to check it, and not enough to log in elsewhere.
// Written SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>, base64, as PostgreSQL's
// pg_authid has it.
struct ScramVerifier {
  int iterations = 0;
  std::string salt;        // bytes
  std::string stored_key;  // 32 bytes
  std::string server_key;  // 32 bytes

  // nullopt for a text that is no verifier.
  static std::optional<ScramVerifier> Parse(std::string_view text);
  std::string Format() const;
};

// With a salt of its own. A password is prepared as SASLprep says where it is UTF-8, and taken
// as bytes where not.
ScramVerifier MakeScramVerifier(std::string_view password);

// A verifier that no password passes and that is the same for a name each time, so that whoever
// asks does not learn which users there are. `secret`: of this process.
ScramVerifier DecoyVerifier(std::string_view user, std::string_view secret);

// One authentication. A failure is std::nullopt or false; what was wrong is not told to the client.
class ScramExchange {
 public:
  explicit ScramExchange(ScramVerifier verifier);

  // The server's first message, in answer to the client's.
  std::optional<std::string> Start(std::string_view client_first);
  // The server's last message, in answer to the client's, when the proof is right.
  std::optional<std::string> Finish(std::string_view client_final);

 private:
  ScramVerifier verifier_;
  std::string gs2_header_;
  std::string client_first_bare_;
  std::string server_first_;
  std::string nonce_;  // the client's and ours
};

}  // namespace promptdb

#endif  // PROMPTDB_AUTH_SCRAM_H_
