// A prompt schema as the catalog keeps it: names checked, files read in, nothing tokenized.
#ifndef PROMPTDB_STORAGE_SCHEMA_DEFINITION_H_
#define PROMPTDB_STORAGE_SCHEMA_DEFINITION_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "storage/state_policy.h"

namespace promptdb {

enum class ChatRole { kNone, kSystem, kUser, kAssistant };

std::string_view ChatRoleName(ChatRole role);  // "", "system", "user", "assistant"

struct ParameterDefinition {
  std::string name;
  int tokens = 0;
  std::optional<std::string> default_value;
};

struct PartDefinition {
  enum class Kind { kText, kModule, kUnion, kRole };
  Kind kind = Kind::kText;
  std::string name;                 // kModule, kUnion
  ChatRole role = ChatRole::kNone;  // kRole
  std::string text;                 // kText, kModule without children
  std::string source_file;          // where kModule AS FILE was read from; for people
  std::vector<ParameterDefinition> parameters;
  std::vector<PartDefinition> children;  // kUnion, kRole, kModule made of parts
};

struct ScaffoldDefinition {
  std::string name;
  std::vector<std::string> members;  // paths, "parent.child"
};

struct SchemaDefinition {
  std::string name;
  std::string model;
  std::string separator;  // inserted between parts
  // Modules see nothing before them, in whose place any other thing could stand.
  bool is_portable = false;
  // What prompts over it leave behind in exact reuse serves all its users, and not each alone.
  bool is_shared = false;
  std::vector<PartDefinition> parts;
  std::vector<ScaffoldDefinition> scaffolds;
  // By a module's path, with the modules in it; "": all states of the schema.
  std::map<std::string, StatePolicy> policies;
  int64_t created_at = 0;  // seconds since 1970
};

// What stands before and after a text in a chat role.
struct RoleWords {
  std::string before;
  std::string after;

  bool operator==(const RoleWords&) const = default;
};

struct ChatWords {
  RoleWords system, user, assistant;
  std::string opening;  // begins the assistant's answer

  bool operator==(const ChatWords&) const = default;
};

// A model's device where it computes on the processor, and reads states in the CPU tier.
inline constexpr std::string_view kCpuDevice = "cpu";

struct ModelDefinition {
  std::string name;
  std::string path;                // absolute
  std::string dtype;               // "stored", "f32", "bf16"
  std::string kv_dtype;            // "f32", "bf16"
  std::string device{kCpuDevice};  // or "host", "cuda:0", …
  std::string chat_template;       // "auto", "plain", "llama2", …
  // Of "auto": the words of the model's own template, where it has one that could be rendered, and
  // what was lost on the way. Found when the model is created or its files change.
  std::optional<ChatWords> chat_words;
  std::vector<std::string> chat_notes;
  std::string architecture;  // for people, as are the next ones
  int64_t parameters = 0;
  int context_length = 0;
  std::string content_digest;  // hex, of the checkpoint's files when they had this fingerprint:
  std::string fingerprint;     // sizes and times of the files
  int64_t created_at = 0;      // seconds since 1970
};

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_SCHEMA_DEFINITION_H_
