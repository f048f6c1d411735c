#include "auth/scram.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <utf8proc.h>

#include <charconv>
#include <cstdlib>
#include <vector>

#include "auth/secrets.h"
#include "base/error.h"
#include "base/utf8.h"

namespace promptdb {

namespace {

constexpr std::string_view kMechanism = "SCRAM-SHA-256";
constexpr int kIterations = 4096;  // RFC 7677's least, and what PostgreSQL takes
constexpr int kMostIterations = 10'000'000;
constexpr size_t kSaltBytes = 16;
constexpr size_t kKeyBytes = SHA256_DIGEST_LENGTH;
constexpr size_t kNonceBytes = 18;

const unsigned char* Unsigned(std::string_view bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

std::string Hmac(std::string_view key, std::string_view message) {
  std::string out(kKeyBytes, '\0');
  unsigned int size = 0;
  const unsigned char* made =
      HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), Unsigned(message),
           message.size(), reinterpret_cast<unsigned char*>(out.data()), &size);
  Check(made != nullptr && size == kKeyBytes, "HMAC-SHA-256 is there");
  return out;
}

// SASLprep, as far as passwords meet it: spaces of other scripts become the space, characters that
// are shown as nothing go, and the rest takes its compatibility form (NFKC).
std::string PreparePassword(std::string_view password) {
  bool is_ascii = true;
  for (const char c : password) is_ascii = is_ascii && static_cast<unsigned char>(c) < 0x80;
  if (is_ascii || !IsValidUtf8(password)) return std::string(password);
  std::string mapped;
  for (size_t at = 0; at < password.size();) {
    const Utf8Step step = ReadUtf8(password, at);
    const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(step.code));
    const bool is_nothing = step.code == 0xAD || step.code == 0x34F || step.code == 0x1806 ||
                            (step.code >= 0x180B && step.code <= 0x180D) ||
                            (step.code >= 0x200B && step.code <= 0x200D) || step.code == 0x2060 ||
                            (step.code >= 0xFE00 && step.code <= 0xFE0F) || step.code == 0xFEFF;
    if (category == UTF8PROC_CATEGORY_ZS && step.code != 0x20) {
      mapped += ' ';
    } else if (!is_nothing) {
      mapped += password.substr(at, step.size);
    }
    at += step.size;
  }
  utf8proc_uint8_t* normalized = nullptr;
  const utf8proc_ssize_t size = utf8proc_map(
      Unsigned(mapped), static_cast<utf8proc_ssize_t>(mapped.size()), &normalized,
      static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT));
  if (size < 0) return std::string(password);
  std::string out(reinterpret_cast<char*>(normalized), static_cast<size_t>(size));
  std::free(normalized);
  return out;
}

// An attribute "k=value" up to the next comma, which is taken too; nullopt for another one.
std::optional<std::string_view> TakeAttribute(std::string_view& rest, char key) {
  if (rest.size() < 2 || rest[0] != key || rest[1] != '=') return std::nullopt;
  const size_t end = std::min(rest.find(','), rest.size());
  const std::string_view value = rest.substr(2, end - 2);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return value;
}

bool IsPrintable(std::string_view text) {
  for (const char c : text) {
    if (c < 0x21 || c > 0x7E || c == ',') return false;
  }
  return !text.empty();
}

}  // namespace

std::optional<ScramVerifier> ScramVerifier::Parse(std::string_view text) {
  ScramVerifier verifier;
  if (!text.starts_with(kMechanism)) return std::nullopt;
  text.remove_prefix(kMechanism.size());
  if (!text.starts_with('$')) return std::nullopt;
  text.remove_prefix(1);
  const auto read = std::from_chars(text.data(), text.data() + text.size(), verifier.iterations);
  if (read.ec != std::errc() || verifier.iterations < 1 || verifier.iterations > kMostIterations) {
    return std::nullopt;
  }
  text.remove_prefix(static_cast<size_t>(read.ptr - text.data()));
  const size_t dollar = text.find('$');
  if (!text.starts_with(':') || dollar == std::string_view::npos) return std::nullopt;
  const std::string_view keys = text.substr(dollar + 1);
  const size_t colon = keys.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto salt = DecodeBase64(text.substr(1, dollar - 1));
  const auto stored = DecodeBase64(keys.substr(0, colon));
  const auto server = DecodeBase64(keys.substr(colon + 1));
  if (!salt || !stored || !server || stored->size() != kKeyBytes || server->size() != kKeyBytes) {
    return std::nullopt;
  }
  verifier.salt = *salt;
  verifier.stored_key = *stored;
  verifier.server_key = *server;
  return verifier;
}

std::string ScramVerifier::Format() const {
  return std::string(kMechanism) + "$" + std::to_string(iterations) + ":" + EncodeBase64(salt) +
         "$" + EncodeBase64(stored_key) + ":" + EncodeBase64(server_key);
}

ScramVerifier MakeScramVerifier(std::string_view password) {
  ScramVerifier verifier;
  verifier.iterations = kIterations;
  verifier.salt = RandomBytes(kSaltBytes);
  const std::string prepared = PreparePassword(password);
  std::string salted(kKeyBytes, '\0');
  Check(PKCS5_PBKDF2_HMAC(prepared.data(), static_cast<int>(prepared.size()),
                          Unsigned(verifier.salt), static_cast<int>(verifier.salt.size()),
                          verifier.iterations, EVP_sha256(), static_cast<int>(salted.size()),
                          reinterpret_cast<unsigned char*>(salted.data())) == 1,
        "PBKDF2 is there");
  verifier.stored_key = Sha256(Hmac(salted, "Client Key"));
  verifier.server_key = Hmac(salted, "Server Key");
  return verifier;
}

ScramVerifier DecoyVerifier(std::string_view user, std::string_view secret) {
  ScramVerifier verifier;
  verifier.iterations = kIterations;
  verifier.salt = Hmac(secret, "salt " + std::string(user)).substr(0, kSaltBytes);
  verifier.stored_key = RandomBytes(kKeyBytes);
  verifier.server_key = RandomBytes(kKeyBytes);
  return verifier;
}

ScramExchange::ScramExchange(ScramVerifier verifier) : verifier_(std::move(verifier)) {}

std::optional<std::string> ScramExchange::Start(std::string_view client_first) {
  // "n,,": no channel binding; "y,,": the client could, and believes that we can't, which is right.
  // A name to act for is not supported, and the user's name is that of the startup message.
  if (!client_first.starts_with("n,,") && !client_first.starts_with("y,,")) return std::nullopt;
  gs2_header_ = client_first.substr(0, 3);
  client_first_bare_ = client_first.substr(3);
  std::string_view rest = client_first_bare_;
  if (!TakeAttribute(rest, 'n')) return std::nullopt;
  const std::optional<std::string_view> nonce = TakeAttribute(rest, 'r');
  if (!nonce || !IsPrintable(*nonce) || !rest.empty()) return std::nullopt;
  nonce_ = std::string(*nonce) + EncodeBase64(RandomBytes(kNonceBytes));
  server_first_ = "r=" + nonce_ + ",s=" + EncodeBase64(verifier_.salt) +
                  ",i=" + std::to_string(verifier_.iterations);
  return server_first_;
}

std::optional<std::string> ScramExchange::Finish(std::string_view client_final) {
  std::string_view rest = client_final;
  const std::optional<std::string_view> binding = TakeAttribute(rest, 'c');
  if (!binding || *binding != EncodeBase64(gs2_header_)) return std::nullopt;
  const std::optional<std::string_view> nonce = TakeAttribute(rest, 'r');
  if (!nonce || !EqualSecrets(*nonce, nonce_)) return std::nullopt;
  // The proof stands last, and is the one thing that it does not cover.
  const std::string_view without_proof =
      client_final.substr(0, client_final.size() - rest.size() - 1);
  const std::optional<std::string_view> proof_text = TakeAttribute(rest, 'p');
  if (!proof_text || !rest.empty()) return std::nullopt;
  const std::optional<std::string> proof = DecodeBase64(*proof_text);
  if (!proof || proof->size() != kKeyBytes) return std::nullopt;

  const std::string signed_text =
      client_first_bare_ + "," + server_first_ + "," + std::string(without_proof);
  std::string client_key = Hmac(verifier_.stored_key, signed_text);
  for (size_t i = 0; i < client_key.size(); ++i) {
    client_key[i] = static_cast<char>(client_key[i] ^ (*proof)[i]);
  }
  if (!EqualSecrets(Sha256(client_key), verifier_.stored_key)) return std::nullopt;
  return "v=" + EncodeBase64(Hmac(verifier_.server_key, signed_text));
}

}  // namespace promptdb
