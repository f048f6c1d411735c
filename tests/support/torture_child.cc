// torture_child FOLDER SEED: changes the database in FOLDER at random, with its model m, until it
// is killed. A line on standard output before each statement, "try KIND NAME", and one after it,
// "ok KIND NAME":
//
//   create n   CREATE SCHEMA n           drop n    DROP SCHEMA n
//   warm n     WARM n (writes states)    rename n  ALTER SCHEMA n RENAME TO r followed by n
//   chat n     a turn of chat n          vacuum    VACUUM
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <random>
#include <set>
#include <string>

#include "base/error.h"
#include "executor/database.h"
#include "executor/result.h"

namespace promptdb {
namespace {

void Tell(const std::string& line) {
  // One write, so that the parent never sees half a line that was finished.
  const std::string text = line + "\n";
  if (write(STDOUT_FILENO, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    _exit(3);
  }
}

class Torturer {
 public:
  Torturer(const std::string& folder, uint32_t seed)
      : random_(seed), database_(folder), session_(&database_) {
    for (const SchemaDefinition& schema : database_.rep().catalog.Schemas()) {
      if (schema.name != "base") names_.insert(schema.name);
    }
    for (const ChatDefinition& chat : database_.rep().catalog.Chats()) chats_.insert(chat.name);
  }

  [[noreturn]] void Run(uint32_t seed) {
    for (int step = 0;; ++step) {
      const std::string fresh = "s" + std::to_string(seed) + "_" + std::to_string(step);
      const uint32_t die = random_() % 16;
      if (names_.size() < 2 || (die < 5 && names_.size() < 8)) {
        Say("create " + fresh, "CREATE SCHEMA " + fresh + " USING m (" + Modules() + ")");
        names_.insert(fresh);
        Say("warm " + fresh, "WARM " + fresh);
      } else if (die < 7 || names_.size() >= 8) {
        const std::string name = AnyName();
        Say("drop " + name, "DROP SCHEMA " + name);
        names_.erase(name);
      } else if (die < 10) {
        const std::string name = AnyName();
        Say("warm " + name, "WARM " + name);
      } else if (die < 12) {
        const std::string name = AnyName();
        Say("rename " + name, "ALTER SCHEMA " + name + " RENAME TO r" + name);
        names_.erase(name);
        names_.insert("r" + name);
      } else if (die < 15) {
        Chat(fresh);
      } else if (random_() % 3 == 0) {  // it takes long, and would be where most kills fall
        Say("vacuum -", "VACUUM");
      }
    }
  }

 private:
  void Say(const std::string& what, const std::string& statement) {
    Tell("try " + what);
    session_.Execute(statement, sink_);
    Tell("ok " + what);
  }

  void Chat(const std::string& fresh) {
    if (chats_.empty() || random_() % 3 == 0) {
      session_.Execute("BEGIN CHAT c" + fresh + " FROM base", sink_);
      chats_.insert("c" + fresh);
    }
    const std::string chat = *chats_.begin();
    Say("chat " + chat,
        "CONTINUE " + chat + " (max_tokens => 2, ignore_eos => on) PROMPT 'and then the next'");
    if (database_.rep().catalog.FindChat(chat)->turns.size() >= 4) {
      session_.Execute("END CHAT " + chat, sink_);
      chats_.erase(chat);
    }
  }

  // Short texts are written through the log, long ones (from 1 MiB of states on) as files.
  std::string Modules() {
    std::string text;
    const uint32_t words = random_() % 3 == 0 ? 140 + random_() % 60 : 1 + random_() % 20;
    for (uint32_t i = 0; i < words; ++i) text += " w" + std::to_string(random_() % 10);
    return "MODULE a AS 'some words" + text + "', MODULE b AS 'ends'";
  }

  std::string AnyName() {
    return *std::next(names_.begin(), static_cast<long>(random_() % names_.size()));
  }

  std::mt19937 random_;
  Database database_;
  Session session_;
  QuietSink sink_;
  std::set<std::string> names_;  // without "base", which stays
  std::set<std::string> chats_;
};

}  // namespace
}  // namespace promptdb

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  try {
    const auto seed = static_cast<uint32_t>(std::strtoul(argv[2], nullptr, 10));
    promptdb::Torturer(argv[1], seed).Run(seed);
  } catch (const promptdb::Error& error) {
    std::cerr << promptdb::FormatError(error, "");
    return 1;
  }
}
