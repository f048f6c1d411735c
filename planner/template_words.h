// From a model's own chat template to the words around each role.
//
// A template writes whole conversations; a prompt here is made of parts whose tokens must not
// depend on what follows them. So the template writes a few probes, and the words are cut from what
// stands between their texts: joined again, they give the template's own rendering. Where no such
// words exist (a system text inside the first user turn), the nearest form is taken and a note says
// what differs.
//
// Thread-safe: functions without shared state.
#ifndef PROMPTDB_PLANNER_TEMPLATE_WORDS_H_
#define PROMPTDB_PLANNER_TEMPLATE_WORDS_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "planner/jinja_renderer.h"
#include "storage/schema_definition.h"

namespace promptdb {

struct TemplateWords {
  ChatWords words;
  // What differs from the template's own way, as what is said of it: "has no system role: …".
  std::vector<std::string> notes;
};

// What CutWords() wants to see rendered.
std::vector<Conversation> ProbeConversations();

// `renderings`: of ProbeConversations(), in order. `bos`: the beginning-of-sequence token as the
// template spells it, or ""; `adds_bos`: the engine puts it before every prompt, so that the
// template's first words need not. Throws Error(kUnsupported) that says why (for the caller to name
// the template) when a conversation of users and assistants has no such words.
TemplateWords CutWords(const std::vector<Rendering>& renderings, std::string_view bos,
                       bool adds_bos);

struct OwnTemplate {
  // nullopt: it could not be rendered or cut, and is one of the built-ins by its marks.
  std::optional<ChatWords> words;
  std::vector<std::string> notes;
};

// Throws Error(kUnsupported) when the template could be neither rendered and cut nor recognised.
// `adds_bos`: whether the model's prompts begin with the template's bos_token.
OwnTemplate ReadOwnTemplate(const JinjaRenderer& renderer,
                            const JinjaRenderer::Template& chat_template, bool adds_bos);

}  // namespace promptdb

#endif  // PROMPTDB_PLANNER_TEMPLATE_WORDS_H_
