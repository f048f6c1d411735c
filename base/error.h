// The one error type of PromptDB.
//
// An Error ends the statement that caused it: it is thrown where the cause is known and caught
// where a statement is run (the session). Expected outcomes (a cache miss, an absent row) are
// return values, never errors. Failures of the libraries we use are turned into an Error at the
// edge of the folder that uses the library.
//
// Thread-safe: an Error is a value.
#ifndef PROMPTDB_BASE_ERROR_H_
#define PROMPTDB_BASE_ERROR_H_

#include <exception>
#include <optional>
#include <string>
#include <string_view>

namespace promptdb {

enum class ErrorCode {
  kSyntax,           // The statement is not PromptQL.
  kUnknownName,      // A model, schema, module, setting or option that does not exist.
  kDuplicateName,    // A name that is taken already.
  kInvalidArgument,  // A value outside its range, or a use that the schema forbids.
  kTooLong,          // More tokens than the place can hold.
  kUnsupported,      // Known to the language or the file format, not to this release.
  kIo,               // The operating system or RocksDB refused.
  kCorrupt,          // A file or a stored block is not what it claims to be.
  kBusy,             // Another process holds the database, or another session the chat.
  kTooBusy,          // As many wait as may; later there is room.
  kResource,         // A budget (memory, disk) is too small for the request.
  kDenied,           // The user has no right to it.
  kQuota,            // The user has used up what is allowed for now.
  kCanceled,         // The user stopped the statement.
  kInternal,         // A bug of ours.
};

// The word shown before a message: "syntax error", "unknown name", …
std::string_view ErrorCodeName(ErrorCode code);

// A half-open byte range of the text that the session was given.
struct SourceRange {
  int begin = 0;
  int end = 0;
};

class Error : public std::exception {
 public:
  Error(ErrorCode code, std::string message, std::string hint = "",
        std::optional<SourceRange> range = std::nullopt)
      : code_(code), message_(std::move(message)), hint_(std::move(hint)), range_(range) {}

  ErrorCode code() const { return code_; }
  // Cause first, value last, no trailing full stop, no line break.
  const std::string& message() const { return message_; }
  // The fix where it is known, as a sentence; else empty.
  const std::string& hint() const { return hint_; }
  // Where in the statement's text, if a place there is to blame.
  const std::optional<SourceRange>& range() const { return range_; }

  // The same error, blamed on `range` if it has no place yet.
  Error At(SourceRange range) const;

  // message(), for code that only knows std::exception.
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  ErrorCode code_;
  std::string message_;
  std::string hint_;
  std::optional<SourceRange> range_;
};

// What a catch block has caught, whatever it is, as an Error: memory that ran out is kResource, and
// what no one foresaw is kInternal. Not for `throw` of what is no std::exception.
Error CurrentError();

// Whether the error is of bytes that can't be had as they were written: changed ones, and ones that
// the disk does not give. What can be computed again is then computed again.
bool IsDamage(const Error& error);

// Renders an error for people, with the line of `text` it points at and a caret under the place:
//
//   error: unknown name: schema "citys" does not exist
//     line 1: SELECT GENERATE FROM citys
//                                  ^^^^^
//   hint: Did you mean "cities"?
//
// `text` may be empty when it is not at hand; then the place is left out.
std::string FormatError(const Error& error, std::string_view text);

// Ends the process with a message when one of our own invariants does not hold. Never used for
// anything that input can cause.
void Check(bool condition, const char* what);

}  // namespace promptdb

#endif  // PROMPTDB_BASE_ERROR_H_
