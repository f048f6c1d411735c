// Who attends to whom in a prompt, worked out anew from the language's contract and the schema's
// definition: the slow, obvious counterpart of layout and binder for tests.
//
// Thread-safe: functions of their arguments.
#ifndef PROMPTDB_TESTS_SUPPORT_CONTRACT_MASK_H_
#define PROMPTDB_TESTS_SUPPORT_CONTRACT_MASK_H_

#include <set>
#include <string>

#include "executor/reference.h"
#include "planner/chat_template.h"
#include "planner/prompt_binder.h"
#include "storage/schema_definition.h"

namespace promptdb {

// The mask over the tokens of `prompt`'s segments, one segment after another. Of the prompt it only
// believes tokens, positions, placeholders, reuse mode and which segments are new text, never what
// they attend to. `used`: paths of the modules that the query uses.
AttentionMask ContractMask(const SchemaDefinition& schema, const std::set<std::string>& used,
                           const ChatTemplate& chat_template, const BoundPrompt& prompt);

}  // namespace promptdb

#endif  // PROMPTDB_TESTS_SUPPORT_CONTRACT_MASK_H_
