// GGUF files: the checkpoint, every tensor of it, and the vocabulary inside.
#include "model/gguf_file.h"
#include "tests/fuzz/checkpoint.h"
#include "tests/support/test_folder.h"
#include "tests/support/text_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace promptdb;
  static const TemporaryFolder folder("fuzz");
  const std::filesystem::path file = folder / "m.gguf";
  WriteText(file, TextOf(data, size));
  Survives("", [&] {
    const GgufFile gguf(file);
    for (const GgufTensor& tensor : gguf.tensors()) {
      const std::byte* begin = gguf.bytes().data();
      Check(tensor.data.empty() ||
                (tensor.data.data() >= begin &&
                 tensor.data.data() + tensor.data.size() <= begin + gguf.bytes().size()),
            "a tensor lies in its file");
    }
  });
  Survives("", [&] { ReadTensors(*Checkpoint::Open(file)); });
  Survives("", [&] { UseTokenizer(*Tokenizer::FromGguf(ReadGgufVocabulary(file))); });
  return 0;
}
