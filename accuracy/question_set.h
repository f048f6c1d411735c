// Documents, and questions about them whose answers are known: what accuracy is measured with.
//
// Thread-safe: values and functions without shared state.
#ifndef PROMPTDB_ACCURACY_QUESTION_SET_H_
#define PROMPTDB_ACCURACY_QUESTION_SET_H_

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace promptdb {

struct Question {
  std::string text;
  std::vector<std::string> answers;  // any of them is right; never empty
};

struct DocumentQuestions {
  std::vector<std::string> documents;  // each ends in a line break; never empty
  std::vector<Question> questions;     // never empty
};

// Questions in LongBench's format: JSON Lines, an object a line with the fields "input" (the
// question), "context" and "answers" (a list of texts, or one). In place of "context" there may be
// "documents", a list of texts, or of objects with "text" and maybe "title". "question", "answer"
// and "ctxs" are other names of "input", "answers" and "documents", as MuSiQue's files have them.
// Other fields are ignored, and so are empty lines. A file that begins with "[" is one JSON list of
// such objects.
//
// Neighbours with the same documents are put together, and so share what is computed of these.
// Throws Error: kIo, or kInvalidArgument that names the line (the entry, of a list).
std::vector<DocumentQuestions> ReadQuestions(const std::filesystem::path& path);

// The same of a text. `source` names it in errors.
std::vector<DocumentQuestions> ParseQuestions(std::string_view text, const std::string& source);

// A text cut into pieces of at most `most_bytes`, which is at least 8, that end where a paragraph,
// else a line, a sentence or a word does. Joined, they are the text.
std::vector<std::string> CutText(std::string_view text, size_t most_bytes);

// A context cut into documents. Joined, they are the context. It is cut before lines that begin
// with "Passage 1:", "Document 2:" or "Document [3]"; where there are none, into pieces of about
// an eighth of it, but of 200 to 2000 bytes.
std::vector<std::string> CutIntoDocuments(std::string_view context);

}  // namespace promptdb

#endif  // PROMPTDB_ACCURACY_QUESTION_SET_H_
