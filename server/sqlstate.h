// PromptDB's errors in PostgreSQL's terms.
//
// Thread-safe: pure functions.
#ifndef PROMPTDB_SERVER_SQLSTATE_H_
#define PROMPTDB_SERVER_SQLSTATE_H_

#include <string_view>

#include "base/error.h"

namespace promptdb {

// Five characters, as in PostgreSQL's appendix "Error Codes".
namespace sqlstate {
inline constexpr std::string_view kSuccess = "00000";
inline constexpr std::string_view kWarning = "01000";
inline constexpr std::string_view kProtocolViolation = "08P01";
inline constexpr std::string_view kFeatureNotSupported = "0A000";
inline constexpr std::string_view kInvalidEncoding = "22021";
inline constexpr std::string_view kInvalidValue = "22023";
inline constexpr std::string_view kInvalidBinary = "22P03";
inline constexpr std::string_view kInvalidText = "22P02";
inline constexpr std::string_view kInFailedTransaction = "25P02";
inline constexpr std::string_view kNoActiveTransaction = "25P01";
inline constexpr std::string_view kInvalidStatementName = "26000";
inline constexpr std::string_view kInvalidAuthorization = "28000";
inline constexpr std::string_view kInvalidPassword = "28P01";
inline constexpr std::string_view kInvalidPortalName = "34000";
inline constexpr std::string_view kDuplicatePortal = "42P03";
inline constexpr std::string_view kDuplicateStatement = "42P05";
inline constexpr std::string_view kSyntaxError = "42601";
inline constexpr std::string_view kTooManyConnections = "53300";
inline constexpr std::string_view kQueryCanceled = "57014";
inline constexpr std::string_view kIdleTimeout = "57P05";
inline constexpr std::string_view kAdminShutdown = "57P01";
// Of notices, where the client has SET promptdb.messages = on, as pcsh does: a piece of an answer's
// text; "done total unit", a line break, and the stage.
inline constexpr std::string_view kPiece = "PC001";
inline constexpr std::string_view kProgress = "PC002";
}  // namespace sqlstate

std::string_view SqlStateOf(ErrorCode code);

// The code behind an SQLSTATE of SqlStateOf(), for our own clients; kInternal for any other.
ErrorCode ErrorCodeOf(std::string_view state);

// Where an error points, as libpq counts: in characters, from 1. `byte`: an offset into `text`.
int CharacterPosition(std::string_view text, int byte);
// The other way round.
int BytePosition(std::string_view text, int character);

}  // namespace promptdb

#endif  // PROMPTDB_SERVER_SQLSTATE_H_
