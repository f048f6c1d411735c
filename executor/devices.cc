#include "executor/devices.h"

#include "base/error.h"
#include "device/host_compute.h"
#include "storage/catalog.h"
#ifdef PROMPTDB_CUDA
#include "cuda/cuda_compute.h"
#endif

namespace promptdb {

namespace {

constexpr std::string_view kCudaPrefix = "cuda:";
constexpr size_t kMostDigits = 4;

std::unique_ptr<DeviceCompute> OpenCuda([[maybe_unused]] const std::string& name) {
#ifdef PROMPTDB_CUDA
  return OpenCudaCompute(std::stoi(name.substr(kCudaPrefix.size())));
#else
  throw Error(ErrorCode::kUnsupported, "this build can't compute on device '" + name + "'",
              "Build with -DPROMPTDB_CUDA=ON, or use device 'cpu'.");
#endif
}

}  // namespace

bool IsDeviceName(std::string_view name) {
  if (name == kCpuDevice || name == kHostDeviceName) return true;
  if (!name.starts_with(kCudaPrefix)) return false;
  const std::string_view number = name.substr(kCudaPrefix.size());
  return !number.empty() && number.size() <= kMostDigits &&
         number.find_first_not_of("0123456789") == number.npos;
}

Devices::Devices() {
  auto host = std::make_unique<HostCompute>(std::make_unique<HostDevice>());
  current_ = host.get();
  devices_[std::string(kHostDeviceName)] = std::move(host);
}

Devices::~Devices() = default;

DeviceCompute& Devices::current() {
  const std::scoped_lock lock(mutex_);
  return *current_;
}

DeviceCompute& Devices::Open(const std::string& name) {
  const std::scoped_lock lock(mutex_);
  if (!devices_.contains(name)) devices_.emplace(name, OpenCuda(name));
  DeviceCompute& device = *devices_.at(name);
  if (current_ != &device) {
    if (!pool_->MoveTo(&device.memory())) {
      throw Error(ErrorCode::kBusy,
                  "device '" + current_->memory().name() + "' is in use, and a database has one",
                  "Wait until its queries are done.");
    }
    current_ = &device;
  }
  return device;
}

}  // namespace promptdb
