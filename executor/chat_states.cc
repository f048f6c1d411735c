#include "executor/chat_states.h"

#include <set>

namespace promptdb {

namespace {

template <typename Visit>
void VisitOwnSegments(const ChatDefinition& chat, Visit visit) {
  for (const auto* segments : {&chat.opening, &chat.turns}) {
    for (const ChatSegment& segment : *segments) {
      if (!segment.chat_label.empty()) visit(segment);
    }
  }
}

struct Named {
  std::set<Digest> states;
  std::set<std::string> labels;
};

Named NamedByChats(const Catalog& catalog) {
  Named named;
  for (const ChatDefinition& chat : catalog.Chats()) {
    VisitOwnSegments(chat, [&](const ChatSegment& segment) {
      named.states.insert(segment.state);
      named.labels.insert(segment.chat_label);
    });
  }
  return named;
}

}  // namespace

void CollectChatStates(const Catalog& catalog, StateCache& cache) {
  const std::vector<Digest> states = cache.ChatStates();
  if (states.empty()) return;
  const Named named = NamedByChats(catalog);
  for (const Digest& state : states) {
    if (!named.states.contains(state)) cache.Erase(state);
  }
}

std::set<std::string> ChatLabels(const Catalog& catalog) { return NamedByChats(catalog).labels; }

void CollectStatesOf(const ChatDefinition& chat, const Catalog& catalog, StateCache& cache) {
  const Named named = NamedByChats(catalog);
  const std::vector<Digest> states = cache.ChatStates();
  const std::set<Digest> of_chats(states.begin(), states.end());
  VisitOwnSegments(chat, [&](const ChatSegment& segment) {
    // A schema whose text lies alike may have stored the state; then it is the schema's.
    const bool is_of_chats = of_chats.contains(segment.state);
    if (is_of_chats && !named.states.contains(segment.state)) cache.Erase(segment.state);
    if (!named.labels.contains(segment.chat_label)) cache.ForgetLabel(segment.chat_label);
  });
}

}  // namespace promptdb
