#include "shell/cache_comparison.h"

#include <cstdio>

#include "base/error.h"
#include "parser/parser.h"
#include "shell/collected_rows.h"

namespace promptdb {

namespace {

void CheckQuery(std::string_view query) {
  const std::vector<ast::Statement> statements = Parse(query);
  const auto* select =
      statements.size() == 1 ? std::get_if<ast::Select>(&statements[0].node) : nullptr;
  if (select == nullptr || select->kind != ast::Select::Kind::kGenerate) {
    throw Error(ErrorCode::kInvalidArgument, "\\compare takes one SELECT GENERATE",
                "For example: \\compare SELECT GENERATE FROM s USE m PROMPT 'Why?'");
  }
  if (!select->prompt_in.empty()) {
    throw Error(ErrorCode::kInvalidArgument, "\\compare takes a query with one prompt",
                "Write PROMPT 'text'.", select->range);
  }
  for (const ast::Option& option : select->with_options) {
    if (option.name.text != "cache") continue;
    throw Error(ErrorCode::kInvalidArgument, "\\compare sets cache by itself, off and then on",
                "Leave it out.", option.name.range);
  }
}

// Puts the session's setting `cache` back at its end.
class CacheSetting {
 public:
  CacheSetting(StatementRunner* session, ResultSink* sink) : session_(session), sink_(sink) {
    CollectedRows rows(sink_, false);
    session_->Execute("SELECT value FROM pc_settings WHERE name = 'cache'", rows);
    before_ = std::get<std::string>(rows.At(0, "value"));
  }
  CacheSetting(const CacheSetting&) = delete;
  CacheSetting& operator=(const CacheSetting&) = delete;
  ~CacheSetting() {
    try {
      Set(before_);
    } catch (const Error&) {
      // It was a value of the setting before, so it still is one.
    }
  }

  void Set(const std::string& value) {
    CollectedRows rows(sink_, false);
    session_->Execute("SET cache = " + value, rows);
  }

 private:
  StatementRunner* session_;
  ResultSink* sink_;
  std::string before_;
};

double Number(const Value& value) {
  if (const auto* real = std::get_if<double>(&value)) return *real;
  if (const auto* whole = std::get_if<int64_t>(&value)) return static_cast<double>(*whole);
  return 0;
}

std::string Summary(const CollectedRows& computed, const CollectedRows& cached) {
  std::string text;
  const double without = Number(computed.At(0, "ttft_ms"));
  const double with = Number(cached.At(0, "ttft_ms"));
  if (Number(cached.At(0, "cached_tokens")) == 0) {
    text = "Nothing of this prompt comes from the cache";
  } else if (with <= 0 || without <= with) {
    text = "First token no sooner from the cache";
  } else {
    char ratio[32];
    std::snprintf(ratio, sizeof ratio, without >= 10 * with ? "%.0f" : "%.1f", without / with);
    text = "First token " + std::string(ratio) + " times sooner from the cache";
  }
  const bool same = computed.At(0, "text") == cached.At(0, "text");
  return text + (same ? "; the answer is the same." : "; the answers differ.");
}

}  // namespace

CacheComparison CompareWithCache(StatementRunner* session, std::string_view query,
                                 ResultSink& sink) {
  CheckQuery(query);
  CollectedRows first(&sink, true), computed(&sink, false), cached(&sink, false);
  {
    CacheSetting cache(session, &sink);
    cache.Set("on");
    session->Execute(query, first);
    cache.Set("off");
    session->Execute(query, computed);
    cache.Set("on");
    session->Execute(query, cached);
  }
  using Type = Column::Type;
  CacheComparison comparison;
  comparison.columns = {{"run", Type::kText},
                        {"ttft_ms", Type::kReal},
                        {"total_ms", Type::kReal},
                        {"prompt_tokens", Type::kInteger},
                        {"cached_tokens", Type::kInteger},
                        {"text", Type::kText}};
  const auto add_row = [&](const char* run, const CollectedRows& result) {
    Row row = {std::string(run)};
    for (size_t i = 1; i < comparison.columns.size(); ++i) {
      row.push_back(result.At(0, comparison.columns[i].name));
    }
    comparison.rows.push_back(std::move(row));
  };
  add_row("computed", computed);
  add_row("from cache", cached);
  comparison.summary = Summary(computed, cached);
  return comparison;
}

}  // namespace promptdb
