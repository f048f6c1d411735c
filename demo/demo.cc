#include "demo/demo.h"

// From embedded_files.S.
extern "C" {
extern const char promptdb_demo_model[];
extern const char promptdb_demo_model_end[];
extern const char promptdb_demo_schema[];
extern const char promptdb_demo_schema_end[];
}

namespace promptdb {

std::string_view DemoModelFile() { return {promptdb_demo_model, promptdb_demo_model_end}; }

std::string_view DemoSchemaStatement() { return {promptdb_demo_schema, promptdb_demo_schema_end}; }

std::span<const DemoExample> DemoExamples() {
  static constexpr DemoExample kExamples[] = {
      {"SHOW MODULES FROM demo;", "what it knows, and what of that is cached"},
      {"SELECT GENERATE FROM demo USE velmora, trams PROMPT 'Who is the mayor of Velmora?';",
       "an answer from one of the guides, whose states are cached from then on"},
      {"\\compare SELECT GENERATE FROM demo USE velmora, karost, ilmaren, dobrin, sundhalm, oreve, "
       "trams, fees PROMPT 'What is the dish of Oreve?'",
       "one question to all of them, computed and then from cache"},
      {"EXPLAIN ANALYZE SELECT GENERATE FROM demo USE karost, fees PROMPT 'Which river crosses "
       "Karost?';",
       "which states come from the cache, and which are computed"},
  };
  return kExamples;
}

}  // namespace promptdb
