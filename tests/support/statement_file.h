// The runner of .test files: statements and what they must answer, exactly. The format is in
// docs/testing.md, and in short:
//
//   # a comment; an empty line ends a block
//   statement ok              statements, up to an empty line that is in no quote. They may be
//   followed CREATE …;                 by ---- and lines: their notices and tags
//
//   statement error           the error as the shell prints it, caret and hint and all
//   SELECT …;
//   ----
//   error: …
//
//   query [header] [sort] [columns a,b]
//   SHOW …;                   rows, tab-separated; NULL for null, (empty) for an empty text
//   ----
//   …
//
//   explain                   rows as they are, without any escape
//   EXPLAIN …;
//   ----
//   …
//
//   restart                   closes the database and opens it again
//   model NAME [key=value …]  writes a tiny seeded model to {dir}/NAME.gguf, or, with form=folder,
//   to
//                             {dir}/NAME. Keys: form arch dtype seed layers dim hidden heads
//                             kv_heads head_dim vocab context shards tied
//   file NAME                 writes the lines up to an empty line to {dir}/NAME
//   remove NAME               removes {dir}/NAME
//   require shared            skips the rest of the file where the shared test data is absent
//   skipif no-shared          skips the next block there
//
// {dir} is the file's own temporary folder and {shared} the shared test data, in statements and in
// what is expected. Expected lines may hold masks: see masked_lines.h.
//
// Not thread-safe: a StatementFile is run by one test.
#ifndef PROMPTDB_TESTS_SUPPORT_STATEMENT_FILE_H_
#define PROMPTDB_TESTS_SUPPORT_STATEMENT_FILE_H_

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace promptdb {

struct StatementFileOutcome {
  struct Failure {
    int line = 0;  // of the block's first line, from 1
    std::string message;
  };
  std::vector<Failure> failures;
  std::string skipped;  // why the file, or a part of it, was not run; else empty
  int blocks = 0;       // that were run
  // The file with every expected block as it came out; nullopt when it could not be run to its end.
  std::optional<std::string> updated;
};

// Runs the blocks of `text` on a fresh database in a temporary folder. `shared`: the shared test
// data, or nothing where it is absent.
StatementFileOutcome RunStatementFile(const std::string& text,
                                      const std::optional<std::filesystem::path>& shared);

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_SUPPORT_STATEMENT_FILE_H_
