#include "server/server_options.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <fstream>
#include <functional>

#include "base/nearest_name.h"

namespace promptdb {

namespace {

using Seconds = std::chrono::seconds;

int64_t WholeNumber(const std::string& name, const std::string& value, int64_t least,
                    int64_t most) {
  int64_t number = 0;
  const char* const end = value.data() + value.size();
  const auto read = std::from_chars(value.data(), end, number);
  if (read.ec != std::errc() || read.ptr != end || number < least || number > most) {
    throw OptionsError(name + " takes a whole number from " + std::to_string(least) + " to " +
                           std::to_string(most) + ", not \"" + value + "\"",
                       "");
  }
  return number;
}

// '90s', '15min', '1h'; a whole number is seconds.
Seconds Duration(const std::string& name, const std::string& value) {
  const size_t digits = std::min(value.find_first_not_of("0123456789"), value.size());
  const std::string unit = value.substr(digits);
  static constexpr std::pair<std::string_view, int> kUnits[] = {
      {"", 1}, {"s", 1}, {"min", 60}, {"h", 3600}, {"d", 86400}};
  for (const auto& [known, seconds] : kUnits) {
    if (unit == known && digits > 0 && digits < 9) {
      return Seconds(WholeNumber(name, value.substr(0, digits), 0, 1'000'000'00) * seconds);
    }
  }
  throw OptionsError(name + " takes a span of time, not \"" + value + "\"",
                     "Write one like 30, '90s', '15min' or '1h'; 0 is none.");
}

int64_t Bytes(const std::string& name, const std::string& value) {
  const size_t digits = std::min(value.find_first_not_of("0123456789"), value.size());
  std::string unit = value.substr(digits);
  std::transform(unit.begin(), unit.end(), unit.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  static constexpr std::pair<std::string_view, int> kUnits[] = {
      {"", 0}, {"b", 0}, {"kb", 10}, {"mb", 20}};
  for (const auto& [known, shift] : kUnits) {
    if (unit == known && digits > 0 && digits < 10) {
      return WholeNumber(name, value.substr(0, digits), 0, 1 << 30) << shift;
    }
  }
  throw OptionsError(name + " takes a size, not \"" + value + "\"",
                     "Write one like 65536, '64kB' or '16MB'.");
}

bool Switch(const std::string& name, const std::string& value) {
  if (value == "on" || value == "true") return true;
  if (value == "off" || value == "false") return false;
  throw OptionsError(name + " is on or off, not \"" + value + "\"", "");
}

std::string Shown(Seconds seconds) { return std::to_string(seconds.count()) + "s"; }

std::string_view Name(ServerOptions::Authentication authentication) {
  switch (authentication) {
    case ServerOptions::Authentication::kAuto:
      return "auto";
    case ServerOptions::Authentication::kTrust:
      return "trust";
    case ServerOptions::Authentication::kScram:
      return "scram";
  }
  return "";
}

struct Option {
  std::string name;        // as in the config file; the flag has dashes
  std::string value_name;  // for --help; empty: the flag takes no value
  std::string meaning;
  std::function<void(ServerOptions&, const std::string& name, const std::string& value)> set;
  std::function<std::string(const ServerOptions&)> show;
};

const std::vector<Option>& Options() {
  using O = ServerOptions;
  using S = const std::string&;
  static const auto text = [](auto member) {
    return [member](O& o, S, S value) { o.*member = value; };
  };
  static const auto shown_path = [](auto member) {
    return [member](const O& o) { return (o.*member).string(); };
  };
  static const auto number = [](auto member, int64_t least, int64_t most) {
    return [member, least, most](O& o, S name, S value) {
      o.*member = static_cast<int>(WholeNumber(name, value, least, most));
    };
  };
  static const auto shown_number = [](auto member) {
    return [member](const O& o) { return std::to_string(o.*member); };
  };
  static const auto span = [](auto member) {
    return [member](O& o, S name, S value) { o.*member = Duration(name, value); };
  };
  static const auto shown_span = [](auto member) {
    return [member](const O& o) { return Shown(o.*member); };
  };
  static const std::vector<Option> kOptions = {
      {"db", "DIR", "the database's folder, made if absent (./promptdb-data)", text(&O::database),
       [](const O& o) { return o.database; }},
      {"listen", "ADDRESS", "the address to listen at (127.0.0.1)", text(&O::listen),
       [](const O& o) { return o.listen; }},
      {"port", "PORT", "the port of PostgreSQL clients; 0: any free one (5433)",
       number(&O::port, 0, 65535), shown_number(&O::port)},
      {"http_port", "PORT", "the port of OpenAI's HTTP clients; 0: any free one (none)",
       number(&O::http_port, 0, 65535),
       [](const O& o) { return o.http_port < 0 ? "" : std::to_string(o.http_port); }},
      {"auth", "HOW", "scram, trust (loopback only), or auto: scram where there are users (auto)",
       [](O& o, S name, S value) {
         using A = ServerOptions::Authentication;
         for (const A known : {A::kAuto, A::kTrust, A::kScram}) {
           if (value == Name(known)) {
             o.authentication = known;
             return;
           }
         }
         throw OptionsError(name + " is auto, trust or scram, not \"" + value + "\"", "");
       },
       [](const O& o) { return std::string(Name(o.authentication)); }},
      {"tls_cert", "FILE", "the server's certificate chain, PEM", text(&O::tls_cert),
       shown_path(&O::tls_cert)},
      {"tls_key", "FILE", "its private key, PEM", text(&O::tls_key), shown_path(&O::tls_key)},
      {"max_connections", "N", "most connections (100)", number(&O::max_connections, 1, 100000),
       shown_number(&O::max_connections)},
      {"workers", "N", "statements that run at a time (32)", number(&O::workers, 1, 1024),
       shown_number(&O::workers)},
      {"max_waiting", "N", "statements that may wait for a worker (64)",
       number(&O::max_waiting, 0, 100000), shown_number(&O::max_waiting)},
      {"max_message", "BYTES", "longest message or HTTP body (64MB)",
       [](O& o, S name, S value) {
         o.max_message = Bytes(name, value);
         if (o.max_message < 1024 || o.max_message > (int64_t{1} << 30)) {
           throw OptionsError(name + " is from 1024 bytes to 1024MB, not \"" + value + "\"", "");
         }
       },
       shown_number(&O::max_message)},
      {"startup_timeout", "TIME", "to log in, and for a message to come whole (30s)",
       span(&O::startup_timeout), shown_span(&O::startup_timeout)},
      {"idle_timeout", "TIME", "ends a connection that does nothing (0: never)",
       span(&O::idle_timeout), shown_span(&O::idle_timeout)},
      {"statement_timeout", "TIME", "ends a statement (0: never); SET changes it for a connection",
       span(&O::statement_timeout), shown_span(&O::statement_timeout)},
      {"write_timeout", "TIME", "ends a connection whose client does not read (60s)",
       span(&O::write_timeout), shown_span(&O::write_timeout)},
      {"shutdown_timeout", "TIME", "for running statements when the server is stopped (10s)",
       span(&O::shutdown_timeout), shown_span(&O::shutdown_timeout)},
      {"demo", "", "set up the demo's model and schema",
       [](O& o, S name, S value) { o.demo = Switch(name, value); },
       [](const O& o) { return std::string(o.demo ? "on" : "off"); }},
  };
  return kOptions;
}

// Settings of SET that belong to the whole database or process.
const std::vector<std::string>& EngineSettings() {
  static const std::vector<std::string> kNames = {
      "cpu_cache",    "disk_cache", "disk_compression", "pin_cache",
      "query_memory", "durability", "eviction_policy",  "threads"};
  return kNames;
}

void Apply(ServerOptions& options, const std::string& name, const std::string& value,
           const std::string& shown_name) {
  for (const Option& option : Options()) {
    if (option.name != name) continue;
    if (value.empty()) throw OptionsError(shown_name + " needs a value", "");
    option.set(options, shown_name, value);
    return;
  }
  const std::vector<std::string>& engine = EngineSettings();
  if (std::find(engine.begin(), engine.end(), name) != engine.end()) {
    options.engine_settings.emplace_back(name, value);
    return;
  }
  std::vector<std::string> names = engine;
  for (const Option& option : Options()) names.push_back(option.name);
  const std::string nearest = NearestName(name, names);
  throw OptionsError("unknown option " + shown_name, nearest.empty()
                                                         ? "pcserver --help lists the options."
                                                         : "Did you mean " + nearest + "?");
}

std::string Trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos) return "";
  return std::string(text.substr(begin, text.find_last_not_of(" \t\r") + 1 - begin));
}

// A value, bare up to a comment, or 'quoted' with '' inside.
std::string ConfigValue(std::string_view rest, const std::string& place) {
  const std::string value = Trimmed(rest);
  if (!value.starts_with('\'')) return Trimmed(value.substr(0, value.find('#')));
  std::string out;
  for (size_t i = 1; i < value.size(); ++i) {
    if (value[i] != '\'') {
      out += value[i];
    } else if (i + 1 < value.size() && value[i + 1] == '\'') {
      out += value[++i];
    } else {
      const std::string after = Trimmed(value.substr(i + 1));
      if (!after.empty() && after[0] != '#') break;
      return out;
    }
  }
  throw OptionsError(place + "the quoted value does not end where the line does", "");
}

void ReadConfig(const std::filesystem::path& file, ServerOptions& options) {
  std::ifstream in(file);
  if (!in) throw OptionsError("cannot read the config file: \"" + file.string() + "\"", "");
  std::string line;
  for (int number = 1; std::getline(in, line); ++number) {
    const std::string text = Trimmed(line);
    if (text.empty() || text[0] == '#') continue;
    const std::string place = file.string() + ":" + std::to_string(number) + ": ";
    const size_t equals = text.find('=');
    if (equals == std::string::npos) {
      throw OptionsError(place + "this is no NAME = VALUE: " + text, "");
    }
    const std::string name = Trimmed(text.substr(0, equals));
    try {
      Apply(options, name, ConfigValue(text.substr(equals + 1), ""), name);
    } catch (const OptionsError& error) {
      throw OptionsError(place + error.what(), error.hint());
    }
  }
}

// "a, b and c".
std::string Enumerated(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < names.size(); ++i) {
    if (i > 0) text += i + 1 < names.size() ? ", " : " and ";
    text += names[i];
  }
  return text;
}

// In lines of at most 80 columns, broken at spaces. REQUIRES: words in ASCII, no longer than that.
std::string Wrapped(std::string text) {
  constexpr size_t kColumns = 80;
  for (size_t line = 0; text.size() - line > kColumns;) {
    const size_t space = text.rfind(' ', line + kColumns);
    text[space] = '\n';
    line = space + 1;
  }
  return text;
}

std::string FlagOf(const std::string& name) {
  std::string flag = "--" + name;
  std::replace(flag.begin(), flag.end(), '_', '-');
  return flag;
}

}  // namespace

ServerOptions ParseServerOptions(const std::vector<std::string>& arguments) {
  ServerOptions options;
  std::vector<std::pair<std::string, std::string>> flags;  // name in the config file, value
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument == "--help" || argument == "-h") {
      options.action = ServerOptions::Action::kHelp;
      return options;
    }
    if (argument == "--version" || argument == "-V") {
      options.action = ServerOptions::Action::kVersion;
      return options;
    }
    if (!argument.starts_with("--")) {
      throw OptionsError("unexpected argument \"" + argument + "\"",
                         "pcserver --help lists the options.");
    }
    const size_t equals = argument.find('=');
    const std::string flag = argument.substr(0, equals);
    std::string name = flag.substr(2);
    std::replace(name.begin(), name.end(), '-', '_');
    if (name == "demo" && equals == std::string::npos) {
      flags.emplace_back(name, "on");
      continue;
    }
    std::string value;
    if (equals != std::string::npos) {
      value = argument.substr(equals + 1);
    } else if (i + 1 < arguments.size()) {
      value = arguments[++i];
    } else {
      throw OptionsError("option " + flag + " needs a value", "");
    }
    if (name == "config") {
      options.config_file = value;
    } else if (name == "add_user") {
      options.action = ServerOptions::Action::kAddUser;
      options.user_to_add = value;
    } else {
      flags.emplace_back(name, value);
    }
  }
  if (!options.config_file.empty()) ReadConfig(options.config_file, options);
  for (const auto& [name, value] : flags) Apply(options, name, value, FlagOf(name));
  if (options.tls_cert.empty() != options.tls_key.empty()) {
    throw OptionsError("tls_cert and tls_key come together", "");
  }
  return options;
}

std::vector<std::pair<std::string, std::string>> ShownOptions(const ServerOptions& options) {
  std::vector<std::pair<std::string, std::string>> shown;
  for (const Option& option : Options()) {
    std::string value = option.show(options);
    shown.emplace_back(option.name, std::move(value));
  }
  return shown;
}

std::string ServerUsage() {
  std::string text =
      "pcserver, the server of PromptDB: PostgreSQL's protocol, and OpenAI's HTTP API\n\n"
      "Usage: pcserver [--db DIR] [--config FILE] [OPTION]...\n"
      "       pcserver [--db DIR] [--config FILE] --add-user NAME\n\n";
  const auto line = [&](const std::string& left, const std::string& right) {
    text += "  " + left + std::string(left.size() < 25 ? 25 - left.size() : 1, ' ') + right + "\n";
  };
  for (const Option& option : Options()) {
    line(FlagOf(option.name) + (option.value_name.empty() ? "" : " " + option.value_name),
         option.meaning);
  }
  line("--config FILE", "NAME = VALUE lines, the names as above with _ for -; flags win;");
  line("", "SIGHUP reads it again");
  line("--add-user NAME",
       "reads a password from standard input, and makes the user an admin with it;");
  line("", "no server must have the database open: there, CREATE USER does it");
  line("-h, --help", "print this");
  line("-V, --version", "print the version");
  text += "\n" +
          Wrapped("The settings " + Enumerated(EngineSettings()) + " of SET may stand there too.");
  text +=
      "\n\n"
      "Exit status: 0 stopped by a signal, 1 it could not run, 2 the command line is wrong.\n\n"
      "Example:\n"
      "  pcserver --db D --demo &\n"
      "  psql -h localhost -p 5433 -c \"SHOW MODELS\"\n";
  return text;
}

}  // namespace promptdb
