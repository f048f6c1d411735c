#include "server/client_statement.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"
#include "base/text_place.h"

namespace promptdb {

namespace {

using Kind = ClientStatement::Kind;
using Tokens = std::vector<ClientToken>;

std::string Lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

// 'text' or "name" without its quotes, or $$text$$ without its marks.
std::string Unquoted(std::string_view source) {
  if (source[0] == '$') {
    const size_t mark = source.find('$', 1) + 1;
    return std::string(source.substr(mark, source.size() - 2 * mark));
  }
  std::string out;
  for (size_t i = 1; i + 1 < source.size(); ++i) {
    out += source[i];
    if (source[i] == source[0]) ++i;
  }
  return out;
}

bool Begins(const Tokens& tokens, std::initializer_list<std::string_view> words) {
  if (tokens.size() < words.size()) return false;
  size_t i = 0;
  for (const std::string_view word : words) {
    if (!tokens[i++].Is(word)) return false;
  }
  return true;
}

// All of `tokens` from `at` are among the words.
bool OnlyOf(const Tokens& tokens, size_t at, std::initializer_list<std::string_view> words) {
  return std::all_of(tokens.begin() + static_cast<long>(at), tokens.end(),
                     [&](const ClientToken& token) {
                       return std::any_of(words.begin(), words.end(),
                                          [&](std::string_view word) { return token.Is(word); });
                     });
}

std::optional<ClientStatement> ReadTransaction(const Tokens& tokens) {
  const std::initializer_list<std::string_view> kCharacteristics = {
      "work",       "transaction", "isolation",   "level", "serializable", "repeatable",
      "read",       "committed",   "uncommitted", "only",  "write",        "not",
      "deferrable", ",",           "and",         "no",    "chain"};
  const bool is_plain = OnlyOf(tokens, 1, kCharacteristics);
  if (Begins(tokens, {"begin"}) && is_plain) return ClientStatement{Kind::kBegin, "", "", {}};
  if (Begins(tokens, {"start", "transaction"}) && is_plain) {
    return ClientStatement{Kind::kBegin, "", "", {}};
  }
  if ((Begins(tokens, {"commit"}) || Begins(tokens, {"end"})) && is_plain) {
    return ClientStatement{Kind::kCommit, "", "", {}};
  }
  if (Begins(tokens, {"savepoint"}) || Begins(tokens, {"release"}) ||
      (Begins(tokens, {"rollback"}) && tokens.size() > 1 &&
       std::any_of(tokens.begin(), tokens.end(), [](const auto& t) { return t.Is("to"); }))) {
    return ClientStatement{Kind::kSavepoint, tokens[0].text, "", {}};
  }
  if ((Begins(tokens, {"rollback"}) || Begins(tokens, {"abort"})) && is_plain) {
    return ClientStatement{Kind::kRollback, "", "", {}};
  }
  return std::nullopt;
}

// The tokens from `at`, as SET's value: one, or several with commas between them.
std::optional<std::string> SetValue(const Tokens& tokens, size_t at) {
  std::string value;
  for (; at < tokens.size(); ++at) {
    if (tokens[at].Is(",")) {
      value += ", ";
    } else if (tokens[at].Is("-")) {
      value += "-";
    } else {
      value += tokens[at].text;
    }
  }
  return value.empty() ? std::nullopt : std::optional(value);
}

std::optional<ClientStatement> ReadSet(const Tokens& tokens, const ClientParameters& parameters) {
  size_t at = 1;
  if (tokens.size() > 2 && (tokens[1].Is("session") || tokens[1].Is("local"))) ++at;
  if (tokens.size() <= at) return std::nullopt;
  if (tokens[at].Is("transaction") || tokens[at].Is("characteristics")) {
    return ClientStatement{Kind::kSetTransaction, "", "", {}};
  }
  ClientStatement set{Kind::kSet, "", "", {}};
  if (tokens[at].Is("names")) {
    set.name = "client_encoding";
    ++at;
  } else if (tokens[at].Is("time") && tokens.size() > at + 1 && tokens[at + 1].Is("zone")) {
    set.name = "timezone";
    at += 2;
  } else {
    set.name = Lower(tokens[at++].text);
    while (at + 1 < tokens.size() && tokens[at].Is(".")) {
      set.name += "." + Lower(tokens[at + 1].text);
      at += 2;
    }
    if (at >= tokens.size() || !(tokens[at].Is("to") || tokens[at].Is("="))) return std::nullopt;
    ++at;
  }
  if (!parameters.contains(set.name)) return std::nullopt;
  const std::optional<std::string> value = SetValue(tokens, at);
  if (!value) return std::nullopt;
  if (tokens.back().Is("default") && at + 1 == tokens.size()) {
    set.kind = Kind::kReset;
  } else {
    set.value = *value;
  }
  return set;
}

// SHOW name and RESET name, where the name is one of ours; "all" too.
std::optional<ClientStatement> ReadNamed(Kind kind, const Tokens& tokens,
                                         const ClientParameters& parameters) {
  std::string name;
  for (size_t i = 1; i < tokens.size(); ++i) {
    if (tokens[i].Is(".")) continue;
    if (!name.empty()) name += i > 1 && tokens[i - 1].Is(".") ? "." : "_";
    name += Lower(tokens[i].text);
  }
  if (name == "transaction_isolation_level") name = "transaction_isolation";
  if (name == "time_zone") name = "timezone";
  if (name != "all" && !parameters.contains(name)) return std::nullopt;
  return ClientStatement{kind, name, "", {}};
}

// SELECT without FROM: constants and functions without arguments of any weight.
class ConstantsReader {
 public:
  explicit ConstantsReader(const Tokens& tokens) : tokens_(tokens) {}

  std::optional<ClientStatement> Read() {
    ClientStatement statement{Kind::kConstants, "", "", {}};
    at_ = 1;
    do {
      ClientStatement::Item item;
      if (!ReadItem(item)) return std::nullopt;
      statement.items.push_back(std::move(item));
    } while (Take(","));
    if (at_ != tokens_.size()) return std::nullopt;
    return statement;
  }

 private:
  bool Take(std::string_view word) {
    if (at_ >= tokens_.size() || !tokens_[at_].Is(word)) return false;
    ++at_;
    return true;
  }

  bool ReadItem(ClientStatement::Item& item) {
    item.column = "?column?";
    if (!ReadConstant(item.value)) {
      if (Take("pg_catalog") && !Take(".")) return false;
      if (at_ >= tokens_.size() || tokens_[at_].kind != LexemeKind::kWord) return false;
      item.function = tokens_[at_++].text;
      item.column = item.function;
      if (Take("(")) {
        while (!Take(")")) {
          Value argument;
          if (!item.arguments.empty() && !Take(",")) return false;
          if (!ReadConstant(argument)) return false;
          item.arguments.push_back(std::move(argument));
        }
      }
    }
    SkipCast();
    const bool has_as = Take("as");
    if (at_ < tokens_.size() &&
        (tokens_[at_].kind == LexemeKind::kQuotedName || tokens_[at_].kind == LexemeKind::kWord)) {
      item.column = tokens_[at_++].text;
    } else if (has_as) {
      return false;
    }
    return true;
  }

  bool ReadConstant(Value& value) {
    const bool is_negative = Take("-");
    if (at_ >= tokens_.size()) return false;
    const ClientToken& token = tokens_[at_];
    const char* const end = token.text.data() + token.text.size();
    if (token.kind == LexemeKind::kInteger) {
      int64_t whole = 0;
      if (std::from_chars(token.text.data(), end, whole).ec != std::errc()) return false;
      value = is_negative ? -whole : whole;
    } else if (token.kind == LexemeKind::kDecimal) {
      double real = 0;
      if (std::from_chars(token.text.data(), end, real).ec != std::errc()) return false;
      value = is_negative ? -real : real;
    } else if (is_negative) {
      return false;
    } else if (token.kind == LexemeKind::kText) {
      value = token.text;
    } else if (token.Is("true") || token.Is("false")) {
      value = token.Is("true");
    } else if (!token.Is("null")) {
      return false;
    }
    ++at_;
    SkipCast();
    return true;
  }

  // ::type, which is what the constant is anyway.
  void SkipCast() {
    while (at_ + 2 < tokens_.size() && tokens_[at_].text == ":" && tokens_[at_ + 1].text == ":" &&
           tokens_[at_ + 2].kind == LexemeKind::kWord) {
      at_ += 3;
      if (Take(".")) ++at_;
    }
  }

  const Tokens& tokens_;
  size_t at_ = 0;
};

constexpr std::pair<std::string_view, std::string_view> kReported[] = {
    {"application_name", "application_name"},
    {"client_encoding", "client_encoding"},
    {"datestyle", "DateStyle"},
    {"default_transaction_read_only", "default_transaction_read_only"},
    {"in_hot_standby", "in_hot_standby"},
    {"integer_datetimes", "integer_datetimes"},
    {"intervalstyle", "IntervalStyle"},
    {"is_superuser", "is_superuser"},
    {"server_encoding", "server_encoding"},
    {"server_version", "server_version"},
    {"session_authorization", "session_authorization"},
    {"standard_conforming_strings", "standard_conforming_strings"},
    {"timezone", "TimeZone"},
};

bool IsReadOnly(std::string_view parameter) {
  static constexpr std::string_view kNames[] = {
      "in_hot_standby",  "integer_datetimes",  "is_superuser",       "max_identifier_length",
      "server_encoding", "server_version",     "server_version_num", "session_authorization",
      "block_size",      "password_encryption"};
  return std::find(std::begin(kNames), std::end(kNames), parameter) != std::end(kNames);
}

[[noreturn]] void RefuseValue(std::string_view parameter, std::string_view value,
                              const std::string& hint) {
  throw Error(ErrorCode::kInvalidArgument,
              "invalid value for parameter \"" + std::string(parameter) + "\": \"" +
                  std::string(value) + "\"",
              hint);
}

std::optional<int64_t> ReadMilliseconds(std::string_view value) {
  int64_t number = 0;
  const auto read = std::from_chars(value.data(), value.data() + value.size(), number);
  if (read.ec != std::errc() || number < 0 || number > 1'000'000'000) return std::nullopt;
  const std::string_view unit(read.ptr,
                              static_cast<size_t>(value.data() + value.size() - read.ptr));
  static constexpr std::pair<std::string_view, int64_t> kUnits[] = {
      {"", 1}, {"ms", 1}, {"s", 1000}, {"min", 60'000}, {"h", 3'600'000}};
  for (const auto& [known, factor] : kUnits) {
    if (unit == known) return number * factor;
  }
  return std::nullopt;
}

}  // namespace

std::vector<ClientToken> TokensOf(std::string_view statement) {
  std::vector<ClientToken> tokens;
  Scanner scanner(statement);
  while (true) {
    const Lexeme lexeme = scanner.Next();
    if (lexeme.kind == LexemeKind::kEnd) break;
    const std::string_view source = TextAt(statement, lexeme.range);
    ClientToken token{lexeme.kind, std::string(source), lexeme.range};
    if (lexeme.kind == LexemeKind::kWord) token.text = Lower(source);
    if (lexeme.kind == LexemeKind::kText || lexeme.kind == LexemeKind::kQuotedName) {
      token.text = Unquoted(source);
    }
    const bool is_odd = lexeme.kind >= LexemeKind::kOpenText;
    tokens.push_back(std::move(token));
    if (is_odd && lexeme.kind != LexemeKind::kUnknownCharacter) break;
  }
  while (!tokens.empty() && tokens.back().kind == LexemeKind::kSemicolon) tokens.pop_back();
  return tokens;
}

std::optional<ClientStatement> ReadClientStatement(const Tokens& tokens,
                                                   const ClientParameters& parameters) {
  if (tokens.empty() || tokens[0].kind != LexemeKind::kWord) return std::nullopt;
  const std::string& first = tokens[0].text;
  if (first == "set") return ReadSet(tokens, parameters);
  if (first == "show") return ReadNamed(Kind::kShow, tokens, parameters);
  if (first == "reset") return ReadNamed(Kind::kReset, tokens, parameters);
  if (first == "discard" && tokens.size() == 2) return ClientStatement{Kind::kDiscard, "", "", {}};
  if (first == "deallocate" && tokens.size() >= 2) {
    const size_t at = tokens.size() > 2 && tokens[1].Is("prepare") ? 2 : 1;
    if (tokens.size() != at + 1) return std::nullopt;
    return ClientStatement{Kind::kDeallocate, tokens[at].text, "", {}};
  }
  if (first == "select") {
    const bool has_from = std::any_of(tokens.begin(), tokens.end(),
                                      [](const ClientToken& token) { return token.Is("from"); });
    return has_from || tokens.size() < 2 ? std::nullopt : ConstantsReader(tokens).Read();
  }
  return ReadTransaction(tokens);
}

ClientParameters DefaultClientParameters() {
  return {{"application_name", ""},
          {"block_size", "8192"},
          {"bytea_output", "hex"},
          {"client_encoding", "UTF8"},
          {"client_min_messages", "notice"},
          {"datestyle", "ISO, MDY"},
          {"default_transaction_isolation", "read committed"},
          {"default_transaction_read_only", "off"},
          {"extra_float_digits", "1"},
          {"idle_in_transaction_session_timeout", "0"},
          {"in_hot_standby", "off"},
          {"integer_datetimes", "on"},
          {"intervalstyle", "postgres"},
          {"is_superuser", "on"},
          {"lock_timeout", "0"},
          {"max_identifier_length", "128"},
          {"password_encryption", "scram-sha-256"},
          {"promptdb.messages", "off"},
          {"search_path", "promptdb"},
          {"server_encoding", "UTF8"},
          {"server_version", "15.0 (PromptDB " PROMPTDB_VERSION ")"},
          {"server_version_num", "150000"},
          {"session_authorization", ""},
          {"standard_conforming_strings", "on"},
          {"statement_timeout", ""},
          {"timezone", "UTC"},
          {"transaction_isolation", "read committed"},
          {"transaction_read_only", "off"}};
}

std::optional<std::string_view> ReportedName(std::string_view parameter) {
  for (const auto& [name, reported] : kReported) {
    if (name == parameter) return reported;
  }
  return std::nullopt;
}

std::string CheckedClientValue(std::string_view parameter, std::string_view value) {
  if (IsReadOnly(parameter)) {
    throw Error(ErrorCode::kInvalidArgument,
                "parameter \"" + std::string(parameter) + "\" cannot be changed");
  }
  if (parameter == "client_encoding") {
    std::string name = Lower(value);
    std::erase_if(name, [](char c) { return c == '-' || c == '_' || c == '\''; });
    if (name != "utf8" && name != "unicode") {
      RefuseValue(parameter, value, "All text is UTF-8: SET client_encoding = 'UTF8'.");
    }
    return "UTF8";
  }
  if (parameter == "standard_conforming_strings" && Lower(value) != "on" &&
      Lower(value) != "true") {
    RefuseValue(parameter, value, "A backslash in a text is a backslash.");
  }
  if (parameter == "statement_timeout" && !ReadMilliseconds(value)) {
    RefuseValue(parameter, value, "Write milliseconds, or a time like '5s' or '2min'.");
  }
  return std::string(value);
}

int64_t TimeoutMilliseconds(std::string_view value) { return ReadMilliseconds(value).value_or(0); }

}  // namespace promptdb
