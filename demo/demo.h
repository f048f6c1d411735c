// The demo that every pcsh carries, so that a first question needs no download: a small model that
// this project trained, a schema over it, and statements to try.
//
// Constants; thread-safe. The views are good for the life of the process.
#ifndef PROMPTDB_DEMO_DEMO_H_
#define PROMPTDB_DEMO_DEMO_H_

#include <span>
#include <string_view>

namespace promptdb {

// What both the model and the schema are called.
inline constexpr std::string_view kDemoName = "demo";

// The bytes of models/demo.gguf.
std::string_view DemoModelFile();

// The text of demo/schema.pql: one CREATE SCHEMA statement.
std::string_view DemoSchemaStatement();

struct DemoExample {
  std::string_view input;    // as it is typed, with its semicolon
  std::string_view meaning;  // in a few words
};

// What to try once both are there.
std::span<const DemoExample> DemoExamples();

}  // namespace promptdb

#endif  // PROMPTDB_DEMO_DEMO_H_
