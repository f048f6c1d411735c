#include <ctime>
#include <filesystem>

#include "executor/chat_states.h"
#include "executor/install_schema.h"
#include "executor/statements.h"
#include "parser/parser.h"
#include "planner/options.h"
#include "planner/schema_binder.h"
#include "planner/schema_change.h"
#include "storage/host_device.h"

namespace promptdb {

namespace {

// The stand-in is for trying the device tier out, and for tests, on any machine.
std::string DeviceOf(const OptionReader& options) {
  const std::string device = options.TextValue("device").value_or(std::string(kCpuDevice));
  if (IsDeviceName(device)) return device;
  throw Error(ErrorCode::kInvalidArgument, "there is no device '" + device + "'",
              "Write 'cpu', 'host' (a stand-in for a device) or 'cuda:0'.",
              options.RangeOf("device"));
}

// A database has one device beside the processor, which all of its models share.
void OpenDevice(const ModelDefinition& model, SourceRange place, Database::Rep& database) {
  for (const ModelDefinition& other : database.catalog.Models()) {
    if (other.name == model.name || other.device == kCpuDevice || other.device == model.device) {
      continue;
    }
    throw Error(
        ErrorCode::kUnsupported,
        "a database has one device, and model \"" + other.name + "\" is on '" + other.device + "'",
        "Use '" + other.device + "' or 'cpu', or a database of its own.", place);
  }
  try {
    database.devices.Open(model.device);
  } catch (const Error& error) {
    throw error.At(place);
  }
}

ModelDefinition BindModel(const ast::CreateModel& statement, Database::Rep& database) {
  std::vector<std::string> templates = ChatTemplate::Names();
  templates.insert(templates.begin(), "auto");
  const OptionReader options(statement.options, "CREATE MODEL",
                             {"dtype", "kv_dtype", "device", "chat_template"});
  ModelDefinition model;
  model.name = statement.name.text;
  model.path = std::filesystem::absolute(statement.path.text).lexically_normal().string();
  model.dtype = options.Choice("dtype", {"stored", "f32", "bf16"}).value_or("stored");
  model.kv_dtype =
      options.Choice("kv_dtype", {"auto", "f32", "bf16", "int8", "int4"}).value_or("auto");
  model.device = DeviceOf(options);
  if (model.device != kCpuDevice) OpenDevice(model, options.RangeOf("device"), database);
  model.chat_template = options.Choice("chat_template", templates).value_or("auto");
  model.created_at = std::time(nullptr);
  return model;
}

[[noreturn]] void FailExists(std::string_view kind, const ast::Name& name) {
  throw Error(ErrorCode::kDuplicateName,
              std::string(kind) + " \"" + name.text + "\" exists already",
              "Write CREATE OR REPLACE, or IF NOT EXISTS to keep it.", name.range);
}

// chat "a"; chats "a" and "b"; chats "a", "b" and 3 more.
std::string ListChats(const std::vector<ChatDefinition>& chats) {
  constexpr size_t kMost = 5;
  const bool is_cut = chats.size() > kMost;
  std::string list = chats.size() > 1 ? "chats " : "chat ";
  for (size_t i = 0; i < chats.size() && i < kMost; ++i) {
    if (i > 0) list += i + 1 == chats.size() ? " and " : ", ";
    list += "\"" + chats[i].name + "\"";
  }
  return is_cut ? list + " and " + std::to_string(chats.size() - kMost) + " more" : list;
}

// END CHAT a; END CHAT b;
std::string EndChats(const std::vector<ChatDefinition>& chats) {
  constexpr size_t kMost = 5;
  std::string statements;
  for (size_t i = 0; i < chats.size() && i < kMost; ++i) {
    statements += (i > 0 ? " END CHAT " : "END CHAT ") + QuoteName(chats[i].name) + ";";
  }
  return chats.size() > kMost ? statements + " and so on" : statements;
}

}  // namespace

std::string RunCreateModel(const ast::CreateModel& statement, Database::Rep& database,
                           ResultSink& sink) {
  if (database.catalog.HasModel(statement.name.text)) {
    if (statement.if_not_exists) {
      sink.OnNotice("model \"" + statement.name.text + "\" exists already and is kept");
      return "CREATE MODEL";
    }
    if (!statement.or_replace) FailExists("model", statement.name);
  }
  try {
    auto model =
        std::make_shared<const OpenModel>(BindModel(statement, database), &database.devices, &sink);
    database.catalog.PutModel(model->definition());
    for (const std::string& note : model->definition().chat_notes) {
      sink.OnNotice(ChatNotice(statement.name.text, note));
    }
    database.models.Put(std::move(model));
  } catch (const Error& error) {
    throw error.At(statement.path.range);
  }
  database.ForgetLayouts();
  return "CREATE MODEL";
}

std::string RunDropModel(const ast::DropModel& statement, Database::Rep& database,
                         ResultSink& sink) {
  const std::string& name = statement.name.text;
  if (statement.if_exists && !database.catalog.HasModel(name)) {
    sink.OnNotice("model \"" + name + "\" does not exist");
    return "DROP MODEL";
  }
  database.FindModel(statement.name);
  std::vector<std::string> users;
  for (const SchemaDefinition& schema : database.catalog.Schemas()) {
    if (schema.model == name) users.push_back(schema.name);
  }
  const std::vector<ChatDefinition> chats =
      ChatsWhere(database.catalog, [&](const auto& chat) { return chat.model == name; });
  if ((!users.empty() || !chats.empty()) && !statement.cascade) {
    std::string cause;
    if (!users.empty()) {
      cause = "schema \"" + users.front() + "\"";
      if (users.size() > 1) cause += " and " + std::to_string(users.size() - 1) + " more";
    }
    if (!chats.empty()) cause += (cause.empty() ? "" : " and ") + ListChats(chats);
    cause += users.size() + chats.size() > 1 ? " use model \"" : " uses model \"";
    throw Error(ErrorCode::kInvalidArgument, cause + name + "\"",
                "DROP MODEL " + name + " CASCADE drops them too.", statement.name.range);
  }
  std::vector<ChatHold> holds;
  std::vector<std::string> chat_names;
  for (const ChatDefinition& chat : chats) {
    holds.push_back(database.HoldChat(chat.name, statement.name.range));
    chat_names.push_back(chat.name);
  }
  database.catalog.DropModel(name, users, chat_names);
  for (const ChatDefinition& chat : chats) {
    CollectStatesOf(chat, database.catalog, database.cache);
  }
  for (const std::string& user : users) DropStates(user, database);
  database.models.Forget(name);
  database.ForgetLayouts();
  for (const std::string& user : users) sink.OnNotice("schema \"" + user + "\" is dropped too");
  for (const std::string& chat : chat_names) sink.OnNotice("chat \"" + chat + "\" is ended too");
  return "DROP MODEL";
}

std::string RunCreateSchema(const ast::CreateSchema& statement, Database::Rep& database,
                            ResultSink& sink) {
  const auto replaced = database.catalog.FindSchema(statement.name.text);
  if (replaced) {
    if (statement.if_not_exists) {
      sink.OnNotice("schema \"" + statement.name.text + "\" exists already and is kept");
      return "CREATE SCHEMA";
    }
    if (!statement.or_replace) FailExists("schema", statement.name);
  }
  InstallSchema(BindSchema(statement), replaced ? &*replaced : nullptr,
                {statement.name.range, statement.model.range, statement.parts}, database, sink);
  return "CREATE SCHEMA";
}

std::string RunAlterSchema(const ast::AlterSchema& statement, Database::Rep& database,
                           ResultSink& sink) {
  const SchemaDefinition before = database.FindSchema(statement.name);
  if (const auto* rename = std::get_if<ast::AlterSchema::Rename>(&statement.action)) {
    if (database.catalog.HasSchema(rename->name.text)) {
      throw Error(ErrorCode::kDuplicateName, "schema \"" + rename->name.text + "\" exists already",
                  "", rename->name.range);
    }
  }
  const SchemaDefinition after = ChangeSchema(before, statement);
  SchemaPlaces places{statement.name.range, statement.name.range};
  if (const auto* part = std::get_if<ast::Part>(&statement.action)) places.parts = {part, 1};
  InstallSchema(after, &before, places, database, sink);
  return "ALTER SCHEMA";
}

std::string RunDropSchema(const ast::DropSchema& statement, Database::Rep& database,
                          ResultSink& sink) {
  const std::string& name = statement.name.text;
  if (statement.if_exists && !database.catalog.HasSchema(name)) {
    sink.OnNotice("schema \"" + name + "\" does not exist");
    return "DROP SCHEMA";
  }
  database.FindSchema(statement.name);
  const std::vector<ChatDefinition> chats =
      ChatsWhere(database.catalog, [&](const auto& chat) { return chat.schema == name; });
  if (!chats.empty()) {
    throw Error(
        ErrorCode::kInvalidArgument,
        ListChats(chats) + (chats.size() > 1 ? " use" : " uses") + " schema \"" + name + "\"",
        EndChats(chats) + " first.", statement.name.range);
  }
  database.catalog.DropSchema(name);
  DropStates(name, database);
  database.ForgetLayouts();
  return "DROP SCHEMA";
}

}  // namespace promptdb
