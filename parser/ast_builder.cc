#include "parser/ast_builder.h"

#include <algorithm>
#include <string>
#include <utility>

#include "PromptQLBaseVisitor.h"
#include "parser/query_ast.h"
#include "parser/schema_ast.h"
#include "parser/source_reader.h"

namespace promptdb {

namespace {

using antlrcpp::Any;
using Grammar = grammar::PromptQLParser;

class AstBuilder : public grammar::PromptQLBaseVisitor {
 public:
  explicit AstBuilder(std::string_view text) : reader_(text) {}

  ast::Statement Build(Grammar::StatementContext& statement) {
    range_ = SourceReader::RangeOf(statement);
    statement.accept(this);
    return {std::move(node_), range_};
  }

 private:
  // ---- Statements ----

  Any visitCreateModel(Grammar::CreateModelContext* context) override {
    return Yield(ast::CreateModel{
        context->OR() != nullptr, context->IF() != nullptr, reader_.NameOf(context->modelName()),
        reader_.TextOf(context->text()), reader_.OptionsOf(context->withOptions())});
  }

  Any visitDropModel(Grammar::DropModelContext* context) override {
    return Yield(ast::DropModel{context->IF() != nullptr, context->CASCADE() != nullptr,
                                reader_.NameOf(context->modelName())});
  }

  Any visitCreateSchema(Grammar::CreateSchemaContext* context) override {
    ast::CreateSchema schema{context->OR() != nullptr,
                             context->IF() != nullptr,
                             reader_.NameOf(context->schemaName()),
                             reader_.NameOf(context->modelName()),
                             reader_.OptionsOf(context->withOptions()),
                             {},
                             {}};
    for (Grammar::SchemaElementContext* element : context->schemaElement()) {
      if (element->part() != nullptr) {
        schema.parts.push_back(BuildPart(reader_, element->part()));
      } else {
        schema.scaffolds.push_back(BuildScaffold(reader_, element->scaffold()));
      }
    }
    return Yield(std::move(schema));
  }

  Any visitDropSchema(Grammar::DropSchemaContext* context) override {
    return Yield(ast::DropSchema{context->IF() != nullptr, reader_.NameOf(context->schemaName())});
  }

  Any visitQueryStatement(Grammar::QueryStatementContext* context) override {
    ast::Query query = BuildQuery(reader_, context->query());
    if (auto* select = std::get_if<ast::Select>(&query)) return Yield(std::move(*select));
    return Yield(std::move(std::get<ast::SystemSelect>(query)));
  }

  Any visitExplain(Grammar::ExplainContext* context) override {
    ast::Explain explain;
    if (context->explainOptions() != nullptr && context->explainOptions()->JSON() != nullptr) {
      explain.format = ast::Explain::Format::kJson;
    }
    explain.analyze = context->ANALYZE() != nullptr;
    explain.query = BuildQuery(reader_, context->query());
    return Yield(std::move(explain));
  }

  Any visitWarm(Grammar::WarmContext* context) override {
    return Yield(ast::Warm{ModulesOf(context)});
  }
  Any visitPin(Grammar::PinContext* context) override {
    return Yield(ast::Pin{ModulesOf(context), true});
  }
  Any visitUnpin(Grammar::UnpinContext* context) override {
    return Yield(ast::Pin{ModulesOf(context), false});
  }

  Any visitEvict(Grammar::EvictContext* context) override {
    using From = ast::Evict::From;
    const From from = context->GPU() != nullptr    ? From::kGpu
                      : context->CPU() != nullptr  ? From::kCpu
                      : context->DISK() != nullptr ? From::kDisk
                                                   : From::kEverywhere;
    return Yield(ast::Evict{ModulesOf(context), from});
  }

  Any visitAlterModule(Grammar::AlterModuleContext* context) override {
    ast::AlterModule alter{{reader_.NameOf(context->schemaName())},
                           reader_.OptionsOf(context->optionList())};
    std::ranges::move(reader_.PathOf(context->modulePath()), std::back_inserter(alter.path));
    return Yield(std::move(alter));
  }

  Any visitShow(Grammar::ShowContext* context) override {
    using What = ast::Show::What;
    switch (context->getStop()->getType()) {
      case Grammar::MODELS:
        return Yield(ast::Show{What::kModels, {}});
      case Grammar::SCHEMAS:
        return Yield(ast::Show{What::kSchemas, {}});
      case Grammar::CACHE:
        return Yield(ast::Show{What::kCache, {}});
      case Grammar::STATS:
        return Yield(ast::Show{What::kStats, {}});
      case Grammar::SETTINGS:
        return Yield(ast::Show{What::kSettings, {}});
      case Grammar::CHATS:
        return Yield(ast::Show{What::kChats, {}});
      case Grammar::USERS:
        return Yield(ast::Show{What::kUsers, {}});
      case Grammar::GRANTS:
        return Yield(ast::Show{What::kGrants, {}});
      case Grammar::KEYS:
        return Yield(ast::Show{What::kKeys, {}});
      default:
        return Yield(ast::Show{What::kConnections, {}});
    }
  }

  Any visitShowModules(Grammar::ShowModulesContext* context) override {
    ast::Show show{ast::Show::What::kModules, {}};
    if (context->schemaName() != nullptr) show.from_schema = reader_.NameOf(context->schemaName());
    return Yield(std::move(show));
  }

  Any visitDescribeModel(Grammar::DescribeModelContext* context) override {
    return Yield(
        ast::Describe{ast::Describe::What::kModel, {reader_.NameOf(context->modelName())}});
  }

  Any visitDescribeSchema(Grammar::DescribeSchemaContext* context) override {
    return Yield(
        ast::Describe{ast::Describe::What::kSchema, {reader_.NameOf(context->schemaName())}});
  }

  Any visitDescribeModule(Grammar::DescribeModuleContext* context) override {
    ast::Describe describe{ast::Describe::What::kModule, {reader_.NameOf(context->schemaName())}};
    std::ranges::move(reader_.PathOf(context->modulePath()), std::back_inserter(describe.path));
    return Yield(std::move(describe));
  }

  Any visitAnalyze(Grammar::AnalyzeContext*) override { return Yield(ast::Analyze{}); }
  Any visitAnalyzeModel(Grammar::AnalyzeModelContext* context) override {
    ast::AnalyzeModel analyze{
        reader_.NameOf(context->modelName()), {}, reader_.OptionsOf(context->withOptions())};
    if (context->text() != nullptr) analyze.path = reader_.TextOf(context->text());
    return Yield(std::move(analyze));
  }

  Any visitSet(Grammar::SetContext* context) override {
    return Yield(
        ast::Set{reader_.NameOf(context->settingName()), reader_.LiteralOf(context->literal())});
  }

  Any visitReset(Grammar::ResetContext* context) override {
    return Yield(ast::Reset{reader_.NameOf(context->settingName())});
  }

  Any visitAlterSchema(Grammar::AlterSchemaContext* context) override {
    ast::AlterSchema alter;
    alter.name = reader_.NameOf(context->schemaName());
    Grammar::AlterSchemaActionContext* action = context->alterSchemaAction();
    if (Grammar::SchemaElementContext* element = action->schemaElement(); element != nullptr) {
      if (element->part() != nullptr) {
        alter.action = BuildPart(reader_, element->part());
      } else {
        alter.action = BuildScaffold(reader_, element->scaffold());
      }
    } else if (action->modulePath() != nullptr) {
      alter.action = ast::AlterSchema::DropModule{reader_.PathOf(action->modulePath())};
    } else if (action->scaffoldName() != nullptr) {
      alter.action = ast::AlterSchema::DropScaffold{reader_.NameOf(action->scaffoldName())};
    } else {
      alter.action = ast::AlterSchema::Rename{reader_.NameOf(action->schemaName())};
    }
    return Yield(std::move(alter));
  }

  Any visitImportSchema(Grammar::ImportSchemaContext* context) override {
    ast::ImportSchema import;
    if (context->schemaName() != nullptr) import.name = reader_.NameOf(context->schemaName());
    import.path = reader_.TextOf(context->text());
    import.model = reader_.NameOf(context->modelName());
    return Yield(std::move(import));
  }

  Any visitExportSchema(Grammar::ExportSchemaContext* context) override {
    return Yield(
        ast::ExportSchema{reader_.NameOf(context->schemaName()), reader_.TextOf(context->text())});
  }

  Any visitImportStates(Grammar::ImportStatesContext* context) override {
    return Yield(ast::ImportStates{reader_.TextOf(context->text())});
  }

  Any visitExportStates(Grammar::ExportStatesContext* context) override {
    return Yield(ast::ExportStates{ModulesOf(context), reader_.TextOf(context->text())});
  }

  Any visitPrepare(Grammar::PrepareContext* context) override {
    return Yield(ast::Prepare{reader_.NameOf(context->preparedName()),
                              BuildQuery(reader_, context->query())});
  }

  Any visitExecute(Grammar::ExecuteContext* context) override {
    ast::Execute execute{reader_.NameOf(context->preparedName()), {}};
    for (Grammar::LiteralContext* value : context->literal()) {
      execute.values.push_back(reader_.LiteralOf(value));
    }
    return Yield(std::move(execute));
  }

  Any visitDeallocate(Grammar::DeallocateContext* context) override {
    return Yield(ast::Deallocate{reader_.NameOf(context->preparedName())});
  }

  Any visitBeginChat(Grammar::BeginChatContext* context) override {
    return Yield(ast::BeginChat{reader_.NameOf(context->chatName()),
                                reader_.NameOf(context->schemaName()),
                                BuildUse(reader_, context->useClause()),
                                reader_.OptionsOf(context->withOptions()), range_});
  }

  Any visitContinueChat(Grammar::ContinueChatContext* context) override {
    return Yield(ast::ContinueChat{
        reader_.NameOf(context->chatName()), reader_.OptionsOf(context->optionList()),
        reader_.TextOf(context->textValue()), reader_.OptionsOf(context->withOptions())});
  }

  Any visitForkChat(Grammar::ForkChatContext* context) override {
    return Yield(
        ast::ForkChat{reader_.NameOf(context->chatName(0)), reader_.NameOf(context->chatName(1))});
  }

  Any visitEndChat(Grammar::EndChatContext* context) override {
    return Yield(ast::EndChat{reader_.NameOf(context->chatName())});
  }

  Any visitCheckDatabase(Grammar::CheckDatabaseContext*) override {
    return Yield(ast::CheckDatabase{});
  }

  Any visitVacuum(Grammar::VacuumContext*) override { return Yield(ast::Vacuum{}); }

  Any visitBackup(Grammar::BackupContext* context) override {
    return Yield(ast::Backup{reader_.TextOf(context->text())});
  }

  Any visitRestore(Grammar::RestoreContext* context) override {
    return Yield(ast::Restore{reader_.TextOf(context->text())});
  }

  // ---- Users ----

  Any visitCreateUser(Grammar::CreateUserContext* context) override {
    ast::CreateUser create{context->IF() != nullptr,
                           reader_.NameOf(context->userName()),
                           {},
                           reader_.OptionsOf(context->withOptions())};
    if (context->text() != nullptr) create.password = reader_.TextOf(context->text());
    return Yield(std::move(create));
  }

  Any visitAlterUser(Grammar::AlterUserContext* context) override {
    ast::AlterUser alter{reader_.NameOf(context->userName()), {}};
    Grammar::AlterUserActionContext* action = context->alterUserAction();
    if (action->text() != nullptr) {
      alter.action = ast::AlterUser::SetPassword{reader_.TextOf(action->text())};
    } else if (action->optionList() != nullptr) {
      alter.action = ast::AlterUser::SetOptions{reader_.OptionsOf(action->optionList())};
    } else if (action->userName() != nullptr) {
      alter.action = ast::AlterUser::Rename{reader_.NameOf(action->userName())};
    } else if (action->ADD() != nullptr) {
      alter.action = ast::AlterUser::AddKey{reader_.NameOf(action->keyName())};
    } else {
      alter.action = ast::AlterUser::DropKey{reader_.NameOf(action->keyName())};
    }
    return Yield(std::move(alter));
  }

  Any visitDropUser(Grammar::DropUserContext* context) override {
    return Yield(ast::DropUser{context->IF() != nullptr, reader_.NameOf(context->userName())});
  }

  Any visitGrant(Grammar::GrantContext* context) override { return YieldGrant(context, true); }
  Any visitRevoke(Grammar::RevokeContext* context) override { return YieldGrant(context, false); }

  template <typename Context>
  Any YieldGrant(Context* context, bool is_grant) {
    ast::Grant grant;
    grant.is_grant = is_grant;
    for (Grammar::PrivilegeContext* privilege : context->privilege()) {
      if (privilege->name() != nullptr) {
        grant.privileges.push_back(reader_.NameOf(privilege->name()));
      } else {
        grant.privileges.push_back({privilege->CREATE() != nullptr ? "create" : "select",
                                    SourceReader::RangeOf(*privilege)});
      }
    }
    if (Grammar::GrantObjectContext* object = context->grantObject(); object != nullptr) {
      using On = ast::Grant::On;
      if (object->modelName() != nullptr) {
        grant.on = On::kModel;
        grant.object = reader_.NameOf(object->modelName());
      } else if (object->schemaName() != nullptr) {
        grant.on = On::kSchema;
        grant.object = reader_.NameOf(object->schemaName());
      } else {
        grant.on = On::kDatabase;
      }
    }
    for (Grammar::UserNameContext* user : context->userName()) {
      grant.users.push_back(reader_.NameOf(user));
    }
    return Yield(std::move(grant));
  }

  Any Yield(ast::StatementNode node) {
    node_ = std::move(node);
    return {};
  }

  // Of a statement about a schema's modules.
  template <typename Context>
  ast::Modules ModulesOf(Context* context) {
    ast::Modules modules{reader_.NameOf(context->schemaName()), {}};
    if (context->moduleList() != nullptr) {
      for (Grammar::ModulePathContext* path : context->moduleList()->modulePath()) {
        modules.modules.push_back(reader_.PathOf(path));
      }
    }
    return modules;
  }

  SourceReader reader_;
  SourceRange range_;  // of the statement
  ast::StatementNode node_;
};

}  // namespace

ast::Statement BuildStatement(std::string_view text, Grammar::StatementContext& statement) {
  return AstBuilder(text).Build(statement);
}

}  // namespace promptdb
