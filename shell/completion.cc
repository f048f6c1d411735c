#include "shell/completion.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>

#include "base/utf8.h"
#include "parser/parser.h"
#include "shell/options.h"
#include "shell/shell_commands.h"
#include "shell/statement_help.h"

namespace promptdb {

namespace {

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
char Upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }
bool IsUpper(char c) { return c >= 'A' && c <= 'Z'; }

bool IsWordByte(char c) {
  return (c >= 'a' && c <= 'z') || IsUpper(c) || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
         static_cast<unsigned char>(c) >= 0x80;
}

std::string ToUpper(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), Upper);
  return out;
}

bool BeginsWith(std::string_view text, std::string_view prefix) {
  return text.size() >= prefix.size() &&
         std::equal(prefix.begin(), prefix.end(), text.begin(),
                    [](char a, char b) { return Lower(a) == Lower(b); });
}

// The tokens of the statement that is being typed, and the quote it may end in.
struct Typed {
  std::vector<std::string> words;  // before the one at the cursor; punctuation is a word of its own
  std::string_view word;           // at the cursor, may be empty
  char open_quote = '\0';          // ' " $ or * (a comment), when the cursor is inside one
  std::string_view quoted;         // what was typed since the quote
};

Typed ReadTyped(std::string_view text) {
  Typed typed;
  size_t at = 0;
  const auto skip_to = [&](std::string_view end, size_t from) {
    const size_t found = text.find(end, from);
    return found == text.npos ? text.npos : found + end.size();
  };
  while (at < text.size()) {
    const char c = text[at];
    size_t next = at + 1;
    if (c == '\'' || c == '"') {
      next = skip_to(std::string_view(&text[at], 1), at + 1);
      if (next == text.npos) {
        typed.open_quote = c;
        typed.quoted = text.substr(at + 1);
        if (c == '"') typed.word = text.substr(at);
        return typed;
      }
      typed.words.emplace_back(text.substr(at, next - at));
    } else if (c == '$' && text.find('$', at + 1) != text.npos) {
      const std::string_view tag = text.substr(at, text.find('$', at + 1) + 1 - at);
      next = skip_to(tag, at + tag.size());
      if (next == text.npos) {
        typed.open_quote = c;
        return typed;
      }
      typed.words.emplace_back("$$");
    } else if (text.substr(at, 2) == "--" || text.substr(at, 2) == "/*") {
      next = skip_to(c == '-' ? "\n" : "*/", at + 2);
      if (next == text.npos) {
        typed.open_quote = '*';
        return typed;
      }
    } else if (IsWordByte(c)) {
      while (next < text.size() && IsWordByte(text[next])) ++next;
      if (next == text.size()) {
        typed.word = text.substr(at);
      } else {
        typed.words.emplace_back(text.substr(at, next - at));
      }
    } else if (c == ';') {
      typed.words.clear();
    } else if (c != ' ' && c != '\t' && c != '\n' && c != '\r') {
      typed.words.emplace_back(1, c);
    }
    at = next;
  }
  return typed;
}

// "s.m" as it is written in a statement.
std::string QuotePath(std::string_view path) {
  const size_t dot = path.find('.');
  if (dot == path.npos) return QuoteName(path);
  return QuoteName(path.substr(0, dot)) + "." + QuotePath(path.substr(dot + 1));
}

Completion CompleteFile(std::string_view typed) {
  namespace fs = std::filesystem;
  const size_t slash = typed.rfind('/');
  const std::string folder(slash == typed.npos ? "" : typed.substr(0, slash + 1));
  const std::string_view name = slash == typed.npos ? typed : typed.substr(slash + 1);
  Completion completion;
  completion.word_bytes = typed.size();
  std::error_code error;
  for (fs::directory_iterator it(folder.empty() ? "." : folder, error), end; !error && it != end;
       it.increment(error)) {
    const std::string entry = it->path().filename().string();
    if (!entry.starts_with(name) || (name.empty() && entry.starts_with("."))) continue;
    std::error_code ignored;
    completion.candidates.push_back(folder + entry + (it->is_directory(ignored) ? "/" : ""));
  }
  const bool is_folder =
      completion.candidates.size() == 1 && completion.candidates[0].ends_with("/");
  completion.append = is_folder ? "" : " ";
  return completion;
}

Completion CompleteCommand(std::string_view text, const Session::Names& names) {
  Completion completion;
  const size_t space = text.find_first_of(" \t");
  std::vector<std::string> candidates;
  if (space == text.npos) {
    completion.word_bytes = text.size();
    for (const std::string& name : ShellCommandNames()) {
      if (name.starts_with(text)) completion.candidates.push_back(name);
    }
    return completion;
  }
  const std::string_view command = text.substr(0, space);
  const size_t word_begin = text.find_last_of(" \t") + 1;
  const std::string_view word = text.substr(word_begin);
  if (command == "\\i" || command == "\\o") return CompleteFile(word);
  if (command == "\\compare") return Complete(text.substr(space), names);
  if (command == "\\format") candidates = OutputFormatNames();
  if (command == "\\timing") candidates = {"on", "off"};
  if (command == "\\x") candidates = {"on", "off", "auto"};
  if (command == "\\set") candidates = names.settings;
  if (command == "\\d") {
    candidates = names.schemas;
    candidates.insert(candidates.end(), names.models.begin(), names.models.end());
    candidates.insert(candidates.end(), names.modules.begin(), names.modules.end());
    candidates.insert(candidates.end(), names.tables.begin(), names.tables.end());
  }
  if (command == "\\h") {
    const std::string_view rest = text.substr(text.find_first_not_of(" \t", space) == text.npos
                                                  ? text.size()
                                                  : text.find_first_not_of(" \t", space));
    for (const StatementHelp& help : StatementHelpTopics()) {
      if (BeginsWith(help.name, rest)) completion.candidates.emplace_back(help.name);
    }
    completion.word_bytes = rest.size();
    return completion;
  }
  completion.word_bytes = word.size();
  for (const std::string& candidate : candidates) {
    if (BeginsWith(candidate, word)) completion.candidates.push_back(candidate);
  }
  return completion;
}

// What may follow at a place, as far as the words before it tell.
struct Expected {
  std::vector<std::string> keywords;
  std::vector<std::string> names;  // as they are written
  bool anything = false;           // nothing is known: every keyword and every name
};

void AddPaths(std::vector<std::string>& out, const std::vector<std::string>& paths) {
  for (const std::string& path : paths) out.push_back(QuotePath(path));
}

void AddNames(std::vector<std::string>& out, const std::vector<std::string>& names) {
  for (const std::string& name : names) out.push_back(QuoteName(name));
}

// Of the "owner.member" in `paths`, the members of the owner that the statement names after
// `introducer`.
void AddMembersOf(std::vector<std::string>& out, const std::vector<std::string>& words,
                  std::string_view introducer, const std::vector<std::string>& paths) {
  std::string named;
  for (size_t i = 0; i + 1 < words.size(); ++i) {
    if (ToUpper(words[i]) == introducer) named = words[i + 1];
  }
  for (const std::string& path : paths) {
    const size_t dot = path.find('.');
    if (dot == path.npos) continue;
    const std::string owner = path.substr(0, dot);
    const bool is_same = BeginsWith(named, owner) && named.size() == owner.size();
    if (is_same || QuoteName(owner) == named) out.push_back(QuotePath(path.substr(dot + 1)));
  }
}

bool Contains(const std::vector<std::string>& words, std::string_view keyword) {
  return std::any_of(words.begin(), words.end(),
                     [&](const std::string& word) { return ToUpper(word) == keyword; });
}

// What may follow in a query of the system table that the words name after FROM, if they do.
std::optional<Expected> ExpectedInSystemQuery(const std::vector<std::string>& words,
                                              const Session::Names& names) {
  const auto from = std::find_if(words.begin(), words.end(),
                                 [](const std::string& word) { return ToUpper(word) == "FROM"; });
  if (words.end() - from < 2 || !BeginsWith(from[1], "pc_")) return std::nullopt;
  Expected expected;
  const std::string last = ToUpper(words.back());
  if (words.end() - from == 2) {
    expected.keywords = {"GROUP BY", "LIMIT", "ORDER BY", "WHERE"};
  } else if (last == "GROUP" || last == "ORDER") {
    expected.keywords = {"BY"};
  } else if (last != "LIMIT" && last != "OFFSET") {
    AddMembersOf(expected.names, words, "FROM", names.columns);
    const std::vector<std::string> before_columns = {"WHERE", "AND", "OR", "NOT", "BY", ",", "("};
    if (std::find(before_columns.begin(), before_columns.end(), last) == before_columns.end()) {
      expected.keywords = {"AND",  "ASC",   "BETWEEN", "DESC",   "GROUP BY", "IN",      "IS",
                           "LIKE", "LIMIT", "NOT",     "OFFSET", "OR",       "ORDER BY"};
    }
  }
  return expected;
}

// Statements of a schema and, after MODULE, some of its modules.
bool TakesModules(std::string_view statement) {
  return statement == "WARM" || statement == "PIN" || statement == "UNPIN" || statement == "EVICT";
}

Expected ExpectedAfter(const std::vector<std::string>& words, const Session::Names& names) {
  Expected expected;
  if (words.empty()) {
    std::set<std::string> starts;
    for (const StatementHelp& help : StatementHelpTopics()) {
      starts.emplace(help.name.substr(0, help.name.find(' ')));
    }
    expected.keywords.assign(starts.begin(), starts.end());
    return expected;
  }
  if (std::optional<Expected> system = ExpectedInSystemQuery(words, names)) return *system;
  const std::string first = ToUpper(words.front());
  const std::string last = ToUpper(words.back());
  const bool only_word = words.size() == 1;
  if (only_word && (last == "CREATE" || last == "DROP")) {
    expected.keywords = {"MODEL", "SCHEMA"};
    if (last == "CREATE") expected.keywords.push_back("OR REPLACE");
  } else if (only_word && last == "ALTER") {
    expected.keywords = {"MODULE", "SCHEMA"};
  } else if (only_word && last == "DESCRIBE") {
    expected.keywords = {"MODEL", "MODULE", "SCHEMA"};
  } else if (only_word && (last == "EXPORT" || last == "IMPORT")) {
    expected.keywords = {"SCHEMA", "STATES"};
  } else if (words.size() == 2 && last == "STATES") {
    expected.keywords = {"FROM"};
  } else if (first == "EXPORT" && words.size() == 4 && ToUpper(words[1]) == "STATES") {
    expected.keywords = {"MODULE", "TO"};
  } else if (first == "EXPORT" && ToUpper(words[1]) == "STATES" && Contains(words, "MODULE") &&
             (last == "MODULE" || last == ",")) {
    AddMembersOf(expected.names, words, "FROM", names.modules);
  } else if (only_word && last == "ANALYZE") {
    expected.keywords = {"MODEL"};
  } else if (first == "ANALYZE" && words.size() == 3) {
    expected.keywords = {"FROM", "WITH"};
  } else if (only_word && last == "SHOW") {
    expected.keywords = {"CACHE", "CHATS", "MODELS", "MODULES", "SCHEMAS", "SETTINGS", "STATS"};
  } else if (only_word && (last == "SET" || last == "RESET")) {
    expected.names = names.settings;
  } else if (only_word && last == "SELECT") {
    expected.keywords = {"GENERATE"};
  } else if (only_word && last == "EXPLAIN") {
    expected.keywords = {"ANALYZE", "SELECT"};
  } else if ((only_word && (last == "CONTINUE" || last == "FORK")) ||
             (last == "CHAT" && first == "END")) {
    AddNames(expected.names, names.chats);
  } else if (only_word && (last == "BEGIN" || last == "END")) {
    expected.keywords = {"CHAT"};
  } else if (first == "BEGIN" && words.size() == 3) {
    expected.keywords = {"FROM"};
  } else if (first == "CONTINUE" && words.size() == 2) {
    expected.keywords = {"PROMPT"};
  } else if (first == "FORK" && words.size() == 2) {
    expected.keywords = {"AS"};
  } else if ((first == "BEGIN" && words.size() <= 2) || (first == "FORK" && last == "AS")) {
    // A name of the user's choice.
  } else if ((first == "ANALYZE" || first == "IMPORT") && last == "FROM") {
    // A file, in quotes.
  } else if (first == "EVICT" && last == "FROM") {
    expected.keywords = {"CPU", "DISK", "GPU"};
  } else if (last == "FROM") {
    if (first != "CREATE") AddPaths(expected.names, names.schemas);
    const bool may_be_system = Contains(words, "SELECT") && !Contains(words, "GENERATE");
    if (may_be_system) AddPaths(expected.names, names.tables);
  } else if (last == "USING" || (last == "MODEL" && first != "CREATE")) {
    AddPaths(expected.names, names.models);
  } else if ((only_word && TakesModules(last)) || (last == "SCHEMA" && first != "CREATE")) {
    AddPaths(expected.names, names.schemas);
  } else if (last == "MODULE" && (first == "DESCRIBE" || first == "ALTER")) {
    AddPaths(expected.names, names.modules);
  } else if (TakesModules(first) &&
             (last == "MODULE" || (last == "," && Contains(words, "MODULE")))) {
    AddMembersOf(expected.names, words, first, names.modules);
  } else if (last == "USE" || (last == "," && Contains(words, "USE"))) {
    AddMembersOf(expected.names, words, "FROM", names.modules);
    expected.keywords = {"ASSISTANT", "USER"};
  } else {
    expected.anything = true;
  }
  return expected;
}

// Lower case when what was typed has letters and none is upper case.
bool WantsLowerCase(std::string_view word, const std::vector<std::string>& words) {
  const std::string_view sample = !word.empty()    ? word
                                  : !words.empty() ? std::string_view(words.front())
                                                   : std::string_view();
  const bool has_lower =
      std::any_of(sample.begin(), sample.end(), [](char c) { return Upper(c) != c; });
  return has_lower && std::none_of(sample.begin(), sample.end(), IsUpper);
}

}  // namespace

Completion Complete(std::string_view before_cursor, const Session::Names& names) {
  const size_t line_begin = before_cursor.rfind('\n') + 1;  // npos + 1 is 0
  const std::string_view line = before_cursor.substr(line_begin);
  const Typed typed = ReadTyped(before_cursor);
  if (typed.open_quote == '\0' && line.starts_with('\\')) return CompleteCommand(line, names);
  if (typed.open_quote == '\'' && !typed.words.empty()) {
    // The texts that name a file: FROM 'path', AS FILE 'path', TO 'path'.
    const std::string last = ToUpper(typed.words.back());
    if (last == "FILE" || last == "FROM" || last == "TO") {
      Completion completion = CompleteFile(typed.quoted);
      if (!completion.append.empty()) completion.append = "'";
      return completion;
    }
    return {};
  }
  if (typed.open_quote != '\0' && typed.open_quote != '"') return {};

  Expected expected = ExpectedAfter(typed.words, names);
  if (expected.anything) {
    // Everything is too much to offer for nothing typed.
    if (typed.word.empty()) return {};
    expected.keywords = Keywords();
    AddPaths(expected.names, names.models);
    AddPaths(expected.names, names.schemas);
    AddPaths(expected.names, names.modules);
    AddNames(expected.names, names.chats);
  }
  const bool lower = WantsLowerCase(typed.word, typed.words);
  std::set<std::string> candidates;
  for (std::string keyword : expected.keywords) {
    if (!BeginsWith(keyword, typed.word)) continue;
    if (lower) std::transform(keyword.begin(), keyword.end(), keyword.begin(), Lower);
    candidates.insert(std::move(keyword));
  }
  for (const std::string& name : expected.names) {
    if (BeginsWith(name, typed.word)) candidates.insert(name);
  }
  Completion completion;
  completion.word_bytes = typed.word.size();
  completion.candidates.assign(candidates.begin(), candidates.end());
  return completion;
}

std::string CommonPrefix(const std::vector<std::string>& candidates) {
  if (candidates.empty()) return "";
  std::string prefix = candidates.front();
  for (const std::string& candidate : candidates) {
    size_t same = 0;
    while (same < prefix.size() && same < candidate.size() &&
           Lower(prefix[same]) == Lower(candidate[same])) {
      ++same;
    }
    prefix.resize(same);
  }
  // Never half a character.
  while (!prefix.empty() && prefix.size() < candidates.front().size() &&
         IsUtf8Continuation(candidates.front()[prefix.size()])) {
    prefix.pop_back();
  }
  return prefix;
}

}  // namespace promptdb
