#include "tests/support/statement_file.h"

#include <algorithm>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>

#include "base/error.h"
#include "executor/session.h"
#include "parser/parser.h"
#include "tests/support/masked_lines.h"
#include "tests/support/test_folder.h"
#include "tests/support/tiny_checkpoint.h"

namespace promptdb {

namespace {

// A mistake in the .test file itself.
struct FormatMistake : std::runtime_error {
  FormatMistake(size_t line, const std::string& what) : std::runtime_error(what), line(line) {}
  size_t line;  // from 0
};

enum class Kind {
  kUser,
  kOk,
  kError,
  kQuery,
  kExplain,
  kRestart,
  kModel,
  kFile,
  kRemove,
  kRequire,
  kSkipIf
};

struct Block {
  Kind kind = Kind::kOk;
  size_t line = 0;                 // of the directive, from 0
  std::vector<std::string> words;  // what follows the directive
  std::string body;                // statements, or a file's contents
  bool has_expected = false;
  size_t expected_line = 0;  // the first of them
  std::vector<std::string> expected;
};

std::vector<std::string> Words(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

// ---- Reading -----------------------------------------------------------------------------------

class BlockReader {
 public:
  explicit BlockReader(std::vector<std::string> lines) : lines_(std::move(lines)) {}

  std::vector<Block> Read() {
    std::vector<Block> blocks;
    while (true) {
      while (at_ < lines_.size() && (lines_[at_].empty() || lines_[at_][0] == '#')) ++at_;
      if (at_ == lines_.size()) return blocks;
      blocks.push_back(ReadBlock());
    }
  }

 private:
  Block ReadBlock() {
    static const std::map<std::string, Kind> kKinds = {
        {"query", Kind::kQuery},     {"explain", Kind::kExplain}, {"restart", Kind::kRestart},
        {"model", Kind::kModel},     {"file", Kind::kFile},       {"remove", Kind::kRemove},
        {"require", Kind::kRequire}, {"skipif", Kind::kSkipIf},   {"user", Kind::kUser}};
    Block block;
    block.line = at_;
    std::vector<std::string> words = Words(lines_[at_++]);
    if (words[0] == "statement" && words.size() == 2 && (words[1] == "ok" || words[1] == "error")) {
      block.kind = words[1] == "ok" ? Kind::kOk : Kind::kError;
    } else if (kKinds.contains(words[0])) {
      block.kind = kKinds.at(words[0]);
      block.words.assign(words.begin() + 1, words.end());
    } else {
      throw FormatMistake(block.line, "unknown directive: " + lines_[block.line]);
    }
    switch (block.kind) {
      case Kind::kOk:
      case Kind::kError:
      case Kind::kQuery:
      case Kind::kExplain:
        ReadStatement(block);
        break;
      case Kind::kFile:
        while (at_ < lines_.size() && !lines_[at_].empty()) block.body += lines_[at_++] + "\n";
        break;
      default:
        break;
    }
    return block;
  }

  void ReadStatement(Block& block) {
    while (at_ < lines_.size() && lines_[at_] != "----") {
      const bool may_end = block.kind == Kind::kOk && lines_[at_].empty();
      if (may_end && !SplitScript(block.body).rest_is_open_quote) return;
      block.body += lines_[at_++] + "\n";
    }
    if (at_ == lines_.size()) {
      if (block.kind == Kind::kOk) return;
      throw FormatMistake(block.line, "the block has no ---- line");
    }
    ++at_;
    block.has_expected = true;
    block.expected_line = at_;
    while (at_ < lines_.size() && !lines_[at_].empty()) block.expected.push_back(lines_[at_++]);
  }

  const std::vector<std::string> lines_;
  size_t at_ = 0;
};

// ---- {dir} and {shared} ------------------------------------------------------------------------

// Replaces the names by paths, and knows where each byte of the result came from, so that an
// error's place can be shown in the statement as it stands in the file: with paths that differ from
// run to run no caret would stay put.
class Substitution {
 public:
  Substitution(const std::string& text, const std::map<std::string, std::string>& names) {
    size_t at = 0;
    while (at < text.size()) {
      const auto found = std::find_if(names.begin(), names.end(), [&](const auto& name) {
        return text.compare(at, name.first.size(), name.first) == 0;
      });
      const std::string piece = found == names.end() ? text.substr(at, 1) : found->second;
      const size_t length = found == names.end() ? 1 : found->first.size();
      for (size_t i = 0; i < piece.size(); ++i) origin_.push_back(at);
      result_ += piece;
      at += length;
    }
    origin_.push_back(text.size());
  }

  const std::string& result() const { return result_; }

  SourceRange Original(SourceRange range) const {
    return {static_cast<int>(Origin(range.begin)), static_cast<int>(Origin(range.end))};
  }

 private:
  size_t Origin(int at) const {
    return origin_[std::min(static_cast<size_t>(std::max(at, 0)), origin_.size() - 1)];
  }

  std::string result_;
  std::vector<size_t> origin_;
};

std::string ReplaceAll(std::string text, const std::string& from, const std::string& to) {
  if (from.empty()) return text;
  for (size_t at = 0; (at = text.find(from, at)) != text.npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
  return text;
}

// ---- Results -----------------------------------------------------------------------------------

class CollectingSink : public QuietSink {
 public:
  void OnColumns(const std::vector<Column>& columns) override { columns_ = columns; }
  void OnRow(const std::vector<Value>& row) override { rows_.push_back(row); }
  void OnTextPiece(std::string_view piece) override { pieces_ += piece; }
  void OnNotice(std::string_view notice) override {
    notices_.push_back("notice: " + std::string(notice));
  }
  void OnDone(std::string_view tag) override { tags_.emplace_back(tag); }

  // What was streamed must be what the row says.
  bool StreamAgrees() const {
    if (pieces_.empty()) return true;
    std::string text;
    for (size_t i = 0; i < columns_.size(); ++i) {
      if (columns_[i].name != "text") continue;
      for (const std::vector<Value>& row : rows_) text += FormatValue(row[i]);
    }
    return pieces_ == text;
  }

  std::vector<std::string> Tags() const {
    std::vector<std::string> lines = notices_;
    lines.insert(lines.end(), tags_.begin(), tags_.end());
    return lines;
  }

  std::vector<std::string> Rows(const std::vector<std::string>& words) const {
    const std::vector<size_t> picked = PickColumns(words);
    std::vector<std::string> rows;
    for (const std::vector<Value>& row : rows_) {
      std::string line;
      for (const size_t i : picked) line += (i == picked[0] ? "" : "\t") + Field(row[i]);
      rows.push_back(line);
    }
    if (Has(words, "sort")) std::sort(rows.begin(), rows.end());
    std::vector<std::string> lines = notices_;
    if (Has(words, "header")) {
      std::string header;
      for (const size_t i : picked) header += (i == picked[0] ? "" : "\t") + columns_[i].name;
      lines.push_back(header);
    }
    lines.insert(lines.end(), rows.begin(), rows.end());
    return lines;
  }

  std::vector<std::string> RawRows() const {
    std::vector<std::string> lines = notices_;
    for (const std::vector<Value>& row : rows_) {
      for (const Value& value : row) {
        for (std::string& line : SplitLines(FormatValue(value))) lines.push_back(std::move(line));
      }
    }
    return lines;
  }

 private:
  static bool Has(const std::vector<std::string>& words, const std::string& word) {
    return std::find(words.begin(), words.end(), word) != words.end();
  }

  std::vector<size_t> PickColumns(const std::vector<std::string>& words) const {
    std::vector<size_t> picked;
    const auto at = std::find(words.begin(), words.end(), "columns");
    if (at == words.end()) {
      for (size_t i = 0; i < columns_.size(); ++i) picked.push_back(i);
      return picked;
    }
    if (at + 1 == words.end()) throw std::runtime_error("columns needs names: columns a,b");
    std::istringstream names(*(at + 1));
    for (std::string name; std::getline(names, name, ',');) {
      const auto found = std::find_if(columns_.begin(), columns_.end(),
                                      [&](const Column& column) { return column.name == name; });
      if (found == columns_.end()) throw std::runtime_error("the result has no column " + name);
      picked.push_back(static_cast<size_t>(found - columns_.begin()));
    }
    return picked;
  }

  static std::string Field(const Value& value) {
    if (std::holds_alternative<std::monostate>(value)) return "NULL";
    std::string out;
    for (const char c : FormatValue(value)) {
      switch (c) {
        case '\t':
          out += "\\t";
          break;
        case '\n':
          out += "\\n";
          break;
        case '\r':
          out += "\\r";
          break;
        case '\\':
          out += "\\\\";
          break;
        default:
          out += c;
      }
    }
    return out.empty() ? "(empty)" : out;
  }

  std::vector<Column> columns_;
  std::vector<std::vector<Value>> rows_;
  std::vector<std::string> notices_;
  std::vector<std::string> tags_;
  std::string pieces_;
};

// ---- Running -----------------------------------------------------------------------------------

void WriteModel(const Block& block, const TemporaryFolder& folder) {
  if (block.words.empty()) throw FormatMistake(block.line, "model needs a name");
  std::map<std::string, std::string> options = {{"form", "gguf"}, {"dtype", "f32"}};
  for (size_t i = 1; i < block.words.size(); ++i) {
    const size_t equals = block.words[i].find('=');
    if (equals == std::string::npos) {
      throw FormatMistake(block.line, "expected key=value: " + block.words[i]);
    }
    options[block.words[i].substr(0, equals)] = block.words[i].substr(equals + 1);
  }
  TinyModel model = TinyModel::Of(options.contains("arch") ? options["arch"] : "llama");
  int seed = 1, shards = 1, tied = model.tied ? 1 : 0;
  const std::map<std::string, int*> numbers = {{"seed", &seed},
                                               {"layers", &model.layers},
                                               {"dim", &model.dim},
                                               {"hidden", &model.hidden},
                                               {"heads", &model.heads},
                                               {"kv_heads", &model.kv_heads},
                                               {"head_dim", &model.head_dim},
                                               {"vocab", &model.vocab},
                                               {"context", &model.context},
                                               {"shards", &shards},
                                               {"tied", &tied}};
  for (const auto& [key, value] : options) {
    if (key == "form" || key == "arch" || key == "dtype") continue;
    if (!numbers.contains(key)) throw FormatMistake(block.line, "unknown key of a model: " + key);
    *numbers.at(key) = std::stoi(value);
  }
  model.seed = static_cast<uint32_t>(seed);
  model.tied = tied != 0;
  const std::optional<TensorDtype> dtype = TensorDtypeOf(options["dtype"]);
  if (!dtype) throw FormatMistake(block.line, "unknown dtype: " + options["dtype"]);
  if (options["form"] == "gguf") {
    WriteGguf(model, folder / (block.words[0] + ".gguf"), *dtype);
  } else if (options["form"] == "folder") {
    WriteHuggingFace(model, folder / block.words[0], *dtype, shards);
  } else {
    throw FormatMistake(block.line, "form is gguf or folder: " + options["form"]);
  }
}

class FileRun {
 public:
  FileRun(const std::string& text, const std::optional<std::filesystem::path>& shared)
      : lines_(SplitLines(text)), shared_(shared), folder_("statements") {
    names_["{dir}"] = folder_.path().string();
    if (shared_) names_["{shared}"] = shared_->string();
  }

  StatementFileOutcome Run() {
    std::vector<Block> blocks;
    try {
      blocks = BlockReader(lines_).Read();
      Restart();
      bool skip_next = false;
      for (const Block& block : blocks) {
        if (block.kind == Kind::kRequire || block.kind == Kind::kSkipIf) {
          const bool known =
              block.words.size() == 1 &&
              block.words[0] == (block.kind == Kind::kRequire ? "shared" : "no-shared");
          if (!known) throw FormatMistake(block.line, "unknown condition: " + lines_[block.line]);
          if (!shared_) {
            outcome_.skipped = "the shared test data is absent";
            if (block.kind == Kind::kRequire) return std::move(outcome_);
            skip_next = true;
          }
          continue;
        }
        if (skip_next) {
          skip_next = false;
          continue;
        }
        RunBlock(block);
        ++outcome_.blocks;
      }
      outcome_.updated = Updated();
    } catch (const FormatMistake& mistake) {
      Fail(mistake.line, mistake.what());
    }
    return std::move(outcome_);
  }

 private:
  void Restart() {
    session_.reset();
    database_.reset();
    database_ = std::make_unique<Database>(folder_ / "db");
    session_ = std::make_unique<Session>(database_.get());
  }

  void RunBlock(const Block& block) {
    switch (block.kind) {
      case Kind::kRestart:
        Restart();
        return;
      case Kind::kUser:
        if (block.words.size() > 1) throw FormatMistake(block.line, "user takes one name or none");
        session_ =
            std::make_unique<Session>(database_.get(), block.words.empty() ? "" : block.words[0]);
        return;
      case Kind::kModel:
        WriteModel(block, folder_);
        return;
      case Kind::kFile: {
        if (block.words.size() != 1) throw FormatMistake(block.line, "file needs one name");
        std::ofstream(folder_ / block.words[0], std::ios::binary) << block.body;
        return;
      }
      case Kind::kRemove: {
        if (block.words.size() != 1) throw FormatMistake(block.line, "remove needs one name");
        std::filesystem::remove_all(folder_ / block.words[0]);
        return;
      }
      default:
        RunStatement(block);
    }
  }

  void RunStatement(const Block& block) {
    const Substitution statement(block.body, names_);
    CollectingSink sink;
    std::vector<std::string> actual;
    bool failed = false;
    try {
      session_->Execute(statement.result(), sink);
      if (block.kind == Kind::kExplain) {
        actual = sink.RawRows();
      } else if (block.kind == Kind::kOk) {
        actual = sink.Tags();
      } else {
        actual = sink.Rows(block.words);
      }
      if (!sink.StreamAgrees()) Fail(block.line, "the streamed text differs from the row's");
    } catch (const Error& error) {
      failed = true;
      Error placed(error.code(), error.message(), error.hint());
      if (error.range()) placed = placed.At(statement.Original(*error.range()));
      actual = SplitLines(FormatError(placed, MaskSecrets(block.body)));
    } catch (const std::runtime_error& mistake) {
      throw FormatMistake(block.line, mistake.what());
    }
    for (std::string& line : actual) {
      for (const auto& [name, path] : names_) line = ReplaceAll(line, path, name);
    }
    if (failed != (block.kind == Kind::kError)) {
      std::string output;
      for (const std::string& line : actual) output += line + "\n";
      Fail(block.line, failed ? "the statement failed\n" + output
                              : "the statement should have failed, and gave\n" + output);
      return;
    }
    if (!block.has_expected) return;
    if (!MatchMasked(block.expected, actual)) {
      Fail(block.line,
           "the result differs (- expected, + actual)\n" + DiffMasked(block.expected, actual));
    }
    replacements_.push_back(
        {block.expected_line, block.expected.size(), UpdateMasked(block.expected, actual)});
  }

  void Fail(size_t line, const std::string& message) {
    outcome_.failures.push_back({static_cast<int>(line) + 1, message});
  }

  std::string Updated() const {
    std::string text;
    size_t at = 0;
    for (const Replacement& replacement : replacements_) {
      for (; at < replacement.line; ++at) text += lines_[at] + "\n";
      for (const std::string& line : replacement.fresh) text += line + "\n";
      at += replacement.count;
    }
    for (; at < lines_.size(); ++at) text += lines_[at] + "\n";
    return text;
  }

  struct Replacement {
    size_t line;
    size_t count;
    std::vector<std::string> fresh;
  };

  const std::vector<std::string> lines_;
  const std::optional<std::filesystem::path> shared_;
  const TemporaryFolder folder_;
  std::map<std::string, std::string> names_;
  std::unique_ptr<Database> database_;
  std::unique_ptr<Session> session_;
  std::vector<Replacement> replacements_;
  StatementFileOutcome outcome_;
};

}  // namespace

StatementFileOutcome RunStatementFile(const std::string& text,
                                      const std::optional<std::filesystem::path>& shared) {
  return FileRun(text, shared).Run();
}

}  // namespace promptdb
