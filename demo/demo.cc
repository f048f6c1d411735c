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
      {"SELECT GENERATE FROM demo USE shistel, mayor PROMPT 'Which job does the mayor of Shistel "
       "have?';",
       "an answer from two documents, whose states are cached from then on"},
      {"\\compare SELECT GENERATE FROM demo USE brainoth, kaigron, leklend, neldrath, shistel, "
       "valork PROMPT 'Who is the mayor of Valork?'",
       "one question to all six guides, computed and from the cache"},
      {"EXPLAIN ANALYZE SELECT GENERATE FROM demo USE kaigron, winter PROMPT 'How much does a "
       "ticket for the Trunest Bath cost?';",
       "which states a query takes from the cache, and which it computes"},
      {"SHOW MODULES FROM demo;", "all documents, and which of them are cached"},
  };
  return kExamples;
}

}  // namespace promptdb
