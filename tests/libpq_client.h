// What the tests that ask the real pcserver by libpq have in common.
//
// Thread-safe: functions over a connection that one test owns.
#ifndef PROMPTDB_TESTS_LIBPQ_CLIENT_H_
#define PROMPTDB_TESTS_LIBPQ_CLIENT_H_

#include <gtest/gtest.h>
#include <libpq-fe.h>

#include <memory>
#include <string>

namespace promptdb {

using Connection = std::unique_ptr<PGconn, decltype(&PQfinish)>;
using Result = std::unique_ptr<PGresult, decltype(&PQclear)>;

// Of the demo, whose answer is " Tebri Jozund".
inline constexpr char kQuestion[] =
    "SELECT GENERATE (max_tokens => 8) FROM demo USE shistel PROMPT 'Who is the mayor of Shistel?'";

// A statement of the demo that only whoever stops it sees the end of: half a million tokens, which
// are many seconds of work on any machine. Its answers come together, none before the last.
inline std::string Endless() {
  std::string text =
      "SELECT GENERATE (max_tokens => 1900, ignore_eos => true) FROM demo PROMPT IN ('0'";
  for (int row = 1; row < 256; ++row) text += ", '" + std::to_string(row) + "'";
  return text + ")";
}

inline Result Query(const Connection& connection, const std::string& text) {
  return {PQexec(connection.get(), text.c_str()), PQclear};
}

// A field of the error that a statement ended in (PG_DIAG_…), or "".
inline std::string Field(const Result& result, int code) {
  const char* text = PQresultErrorField(result.get(), code);
  return text == nullptr ? "" : text;
}

// The SQLSTATE, or "" for success.
inline std::string State(const Result& result) { return Field(result, PG_DIAG_SQLSTATE); }
inline std::string State(const Connection& connection, const std::string& text) {
  return State(Query(connection, text));
}

// The first value of the first row.
inline std::string One(const Connection& connection, const std::string& text) {
  const Result result = Query(connection, text);
  EXPECT_EQ(PQresultStatus(result.get()), PGRES_TUPLES_OK)
      << text << ": " << PQresultErrorMessage(result.get());
  return PQntuples(result.get()) > 0 ? PQgetvalue(result.get(), 0, 0) : "";
}

// Asks the server to stop what the connection has it do.
inline void Cancel(const Connection& connection) {
  const std::unique_ptr<PGcancel, decltype(&PQfreeCancel)> cancel(PQgetCancel(connection.get()),
                                                                  PQfreeCancel);
  char error[256];
  ASSERT_EQ(PQcancel(cancel.get(), error, sizeof error), 1) << error;
}

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_LIBPQ_CLIENT_H_
