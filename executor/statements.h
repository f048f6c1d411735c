// What each kind of statement does. The session parses, and calls these one by one.
//
// Each tells the sink its rows and notices, and returns the tag for OnDone. Each throws Error, and
// then has changed nothing.
#ifndef PROMPTDB_EXECUTOR_STATEMENTS_H_
#define PROMPTDB_EXECUTOR_STATEMENTS_H_

#include <string>
#include <vector>

#include "executor/access.h"
#include "executor/database.h"
#include "executor/result.h"
#include "executor/settings.h"
#include "parser/ast.h"

namespace promptdb {

// definition_statements.cc
std::string RunCreateModel(const ast::CreateModel& statement, Database::Rep& database,
                           ResultSink& sink);
std::string RunDropModel(const ast::DropModel& statement, Database::Rep& database,
                         ResultSink& sink);
std::string RunCreateSchema(const ast::CreateSchema& statement, Database::Rep& database,
                            ResultSink& sink);
std::string RunAlterSchema(const ast::AlterSchema& statement, Database::Rep& database,
                           ResultSink& sink);
std::string RunDropSchema(const ast::DropSchema& statement, Database::Rep& database,
                          ResultSink& sink);

// pml_statements.cc
std::string RunImportSchema(const ast::ImportSchema& statement, Database::Rep& database,
                            ResultSink& sink);
std::string RunExportSchema(const ast::ExportSchema& statement, Database::Rep& database,
                            ResultSink& sink);
// SELECT … FROM PML '…' as the query of the schema that the prompt names.
// REQUIRES: query.pml.
ast::Select ExpandPml(const ast::Select& query, Database::Rep& database);

// query_statements.cc
// Tells of a prompt whose way of reuse was measured to make the model worse.
void WarnOfLoss(const BoundPrompt& prompt, const OpenModel& model, const Database::Rep& database,
                const Settings& settings, ResultSink& sink);
std::string RunSelect(const ast::Select& statement, Database::Rep& database,
                      const Settings& settings, const Access& access, ResultSink& sink);
std::string RunExplain(const ast::Explain& statement, Database::Rep& database,
                       const Settings& settings, const Access& access, ResultSink& sink);

// system_select.cc
std::string RunSystemSelect(const ast::SystemSelect& statement, Database::Rep& database,
                            const Settings& settings, const Access& access, ResultSink& sink);
std::string RunExplainSystemSelect(const ast::SystemSelect& query, const ast::Explain& statement,
                                   Database::Rep& database, const Settings& settings,
                                   const Access& access, ResultSink& sink);

// chat_statements.cc
std::string RunBeginChat(const ast::BeginChat& statement, Database::Rep& database,
                         const Settings& settings, const Access& access, ResultSink& sink);
std::string RunContinueChat(const ast::ContinueChat& statement, Database::Rep& database,
                            const Settings& settings, ResultSink& sink);
std::string RunForkChat(const ast::ForkChat& statement, Database::Rep& database);
std::string RunEndChat(const ast::EndChat& statement, Database::Rep& database);

// module_statements.cc
std::vector<Column> WarmColumns();
std::vector<Column> PinColumns();
std::vector<Column> EvictColumns();
std::string RunPin(const ast::Pin& statement, Database::Rep& database, ResultSink& sink);
std::string RunEvict(const ast::Evict& statement, Database::Rep& database, ResultSink& sink);
std::string RunAlterModule(const ast::AlterModule& statement, Database::Rep& database,
                           ResultSink& sink);
std::string RunWarm(const ast::Warm& statement, Database::Rep& database, ResultSink& sink);

// analyze_statement.cc
std::string RunAnalyzeModel(const ast::AnalyzeModel& statement, Database::Rep& database,
                            ResultSink& sink);

std::string RunAnalyze(Database::Rep& database, ResultSink& sink);

// check_statements.cc
std::vector<Column> CheckColumns();
std::vector<Column> VacuumColumns();
std::string RunCheckDatabase(Database::Rep& database, ResultSink& sink);
std::string RunVacuum(Database::Rep& database, ResultSink& sink);

// backup_statements.cc
std::vector<Column> BackupColumns();
std::vector<Column> RestoreColumns();
std::string RunBackup(const ast::Backup& statement, Database::Rep& database, ResultSink& sink);
std::string RunRestore(const ast::Restore& statement, Database::Rep& database, ResultSink& sink);

// transfer_statements.cc
std::vector<Column> ExportStatesColumns();
std::vector<Column> ImportStatesColumns();
std::string RunExportStates(const ast::ExportStates& statement, Database::Rep& database,
                            ResultSink& sink);
// What came before an error, or before it was stopped, stays: whole states.
std::string RunImportStates(const ast::ImportStates& statement, Database::Rep& database,
                            ResultSink& sink);

// user_statements.cc
std::vector<Column> AlterUserColumns(const ast::AlterUser& statement);
std::string RunCreateUser(const ast::CreateUser& statement, Database::Rep& database,
                          ResultSink& sink);
std::string RunAlterUser(const ast::AlterUser& statement, Database::Rep& database,
                         ResultSink& sink);
std::string RunDropUser(const ast::DropUser& statement, Database::Rep& database, ResultSink& sink);
std::string RunGrant(const ast::Grant& statement, Database::Rep& database);

// show_statements.cc
std::vector<Column> ShowColumns(const ast::Show& statement);
std::vector<Column> DescribeColumns(const ast::Describe& statement);
std::string RunShow(const ast::Show& statement, Database::Rep& database, const Settings& settings,
                    const Access& access, ResultSink& sink);
std::string RunDescribe(const ast::Describe& statement, Database::Rep& database, ResultSink& sink);

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_STATEMENTS_H_
