// A checkpoint as a folder: config.json, a zero byte, then model.safetensors.
#include "tests/fuzz/checkpoint.h"
#include "tests/support/test_folder.h"
#include "tests/support/text_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace promptdb;
  static const TemporaryFolder folder("fuzz");
  const std::string_view input = TextOf(data, size);
  const size_t end = input.find('\0');
  if (end == input.npos) return -1;
  WriteText(folder / "config.json", input.substr(0, end));
  WriteText(folder / "model.safetensors", input.substr(end + 1));
  Survives("", [&] { ReadTensors(*Checkpoint::Open(folder.path())); });
  return 0;
}
