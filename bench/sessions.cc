// Many sessions over a few documents: what continuous batching gives. The same queries are asked by
// one session and then by many at once, in one process, over states in memory; prints one JSON
// object.
//
//   sessions MODEL [SESSIONS [DOCUMENTS [DOCUMENT_TOKENS [NEW_TOKENS [DECODE_TOKENS [QUERIES]]]]]]
//
// (64 sessions, 8 documents of 1024 tokens, 32 new and 32 decoded tokens, 1 query each.)
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/stopwatch.h"
#include "bench/program.h"
#include "executor/session.h"
#include "parser/parser.h"

namespace promptdb {
namespace {

// Keeps the columns of a generation's row that are measured.
class GenerationSink : public QuietSink {
 public:
  void OnColumns(const std::vector<Column>& columns) override { columns_ = columns; }
  void OnRow(const std::vector<Value>& row) override {
    for (size_t i = 0; i < columns_.size(); ++i) {
      if (columns_[i].name == "ttft_ms") ttft_ms = std::get<double>(row[i]);
      if (columns_[i].name == "output_tokens") tokens = std::get<int64_t>(row[i]);
    }
  }

  double ttft_ms = 0;
  int64_t tokens = 0;

 private:
  std::vector<Column> columns_;
};

struct Load {
  double seconds = 0;
  int64_t tokens = 0;
  std::vector<double> ttft_ms;  // from when the query was asked

  nlohmann::ordered_json ToJson() const {
    return {{"seconds", seconds},
            {"tokens_per_s", static_cast<double>(tokens) / seconds},
            {"ttft_p50_ms", Median(ttft_ms)},
            {"ttft_p99_ms", Percentile(ttft_ms, 0.99)}};
  }
};

// Asks `queries`, each session in turn the next one.
Load Ask(Database& database, const std::vector<std::string>& queries, int sessions) {
  Load load;
  std::mutex mutex;
  size_t next = 0;
  const Stopwatch watch;
  std::vector<std::thread> threads;
  for (int i = 0; i < sessions; ++i) {
    threads.emplace_back([&] {
      Session session(&database);
      for (;;) {
        std::string query;
        {
          const std::scoped_lock lock(mutex);
          if (next == queries.size()) return;
          query = queries[next++];
        }
        GenerationSink sink;
        session.Execute(query, sink);
        const std::scoped_lock lock(mutex);
        load.tokens += sink.tokens;
        load.ttft_ms.push_back(sink.ttft_ms);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  load.seconds = watch.Milliseconds() / 1e3;
  return load;
}

int Main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr,
                 "usage: sessions MODEL [SESSIONS [DOCUMENTS [DOCUMENT_TOKENS [NEW_TOKENS "
                 "[DECODE_TOKENS [QUERIES]]]]]]\n");
    return 2;
  }
  const auto argument = [&](int i, int otherwise) {
    return argc > i ? std::atoi(argv[i]) : otherwise;
  };
  const std::filesystem::path model = argv[1];
  const int sessions = argument(2, 64), documents = argument(3, 8), tokens = argument(4, 1024);
  const int fresh = argument(5, 32), decoded = argument(6, 32), each = argument(7, 1);
  const FolderBeside scratch(model, "sessions");
  Database database(scratch.path());
  QuietSink quiet;
  std::string modules;
  for (int i = 0; i < documents; ++i) {
    modules += (i > 0 ? ", " : "") + std::string("MODULE d") + std::to_string(i) + " AS " +
               QuoteText(Letters(tokens, 1000u + static_cast<uint32_t>(i)));
  }
  Session(&database).Execute("CREATE MODEL m FROM " + QuoteText(model.string()) +
                                 "; CREATE SCHEMA s USING m (UNION documents (" + modules +
                                 ")); WARM s;",
                             quiet);
  std::vector<std::string> queries;
  for (int i = 0; i < sessions * each; ++i) {
    queries.push_back("SELECT GENERATE (max_tokens => " + std::to_string(decoded) +
                      ", ignore_eos => true) FROM s USE d" + std::to_string(i % documents) +
                      " PROMPT " + QuoteText(Letters(fresh - 3, 1u + static_cast<uint32_t>(i))));
  }
  const Load one = Ask(database, queries, 1);
  const Load many = Ask(database, queries, sessions);
  const nlohmann::ordered_json out = {{"sessions", sessions},
                                      {"queries", queries.size()},
                                      {"documents", documents},
                                      {"document_tokens", tokens},
                                      {"new_tokens", fresh},
                                      {"decoded_tokens", decoded},
                                      {"one", one.ToJson()},
                                      {"many", many.ToJson()},
                                      {"speedup", one.seconds / many.seconds}};
  std::printf("%s\n", out.dump(2).c_str());
  return 0;
}

}  // namespace
}  // namespace promptdb

int main(int argc, char** argv) { return promptdb::RunProgram(promptdb::Main, argc, argv); }
