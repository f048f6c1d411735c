// PML: a schema that can be read and bound is written and read again as the same.
#include <optional>

#include "parser/parser.h"
#include "planner/schema_binder.h"
#include "pml/pml_prompt_reader.h"
#include "pml/pml_schema_reader.h"
#include "pml/pml_writer.h"
#include "tests/fuzz/target.h"

namespace promptdb {
namespace {

SchemaDefinition Import(std::string_view pml) {
  // Of a folder that is not there, since src may name any file.
  ast::CreateSchema statement = ReadPmlSchema(pml, "/nowhere/at/all").statement;
  statement.model.text = "m";
  if (statement.name.text.empty()) statement.name.text = "s";
  return BindSchema(statement);
}

void ReadSchema(std::string_view text) {
  std::optional<SchemaDefinition> schema;
  if (!Survives(text, [&] { schema = Import(text); })) return;
  std::string written;
  // What no XML attribute can hold is refused.
  if (!Survives("", [&] { written = WritePml(*schema); })) return;
  const SchemaDefinition again = Import(written);
  Check(WritePml(again) == written, "a schema is the same when it is read again");
  Check(again.parts.size() == schema->parts.size(), "no part is lost on the way");
}

}  // namespace
}  // namespace promptdb

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace promptdb;
  const std::string_view text = TextOf(data, size);
  // Other files are no part of what is tested, nor of what a fuzzer should open.
  if (text.find("src") != text.npos || text.find("promptdb:file") != text.npos) return -1;
  ReadSchema(text);
  // A prompt stands in a statement, between quotes.
  const std::string statement = QuoteText(text);
  ast::Text prompt{std::string(text), {0, static_cast<int>(statement.size())}};
  prompt.quote = 1;
  Survives(
      statement, [&] { ReadPmlPrompt(prompt); }, Lines::kMany);
  return 0;
}
