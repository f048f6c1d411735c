// MaskSecrets(): what no error, echo or history may show of a statement.
#include <utility>

#include "parser/parser.h"
#include "parser/scanner.h"
#include "parser/vocabulary.h"

namespace promptdb {

namespace {

// The secrets of one statement after another.
class SecretsMask {
 public:
  explicit SecretsMask(std::string_view text) : text_(text), masked_(text) {}

  std::string Run() {
    Scanner scanner(text_);
    for (Lexeme lexeme = scanner.Next(); lexeme.kind != LexemeKind::kEnd; lexeme = scanner.Next()) {
      Take(lexeme);
    }
    return std::move(masked_);
  }

 private:
  void Take(const Lexeme& lexeme) {
    const auto begin = static_cast<size_t>(lexeme.range.begin);
    const auto end = static_cast<size_t>(lexeme.range.end);
    const std::string_view source = text_.substr(begin, end - begin);
    const bool follows_password = std::exchange(is_after_password_, false);
    switch (lexeme.kind) {
      case LexemeKind::kSemicolon:
        words_ = 0;
        changes_users_ = has_secrets_ = false;
        break;
      case LexemeKind::kWord:
        TakeWord(source, follows_password, begin, end);
        break;
      case LexemeKind::kText:
        if (has_secrets_) Mask(begin + 1, end - 1);
        break;
      case LexemeKind::kOpenText:
      case LexemeKind::kOpenDollarText:
        if (has_secrets_) Mask(end, text_.size());
        break;
      default:
        // A password without its quotes.
        if (follows_password && lexeme.kind != LexemeKind::kSymbol) Mask(begin, end);
    }
  }

  void TakeWord(std::string_view source, bool follows_password, size_t begin, size_t end) {
    if (follows_password) return Mask(begin, end);
    ++words_;
    const Vocabulary& vocabulary = GrammarVocabulary();
    const std::string& keyword = vocabulary.WordOf(vocabulary.TypeOf(source));  // "" for a name
    if (words_ == 1) changes_users_ = keyword == "CREATE" || keyword == "ALTER";
    if (words_ == 2 && changes_users_ && keyword == "USER") has_secrets_ = true;
    if (keyword == "PASSWORD") has_secrets_ = is_after_password_ = true;
  }

  // Byte by byte, so that places in the text stay what they are.
  void Mask(size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) masked_[i] = '*';
  }

  std::string_view text_;
  std::string masked_;
  int words_ = 0;               // of the statement so far
  bool changes_users_ = false;  // it begins with CREATE or ALTER
  bool has_secrets_ = false;
  bool is_after_password_ = false;
};

}  // namespace

std::string MaskSecrets(std::string_view text) { return SecretsMask(text).Run(); }

}  // namespace promptdb
