// Runs a model's own chat template, by the engine that chat templates are written for: Python's
// Jinja2, in its sandbox, in a child process (Debian's python3-jinja2).
//
// A template comes with a model's files and is not trusted. The child has no environment but a
// locale, no open file but two pipes, and limits on processor time, memory, output and the time
// that we wait; the sandbox allows no access to Python's internals and no change of values. What a
// template sees is what Hugging Face transformers gives it, but for the time of day
// (strftime_now): the words of a role must not change from day to day.
//
// Thread-safe: immutable; each call runs a child of its own and blocks until it has ended.
#ifndef PROMPTDB_PLANNER_JINJA_RENDERER_H_
#define PROMPTDB_PLANNER_JINJA_RENDERER_H_

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace promptdb {

struct ChatMessage {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

struct Conversation {
  std::vector<ChatMessage> messages;
  bool opens_answer = false;  // add_generation_prompt
};

// What a template made of one conversation: a text, or why there is none ("System role not
// supported"). One line of printable text.
struct Rendering {
  std::optional<std::string> text;
  std::string failure;
};

class JinjaRenderer {
 public:
  struct Limits {
    std::chrono::milliseconds wait{10'000};
    int processor_seconds = 5;
    size_t memory_bytes = size_t{512} << 20;
    size_t output_bytes = size_t{64} << 10;  // of each rendering
  };

  // `programs`: interpreters, tried in this order until one has Jinja2. The first is Debian's,
  // which has it by package; the other one is found along PATH.
  JinjaRenderer() : JinjaRenderer(Limits()) {}
  explicit JinjaRenderer(Limits limits,
                         std::vector<std::string> programs = {"/usr/bin/python3", "python3"})
      : limits_(limits), programs_(std::move(programs)) {}

  // A template and the special tokens that it may name; empty for a model without.
  struct Template {
    std::string_view jinja;
    std::string bos_token;
    std::string eos_token;
  };

  // One rendering for each conversation. nullopt where no interpreter with Jinja2 is installed.
  // Throws Error(kUnsupported) that says what is wrong with the template (for the caller to name)
  // when it can't be read at all or went over a limit.
  std::optional<std::vector<Rendering>> Render(
      const Template& chat_template, const std::vector<Conversation>& conversations) const;

 private:
  std::optional<std::vector<Rendering>> Run(const std::string& program, std::string_view request,
                                            size_t count) const;

  Limits limits_;
  std::vector<std::string> programs_;
};

}  // namespace promptdb

#endif  // PROMPTDB_PLANNER_JINJA_RENDERER_H_
