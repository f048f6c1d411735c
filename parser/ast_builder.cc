#include "parser/ast_builder.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <utility>

#include "PromptQLBaseVisitor.h"
#include "parser/quoting.h"

namespace promptdb {

namespace {

using antlrcpp::Any;
using Grammar = grammar::PromptQLParser;

class AstBuilder : public grammar::PromptQLBaseVisitor {
 public:
  explicit AstBuilder(std::string_view text) : text_(text) {}

  ast::Statement Build(Grammar::StatementContext& statement) {
    range_ = RangeOf(statement);
    statement.accept(this);
    // One part without a meaning takes the meaning from the whole.
    if (unsupported_) node_ = *std::move(unsupported_);
    return {std::move(node_), range_};
  }

 private:
  // ---- Statements ----

  Any visitCreateModel(Grammar::CreateModelContext* context) override {
    return Yield(ast::CreateModel{context->OR() != nullptr, context->IF() != nullptr,
                                  NameOf(context->modelName()), TextOf(context->text()),
                                  OptionsOf(context->withOptions())});
  }

  Any visitDropModel(Grammar::DropModelContext* context) override {
    return Yield(ast::DropModel{context->IF() != nullptr, context->CASCADE() != nullptr,
                                NameOf(context->modelName())});
  }

  Any visitCreateSchema(Grammar::CreateSchemaContext* context) override {
    ast::CreateSchema schema{context->OR() != nullptr,
                             context->IF() != nullptr,
                             NameOf(context->schemaName()),
                             NameOf(context->modelName()),
                             OptionsOf(context->withOptions()),
                             {},
                             {}};
    for (Grammar::SchemaElementContext* element : context->schemaElement()) {
      if (element->part() != nullptr) {
        schema.parts.push_back(PartOf(element->part()));
      } else {
        schema.scaffolds.push_back(ScaffoldOf(element->scaffold()));
      }
    }
    return Yield(std::move(schema));
  }

  Any visitDropSchema(Grammar::DropSchemaContext* context) override {
    return Yield(ast::DropSchema{context->IF() != nullptr, NameOf(context->schemaName())});
  }

  Any visitQueryStatement(Grammar::QueryStatementContext* context) override {
    return Yield(SelectOf(context->query()));
  }

  Any visitExplain(Grammar::ExplainContext* context) override {
    ast::Explain explain;
    if (context->explainOptions() != nullptr && context->explainOptions()->JSON() != nullptr) {
      explain.format = ast::Explain::Format::kJson;
    }
    explain.analyze = context->ANALYZE() != nullptr;
    explain.query = SelectOf(context->query());
    return Yield(std::move(explain));
  }

  Any visitWarm(Grammar::WarmContext* context) override {
    ast::Warm warm{NameOf(context->schemaName()), {}};
    if (context->moduleList() != nullptr) {
      for (Grammar::ModulePathContext* path : context->moduleList()->modulePath()) {
        warm.modules.push_back(PathOf(path));
      }
    }
    return Yield(std::move(warm));
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
        return Refuse("SHOW CHATS", range_);
      default:
        return Refuse("SHOW CONNECTIONS", range_);
    }
  }

  Any visitShowModules(Grammar::ShowModulesContext* context) override {
    ast::Show show{ast::Show::What::kModules, {}};
    if (context->schemaName() != nullptr) show.from_schema = NameOf(context->schemaName());
    return Yield(std::move(show));
  }

  Any visitDescribeModel(Grammar::DescribeModelContext* context) override {
    return Yield(ast::Describe{ast::Describe::What::kModel, {NameOf(context->modelName())}});
  }

  Any visitDescribeSchema(Grammar::DescribeSchemaContext* context) override {
    return Yield(ast::Describe{ast::Describe::What::kSchema, {NameOf(context->schemaName())}});
  }

  Any visitDescribeModule(Grammar::DescribeModuleContext* context) override {
    ast::Describe describe{ast::Describe::What::kModule, {NameOf(context->schemaName())}};
    std::ranges::move(PathOf(context->modulePath()), std::back_inserter(describe.path));
    return Yield(std::move(describe));
  }

  Any visitSet(Grammar::SetContext* context) override {
    return Yield(ast::Set{NameOf(context->settingName()), LiteralOf(context->literal())});
  }

  Any visitReset(Grammar::ResetContext* context) override {
    return Yield(ast::Reset{NameOf(context->settingName())});
  }

  // ---- Statements whose meaning comes in a later release ----

  Any visitAlterSchema(Grammar::AlterSchemaContext*) override {
    return Refuse("ALTER SCHEMA", range_);
  }
  Any visitImportSchema(Grammar::ImportSchemaContext*) override {
    return Refuse("IMPORT SCHEMA", range_);
  }
  Any visitExportSchema(Grammar::ExportSchemaContext*) override {
    return Refuse("EXPORT SCHEMA", range_);
  }
  Any visitPrepare(Grammar::PrepareContext*) override { return Refuse("PREPARE", range_); }
  Any visitExecute(Grammar::ExecuteContext*) override { return Refuse("EXECUTE", range_); }
  Any visitDeallocate(Grammar::DeallocateContext*) override { return Refuse("DEALLOCATE", range_); }
  Any visitBeginChat(Grammar::BeginChatContext*) override { return Refuse("BEGIN CHAT", range_); }
  Any visitContinueChat(Grammar::ContinueChatContext*) override {
    return Refuse("CONTINUE", range_);
  }
  Any visitForkChat(Grammar::ForkChatContext*) override { return Refuse("FORK", range_); }
  Any visitEndChat(Grammar::EndChatContext*) override { return Refuse("END CHAT", range_); }
  Any visitPin(Grammar::PinContext*) override { return Refuse("PIN", range_); }
  Any visitUnpin(Grammar::UnpinContext*) override { return Refuse("UNPIN", range_); }
  Any visitEvict(Grammar::EvictContext*) override { return Refuse("EVICT", range_); }
  Any visitAlterModule(Grammar::AlterModuleContext*) override {
    return Refuse("ALTER MODULE", range_);
  }
  Any visitCheckDatabase(Grammar::CheckDatabaseContext*) override {
    return Refuse("CHECK DATABASE", range_);
  }
  Any visitVacuum(Grammar::VacuumContext*) override { return Refuse("VACUUM", range_); }
  Any visitAnalyze(Grammar::AnalyzeContext*) override { return Refuse("ANALYZE", range_); }
  Any visitBackup(Grammar::BackupContext*) override { return Refuse("BACKUP", range_); }
  Any visitRestore(Grammar::RestoreContext*) override { return Refuse("RESTORE", range_); }
  Any visitCreateUser(Grammar::CreateUserContext*) override {
    return Refuse("CREATE USER", range_);
  }
  Any visitAlterUser(Grammar::AlterUserContext*) override { return Refuse("ALTER USER", range_); }
  Any visitDropUser(Grammar::DropUserContext*) override { return Refuse("DROP USER", range_); }
  Any visitGrant(Grammar::GrantContext*) override { return Refuse("GRANT", range_); }
  Any visitRevoke(Grammar::RevokeContext*) override { return Refuse("REVOKE", range_); }

  // ---- Queries ----

  ast::Select SelectOf(Grammar::QueryContext* query) {
    select_ = {};
    select_.range = RangeOf(*query);
    query->accept(this);
    return std::move(select_);
  }

  Any visitGenerateQuery(Grammar::GenerateQueryContext* context) override {
    if (context->optionList() != nullptr) {
      select_.generate_options = OptionsOf(context->optionList());
    }
    if (context->querySource()->schemaName() == nullptr) {
      return Refuse("SELECT GENERATE FROM PML", RangeOf(*context->querySource()));
    }
    select_.schema = NameOf(context->querySource()->schemaName());
    if (context->useClause() != nullptr) {
      for (Grammar::UseItemContext* item : context->useClause()->useItem()) {
        select_.use.emplace_back();
        select_.use.back().range = RangeOf(*item);
        item->accept(this);
      }
    }
    if (context->promptClause() != nullptr) context->promptClause()->accept(this);
    select_.with_options = OptionsOf(context->withOptions());
    return {};
  }

  Any visitInspectQuery(Grammar::InspectQueryContext* context) override {
    if (context->TOKENS() != nullptr) return Refuse("SELECT TOKENS", RangeOf(*context));
    if (context->LOGPROBS() != nullptr) return Refuse("SELECT LOGPROBS", RangeOf(*context));
    return Refuse("SELECT EMBEDDING", RangeOf(*context));
  }

  Any visitSystemQuery(Grammar::SystemQueryContext* context) override {
    return Refuse("SELECT FROM " + FoldName(SourceOf(context->systemTable()->getStart())),
                  RangeOf(*context));
  }

  Any visitUseRoleText(Grammar::UseRoleTextContext* context) override {
    ast::UseItem& item = select_.use.back();
    item.kind = ast::UseItem::Kind::kRoleText;
    item.role = RoleOf(context->getStart()->getType());
    item.text = TextOf(context->textValue());
    return {};
  }

  Any visitUseText(Grammar::UseTextContext* context) override {
    ast::UseItem& item = select_.use.back();
    item.kind = ast::UseItem::Kind::kText;
    item.text = TextOf(context->textValue());
    return {};
  }

  Any visitUseModule(Grammar::UseModuleContext* context) override {
    ast::UseItem& item = select_.use.back();
    item.kind = ast::UseItem::Kind::kModule;
    item.path = PathOf(context->modulePath());
    for (Grammar::UseArgumentContext* argument : context->useArgument()) {
      item.arguments.push_back({NameOf(argument->parameterName()), TextOf(argument->textValue())});
    }
    return {};
  }

  Any visitPromptText(Grammar::PromptTextContext* context) override {
    select_.prompt = TextOf(context->textValue());
    return {};
  }

  Any visitPromptIn(Grammar::PromptInContext* context) override {
    return Refuse("PROMPT IN", RangeOf(*context));
  }

  // ---- Schemas ----

  ast::Part PartOf(Grammar::PartContext* context) {
    ast::Part part;
    part.range = RangeOf(*context);
    ast::Part* const around = std::exchange(part_, &part);
    context->accept(this);
    part_ = around;
    return part;
  }

  // The visitors of the four kinds of part fill the part that PartOf() has made for them, and call
  // it again for the parts inside.
  Any visitTextPart(Grammar::TextPartContext* context) override {
    part_->kind = ast::Part::Kind::kText;
    part_->text = TextOf(context->text());
    return {};
  }

  Any visitModulePart(Grammar::ModulePartContext* context) override {
    ast::Part& part = *part_;  // before ModuleOf(), which moves part_ while it works
    part = ModuleOf(context->moduleDefinition());
    return {};
  }

  Any visitUnionPart(Grammar::UnionPartContext* context) override {
    ast::Part& part = *part_;
    part.kind = ast::Part::Kind::kUnion;
    part.name = NameOf(context->unionName());
    for (Grammar::ModuleDefinitionContext* member : context->moduleDefinition()) {
      part.children.push_back(ModuleOf(member));
    }
    return {};
  }

  Any visitRolePart(Grammar::RolePartContext* context) override {
    ast::Part& part = *part_;
    part.kind = ast::Part::Kind::kRole;
    part.role = RoleOf(context->getStart()->getType());
    if (context->text() != nullptr) {
      ast::Part child;
      child.kind = ast::Part::Kind::kText;
      child.range = RangeOf(*context->text());
      child.text = TextOf(context->text());
      part.children.push_back(std::move(child));
    }
    for (Grammar::PartContext* child : context->part()) part.children.push_back(PartOf(child));
    return {};
  }

  ast::Part ModuleOf(Grammar::ModuleDefinitionContext* context) {
    ast::Part part;
    part.kind = ast::Part::Kind::kModule;
    part.range = RangeOf(*context);
    part.name = NameOf(context->moduleName());
    for (Grammar::ParameterContext* parameter : context->parameter()) {
      part.parameters.push_back(ParameterOf(parameter));
    }
    Grammar::ModuleBodyContext* body = context->moduleBody();
    if (body->FILE() != nullptr) {
      part.file = TextOf(body->text());
    } else if (body->text() != nullptr) {
      part.text = TextOf(body->text());
    }
    for (Grammar::PartContext* child : body->part()) part.children.push_back(PartOf(child));
    return part;
  }

  ast::Parameter ParameterOf(Grammar::ParameterContext* context) {
    ast::Parameter parameter;
    parameter.name = NameOf(context->parameterName());
    parameter.tokens_range = RangeOf(*context->wholeNumber());
    parameter.tokens = NumberOf<int64_t>(context->wholeNumber()->getStart());
    if (context->text() != nullptr) parameter.default_value = TextOf(context->text());
    return parameter;
  }

  ast::Scaffold ScaffoldOf(Grammar::ScaffoldContext* context) {
    ast::Scaffold scaffold{NameOf(context->scaffoldName()), {}, RangeOf(*context)};
    for (Grammar::ModuleNameContext* member : context->moduleName()) {
      scaffold.members.push_back(NameOf(member));
    }
    return scaffold;
  }

  static ast::Role RoleOf(size_t token_type) {
    if (token_type == Grammar::SYSTEM) return ast::Role::kSystem;
    return token_type == Grammar::USER ? ast::Role::kUser : ast::Role::kAssistant;
  }

  // ---- Options, values, names ----

  std::vector<ast::Option> OptionsOf(Grammar::WithOptionsContext* context) {
    if (context == nullptr) return {};
    return OptionsOf(context->optionList());
  }

  std::vector<ast::Option> OptionsOf(Grammar::OptionListContext* context) {
    std::vector<ast::Option> options;
    for (Grammar::OptionContext* option : context->option()) {
      options.push_back({NameOf(option->optionName()), LiteralOf(option->literal())});
    }
    return options;
  }

  ast::Literal LiteralOf(Grammar::LiteralContext* context) {
    ast::Literal literal;
    literal.range = RangeOf(*context);
    if (context->word() != nullptr) {
      literal.is_word = true;
      literal.value = FoldName(SourceOf(context->getStart()));
      return literal;
    }
    const bool negative = context->getStart()->getType() == Grammar::MINUS;
    antlr4::Token* token = context->getStop();
    switch (token->getType()) {
      case Grammar::INTEGER: {
        const auto value = NumberOf<int64_t>(token);
        literal.value = negative ? -value : value;
        break;
      }
      case Grammar::DECIMAL: {
        const auto value = NumberOf<double>(token);
        literal.value = negative ? -value : value;
        break;
      }
      case Grammar::TEXT_LITERAL:
        literal.value = TextFromLexeme(SourceOf(token));
        break;
      default:
        literal.value = token->getType() == Grammar::TRUE || token->getType() == Grammar::ON;
        break;
    }
    return literal;
  }

  // REQUIRES: the token was checked to be in range, as TokenReader does.
  template <typename Number>
  Number NumberOf(antlr4::Token* token) const {
    const std::string_view source = SourceOf(token);
    Number value = 0;
    std::from_chars(source.data(), source.data() + source.size(), value);
    return value;
  }

  ast::Text TextOf(antlr4::ParserRuleContext* context) const {
    return {TextFromLexeme(SourceOf(context->getStart())), RangeOf(*context)};
  }

  ast::Name NameOf(antlr4::ParserRuleContext* context) const {
    return {NameFromLexeme(SourceOf(context->getStart())), RangeOf(*context)};
  }

  std::vector<ast::Name> PathOf(Grammar::ModulePathContext* context) const {
    std::vector<ast::Name> path;
    for (Grammar::ModuleNameContext* name : context->moduleName()) path.push_back(NameOf(name));
    return path;
  }

  std::string_view SourceOf(antlr4::Token* token) const {
    return text_.substr(token->getStartIndex(), token->getStopIndex() + 1 - token->getStartIndex());
  }

  static SourceRange RangeOf(antlr4::ParserRuleContext& context) {
    return {static_cast<int>(context.getStart()->getStartIndex()),
            static_cast<int>(context.getStop()->getStopIndex() + 1)};
  }

  Any Yield(ast::StatementNode node) {
    node_ = std::move(node);
    return {};
  }

  Any Refuse(std::string statement, SourceRange range) {
    if (!unsupported_) unsupported_ = ast::Unsupported{std::move(statement), range};
    return {};
  }

  std::string_view text_;
  SourceRange range_;  // of the statement
  ast::StatementNode node_;
  std::optional<ast::Unsupported> unsupported_;
  ast::Select select_;         // the query that is being built
  ast::Part* part_ = nullptr;  // the part that is being built
};

}  // namespace

ast::Statement BuildStatement(std::string_view text, Grammar::StatementContext& statement) {
  return AstBuilder(text).Build(statement);
}

}  // namespace promptdb
