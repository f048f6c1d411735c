#include "shell/line_editor.h"

#include <histedit.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cwchar>

#include "base/utf8.h"
#include "parser/parser.h"
#include "shell/display_text.h"
#include "shell/history_file.h"
#include "shell/interrupts.h"
#include "shell/output.h"

namespace promptdb {

struct LineEditor::Rep {
  EditLine* editor = nullptr;
  History* history = nullptr;
  Completer completer;
  std::filesystem::path history_file;
  std::string prompt;
  bool interrupted = false;

  static Rep* Of(EditLine* editor) {
    void* data = nullptr;
    el_get(editor, EL_CLIENTDATA, &data);
    return static_cast<Rep*>(data);
  }

  static char* Prompt(EditLine* editor) { return Of(editor)->prompt.data(); }

  static int ReadCharacter(EditLine* editor, wchar_t* character);
  static unsigned char CompleteWord(EditLine* editor, int key);

  void ListCandidates(const Completion& completion) const;
};

// libedit's own reader swallows the first Ctrl-C; ours returns at once, without a race between the
// signal and the wait, since the signal's handler writes to a pipe that is polled beside the
// terminal.
int LineEditor::Rep::ReadCharacter(EditLine* editor, wchar_t* character) {
  Rep* rep = Of(editor);
  mbstate_t state{};
  while (true) {
    pollfd waits[2] = {{STDIN_FILENO, POLLIN, 0}, {SignalPipe(), POLLIN, 0}};
    if (poll(waits, 2, -1) < 0 && errno != EINTR) return -1;
    if (waits[1].revents != 0) {
      DrainSignalPipe();
      if (InterruptPending()) {
        ClearInterrupt();
        rep->interrupted = true;
        return -1;
      }
      // After a stop the terminal has the modes of whoever ran in between.
      if (TakeContinue()) {
        el_set(editor, EL_PREP_TERM, 1);
        el_set(editor, EL_REFRESH);
      }
      if (TakeWindowChange()) {
        el_resize(editor);
        el_set(editor, EL_REFRESH);
      }
    }
    if (waits[0].revents == 0) continue;
    char byte = 0;
    const ssize_t got = read(STDIN_FILENO, &byte, 1);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got <= 0) return static_cast<int>(got);
    const size_t used = std::mbrtowc(character, &byte, 1, &state);
    if (used == static_cast<size_t>(-2)) continue;  // the rest of the character comes next
    if (used == static_cast<size_t>(-1)) {
      state = {};
      *character = L'\ufffd';
    }
    return 1;
  }
}

unsigned char LineEditor::Rep::CompleteWord(EditLine* editor, int) {
  Rep* rep = Of(editor);
  const LineInfo* line = el_line(editor);
  const std::string before(line->buffer, static_cast<size_t>(line->cursor - line->buffer));
  const Completion completion = rep->completer(before);
  if (completion.candidates.empty()) return CC_REFRESH_BEEP;
  const std::string word = before.substr(before.size() - completion.word_bytes);
  std::string insert = CommonPrefix(completion.candidates);
  const bool single = completion.candidates.size() == 1;
  if (single) insert += completion.append;
  if (insert.size() < word.size() || (insert.size() == word.size() && !single)) {
    rep->ListCandidates(completion);
    return CC_REDISPLAY;
  }
  // libedit counts in characters.
  el_deletestr(editor, static_cast<int>(CountCharacters(word)));
  if (el_insertstr(editor, insert.c_str()) != 0) return CC_REFRESH_BEEP;
  return CC_REFRESH;
}

void LineEditor::Rep::ListCandidates(const Completion& completion) const {
  constexpr size_t kMostShown = 200;
  size_t width = 0;
  for (const std::string& candidate : completion.candidates) {
    width = std::max(width, DisplayWidth(candidate) + 2);
  }
  const Output terminal(STDOUT_FILENO);
  const size_t columns = std::max<size_t>(1, static_cast<size_t>(terminal.Columns()) / width);
  FILE* out = terminal.is_terminal() ? stdout : stderr;
  std::fputc('\n', out);
  const size_t shown = std::min(kMostShown, completion.candidates.size());
  for (size_t i = 0; i < shown; ++i) {
    const std::string text = EscapeControls(completion.candidates[i]);
    const bool ends_line = (i + 1) % columns == 0 || i + 1 == shown;
    const std::string space(ends_line ? 0 : width - DisplayWidth(text), ' ');
    std::fprintf(out, "%s%s", text.c_str(), ends_line ? "\n" : space.c_str());
  }
  if (shown < completion.candidates.size()) {
    std::fprintf(out, "... and %zu more\n", completion.candidates.size() - shown);
  }
  std::fflush(out);
}

LineEditor::LineEditor(std::filesystem::path history_file, Completer completer)
    : rep_(std::make_unique<Rep>()) {
  rep_->completer = std::move(completer);
  rep_->history_file = std::move(history_file);
  FILE* out = isatty(STDOUT_FILENO) == 1 ? stdout : stderr;
  rep_->editor = el_init("pcsh", stdin, out, stderr);
  rep_->history = history_init();
  HistEvent event{};
  ::history(rep_->history, &event, H_SETSIZE, static_cast<int>(kHistoryEntries));
  ::history(rep_->history, &event, H_SETUNIQUE, 1);
  for (const std::string& entry : LoadHistory(rep_->history_file)) {
    ::history(rep_->history, &event, H_ENTER, entry.c_str());
  }
  EditLine* editor = rep_->editor;
  el_set(editor, EL_CLIENTDATA, rep_.get());
  el_set(editor, EL_PROMPT, &Rep::Prompt);
  el_set(editor, EL_EDITOR, "emacs");
  el_set(editor, EL_SIGNAL, 0);
  el_set(editor, EL_HIST, ::history, rep_->history);
  el_set(editor, EL_ADDFN, "pcsh-complete", "Complete the word before the cursor",
         &Rep::CompleteWord);
  el_set(editor, EL_BIND, "^I", "pcsh-complete", nullptr);
  el_set(editor, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  el_set(editor, EL_BIND, "\\e[H", "ed-move-to-beg", nullptr);
  el_set(editor, EL_BIND, "\\e[F", "ed-move-to-end", nullptr);
  el_set(editor, EL_BIND, "\\e[1~", "ed-move-to-beg", nullptr);
  el_set(editor, EL_BIND, "\\e[4~", "ed-move-to-end", nullptr);
  el_set(editor, EL_BIND, "\\e[3~", "ed-delete-next-char", nullptr);
  el_set(editor, EL_BIND, "\\e[1;5C", "em-next-word", nullptr);
  el_set(editor, EL_BIND, "\\e[1;5D", "ed-prev-word", nullptr);
  el_source(editor, nullptr);  // the user's ~/.editrc has the last word
  el_set(editor, EL_GETCFN, &Rep::ReadCharacter);
}

LineEditor::~LineEditor() {
  el_end(rep_->editor);
  history_end(rep_->history);
}

LineEditor::Line LineEditor::Read(const std::string& prompt) {
  rep_->prompt = prompt;
  rep_->interrupted = false;
  ClearInterrupt();
  DrainSignalPipe();
  // Before the prompt is drawn, so that what was typed ahead isn't echoed by the terminal as well.
  el_set(rep_->editor, EL_PREP_TERM, 1);
  int length = 0;
  const char* typed = el_gets(rep_->editor, &length);
  Line line;
  if (rep_->interrupted) {
    line.end = Line::End::kInterrupted;
    return line;
  }
  if (typed == nullptr || length <= 0) {
    line.end = Line::End::kEof;
    return line;
  }
  line.text = typed;
  if (line.text.ends_with('\n')) line.text.pop_back();
  return line;
}

void LineEditor::AddHistory(const std::string& entry) {
  if (entry.empty() || entry.size() > kHistoryEntryBytes) return;
  HistEvent event{};
  // Returns 0 for an entry that repeats the last one.
  if (::history(rep_->history, &event, H_ENTER, entry.c_str()) <= 0) return;
  // A password is for nobody who reads the file.
  const bool has_secrets = MaskSecrets(entry) != entry;
  if (!rep_->history_file.empty() && !has_secrets) AppendHistory(rep_->history_file, entry);
}

}  // namespace promptdb
