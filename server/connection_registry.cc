#include "server/connection_registry.h"

#include <cstring>
#include <ctime>

#include "auth/secrets.h"

namespace promptdb {

ConnectionRegistry::Entry::Entry(ConnectionRegistry* registry, ConnectionInfo info, Handles handles)
    : registry_(registry) {
  const std::string random = RandomBytes(sizeof(secret_));
  std::memcpy(&secret_, random.data(), sizeof(secret_));
  const std::lock_guard lock(registry_->mutex_);
  do {
    registry_->last_id_ = registry_->last_id_ == INT32_MAX ? 1 : registry_->last_id_ + 1;
  } while (registry_->rows_.contains(registry_->last_id_));
  id_ = registry_->last_id_;
  info.id = id_;
  info.state = "idle";
  info.since = std::time(nullptr);
  registry_->rows_.emplace(id_, Row{std::move(info), secret_, std::move(handles)});
}

ConnectionRegistry::Entry::~Entry() {
  const std::lock_guard lock(registry_->mutex_);
  registry_->rows_.erase(id_);
}

void ConnectionRegistry::Entry::SetState(const std::string& state, const std::string& statement) {
  const std::lock_guard lock(registry_->mutex_);
  ConnectionInfo& info = registry_->rows_.at(id_).info;
  info.state = state;
  info.statement = statement;
  info.since = std::time(nullptr);
}

void ConnectionRegistry::Entry::SetApplication(const std::string& application) {
  const std::lock_guard lock(registry_->mutex_);
  registry_->rows_.at(id_).info.application = application;
}

void ConnectionRegistry::Entry::SetUser(const std::string& user) {
  const std::lock_guard lock(registry_->mutex_);
  registry_->rows_.at(id_).info.user = user;
}

void ConnectionRegistry::MarkActive(int32_t id) {
  const std::lock_guard lock(mutex_);
  const auto found = rows_.find(id);
  if (found == rows_.end() || found->second.info.state != "waiting") return;
  found->second.info.state = "active";
  found->second.info.since = std::time(nullptr);
}

int ConnectionRegistry::count() const {
  const std::lock_guard lock(mutex_);
  return static_cast<int>(rows_.size());
}

std::vector<ConnectionInfo> ConnectionRegistry::List() const {
  const std::lock_guard lock(mutex_);
  std::vector<ConnectionInfo> list;
  for (const auto& [id, row] : rows_) list.push_back(row.info);
  return list;
}

bool ConnectionRegistry::Cancel(int32_t id, int32_t secret) {
  std::function<void()> cancel;
  {
    const std::lock_guard lock(mutex_);
    const auto found = rows_.find(id);
    if (found == rows_.end() || found->second.secret != secret) return false;
    cancel = found->second.handles.cancel;
  }
  if (cancel) cancel();
  return true;
}

void ConnectionRegistry::ShutDownAll(bool at_once) {
  std::vector<std::function<void(bool)>> all;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [id, row] : rows_) all.push_back(row.handles.shut_down);
  }
  for (const auto& shut_down : all) {
    if (shut_down) shut_down(at_once);
  }
}

}  // namespace promptdb
