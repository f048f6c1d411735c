// Writes what fuzzing begins with: FOLDER/TARGET/…, from the data of other tests and from tiny
// models. What else a target begins with lies in corpus/TARGET: seeds that are easier to write by
// hand, and inputs that once found something.
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <functional>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "server/wire.h"
#include "storage/state_file.h"
#include "tests/support/random_schema.h"
#include "tests/support/test_folder.h"
#include "tests/support/text_file.h"
#include "tests/support/tiny_checkpoint.h"

namespace promptdb {
namespace {

namespace fs = std::filesystem;

class Seeds {
 public:
  explicit Seeds(fs::path folder) : folder_(std::move(folder)) {}

  void Add(const std::string& target, const std::string& name, std::string_view bytes) const {
    fs::create_directories(folder_ / target);
    WriteText(folder_ / target / name, bytes);
  }

 private:
  const fs::path folder_;
};

// The statements of the .test files, block by block, and the files in them.
void AddStatements(const Seeds& seeds) {
  for (const auto& file :
       fs::directory_iterator(fs::path(PROMPTDB_SOURCE_DIR) / "tests/statements")) {
    std::istringstream lines(ReadText(file.path()));
    const std::string stem = file.path().stem();
    std::string kind, block, line;
    int count = 0;
    const auto finish = [&] {
      const std::string name = stem + "-" + std::to_string(count++);
      if (kind.starts_with("file") && kind.ends_with(".xml")) {
        seeds.Add("pml", name, block);
      } else if (kind.starts_with("statement") || kind.starts_with("query") ||
                 kind.starts_with("explain")) {
        seeds.Add("promptql", name, block);
      }
      kind.clear();
      block.clear();
    };
    bool is_expected = false;
    while (std::getline(lines, line)) {
      if (line.empty()) {
        finish();
        is_expected = false;
      } else if (kind.empty()) {
        kind = line;
      } else if (line == "----") {
        is_expected = true;
      } else if (!is_expected) {
        block += line + "\n";
      }
    }
    finish();
  }
}

void AddModels(const Seeds& seeds) {
  const TemporaryFolder folder("seeds");
  for (const std::string& family : TinyModel::Families()) {
    const TinyModel model = TinyModel::SmallestOf(family);
    WriteGguf(model, folder / "m.gguf", TensorDtype::kF16);
    seeds.Add("gguf", family, ReadText(folder / "m.gguf"));
    fs::remove_all(folder / "m");
    WriteHuggingFace(model, folder / "m", TensorDtype::kBf16);
    seeds.Add("safetensors", family,
              ReadText(folder / "m/config.json") + '\0' + ReadText(folder / "m/model.safetensors"));
    seeds.Add("tokenizer_json", family,
              ReadText(folder / "m/tokenizer.json") + '\0' +
                  ReadText(folder / "m/tokenizer_config.json"));
  }
}

void AddConstraints(const Seeds& seeds) {
  std::mt19937 random(1);
  for (int i = 0; i < 60; ++i) {
    seeds.Add("constraint", "schema-" + std::to_string(i),
              "j" + RandomSchema(random).Make().dump());
  }
}

void AddStates(const Seeds& seeds) {
  const TemporaryFolder folder("seeds");
  for (const KvDtype dtype : kAllKvDtypes) {
    const fs::path file = folder / std::string(KvDtypeName(dtype));
    StateFileWriter writer(file, 1'700'000'000);
    for (const int tokens : {1, 3}) {
      StateManifest manifest;
      manifest.key = {1, static_cast<uint64_t>(tokens)};
      manifest.shape = {.layers = 2, .kv_heads = 1, .head_dim = 4, .dtype = dtype};
      manifest.tokens = tokens;
      manifest.start_position = 5;
      manifest.label = "s.m";
      manifest.model = {2, 3};
      manifest.context = {4, 5};
      for (int i = 0; i < tokens; ++i) manifest.token_ids.push_back(i + 7);
      manifest.created_at = 1'700'000'000;
      manifest.encode_ms = 1.5;
      writer.BeginState(manifest);
      const BlockGrid grid(manifest.shape, tokens);
      for (int i = 0; i < grid.blocks(); ++i) {
        BlockBuffer block(grid.Extent(i).payload_bytes);
        std::memset(block.payload(), 0, static_cast<size_t>(block.payload_bytes()));
        SealBlock(manifest.key, manifest.shape, grid.Extent(i), block);
        writer.AddBlock(block);
      }
    }
    writer.Finish();
    seeds.Add("state_file", file.filename(), ReadText(file));
  }
}

void AddMessages(const Seeds& seeds) {
  const auto add = [&](const std::string& name, char type,
                       const std::function<void(MessageWriter&)>& write) {
    MessageWriter out;
    out.Begin(type);
    write(out);
    std::string bytes = out.Finish().Take();
    seeds.Add("wire", name, bytes.erase(1, 4));
  };
  add("startup", '\0', [](MessageWriter& out) {
    out.Int32(kProtocolVersion).String("user").String("ada").String("database").String("towns");
    out.String("options").String("-c statement_timeout=5s").String("_pq_.x").String("1").Byte('\0');
  });
  add("ssl", '\0', [](MessageWriter& out) { out.Int32(kSslRequestCode); });
  add("cancel", 'X', [](MessageWriter& out) { out.Int32(kCancelRequestCode).Int32(7).Int32(-9); });
  add("sasl-first", '\1', [](MessageWriter& out) {
    const std::string first = "n,,n=,r=rOprNGfwEbeRWgbNEkqO";
    out.String("SCRAM-SHA-256").Int32(static_cast<int32_t>(first.size())).Bytes(first);
  });
  add("sasl-last", '\2', [](MessageWriter& out) {
    out.Bytes(
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
  });
  add("verifier", '\2', [](MessageWriter& out) {
    out.Bytes(
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
        "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=");
  });
  int queries = 0;
  for (const char* query :
       {"SELECT GENERATE FROM demo PROMPT 'x'", "SET statement_timeout TO '2min'", "SHOW ALL",
        "SET client_encoding = 'UTF8'; RESET ALL", "BEGIN ISOLATION LEVEL SERIALIZABLE",
        "SELECT version(), current_setting('server_version'), 1::int4, 'a' AS b, -2.5, NULL",
        "DEALLOCATE \"a\"", "DISCARD ALL", "ROLLBACK TO SAVEPOINT a", "COMMIT AND CHAIN",
        "SELECT set_config('application_name', $$x$$, false)",
        "SHOW TRANSACTION ISOLATION LEVEL"}) {
    add("query-" + std::to_string(queries++), 'Q', [&](MessageWriter& out) { out.String(query); });
    add("parse-" + std::to_string(queries), 'P', [&](MessageWriter& out) {
      out.String("p").String(query).Int16(2).Int32(oid::kText).Int32(0);
    });
  }
  add("bind", 'B', [](MessageWriter& out) {
    out.String("c").String("p").Int16(2).Int16(0).Int16(1).Int16(2);
    out.Int32(2).Bytes("12").Int32(8).Bytes("\x40\x09\x21\xfb\x54\x44\x2d\x18");
    out.Int16(1).Int16(1);
  });
  add("bind-null", 'B', [](MessageWriter& out) {
    out.String("").String("").Int16(0).Int16(3).Int32(-1).Int32(4).Bytes("-1.5").Int32(1).Bytes(
        "t");
    out.Int16(0);
  });
  add("describe", 'D', [](MessageWriter& out) { out.Byte('S').String("p"); });
  add("close", 'C', [](MessageWriter& out) { out.Byte('P').String("c"); });
  add("execute", 'E', [](MessageWriter& out) { out.String("c").Int32(10); });
}

void AddRequests(const Seeds& seeds) {
  // The first byte is the kind: 0 a chat, 1 a completion, 2 an embedding.
  const auto add = [&](const std::string& name, char kind, const std::string& body) {
    seeds.Add("openai", name, kind + body);
  };
  add("chat", '0',
      R"({"model":"demo","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":[{"type":"text","text":"Hi"}]},{"role":"assistant","content":"Yes?"}],"max_tokens":8,"temperature":0.5,"top_p":0.9,"seed":3,"stop":["\n","x"],"stream":true,"stream_options":{"include_usage":true},"n":1})");
  add("chat-modules", '0',
      R"({"model":"demo","messages":[{"role":"user","content":"Who?"}],"promptdb":{"schema":"demo","use":["shistel","a.b",{"module":"plan","parameters":{"days":"3"}}],"reuse":"modular"},"max_completion_tokens":4})");
  add("chat-schema", '0',
      R"({"model":"demo","messages":[{"role":"user","content":"Who?"}],"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{"type":"object","properties":{"a":{"type":"boolean"}}}}},"tools":[],"tool_choice":"none","logit_bias":{},"presence_penalty":0})");
  add("completion", '1',
      R"({"model":"demo","prompt":"The mayor of","max_tokens":4,"stop":"a","echo":false,"logprobs":null})");
  add("embedding", '2',
      R"({"model":"demo","input":["a town","a river"],"encoding_format":"float"})");
  add("embedding-one", '2', R"({"model":"demo","input":"a town"})");
}

}  // namespace
}  // namespace promptdb

int main(int argc, char** argv) {
  using namespace promptdb;
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
    return 2;
  }
  const Seeds seeds(argv[1]);
  AddStatements(seeds);
  seeds.Add("pml", "travel",
            ReadText(std::filesystem::path(PROMPTDB_SOURCE_DIR) / "tests/data/pml/travel.xml"));
  AddModels(seeds);
  AddConstraints(seeds);
  AddStates(seeds);
  AddMessages(seeds);
  AddRequests(seeds);
  return 0;
}
