// What \demo does to a database: the built-in model's file, the model, and the schema over it.
//
// Not thread-safe: it runs statements on a session.
#ifndef PROMPTDB_SHELL_DEMO_SETUP_H_
#define PROMPTDB_SHELL_DEMO_SETUP_H_

#include <filesystem>
#include <string>

#include "base/error.h"
#include "shell/statement_runner.h"

namespace promptdb {

struct DemoSetup {
  bool wrote_file = false;  // each is false where it was there already
  bool made_model = false;
  bool made_schema = false;
  int64_t parameters = 0;      // of the model
  std::filesystem::path file;  // the model's, where its catalog row says
};

// Makes what is missing in the database of `session`, whose folder is `folder`. What is there under
// the demo's names and is none of it is left alone: Error(kDuplicateName), and nothing has changed.
// Throws the errors of CREATE MODEL and CREATE SCHEMA, and Error(kIo) where the file can't be
// written; then what was made stays, and the next call goes on from there. `sink` hears of progress
// and notices.
DemoSetup SetUpDemo(StatementRunner* session, const std::filesystem::path& folder,
                    ResultSink& sink);

// What \demo says of it, and what it says to try. Whole lines.
std::string DemoReport(const DemoSetup& setup);
std::string DemoHints();

// `error`, or, where it says that the demo's model or schema does not exist, the same with a hint
// to \demo.
Error WithDemoHint(const Error& error);

}  // namespace promptdb

#endif  // PROMPTDB_SHELL_DEMO_SETUP_H_
