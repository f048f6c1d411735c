// What each backslash command does.
#include <algorithm>

#include "base/nearest_name.h"
#include "demo/demo.h"
#include "parser/parser.h"
#include "shell/cache_comparison.h"
#include "shell/demo_setup.h"
#include "shell/shell.h"
#include "shell/shell_commands.h"
#include "shell/statement_help.h"

namespace promptdb {

namespace {

// on, off, or nothing (the other way round); nullopt for anything else.
std::optional<bool> ParseSwitch(const CommandLine& command, bool current) {
  if (command.arguments.empty()) return !current;
  if (command.arguments.size() == 1 && command.arguments[0] == "on") return true;
  if (command.arguments.size() == 1 && command.arguments[0] == "off") return false;
  return std::nullopt;
}

// A name as it was typed: folded to lower case unless it is "quoted".
std::string FoldName(const std::string& typed) {
  if (typed.size() >= 2 && typed.front() == '"' && typed.back() == '"') {
    return typed.substr(1, typed.size() - 2);
  }
  std::string name = typed;
  std::transform(name.begin(), name.end(), name.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  while (name.ends_with(';')) name.pop_back();
  return name;
}

bool Contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string QuotePath(const std::string& path) {
  const size_t dot = path.find('.');
  if (dot == path.npos) return QuoteName(path);
  return QuoteName(path.substr(0, dot)) + "." + QuotePath(path.substr(dot + 1));
}

bool IsNumber(const std::string& text) {
  const size_t digits = text.starts_with('-') ? 1 : 0;
  return text.size() > digits && text.find_first_not_of("0123456789.", digits) == text.npos;
}

}  // namespace

Shell::Outcome Shell::RunCommand(std::string_view line) {
  const CommandLine command = ParseCommandLine(line);
  const std::string argument = command.arguments.empty() ? "" : command.arguments[0];
  const std::string& name = command.name;
  const auto say = [&](const std::string& text) {
    if (settings_.interactive) printer_.Message(text + "\n");
  };

  if (name == "\\q") return Outcome::kQuit;
  if (name == "\\?") {
    PrintData(ShellCommandHelp());
  } else if (name == "\\h") {
    const std::string text = StatementHelpText(command.rest);
    if (text.empty()) {
      return FailCommand("no help for \"" + command.rest + "\"", "\\h lists the statements.");
    }
    PrintData(text);
  } else if (name == "\\d") {
    if (!argument.empty()) return Describe(argument);
    const Outcome outcome = RunText("SHOW MODELS");
    return outcome == Outcome::kOk ? RunText("SHOW SCHEMAS") : outcome;
  } else if (name == "\\dm") {
    return RunText(argument.empty() ? "SHOW MODULES"
                                    : "SHOW MODULES FROM " + QuoteName(FoldName(argument)));
  } else if (name == "\\ds") {
    return RunText("SHOW SCHEMAS");
  } else if (name == "\\dt") {
    return RunText("SELECT name, meaning FROM pc_tables");
  } else if (name == "\\timing") {
    const std::optional<bool> on = ParseSwitch(command, settings_.timing);
    if (!on) return FailCommand("\\timing takes on or off: " + command.rest);
    settings_.timing = *on;
    say(std::string("Timing is ") + (*on ? "on." : "off."));
  } else if (name == "\\x") {
    if (argument == "auto" && command.arguments.size() == 1) {
      settings_.expanded = Expanded::kAuto;
      say("Expanded display is used for tables wider than the terminal.");
    } else {
      const std::optional<bool> on = ParseSwitch(command, settings_.expanded == Expanded::kOn);
      if (!on) return FailCommand("\\x takes on, off or auto: " + command.rest);
      settings_.expanded = *on ? Expanded::kOn : Expanded::kOff;
      say(std::string("Expanded display is ") + (*on ? "on." : "off."));
    }
  } else if (name == "\\format") {
    if (argument.empty()) {
      say("The format is " + std::string(OutputFormatName(settings_.format)) + ".");
      return Outcome::kOk;
    }
    const std::optional<OutputFormat> format = ParseOutputFormat(argument);
    if (!format) {
      const std::string nearest = NearestName(argument, OutputFormatNames());
      return FailCommand(
          "unknown format \"" + argument + "\"; the formats are table, csv, json, jsonl, text",
          nearest.empty() ? "" : "Did you mean " + nearest + "?");
    }
    settings_.format = *format;
    say("The format is " + argument + ".");
  } else if (name == "\\i") {
    if (argument.empty()) return FailCommand("\\i needs a file");
    return RunFile(argument);
  } else if (name == "\\o") {
    return SetOutput(argument);
  } else if (name == "\\echo") {
    PrintData(command.rest + "\n");
    return AfterOutput(Outcome::kOk);
  } else if (name == "\\set") {
    if (argument.empty()) return RunText("SHOW SETTINGS");
    if (command.arguments.size() != 2) {
      return FailCommand("\\set takes a name and a value", "For example: \\set threads 2");
    }
    return SetSetting(argument, command.arguments[1]);
  } else if (name == "\\demo") {
    if (!command.rest.empty()) return FailCommand("\\demo takes nothing: " + command.rest);
    return RunDemo();
  } else if (name == "\\compare") {
    return Compare(command.rest);
  } else if (name == "\\p") {
    PrintData(typed_.empty() ? "Nothing is typed.\n" : typed_);
  } else if (name == "\\r") {
    typed_.clear();
    say("What was typed is dropped.");
  } else {
    const std::string nearest = NearestName(name, ShellCommandNames());
    return FailCommand("unknown command " + name, nearest.empty()
                                                      ? "\\? lists the commands."
                                                      : "Did you mean " + nearest + "?");
  }
  return AfterOutput(Outcome::kOk);
}

Shell::Outcome Shell::Describe(const std::string& name) {
  Session::Names names;
  try {
    names = session_->CatalogNames();
  } catch (const Error& error) {
    return Fail(error, Script{});
  }
  const std::string folded = FoldName(name);
  Outcome outcome = Outcome::kOk;
  bool found = false;
  // A model and a schema may share a name: then both are shown.
  const auto describe = [&](const std::vector<std::string>& known, const char* kind) {
    if (!Contains(known, folded) || outcome != Outcome::kOk) return;
    found = true;
    outcome = RunText(std::string("DESCRIBE ") + kind + " " +
                      (known == names.modules ? QuotePath(folded) : QuoteName(folded)));
  };
  describe(names.models, "MODEL");
  describe(names.schemas, "SCHEMA");
  describe(names.modules, "MODULE");
  if (Contains(names.tables, folded) && outcome == Outcome::kOk) {
    found = true;
    outcome =
        RunText("SELECT name, type, meaning FROM pc_columns WHERE table = " + QuoteText(folded));
  }
  if (found) return outcome;
  std::vector<std::string> all = names.models;
  all.insert(all.end(), names.schemas.begin(), names.schemas.end());
  all.insert(all.end(), names.modules.begin(), names.modules.end());
  all.insert(all.end(), names.tables.begin(), names.tables.end());
  const std::string hint = DidYouMean(folded, all);
  return FailCommand(
      "no model, schema, module or system table is named \"" + folded + "\"",
      hint.empty() ? "\\d lists models and schemas, \\dm modules, \\dt system tables." : hint);
}

Shell::Outcome Shell::SetOutput(const std::string& path) {
  data_->Flush();
  const Outcome outcome = AfterOutput(Outcome::kOk);
  if (outcome == Outcome::kOutputGone) return outcome;
  std::unique_ptr<Output> file;
  if (!path.empty()) {
    try {
      file = std::make_unique<Output>(path);
    } catch (const Error& error) {
      return Fail(error, Script{});
    }
  }
  data_ = file != nullptr ? file.get() : standard_data_;
  printer_.SetData(data_);
  data_file_ = std::move(file);
  return outcome;
}

Shell::Outcome Shell::RunDemo() {
  if (!database_) {
    // Its model is a file in the database's folder, which only the server has.
    if (!Contains(session_->CatalogNames().schemas, std::string(kDemoName))) {
      return FailCommand("the demo is set up where the database is",
                         "Start the server with pcserver --demo.");
    }
    printer_.Message(DemoHints());
    return AfterOutput(Outcome::kOk);
  }
  DemoSetup setup;
  const std::optional<Error> error =
      Attempt([&] { setup = SetUpDemo(session_.get(), database_->folder(), printer_); });
  if (error) return Fail(*error, Script{});
  printer_.Message(DemoReport(setup));
  // Whoever runs a script is not about to type something.
  if (file_depth_ == 0) printer_.Message(DemoHints());
  return AfterOutput(Outcome::kOk);
}

Shell::Outcome Shell::Compare(const std::string& query) {
  const std::optional<Error> error = Attempt([&] {
    const CacheComparison comparison = CompareWithCache(session_.get(), query, printer_);
    printer_.OnColumns(comparison.columns);
    for (const Row& row : comparison.rows) printer_.OnRow(row);
    printer_.OnDone("");
    printer_.Message(comparison.summary + "\n");
  });
  const Outcome outcome = AfterOutput(Outcome::kOk);
  if (!error || outcome == Outcome::kOutputGone) return outcome;
  return Fail(WithDemoHint(*error), Script{query, ""});
}

Shell::Outcome Shell::SetSetting(const std::string& name, const std::string& value) {
  const bool bare =
      IsNumber(value) || value == "on" || value == "off" || value == "true" || value == "false";
  return RunText("SET " + QuoteName(FoldName(name)) + " = " + (bare ? value : QuoteText(value)));
}

}  // namespace promptdb
