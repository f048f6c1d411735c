#include "planner/jinja_renderer.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/utf8.h"

namespace promptdb {

namespace {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

// The other half of this file. It reads one JSON object and writes one: {"missing": module},
// {"error": text}, or {"renderings": [{"text": …} or {"failure": …}, …]}. The limits are set before
// anything of the template is looked at.
constexpr const char* kScript = R"python(
import json, sys

def answer(value):
    sys.stdout.buffer.write(json.dumps(value).encode())
    sys.stdout.buffer.flush()
    sys.exit(0)

def one_line(text):
    return "".join(c if c.isprintable() else " " for c in text)[:200].rstrip(" .")

def describe(error):
    if isinstance(error, MemoryError):
        return "it needs too much memory"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, jinja2.TemplateSyntaxError):
        return one_line(f"line {error.lineno}: {error.message}")
    return one_line(str(error) or type(error).__name__)

try:
    import random, resource
    import jinja2, jinja2.ext, jinja2.nodes, jinja2.sandbox
except ImportError as error:
    answer({"missing": error.name})

request = json.load(sys.stdin.buffer)
seconds, memory = request["processor_seconds"], request["memory_bytes"]
resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
random.seed(0)

class GenerationMarks(jinja2.ext.Extension):
    """{% generation %} marks the assistant's words for training; it writes nothing."""
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.Scope(body, lineno=line)

def raise_exception(message):
    raise jinja2.TemplateError(message)

def to_json(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                      sort_keys=sort_keys)

environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
    trim_blocks=True, lstrip_blocks=True,
    extensions=[GenerationMarks, jinja2.ext.loopcontrols])
environment.filters["tojson"] = to_json
environment.globals["raise_exception"] = raise_exception

def render(template, conversation):
    size, pieces = 0, []
    for piece in template.generate(tools=None, documents=None, **request["tokens"], **conversation):
        size += len(piece)
        if size > request["output_bytes"]:
            return {"failure": "it writes too much text"}
        pieces.append(piece)
    return {"text": "".join(pieces).encode("utf-8", "replace").decode()}

def attempt(template, conversation):
    try:
        return render(template, conversation)
    except Exception as error:
        return {"failure": describe(error)}

try:
    template = environment.from_string(request["template"])
except Exception as error:
    answer({"error": describe(error)})
answer({"renderings": [attempt(template, each) for each in request["conversations"]]})
)python";

[[noreturn]] void Fail(const std::string& cause) { throw Error(ErrorCode::kUnsupported, cause); }

class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() { Close(); }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;

  int get() const { return fd_; }
  void Reset(int fd) {
    Close();
    fd_ = fd;
  }
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

 private:
  int fd_ = -1;
};

// A child in a process group of its own, killed at the latest when this ends.
class Child {
 public:
  ~Child() {
    if (pid_ > 0) End();
  }

  // Whether `program` was found and started, with `command`, on two new pipes.
  bool Start(const std::string& program, const std::vector<const char*>& command);

  // Writes `input`, then reads until the child closes its output. nullopt when that takes until
  // `deadline`, or it writes more than `most` bytes.
  std::optional<std::string> Converse(std::string_view input, Clock::time_point deadline,
                                      size_t most);

  // Kills the child if it still runs. Its status as waitpid() has it.
  int End() {
    kill(-pid_, SIGKILL);
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return status;
  }

 private:
  pid_t pid_ = -1;
  FileDescriptor input_, output_;
};

bool Child::Start(const std::string& program, const std::vector<const char*>& command) {
  // Socket pairs, since writing to one whose reader is gone need not raise a signal.
  std::array<int, 2> input{}, output{};
  const auto make_pair = [](std::array<int, 2>& ends) {
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
      throw Error(ErrorCode::kIo,
                  std::string("the chat template's child process: ") + std::strerror(errno));
    }
  };
  make_pair(input);
  input_.Reset(input[0]);
  const FileDescriptor child_input(input[1]);
  make_pair(output);
  output_.Reset(output[0]);
  const FileDescriptor child_output(output[1]);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, child_input.get(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, child_output.get(), STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);

  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (const char* argument : command) arguments.push_back(const_cast<char*>(argument));
  arguments.push_back(nullptr);
  std::string locale = "LC_ALL=C.UTF-8";
  std::string path = "PATH=";
  if (const char* ours = std::getenv("PATH")) path += ours;
  std::array<char*, 3> environment = {locale.data(), path.data(), nullptr};
  pid_t pid = -1;
  const int failed = posix_spawnp(&pid, program.c_str(), &actions, &attributes, arguments.data(),
                                  environment.data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (failed == ENOENT || failed == EACCES) return false;
  if (failed != 0) {
    throw Error(ErrorCode::kIo, "can't start " + program + ": " + std::strerror(failed));
  }
  pid_ = pid;
  return true;
}

std::optional<std::string> Child::Converse(std::string_view input, Clock::time_point deadline,
                                           size_t most) {
  std::string text;
  std::array<char, 65536> buffer;
  while (true) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return std::nullopt;
    std::array<pollfd, 2> ready = {pollfd{output_.get(), POLLIN, 0},
                                   pollfd{input_.get(), POLLOUT, 0}};
    if (poll(ready.data(), input_.get() >= 0 ? 2 : 1, static_cast<int>(left)) < 0) continue;
    if (input_.get() >= 0 && ready[1].revents != 0) {
      const ssize_t sent =
          send(input_.get(), input.data(), input.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent > 0) input.remove_prefix(static_cast<size_t>(sent));
      const bool is_gone = sent < 0 && errno != EAGAIN && errno != EINTR;
      if (input.empty() || is_gone) input_.Close();
    }
    if (ready[0].revents == 0) continue;
    const ssize_t got = recv(output_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (got <= 0) return text;
    text.append(buffer.data(), static_cast<size_t>(got));
    if (text.size() > most) return std::nullopt;
  }
}

// The longest of today's are some tens of thousands.
constexpr size_t kMostTemplateBytes = size_t{1} << 20;

// JSON writes a character of a text as up to six bytes.
constexpr size_t kJsonBytesPerByte = 6;

std::string Request(const JinjaRenderer::Template& chat_template,
                    const std::vector<Conversation>& conversations,
                    const JinjaRenderer::Limits& limits) {
  Json tokens = Json::object();
  if (!chat_template.bos_token.empty()) tokens["bos_token"] = chat_template.bos_token;
  if (!chat_template.eos_token.empty()) tokens["eos_token"] = chat_template.eos_token;
  Json list = Json::array();
  for (const Conversation& conversation : conversations) {
    Json messages = Json::array();
    for (const ChatMessage& message : conversation.messages) {
      messages.push_back({{"role", message.role}, {"content", message.content}});
    }
    list.push_back(
        {{"messages", std::move(messages)}, {"add_generation_prompt", conversation.opens_answer}});
  }
  const Json request = {
      {"template", chat_template.jinja},     {"tokens", std::move(tokens)},
      {"conversations", std::move(list)},    {"processor_seconds", limits.processor_seconds},
      {"memory_bytes", limits.memory_bytes}, {"output_bytes", limits.output_bytes}};
  return request.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

std::optional<std::vector<Rendering>> JinjaRenderer::Render(
    const Template& chat_template, const std::vector<Conversation>& conversations) const {
  if (chat_template.jinja.size() > kMostTemplateBytes) {
    Fail("it is longer than " + std::to_string(kMostTemplateBytes) + " bytes");
  }
  if (!IsValidUtf8(chat_template.jinja)) {
    Fail("it is not UTF-8 at byte " + std::to_string(FindInvalidUtf8(chat_template.jinja)));
  }
  const std::string request = Request(chat_template, conversations, limits_);
  for (const std::string& program : programs_) {
    if (auto renderings = Run(program, request, conversations.size())) return renderings;
  }
  return std::nullopt;
}

std::optional<std::vector<Rendering>> JinjaRenderer::Run(const std::string& program,
                                                         std::string_view request,
                                                         size_t count) const {
  Child child;
  // -I: nothing from the environment or the user's folders; -B: no files are written.
  if (!child.Start(program, {program.c_str(), "-I", "-B", "-c", kScript})) return std::nullopt;
  const size_t most = (limits_.output_bytes + 1024) * kJsonBytesPerByte * (count + 1);
  const std::optional<std::string> answer =
      child.Converse(request, Clock::now() + limits_.wait, most);
  if (!answer) Fail("it takes longer than " + std::to_string(limits_.wait.count()) + " ms");
  const int status = child.End();
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU) {
    Fail("it takes more than " + std::to_string(limits_.processor_seconds) +
         " s of processor time");
  }
  const Json json = Json::parse(*answer, nullptr, false);
  if (json.is_discarded() || !json.is_object()) Fail("the process that renders it ended early");
  if (json.contains("missing")) return std::nullopt;
  if (json.contains("error")) Fail(json.value("error", ""));
  std::vector<Rendering> renderings;
  for (const Json& each : json.value("renderings", Json::array())) {
    Rendering rendering;
    if (each.contains("text")) rendering.text = each.value("text", "");
    rendering.failure = each.value("failure", "");
    renderings.push_back(std::move(rendering));
  }
  if (renderings.size() != count) Fail("the process that renders it ended early");
  return renderings;
}

}  // namespace promptdb
