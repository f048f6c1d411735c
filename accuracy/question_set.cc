#include "accuracy/question_set.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/digits.h"
#include "base/error.h"
#include "base/mapped_file.h"
#include "base/utf8.h"

namespace promptdb {

namespace {

using Json = nlohmann::json;

constexpr size_t kLeastPieceBytes = 200;
constexpr size_t kMostPieceBytes = 2000;
constexpr size_t kPieces = 8;

bool IsBlank(std::string_view text) { return text.find_first_not_of(" \t\r\n") == text.npos; }

// ---- Documents ---------------------------------------------------------------------------------

// Whether the line is a heading: "Passage 1:", "Document [2](Title: …", "Document 3".
bool IsHeading(std::string_view line) {
  for (const std::string_view word : {"Passage ", "Document "}) {
    if (!line.starts_with(word)) continue;
    std::string_view rest = line.substr(word.size());
    const bool is_bracketed = rest.starts_with('[');
    if (is_bracketed) rest.remove_prefix(1);
    size_t digits = 0;
    while (digits < rest.size() && IsDigit(rest[digits])) ++digits;
    if (digits == 0) return false;
    rest.remove_prefix(digits);
    if (is_bracketed) return rest.starts_with(']');
    return rest.starts_with(':') || IsBlank(rest);
  }
  return false;
}

std::vector<size_t> HeadingOffsets(std::string_view context) {
  std::vector<size_t> offsets;
  for (size_t begin = 0; begin < context.size();) {
    const size_t end = std::min(context.find('\n', begin), context.size());
    if (IsHeading(context.substr(begin, end - begin))) offsets.push_back(begin);
    begin = end + 1;
  }
  return offsets;
}

// Where the first piece of `text` ends, of at most `wanted` bytes, which are fewer than the text's:
// behind the last mark of the first kind that is found in its second half.
size_t PieceEnd(std::string_view text, size_t wanted) {
  for (const std::string_view mark : {"\n\n", "\n", ". ", " "}) {
    const size_t found = text.rfind(mark, wanted - mark.size());
    if (found != text.npos && found + mark.size() > wanted / 2) return found + mark.size();
  }
  while (wanted > 1 && IsUtf8Continuation(text[wanted])) --wanted;
  return wanted;
}

// ---- Questions ---------------------------------------------------------------------------------

// One object, with its place for errors: "line 3 of questions.jsonl".
class QuestionReader {
 public:
  QuestionReader(const Json& json, std::string place) : json_(json), place_(std::move(place)) {}

  DocumentQuestions Read() const {
    if (!json_.is_object()) Fail("no JSON object is", "");
    DocumentQuestions read;
    read.questions.push_back({TextOf("input", "question"), Answers()});
    read.documents = Documents();
    for (std::string& document : read.documents) {
      if (!document.ends_with('\n')) document += '\n';
    }
    return read;
  }

 private:
  [[noreturn]] void Fail(const std::string& what, const std::string& hint) const {
    throw Error(ErrorCode::kInvalidArgument, what + " in " + place_, hint);
  }

  // The field of that name, or of the other.
  const Json* Find(const char* name, const char* other) const {
    auto found = json_.find(name);
    if (found == json_.end()) found = json_.find(other);
    return found == json_.end() ? nullptr : &*found;
  }

  std::string TextOf(const char* name, const char* other) const {
    const Json* text = Find(name, other);
    if (text == nullptr) {
      Fail("\"" + std::string(name) + "\" is missing",
           "A question has the fields \"input\", \"context\" and \"answers\".");
    }
    if (!text->is_string()) Fail("\"" + std::string(name) + "\" is no text", "");
    return text->get<std::string>();
  }

  std::vector<std::string> Answers() const {
    const Json* answers = Find("answers", "answer");
    if (answers == nullptr) {
      Fail("\"answers\" is missing",
           "A question has the fields \"input\", \"context\" and \"answers\".");
    }
    if (answers->is_string()) return {answers->get<std::string>()};
    std::vector<std::string> texts;
    if (answers->is_array()) {
      for (const Json& answer : *answers) {
        if (!answer.is_string()) Fail("an answer that is no text stands", "");
        texts.push_back(answer.get<std::string>());
      }
    }
    if (texts.empty()) Fail("\"answers\" is no list of texts", "");
    return texts;
  }

  std::vector<std::string> Documents() const {
    const Json* list = Find("documents", "ctxs");
    if (list == nullptr) {
      const Json* context = Find("context", "context");
      if (context == nullptr) {
        Fail("\"context\" is missing", "It may also be \"documents\", a list of texts.");
      }
      if (!context->is_string()) Fail("\"context\" is no text", "");
      const auto text = context->get<std::string>();
      if (IsBlank(text)) Fail("\"context\" is empty", "");
      return CutIntoDocuments(text);
    }
    std::vector<std::string> documents;
    if (list->is_array()) {
      for (const Json& document : *list) {
        std::string text = DocumentText(document);
        if (!IsBlank(text)) documents.push_back(std::move(text));
      }
    }
    if (documents.empty()) Fail("\"documents\" is no list of texts", "");
    return documents;
  }

  std::string DocumentText(const Json& document) const {
    if (document.is_string()) return document.get<std::string>();
    const auto text_in = [&](const char* name) -> std::optional<std::string> {
      if (!document.is_object()) return std::nullopt;
      const auto found = document.find(name);
      if (found == document.end() || !found->is_string()) return std::nullopt;
      return found->get<std::string>();
    };
    const auto text = text_in("text");
    if (!text) Fail("a document that is neither a text nor has a \"text\" stands", "");
    const std::string title = text_in("title").value_or("");
    return IsBlank(title) ? *text : title + "\n" + *text;
  }

  const Json& json_;
  std::string place_;
};

void Add(DocumentQuestions read, std::vector<DocumentQuestions>& all) {
  if (!all.empty() && all.back().documents == read.documents) {
    all.back().questions.push_back(std::move(read.questions.front()));
  } else {
    all.push_back(std::move(read));
  }
}

Json ParseJson(std::string_view text, const std::string& place) {
  try {
    return Json::parse(text);
  } catch (const Json::parse_error& failure) {
    throw Error(ErrorCode::kInvalidArgument,
                place + " is no JSON, from byte " + std::to_string(failure.byte) + " on",
                "Each line is an object with \"input\", \"context\" and \"answers\".");
  }
}

}  // namespace

std::vector<std::string> CutText(std::string_view text, size_t most_bytes) {
  Check(most_bytes >= 8, "pieces have room for the longest character and mark");
  std::vector<std::string> pieces;
  while (text.size() > most_bytes) {
    const size_t end = PieceEnd(text, most_bytes);
    pieces.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  if (pieces.empty() || !IsBlank(text)) {
    pieces.emplace_back(text);
  } else {
    pieces.back() += text;  // it has no words of its own
  }
  return pieces;
}

std::vector<std::string> CutIntoDocuments(std::string_view context) {
  std::vector<size_t> ends = HeadingOffsets(context);
  std::vector<std::string> documents;
  if (!ends.empty()) {
    ends.push_back(context.size());
    size_t begin = 0;
    for (const size_t end : ends) {
      // What stands before the first heading is a document too, unless it is nothing.
      if (IsBlank(context.substr(begin, end - begin))) continue;
      documents.emplace_back(context.substr(begin, end - begin));
      begin = end;
    }
    return documents;
  }
  return CutText(context, std::clamp(context.size() / kPieces, kLeastPieceBytes, kMostPieceBytes));
}

std::vector<DocumentQuestions> ParseQuestions(std::string_view text, const std::string& source) {
  std::vector<DocumentQuestions> all;
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first != text.npos && text[first] == '[') {
    const Json list = ParseJson(text, source);
    for (size_t i = 0; i < list.size(); ++i) {
      Add(QuestionReader(list[i], "entry " + std::to_string(i + 1) + " of " + source).Read(), all);
    }
  } else {
    size_t line = 0;
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = std::min(text.find('\n', begin), text.size());
      const std::string_view json = text.substr(begin, end - begin);
      begin = end + 1;
      ++line;
      if (IsBlank(json)) continue;
      const std::string place = "line " + std::to_string(line) + " of " + source;
      Add(QuestionReader(ParseJson(json, place), place).Read(), all);
    }
  }
  if (all.empty()) {
    throw Error(ErrorCode::kInvalidArgument, "there are no questions in " + source,
                "Each line is an object with \"input\", \"context\" and \"answers\".");
  }
  return all;
}

std::vector<DocumentQuestions> ReadQuestions(const std::filesystem::path& path) {
  const MappedFile file(path);
  return ParseQuestions(file.text(), path.string());
}

}  // namespace promptdb
