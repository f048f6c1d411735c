// tokenizer.json, and behind a zero byte, where there is one, tokenizer_config.json.
#include "tests/fuzz/checkpoint.h"
#include "tests/support/test_folder.h"
#include "tests/support/text_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace promptdb;
  static const TemporaryFolder folder("fuzz");
  const std::string_view input = TextOf(data, size);
  const size_t end = std::min(input.find('\0'), input.size());
  WriteText(folder / "tokenizer.json", input.substr(0, end));
  std::filesystem::remove(folder / "tokenizer_config.json");
  if (end < input.size()) WriteText(folder / "tokenizer_config.json", input.substr(end + 1));
  Survives("", [&] { UseTokenizer(*Tokenizer::FromHuggingFace(folder.path())); });
  return 0;
}
