// One query run twice, computed and from the cache, to see what the cache saves.
//
// Not thread-safe: it runs statements on a session.
#ifndef PROMPTDB_SHELL_CACHE_COMPARISON_H_
#define PROMPTDB_SHELL_CACHE_COMPARISON_H_

#include <string>
#include <string_view>
#include <vector>

#include "shell/statement_runner.h"

namespace promptdb {

struct CacheComparison {
  std::vector<Column> columns;
  std::vector<Row> rows;  // "computed", then "from cache"
  std::string summary;    // "First token 38 times sooner from the cache; the answer is the same."
};

// Runs the SELECT GENERATE `query` three times: once so that weights are loaded and states stored,
// then with the setting `cache` off, then with it on; the setting is put back, whatever happens.
// Throws the query's Error, and Error for anything but one SELECT GENERATE with one prompt; ranges
// are in `query`. `sink` hears of progress and notices.
CacheComparison CompareWithCache(StatementRunner* session, std::string_view query,
                                 ResultSink& sink);

}  // namespace promptdb

#endif  // PROMPTDB_SHELL_CACHE_COMPARISON_H_
