// tokenizer.json, and behind a zero byte, where there is one, tokenizer_config.json.
#include "tests/fuzz/checkpoint.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace promptdb;
  static const FuzzFolder folder;
  const std::string_view input = TextOf(data, size);
  const size_t end = std::min(input.find('\0'), input.size());
  folder.Write("tokenizer.json", input.substr(0, end));
  std::filesystem::remove(folder.path() / "tokenizer_config.json");
  if (end < input.size()) folder.Write("tokenizer_config.json", input.substr(end + 1));
  Survives("", [&] { UseTokenizer(*Tokenizer::FromHuggingFace(folder.path())); });
  return 0;
}
