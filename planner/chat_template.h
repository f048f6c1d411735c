// How a chat role is written around a text, for each family of models.
//
// These are fixed built-ins; a model's own Jinja template is only looked at to recognise which of
// them it is. A role's tokens never depend on what follows it, so that they can be cached.
#ifndef PROMPTDB_PLANNER_CHAT_TEMPLATE_H_
#define PROMPTDB_PLANNER_CHAT_TEMPLATE_H_

#include <string>
#include <string_view>
#include <vector>

#include "storage/schema_definition.h"

namespace promptdb {

struct RoleWrapping {
  std::string_view before;
  std::string_view after;
};

class ChatTemplate {
 public:
  // The names that Named() takes, without "auto".
  static const std::vector<std::string>& Names();

  // REQUIRES: `name` is one of Names().
  static ChatTemplate Named(std::string_view name);
  // By the marks in a model's own template; "plain" where there is none. Throws Error(kUnsupported)
  // that names the built-ins when there is one but it is none of them.
  static ChatTemplate Recognise(std::string_view jinja);

  const std::string& name() const { return name_; }
  RoleWrapping Wrap(ChatRole role) const;

 private:
  explicit ChatTemplate(std::string_view name) : name_(name) {}

  std::string name_;
};

}  // namespace promptdb

#endif  // PROMPTDB_PLANNER_CHAT_TEMPLATE_H_
