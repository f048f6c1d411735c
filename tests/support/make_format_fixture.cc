// make_format_fixture FOLDER: writes tests/data/format-N anew: a tiny model, and a database with a
// schema over it, its states and a chat, in the present format. Only when the format changes.
#include <filesystem>
#include <iostream>

#include "base/error.h"
#include "executor/database.h"
#include "tests/chat_bench.h"
#include "tests/support/format_fixture.h"

namespace promptdb {
namespace {

void Make(const std::filesystem::path& folder) {
  const TemporaryFolder work("fixture");
  std::filesystem::create_directories(folder);
  const std::string model = (folder / kFixtureModel).string();
  WriteGguf(TinyModel::SmallestOf("llama"), model, TensorDtype::kF32);
  {
    Database database(work / "db");
    Say(database, "CREATE MODEL m FROM " + QuoteText(model) + ";" + kFixtureStatements);
    ModelDefinition definition = *database.rep().catalog.FindModel("m");
    definition.path = kFixtureModel;  // wherever it is copied to
    database.rep().catalog.PutModel(definition);
    Say(database, "VACUUM; BACKUP TO " + QuoteText((folder / "database").string()) + ";");
  }
  // RocksDB's options name folders of the machine, and are not needed to open a database.
  for (const auto& entry : std::filesystem::directory_iterator(folder / "database")) {
    if (entry.path().filename().string().starts_with("OPTIONS-")) {
      std::filesystem::remove(entry.path());
    }
  }
}

}  // namespace
}  // namespace promptdb

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  try {
    promptdb::Make(argv[1]);
  } catch (const promptdb::Error& error) {
    std::cerr << promptdb::FormatError(error, "");
    return 1;
  }
}
