// What the tests of chats share: a database over one tiny model, and the slow pass that says what a
// chat's next token is.
//
// Not thread-safe, but for what a Database is.
#ifndef PROMPTDB_TESTS_CHAT_BENCH_H_
#define PROMPTDB_TESTS_CHAT_BENCH_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "executor/database.h"
#include "executor/reference.h"
#include "executor/result.h"
#include "parser/parser.h"
#include "tests/support/tiny_checkpoint.h"

namespace promptdb {

class RecordingSink : public QuietSink {
 public:
  void OnRow(const std::vector<Value>& row) override { rows.push_back(row); }
  void OnTextPiece(std::string_view piece) override {
    pieces += piece;
    if (on_piece) on_piece();
  }
  void OnNotice(std::string_view notice) override { notices.emplace_back(notice); }
  bool IsCanceled() const override { return is_canceled; }

  std::vector<std::vector<Value>> rows;
  std::string pieces;
  std::vector<std::string> notices;
  std::function<void()> on_piece;
  bool is_canceled = false;
};

inline RecordingSink Say(Database& database, const std::string& statements) {
  RecordingSink sink;
  Session(&database).Execute(statements, sink);
  return sink;
}

inline std::string TextOf(const RecordingSink& sink) {
  return std::get<std::string>(sink.rows.at(0)[0]);
}

inline int64_t CachedTokens(const RecordingSink& sink) {
  return std::get<int64_t>(sink.rows.at(0)[3]);
}

inline ChatDefinition ChatNamed(Database& database, const std::string& name) {
  const auto chat = database.rep().catalog.FindChat(name);
  EXPECT_TRUE(chat.has_value()) << name;
  return chat.value_or(ChatDefinition());
}

// All tokens of a chat, in the order of its segments; what is pending last.
inline std::vector<TokenId> TokensOf(const ChatDefinition& chat) {
  std::vector<TokenId> tokens;
  for (const auto* segments : {&chat.opening, &chat.turns}) {
    for (const ChatSegment& segment : *segments) {
      tokens.insert(tokens.end(), segment.tokens.begin(), segment.tokens.end());
    }
  }
  tokens.insert(tokens.end(), chat.pending.begin(), chat.pending.end());
  return tokens;
}

// Logits [tokens, vocab] of one uncached f32 pass over a chat. The opening sees what it saw when it
// was bound; whatever was said since sees all before it, but for parameters' placeholders.
struct SlowPass {
  std::vector<TokenId> tokens;
  std::vector<int32_t> positions;
  std::vector<float> logits;

  SlowPass(const Checkpoint& checkpoint, const ChatDefinition& chat,
           const std::vector<TokenId>& more) {
    std::vector<bool> is_placeholder;
    std::vector<size_t> first_row;
    AttentionMask mask;
    for (const ChatSegment& segment : chat.opening) {
      first_row.push_back(tokens.size());
      for (size_t i = 0; i < segment.tokens.size(); ++i) {
        std::vector<bool> row(tokens.size() + 1, false);
        for (size_t j = first_row.back(); j < row.size(); ++j) row[j] = true;
        for (const ChatSegment::Span& span : segment.attends) {
          for (int j = span.begin; j < span.end; ++j) {
            row[first_row[static_cast<size_t>(span.segment)] + static_cast<size_t>(j)] = true;
          }
        }
        mask.push_back(std::move(row));
        tokens.push_back(segment.tokens[i]);
        positions.push_back(segment.start + static_cast<int>(i));
        is_placeholder.push_back(false);
      }
      for (const ChatSegment::Placeholder& place : segment.placeholders) {
        for (int i = 0; i < place.tokens; ++i) {
          is_placeholder[first_row.back() + static_cast<size_t>(place.begin + i)] = true;
        }
      }
    }
    int position = 0;
    for (const int32_t used : positions) position = std::max(position, used + 1);
    std::vector<TokenId> said;
    for (const ChatSegment& turn : chat.turns) {
      said.insert(said.end(), turn.tokens.begin(), turn.tokens.end());
    }
    said.insert(said.end(), chat.pending.begin(), chat.pending.end());
    said.insert(said.end(), more.begin(), more.end());
    for (const TokenId token : said) {
      std::vector<bool> row;
      for (size_t j = 0; j < tokens.size(); ++j) row.push_back(!is_placeholder[j]);
      row.push_back(true);
      mask.push_back(std::move(row));
      tokens.push_back(token);
      positions.push_back(position++);
      is_placeholder.push_back(false);
    }
    for (std::vector<bool>& row : mask) row.resize(tokens.size(), false);
    logits = ReferenceForward(checkpoint, tokens, positions, mask);
  }

  std::vector<float> Row(size_t row) const {
    const size_t vocab = logits.size() / tokens.size();
    const auto begin = logits.begin() + static_cast<long>(row * vocab);
    return {begin, begin + static_cast<long>(vocab)};
  }
};

// A fresh database over one tiny model.
class Bench {
 public:
  explicit Bench(const TinyModel& tiny, const std::string& with = "", bool is_gguf = true)
      : folder_("chat"), path_((folder_ / (is_gguf ? "m.gguf" : "m")).string()) {
    if (is_gguf) {
      WriteGguf(tiny, path_, TensorDtype::kF32);
    } else {
      WriteHuggingFace(tiny, path_, TensorDtype::kF32);
    }
    Restart();
    Run("CREATE MODEL m FROM " + QuoteText(path_) + with);
  }

  void Restart() {
    database_.reset();
    database_ = std::make_unique<Database>(folder_ / "db");
  }
  RecordingSink Run(const std::string& statements) { return Say(*database_, statements); }
  Database& database() { return *database_; }
  StateCache& cache() { return database_->rep().cache; }
  ChatDefinition Chat(const std::string& name) { return ChatNamed(*database_, name); }
  const std::string& path() const { return path_; }

  void EraseStates(const std::function<bool()>& chosen) {
    for (const StateManifest& state : cache().List()) {
      if (chosen()) cache().Erase(state.key);
    }
  }
  size_t StatesOnDisk() { return cache().List().size(); }

  // Every state of a chat is named by one.
  void ExpectNoStateIsLeftOver() {
    std::set<Digest> named;
    for (const ChatDefinition& chat : database_->rep().catalog.Chats()) {
      for (const auto* segments : {&chat.opening, &chat.turns}) {
        for (const ChatSegment& segment : *segments) named.insert(segment.state);
      }
    }
    for (const StateManifest& state : cache().List()) {
      if (state.of_chat) {
        EXPECT_TRUE(named.contains(state.key)) << state.label;
      }
    }
  }

 private:
  TemporaryFolder folder_;
  std::string path_;
  std::unique_ptr<Database> database_;
};

inline TinyModel Tiny(const std::string& architecture, int context) {
  TinyModel tiny = TinyModel::Of(architecture);
  tiny.context = context;
  return tiny;
}

// A schema of one module for model m.
inline constexpr char kSchema[] =
    "CREATE SCHEMA s USING m (SYSTEM 'You are kind.', MODULE a AS 'alpha beta');";

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_CHAT_BENCH_H_
