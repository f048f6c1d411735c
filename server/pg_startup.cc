// From the first byte of a connection to its first ReadyForQuery: encryption, cancel requests, the
// startup message, and who is there.
#include <algorithm>

#include "base/utf8.h"
#include "server/client_messages.h"
#include "server/log.h"
#include "server/pg_connection.h"
#include "server/sqlstate.h"

namespace promptdb {

namespace {

// What PostgreSQL takes: longer first packets, and passwords, are no honest client's.
constexpr int32_t kMostStartupBytes = 10000;
constexpr size_t kMostPasswordBytes = 65536;

// Kinds of the message 'R'.
enum AuthenticationKind : int32_t { kOk = 0, kSasl = 10, kSaslContinue = 11, kSaslFinal = 12 };

}  // namespace

asio::awaitable<std::string> PgConnection::ReadStartupPacket() {
  const bool has_length = co_await ReadAtLeast(4);
  if (!has_length) throw Over{};
  const int32_t length = FieldReader(in_).Int32();
  if (length < 8 || length > kMostStartupBytes) {
    LogWarning("no_startup_packet", {{"client", transport_.peer()}});
    throw Over{};
  }
  const bool has_packet = co_await ReadAtLeast(static_cast<size_t>(length));
  if (!has_packet) throw Over{};
  std::string packet = in_.substr(4, static_cast<size_t>(length) - 4);
  in_.erase(0, static_cast<size_t>(length));
  co_return packet;
}

asio::awaitable<bool> PgConnection::StartUp() {
  transport_.SetReadDeadline(server_.options.startup_timeout);
  bool has_asked_for_tls = false;
  bool has_asked_for_gss = false;
  while (true) {
    const std::string packet = co_await ReadStartupPacket();
    const int32_t code = FieldReader(packet).Int32();
    if (code == kCancelRequestCode) {
      const CancelMessage cancel = ReadCancelMessage(packet);
      // No answer, whatever comes of it, so that secrets can't be guessed at.
      server_.registry.Cancel(cancel.id, cancel.secret);
      co_return false;
    }
    if (code == kSslRequestCode && !has_asked_for_tls) {
      has_asked_for_tls = true;
      co_await OfferTls();
    } else if (code == kGssRequestCode && !has_asked_for_gss) {
      has_asked_for_gss = true;
      out_.Byte('N');
      co_await Flush();
    } else {
      ReadStartupParameters(packet);
      break;
    }
  }
  if (server_.is_stopping) {
    co_await End(sqlstate::kAdminShutdown, "the server is shutting down");
  }
  if (server_.registry.count() >= server_.options.max_connections) {
    co_await End(sqlstate::kTooManyConnections,
                 "too busy: there are " + std::to_string(server_.registry.count()) +
                     " connections, and max_connections is " +
                     std::to_string(server_.options.max_connections));
  }
  co_await Authenticate();
  transport_.SetReadDeadline(std::nullopt);
  Welcome();
  co_await Flush();
  co_return true;
}

asio::awaitable<void> PgConnection::OfferTls() {
  // What came before the handshake would be read as if it had come encrypted.
  if (!in_.empty()) throw Over{};
  out_.Byte(server_.tls != nullptr ? 'S' : 'N');
  co_await Flush();
  if (server_.tls == nullptr) co_return;
  ErrorCodeIo error;
  co_await transport_.StartTls(server_.tls, error);
  if (error) {
    LogWarning("tls_failed", {{"client", transport_.peer()}, {"error", error.message()}});
    throw Over{};
  }
}

void PgConnection::ReadStartupParameters(std::string_view packet) {
  const StartupMessage startup = ReadStartupMessage(packet);
  const int32_t version = startup.version;
  const auto refuse = [](std::string_view state, const std::string& message) {
    throw Failure{{"FATAL", std::string(state), message, "", 0}};
  };
  if (version >> 16 != kProtocolVersion >> 16) {
    refuse(sqlstate::kFeatureNotSupported, "protocol " + std::to_string(version >> 16) + "." +
                                               std::to_string(version & 0xFFFF) +
                                               " is not spoken here, only 3.0");
  }
  std::vector<std::string> unknown_options;
  for (const auto& [name_bytes, value_bytes] : startup.parameters) {
    const std::string name(name_bytes);
    const std::string value(value_bytes);
    if (!IsValidUtf8(name) || !IsValidUtf8(value)) {
      refuse(sqlstate::kInvalidEncoding, "the startup message is not UTF-8");
    }
    if (name == "user") {
      user_ = value;
    } else if (name == "database") {
      database_ = value;
    } else if (name.starts_with("_pq_.")) {
      unknown_options.push_back(name);
    } else if (name == "options") {
      // Command line options of a backend process, -c name=value; psql's PGOPTIONS.
      const std::vector<ClientToken> tokens = TokensOf(value);
      for (size_t i = 0; i + 4 < tokens.size(); ++i) {
        if (tokens[i].Is("-") && tokens[i + 1].Is("c") && tokens[i + 3].Is("=") &&
            parameters_.contains(tokens[i + 2].text)) {
          SetParameter(tokens[i + 2].text, tokens[i + 4].text);
        }
      }
    } else if (name != "replication") {
      std::string lower = name;
      std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
      });
      if (parameters_.contains(lower)) SetParameter(lower, value);
    } else if (value != "false" && value != "0" && value != "off" && value != "no") {
      refuse(sqlstate::kFeatureNotSupported, "there is no replication");
    }
  }
  if (user_.empty()) {
    refuse(sqlstate::kInvalidAuthorization, "the startup message names no user");
  }
  // A database is a folder, so a server has one; what it is called is the client's own business.
  if (database_.empty()) database_ = user_;
  if (version != kProtocolVersion || !unknown_options.empty()) {
    out_.Begin('v').Int32(kProtocolVersion).Int32(static_cast<int32_t>(unknown_options.size()));
    for (const std::string& option : unknown_options) out_.String(option);
    out_.Finish();
  }
}

std::string PgConnection::AdmitWithoutPassword() {
  if (!transport_.is_from_loopback()) {
    return "connections from other machines need a password, and this server asks for none; "
           "CREATE USER, or pcserver --add-user NAME, makes a user";
  }
  // Without users, whoever is on this machine may do everything.
  if (!server_.database->HasUsers()) return "";
  const std::optional<LoginUser> user = server_.database->FindUser(user_);
  if (!user || user->is_disabled) return "user \"" + user_ + "\" does not exist";
  session_user_ = user_;
  return "";
}

std::optional<ScramVerifier> PgConnection::FindVerifier() const {
  const std::optional<LoginUser> user = server_.database->FindUser(user_);
  if (!user || user->is_disabled) return std::nullopt;
  return ScramVerifier::Parse(user->verifier);
}

asio::awaitable<void> PgConnection::Authenticate() {
  if (!server_.WantsPassword()) {
    const std::string refusal = AdmitWithoutPassword();
    if (!refusal.empty()) co_await End(sqlstate::kInvalidAuthorization, refusal);
    out_.Begin('R').Int32(kOk).Finish();
    co_return;
  }
  const std::optional<ScramVerifier> verifier = FindVerifier();
  const bool is_known = verifier.has_value();
  ScramExchange exchange(is_known ? *verifier : DecoyVerifier(user_, server_.decoy_secret));
  out_.Begin('R').Int32(kSasl).String("SCRAM-SHA-256").Byte('\0').Finish();
  co_await Flush();
  bool is_right = false;
  const std::string first = co_await ReadPassword();
  const SaslInitialMessage initial = ReadSaslInitialMessage(first);
  if (initial.mechanism == "SCRAM-SHA-256" && initial.response) {
    if (const auto server_first = exchange.Start(*initial.response)) {
      out_.Begin('R').Int32(kSaslContinue).Bytes(*server_first).Finish();
      co_await Flush();
      const std::string last = co_await ReadPassword();
      if (const auto server_final = exchange.Finish(last)) {
        out_.Begin('R').Int32(kSaslFinal).Bytes(*server_final).Finish();
        is_right = is_known;
      }
    }
  }
  if (!is_right) {
    ++server_.metrics.refused_connections;
    LogWarning("authentication_failed", {{"client", transport_.peer()}, {"user", user_}});
    out_ = MessageWriter();
    co_await End(sqlstate::kInvalidPassword,
                 "password authentication failed for user \"" + user_ + "\"");
  }
  session_user_ = user_;
  out_.Begin('R').Int32(kOk).Finish();
}

asio::awaitable<std::string> PgConnection::ReadPassword() {
  const bool has_header = co_await ReadAtLeast(5);
  if (!has_header) throw Over{};
  FieldReader fields(in_);
  const char type = fields.Byte();
  const int32_t length = fields.Int32();
  if (type != 'p' || length < 4 || static_cast<size_t>(length) > kMostPasswordBytes) throw Over{};
  const bool has_body = co_await ReadAtLeast(static_cast<size_t>(length) + 1);
  if (!has_body) throw Over{};
  std::string body = in_.substr(5, static_cast<size_t>(length) - 4);
  in_.erase(0, static_cast<size_t>(length) + 1);
  co_return body;
}

void PgConnection::Welcome() {
  parameters_["session_authorization"] = user_;
  const std::optional<LoginUser> user = server_.database->FindUser(session_user_);
  if (!session_user_.empty()) parameters_["is_superuser"] = user && user->is_admin ? "on" : "off";
  if (parameters_["statement_timeout"].empty()) {
    parameters_["statement_timeout"] =
        std::to_string(std::chrono::milliseconds(server_.options.statement_timeout).count());
  }
  first_parameters_ = parameters_;
  ConnectionInfo info;
  info.user = user_;
  info.client = transport_.peer();
  info.application = parameters_["application_name"];
  info.protocol = "postgresql";
  info.is_encrypted = transport_.is_encrypted();
  ConnectionRegistry::Handles handles;
  handles.cancel = [weak = weak_from_this()] {
    if (const auto self = weak.lock(); self && self->running_) {
      self->running_->Cancel(StatementRun::CancelReason::kRequested);
    }
  };
  handles.shut_down = [weak = weak_from_this()](bool at_once) {
    if (const auto self = weak.lock()) self->ShutDown(at_once);
  };
  entry_.emplace(&server_.registry, info, std::move(handles));
  session_ = std::make_shared<Session>(server_.database, session_user_);
  for (const auto& [name, value] : parameters_) {
    if (const auto reported = ReportedName(name)) WriteParameterStatus(*reported, value, out_);
  }
  out_.Begin('K').Int32(entry_->id()).Int32(entry_->secret()).Finish();
  ReadyForQuery();
  LogInfo("connected", {{"id", std::to_string(entry_->id())},
                        {"user", user_},
                        {"client", transport_.peer()},
                        {"tls", transport_.is_encrypted() ? "on" : "off"}});
}

}  // namespace promptdb
