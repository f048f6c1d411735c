// The states that belong to chats: kept while a chat names them, collected when none does any more.
//
// Forks name the same states, so none is copied, and none goes while one of them is left. A state
// is written before the chat's row that names it; whoever stops in between leaves a state that no
// row names, which the next opening of the database collects.
//
// Thread-safe. A state that a chat comes to name while it is being collected is computed again.
#ifndef PROMPTDB_EXECUTOR_CHAT_STATES_H_
#define PROMPTDB_EXECUTOR_CHAT_STATES_H_

#include <set>
#include <string>
#include <vector>

#include "storage/catalog.h"
#include "storage/state_cache.h"

namespace promptdb {

// Erases every state of chats that no chat of the catalog names.
void CollectChatStates(const Catalog& catalog, StateCache& cache);

// The same for what `chat`, which the catalog has no more or not in this form, has named; and for
// the labels of these states.
void CollectStatesOf(const ChatDefinition& chat, const Catalog& catalog, StateCache& cache);

// The chats that `matches` says yes to.
template <typename Matches>
std::vector<ChatDefinition> ChatsWhere(const Catalog& catalog, Matches matches) {
  std::vector<ChatDefinition> chats = catalog.Chats();
  std::erase_if(chats, [&](const ChatDefinition& chat) { return !matches(chat); });
  return chats;
}

// The labels of all states of chats that a chat names.
std::set<std::string> ChatLabels(const Catalog& catalog);

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_CHAT_STATES_H_
