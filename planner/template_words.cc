#include "planner/template_words.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "planner/chat_template.h"

namespace promptdb {

namespace {

// Texts that no template has of its own, trims, or takes for anything but plain words.
constexpr std::string_view kSystem = "zqSystemqz";
constexpr std::array<std::string_view, 3> kUsers = {"zqUserOneqz", "zqUserTwoqz", "zqUserThreeqz"};
constexpr std::array<std::string_view, 2> kAnswers = {"zqAnswerOneqz", "zqAnswerTwoqz"};

// The places of ProbeConversations().
enum Probe : size_t {
  kTurns,        // user, assistant, user, assistant, user, and the answer opened
  kClosedTurns,  // the first four of these
  kUser,         // one user text, the answer not opened
  kTwoUsers,     // two in a row, which many templates refuse
  kSystemAlone,  // system, user
  kSystemTurns,  // system, user, assistant, user
  kProbeCount,
};

using Texts = std::vector<std::string_view>;

Texts TextsOf(Probe probe) {
  switch (probe) {
    case kTurns:
      return {kUsers[0], kAnswers[0], kUsers[1], kAnswers[1], kUsers[2]};
    case kClosedTurns:
      return {kUsers[0], kAnswers[0], kUsers[1], kAnswers[1]};
    case kUser:
      return {kUsers[0]};
    case kTwoUsers:
      return {kUsers[0], kUsers[1]};
    case kSystemAlone:
      return {kSystem, kUsers[0]};
    case kSystemTurns:
      return {kSystem, kUsers[0], kAnswers[0], kUsers[1]};
    case kProbeCount:
      break;
  }
  return {};
}

bool OpensAnswer(Probe probe) {
  return probe == kTurns || probe == kSystemAlone || probe == kSystemTurns;
}

[[noreturn]] void Fail(const std::string& cause) { throw Error(ErrorCode::kUnsupported, cause); }

// What stands before, between and after the probe's texts; nullopt unless each is there once, in
// their order.
std::optional<std::vector<std::string>> Gaps(const std::vector<Rendering>& renderings,
                                             Probe probe) {
  const std::optional<std::string>& text = renderings[probe].text;
  if (!text) return std::nullopt;
  std::vector<std::string> gaps;
  size_t cursor = 0;
  for (const std::string_view content : TextsOf(probe)) {
    const size_t found = text->find(content);
    if (found == std::string::npos || found < cursor ||
        text->find(content, found + 1) != std::string::npos) {
      return std::nullopt;
    }
    gaps.push_back(text->substr(cursor, found - cursor));
    cursor = found + content.size();
  }
  gaps.push_back(text->substr(cursor));
  return gaps;
}

std::string_view Without(std::string_view text, std::string_view prefix) {
  return text.starts_with(prefix) ? text.substr(prefix.size()) : text;
}

std::string Quoted(std::string_view text) {
  constexpr size_t kMost = 60;
  std::string shown;
  for (const char c : text.substr(0, kMost)) {
    if (c == '\n') {
      shown += "\\n";
    } else if (static_cast<unsigned char>(c) >= 0x20) {
      shown += c;
    }
  }
  // A character that the cut has halved goes.
  while (text.size() > kMost && !shown.empty() &&
         static_cast<unsigned char>(shown.back()) >= 0x80) {
    shown.pop_back();
  }
  return "'" + shown + (text.size() > kMost ? "…" : "") + "'";
}

class Cutter {
 public:
  Cutter(const std::vector<Rendering>& renderings, std::string_view bos, bool adds_bos)
      : renderings_(renderings), bos_(bos), adds_bos_(adds_bos) {}

  TemplateWords Cut() {
    const auto turns = Gaps(renderings_, kTurns);
    if (!turns) {
      const std::string& failure = renderings_[kTurns].failure;
      Fail(failure.empty() ? "it leaves texts of a conversation out, or moves them" : failure);
    }
    if ((*turns)[1] != (*turns)[3] || (*turns)[2] != (*turns)[4]) {
      Fail("it writes the turns of a conversation in different ways");
    }
    CutTurns(*turns);
    CutSystem(*turns);
    return std::move(result_);
  }

 private:
  void Note(std::string note) { result_.notes.push_back(std::move(note)); }

  // Between an answer and the next user text stand the answer's last words and the user's first.
  // Where to part them shows in conversations that end or begin there.
  std::string UserBefore(const std::vector<std::string>& turns) const {
    const std::string_view first = Without(turns[0], bos_);
    const std::string& to_user = turns[2];
    std::vector<std::string> candidates;
    if (const auto closed = Gaps(renderings_, kClosedTurns);
        closed && to_user.starts_with(closed->back())) {
      candidates.push_back(to_user.substr(closed->back().size()));
    }
    if (to_user.ends_with(turns[0])) candidates.push_back(turns[0]);
    if (to_user.ends_with(first)) candidates.emplace_back(first);
    for (const std::string& candidate : candidates) {
      if (Without(candidate, bos_) == first) return candidate;
    }
    // The conversation begins with a text of the template's own, or has one in the first turn.
    for (const std::string& candidate : candidates) {
      if (first.ends_with(Without(candidate, bos_))) return candidate;
    }
    for (const std::string& candidate : candidates) {
      if (first.starts_with(Without(candidate, bos_))) return candidate;
    }
    Fail("it begins the user's turns in different ways");
  }

  std::string UserAfter(const std::vector<std::string>& turns, const std::string& before) const {
    std::vector<std::string> candidates;
    if (const auto two = Gaps(renderings_, kTwoUsers); two && (*two)[1].ends_with(before)) {
      candidates.push_back((*two)[1].substr(0, (*two)[1].size() - before.size()));
    }
    if (const auto user = Gaps(renderings_, kUser)) candidates.push_back(user->back());
    for (const std::string& candidate : candidates) {
      if (turns[1].starts_with(candidate) && turns[5].starts_with(candidate)) return candidate;
    }
    Fail("it ends the user's turns in different ways");
  }

  void CutTurns(const std::vector<std::string>& turns) {
    ChatWords& words = result_.words;
    words.user.before = UserBefore(turns);
    words.user.after = UserAfter(turns, words.user.before);
    words.assistant.before = turns[1].substr(words.user.after.size());
    words.assistant.after = turns[2].substr(0, turns[2].size() - words.user.before.size());
    words.opening = turns[5].substr(words.user.after.size());

    const std::string_view first = Without(turns[0], bos_);
    if (!adds_bos_ && first.size() < turns[0].size() && !words.user.before.starts_with(bos_)) {
      Note("begins with " + Quoted(bos_) + ", which the tokenizer does not add");
    }
    const std::string_view before = Without(words.user.before, bos_);
    if (first != before) {
      const size_t own = first.size() - before.size();
      const std::string_view text =
          first.ends_with(before) ? first.substr(0, own) : first.substr(before.size());
      Note("begins, without a system text, with a text of its own, which is left out: " +
           Quoted(text));
    }
    if (const auto two = Gaps(renderings_, kTwoUsers);
        two && (*two)[1] != words.user.after + words.user.before) {
      Note("writes two user texts in a row in another way: " + Quoted((*two)[1]));
    }
  }

  void CutSystem(const std::vector<std::string>& turns) {
    ChatWords& words = result_.words;
    const auto system = Gaps(renderings_, kSystemAlone);
    if (!system) {
      words.system = words.user;
      const std::string& failure = renderings_[kSystemAlone].failure;
      Note("has no system role" + (failure.empty() ? "" : " (" + failure + ")") +
           ": SYSTEM texts are written as user turns");
      return;
    }
    const std::string& to_user = (*system)[1];
    words.system.before = adds_bos_ ? Without((*system)[0], bos_) : (*system)[0];
    if (!to_user.ends_with(words.user.before)) {
      words.system.after = to_user + words.user.after;
      Note("writes the system text inside a user turn: SYSTEM texts are user turns of their own");
      return;
    }
    words.system.after = to_user.substr(0, to_user.size() - words.user.before.size());
    const auto longer = Gaps(renderings_, kSystemTurns);
    if (!longer ||
        *longer != std::vector<std::string>{(*system)[0], to_user, turns[1], turns[2], turns[5]}) {
      Note("writes later turns of a conversation with a system text in another way");
    }
  }

  const std::vector<Rendering>& renderings_;
  const std::string_view bos_;
  const bool adds_bos_;
  TemplateWords result_;
};

}  // namespace

std::vector<Conversation> ProbeConversations() {
  std::vector<Conversation> conversations;
  for (size_t i = 0; i < kProbeCount; ++i) {
    const auto probe = static_cast<Probe>(i);
    Conversation conversation;
    conversation.opens_answer = OpensAnswer(probe);
    for (const std::string_view text : TextsOf(probe)) {
      const bool is_answer = std::find(kAnswers.begin(), kAnswers.end(), text) != kAnswers.end();
      const char* role = text == kSystem ? "system" : is_answer ? "assistant" : "user";
      conversation.messages.push_back({role, std::string(text)});
    }
    conversations.push_back(std::move(conversation));
  }
  return conversations;
}

TemplateWords CutWords(const std::vector<Rendering>& renderings, std::string_view bos,
                       bool adds_bos) {
  Check(renderings.size() == kProbeCount, "one rendering for each probe");
  return Cutter(renderings, bos, adds_bos).Cut();
}

OwnTemplate ReadOwnTemplate(const JinjaRenderer& renderer,
                            const JinjaRenderer::Template& chat_template, bool adds_bos) {
  std::string cause = "rendering it needs the package python3-jinja2";
  try {
    if (const auto renderings = renderer.Render(chat_template, ProbeConversations())) {
      TemplateWords cut = CutWords(*renderings, chat_template.bos_token, adds_bos);
      return {std::move(cut.words), std::move(cut.notes)};
    }
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kUnsupported) throw;
    cause = error.message();
  }
  cause = "can't be used: " + cause;
  const std::optional<ChatTemplate> recognised = ChatTemplate::Recognise(chat_template.jinja);
  if (!recognised) {
    throw Error(ErrorCode::kUnsupported, "the model's own chat template " + cause,
                "Name the nearest built-in with CREATE MODEL … WITH (chat_template = 'chatml').");
  }
  return {std::nullopt,
          {cause + "; the built-in '" + recognised->name() + "', whose marks it has, is taken"}};
}

}  // namespace promptdb
