// GGUF files: the checkpoint, every tensor of it, and the vocabulary inside.
#include "model/gguf_file.h"
#include "tests/fuzz/checkpoint.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace promptdb;
  static const FuzzFolder folder;
  const std::filesystem::path file = folder.Write("m.gguf", TextOf(data, size));
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
