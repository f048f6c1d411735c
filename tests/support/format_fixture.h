// What lies in tests/data/format-1: said by make_format_fixture, and asked by tests/format_test.cc.
#ifndef PROMPTDB_TESTS_SUPPORT_FORMAT_FIXTURE_H_
#define PROMPTDB_TESTS_SUPPORT_FORMAT_FIXTURE_H_

namespace promptdb {

inline constexpr char kFixtureModel[] = "m.gguf";
inline constexpr char kFixtureStatements[] =
    "CREATE SCHEMA s USING m (TEXT 'You are kind.', MODULE a AS 'alpha beta',"
    " UNION u (MODULE b AS 'gamma', MODULE c (n TOKENS(4)) AS 'number {n}'));"
    "WARM s; BEGIN CHAT t FROM s USE a;"
    "CONTINUE t (max_tokens => 3, ignore_eos => on) PROMPT 'hello';";
inline constexpr char kFixtureAsk[] =
    "SELECT GENERATE (max_tokens => 6, ignore_eos => on) FROM s USE a, c(n => 'x') PROMPT 'go on'";

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_SUPPORT_FORMAT_FIXTURE_H_
