// The extended query protocol: Parse, Bind, Describe, Execute, Close.
#include <algorithm>

#include "base/utf8.h"
#include "server/client_messages.h"
#include "server/parameter_values.h"
#include "server/pg_connection.h"
#include "server/sqlstate.h"

namespace promptdb {

namespace {

// What one connection may keep open.
constexpr size_t kMostPrepared = 1000;
constexpr size_t kMostPortals = 100;

// The highest $n of a statement that no parser of ours has seen.
int HighestParameter(const std::vector<ClientToken>& tokens) {
  int highest = 0;
  for (const ClientToken& token : tokens) {
    if (token.kind != LexemeKind::kParameter || token.text.size() > 4) continue;
    highest = std::max(highest, std::stoi(token.text.substr(1)));
  }
  return highest;
}

}  // namespace

const std::shared_ptr<PgConnection::Prepared>& PgConnection::PreparedNamed(std::string_view name) {
  const auto found = prepared_.find(name);
  if (found != prepared_.end()) return found->second;
  throw Failure{{"ERROR", std::string(sqlstate::kInvalidStatementName),
                 "prepared statement \"" + std::string(name) + "\" does not exist", "", 0}};
}

PgConnection::Portal& PgConnection::PortalNamed(std::string_view name) {
  const auto found = portals_.find(name);
  if (found != portals_.end()) return found->second;
  throw Failure{{"ERROR", std::string(sqlstate::kInvalidPortalName),
                 "portal \"" + std::string(name) + "\" does not exist", "", 0}};
}

void PgConnection::ClosePortal(std::string_view name) {
  const auto found = portals_.find(name);
  if (found == portals_.end()) return;
  // What it still computes, nobody will fetch.
  if (found->second.run) found->second.run->Cancel(StatementRun::CancelReason::kRequested);
  portals_.erase(found);
}

void PgConnection::ClosePortals() {
  while (!portals_.empty()) ClosePortal(std::string(portals_.begin()->first));
}

asio::awaitable<std::shared_ptr<PgConnection::Prepared>> PgConnection::Prepare(
    std::string text, std::vector<int32_t> types) {
  auto prepared = std::make_shared<Prepared>();
  prepared->text = std::move(text);
  prepared->types = std::move(types);
  if (!IsValidUtf8(prepared->text)) {
    throw Failure{{"ERROR", std::string(sqlstate::kInvalidEncoding), "the statement is not UTF-8",
                   "All text is UTF-8.", 0}};
  }
  Classify(*prepared);
  CheckTransaction(*prepared);
  int parameters = 0;
  if (prepared->is_catalog) {
    parameters = HighestParameter(prepared->tokens);
  } else if (!prepared->client && !prepared->is_empty()) {
    Work parse = [prepared](ResultSink&, const Urgency&) {
      prepared->parsed = ParseParameterized(prepared->text);
    };
    if (prepared->text.size() < kLongText) {
      try {
        prepared->parsed = ParseParameterized(prepared->text);
      } catch (const Error& error) {
        throw FailureOf(error, prepared->text, 0, StatementRun::CancelReason::kNone);
      }
    } else {
      // Megabytes take a while, and everybody else's sockets wait on this thread.
      const std::shared_ptr<StatementRun> run = co_await Start(*prepared, {}, std::move(parse));
      while (true) {
        const std::optional<StatementRun::Event> event = run->Next();
        if (!event) {
          co_await run_signal_.Wait();
          if (is_gone_) throw Over{};
          continue;
        }
        if (const auto* error = std::get_if<Error>(&*event)) {
          throw FailureOf(*error, prepared->text, 0, run->cancel_reason());
        }
        if (std::holds_alternative<StatementRun::Done>(*event)) break;
      }
    }
    if (prepared->parsed) parameters = prepared->parsed->parameters;
  }
  prepared->types.resize(static_cast<size_t>(parameters));
  co_return prepared;
}

asio::awaitable<void> PgConnection::HandleParse(std::string_view body) {
  ParseMessage message = ReadParseMessage(body);
  const std::string name(message.name);
  if (!name.empty() && prepared_.contains(name)) {
    throw Failure{{"ERROR", std::string(sqlstate::kDuplicateStatement),
                   "prepared statement \"" + name + "\" already exists", "", 0}};
  }
  if (prepared_.size() >= kMostPrepared && !prepared_.contains(name)) {
    throw Failure{{"ERROR", std::string(SqlStateOf(ErrorCode::kTooLong)),
                   "there are " + std::to_string(kMostPrepared) + " prepared statements already",
                   "DEALLOCATE ALL closes them.", 0}};
  }
  prepared_.erase(name);
  prepared_[name] = co_await Prepare(std::string(message.text), std::move(message.types));
  out_.Empty('1');
}

void PgConnection::HandleBind(std::string_view body) {
  BindMessage message = ReadBindMessage(body);
  const std::string portal_name(message.portal);
  const std::shared_ptr<Prepared> prepared = PreparedNamed(message.statement);
  CheckTransaction(*prepared);
  if (message.values.size() != prepared->types.size()) {
    throw ProtocolError("bind message supplies " + std::to_string(message.values.size()) +
                        " parameters, but prepared statement requires " +
                        std::to_string(prepared->types.size()));
  }
  Portal portal;
  portal.formats = std::move(message.result_formats);
  for (size_t i = 0; i < message.values.size(); ++i) {
    portal.values.push_back(ParameterValue(static_cast<int>(i) + 1, prepared->types[i],
                                           FormatAt(message.value_formats, i), message.values[i]));
  }
  if (portal.formats.size() > 1 && portal.formats.size() != ColumnsOf(*prepared).size()) {
    throw ProtocolError("bind message has " + std::to_string(portal.formats.size()) +
                        " result formats but query has " +
                        std::to_string(ColumnsOf(*prepared).size()) + " columns");
  }
  if (!portal_name.empty() && portals_.contains(portal_name)) {
    throw Failure{{"ERROR", std::string(sqlstate::kDuplicatePortal),
                   "portal \"" + portal_name + "\" already exists", "", 0}};
  }
  if (portals_.size() >= kMostPortals) {
    throw Failure{{"ERROR", std::string(SqlStateOf(ErrorCode::kTooLong)),
                   "there are " + std::to_string(kMostPortals) + " portals already", "", 0}};
  }
  ClosePortal(portal_name);
  portal.prepared = prepared;
  portals_.emplace(portal_name, std::move(portal));
  out_.Empty('2');
}

std::vector<Column> PgConnection::ColumnsOf(const Prepared& prepared) {
  if (prepared.client) {
    switch (prepared.client->kind) {
      case ClientStatement::Kind::kShow:
        if (prepared.client->name == "all") {
          return {{"name", Column::Type::kText}, {"setting", Column::Type::kText}};
        }
        return {{prepared.client->name, Column::Type::kText}};
      case ClientStatement::Kind::kConstants:
        return Constants(prepared.client->items, true).columns;
      default:
        return {};
    }
  }
  if (prepared.is_catalog) return RunCatalogQuery(prepared, nullptr).rows->columns;
  if (!prepared.parsed) return {};
  return session_->ColumnsOf(prepared.parsed->statement.node);
}

void PgConnection::HandleDescribe(std::string_view body) {
  const TargetMessage message = ReadTargetMessage(body);
  const Prepared* prepared = nullptr;
  std::vector<WireFormat> formats;
  if (message.is_portal) {
    const Portal& portal = PortalNamed(message.name);
    prepared = portal.prepared.get();
    formats = portal.formats;
  } else {
    prepared = PreparedNamed(message.name).get();
  }
  std::vector<Column> columns;
  try {
    columns = ColumnsOf(*prepared);
  } catch (const Error& error) {
    throw FailureOf(error, prepared->text, 0, StatementRun::CancelReason::kNone);
  }
  if (!message.is_portal) {
    out_.Begin('t').Int16(static_cast<int16_t>(prepared->types.size()));
    // What was left open may be sent as text, and is read as its place calls for.
    for (const int32_t type : prepared->types) out_.Int32(type == 0 ? oid::kText : type);
    out_.Finish();
  }
  if (columns.empty()) {
    out_.Empty('n');
  } else {
    WriteRowDescription(columns, formats, out_);
  }
}

asio::awaitable<void> PgConnection::HandleExecute(std::string_view body) {
  const ExecuteMessage message = ReadExecuteMessage(body);
  const std::string name(message.portal);
  const int32_t max_rows = message.max_rows;
  Portal* portal = &PortalNamed(name);
  const std::shared_ptr<const Prepared> prepared = portal->prepared;
  CheckTransaction(*prepared);
  if (prepared->is_empty()) {
    out_.Empty('I');
    co_return;
  }
  if (prepared->client || prepared->is_catalog) {
    if (!portal->is_done && portal->tag.empty()) {
      ClientOutcome outcome;
      try {
        outcome = prepared->client ? RunClientStatement(*prepared->client)
                                   : RunCatalogQuery(*prepared, &portal->values);
      } catch (const Error& error) {
        throw FailureOf(error, prepared->text, 0, StatementRun::CancelReason::kNone);
      }
      // COMMIT and others close portals, this one among them.
      const auto found = portals_.find(name);
      if (found == portals_.end()) {
        WriteCommandComplete(outcome.tag, out_);
        co_return;
      }
      portal = &found->second;
      portal->rows = std::move(outcome.rows);
      portal->tag = outcome.tag;
    }
    int sent = 0;
    while (portal->rows && portal->next_row < portal->rows->rows.size()) {
      WriteDataRow(portal->rows->rows[portal->next_row++], portal->formats, out_);
      if (++sent == max_rows) {
        out_.Empty('s');
        co_return;
      }
    }
    WriteCommandComplete(portal->tag, out_);
    co_return;
  }
  if (portal->is_done) {
    WriteCommandComplete("SELECT 0", out_);
    co_return;
  }
  if (!portal->run) {
    const std::vector<ast::Literal> values = portal->values;
    Work work = [session = session_, prepared, values](ResultSink& sink, const Urgency& urgency) {
      session->Run(prepared->text, *prepared->parsed, values, sink, urgency);
    };
    const std::shared_ptr<StatementRun> started =
        co_await Start(*prepared, values, std::move(work));
    portal->run = started;
  }
  const std::shared_ptr<StatementRun> run = portal->run;
  const std::vector<WireFormat> formats = portal->formats;
  std::optional<Stop> stop;
  try {
    stop = co_await Pump(run, prepared->text, 0, max_rows, false, formats);
  } catch (const Failure&) {
    portals_.erase(name);
    throw;
  }
  if (*stop == Stop::kSuspended) {
    out_.Empty('s');
  } else if (const auto found = portals_.find(name); found != portals_.end()) {
    found->second.is_done = true;
  }
}

void PgConnection::HandleClose(std::string_view body) {
  const TargetMessage message = ReadTargetMessage(body);
  const std::string name(message.name);
  if (message.is_portal) {
    ClosePortal(name);
  } else {
    prepared_.erase(name);
  }
  out_.Empty('3');
}

}  // namespace promptdb
