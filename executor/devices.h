// The devices that models compute on: opened when a model first names one, and kept.
//
// The device tier is one pool, so a database has one device at a time: opening another one empties
// the tier and moves it there.
//
// Thread-safe.
#ifndef PROMPTDB_EXECUTOR_DEVICES_H_
#define PROMPTDB_EXECUTOR_DEVICES_H_

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "storage/device_pool.h"

namespace promptdb {

class DeviceCompute;

// Whether CREATE MODEL … WITH (device = 'name') may say so: 'cpu', 'host', 'cuda:0', 'cuda:1', …
bool IsDeviceName(std::string_view name);

class Devices {
 public:
  // With the stand-in alone.
  Devices();
  ~Devices();

  // Where the device tier is, or would be.
  DeviceCompute& current();
  // `pool` is borrowed, and is on current(). Before the first Open().
  void Attach(DevicePool* pool) { pool_ = pool; }

  // The device of that name, where the tier then is. Throws Error: kUnsupported where this build
  // knows no such device, kResource where the machine has none, kBusy while the tier of another is
  // in use. REQUIRES: IsDeviceName(name), and it isn't 'cpu'.
  DeviceCompute& Open(const std::string& name);

 private:
  std::mutex mutex_;
  DevicePool* pool_ = nullptr;
  // Guarded by mutex_. Open models compute on them, so none goes before the database does.
  std::map<std::string, std::unique_ptr<DeviceCompute>> devices_;
  DeviceCompute* current_ = nullptr;
};

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_DEVICES_H_
