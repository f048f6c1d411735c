#include "cuda/cuda_device.h"

#include <cuda_runtime.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <iterator>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "base/error.h"
#include "cuda/cuda_handles.h"
#include "cuda/cuda_status.h"
#include "storage/block_memory.h"

namespace promptdb {

namespace {

// One buffer of pinned memory. Blocks have about 1 MiB, so most take one; a larger copy is cut.
constexpr size_t kStagingBytes = size_t{2} << 20;
// Of each direction. While the device copies one, the next is filled or emptied.
constexpr int kStagingBuffers = 4;

// An event of the runtime's, which is also the owner's word that a buffer is free again.
class Event {
 public:
  Event() {
    CheckCuda(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "making an event");
  }
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void Record(cudaStream_t stream) {
    CheckCuda(cudaEventRecord(event_, stream), "recording an event");
  }
  void Wait() { CheckCuda(cudaEventSynchronize(event_), "waiting for a copy"); }

 private:
  cudaEvent_t event_ = nullptr;
};

// One direction: a stream, and the pinned buffers that its copies go through.
class Stream {
 public:
  struct Buffer {
    Event event;
    PinnedMemory memory{kStagingBytes};
    bool is_free = true;   // for the next copy
    bool is_used = false;  // `event` was recorded, and tells when the device is done with it
  };

  // REQUIRES: the device is current.
  Stream() {
    for (int i = 0; i < kStagingBuffers; ++i) buffers_.push_back(std::make_unique<Buffer>());
  }
  ~Stream() { cudaStreamSynchronize(get()); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  cudaStream_t get() const { return stream_.get(); }

  // Waits for a buffer that nobody uses, the device included.
  Buffer* Take() {
    Buffer* taken = nullptr;
    {
      std::unique_lock lock(mutex_);
      freed_.wait(lock, [&] {
        // In turns: the one that was given back first is done first.
        for (size_t i = 0; i < buffers_.size() && taken == nullptr; ++i) {
          const size_t at = (next_ + i) % buffers_.size();
          if (!buffers_[at]->is_free) continue;
          taken = buffers_[at].get();
          next_ = at + 1;
        }
        return taken != nullptr;
      });
      taken->is_free = false;
    }
    if (std::exchange(taken->is_used, false)) {
      try {
        taken->event.Wait();
      } catch (...) {
        GiveBack(taken);
        throw;
      }
    }
    return taken;
  }
  void GiveBack(Buffer* buffer) {
    {
      const std::scoped_lock lock(mutex_);
      buffer->is_free = true;
    }
    freed_.notify_one();
  }

 private:
  CudaStream stream_ = MakeCudaStream();
  std::vector<std::unique_ptr<Buffer>> buffers_;
  std::mutex mutex_;
  std::condition_variable freed_;
  size_t next_ = 0;  // guarded by mutex_
};

// The host's memory for blocks, pinned: the device copies from it and to it by itself.
class PinnedRegions : public RegionObserver {
 public:
  PinnedRegions() { AddRegionObserver(this); }
  ~PinnedRegions() override { RemoveRegionObserver(this); }

  void OnRegion(std::byte* begin, size_t bytes) noexcept override {
    if (cudaHostRegister(begin, bytes, cudaHostRegisterPortable) != cudaSuccess) {
      cudaGetLastError();  // else the next call would report it; copies take the staging buffers
      return;
    }
    const std::scoped_lock lock(mutex_);
    regions_[begin] = bytes;
  }
  void OnRegionGone(std::byte* begin, size_t) noexcept override {
    {
      const std::scoped_lock lock(mutex_);
      if (regions_.erase(begin) == 0) return;
    }
    cudaHostUnregister(begin);
  }

  bool Have(const std::byte* begin, int64_t bytes) const {
    const std::scoped_lock lock(mutex_);
    const auto after = regions_.upper_bound(begin);
    if (after == regions_.begin()) return false;
    const auto& [region, region_bytes] = *std::prev(after);
    return begin + bytes <= region + region_bytes;
  }

 private:
  mutable std::mutex mutex_;
  std::map<const std::byte*, size_t> regions_;  // guarded by mutex_
};

// The end of a copy without staging: all that has been queued until then.
class DirectEvent : public CopyEvent {
 public:
  explicit DirectEvent(int device) : device_(device) {}
  // Right after the copy was queued, whose memory its caller takes back if this throws.
  void Record(cudaStream_t stream) {
    try {
      event_.Record(stream);
    } catch (...) {
      cudaStreamSynchronize(stream);
      throw;
    }
  }
  void Wait() override {
    MakeCudaDeviceCurrent(device_);
    event_.Wait();
  }

 private:
  const int device_;
  Event event_;
};

// The end of a copy from the device: whoever waits first moves the bytes on from the buffer.
class OutEvent : public CopyEvent {
 public:
  OutEvent(int device, Stream* stream, std::byte* to, size_t bytes)
      : device_(device), stream_(stream), to_(to), bytes_(bytes) {}
  ~OutEvent() override {
    if (buffer_ != nullptr) stream_->GiveBack(buffer_);
  }

  // Queues the copy.
  void Begin(const void* from) {
    buffer_ = stream_->Take();
    CheckCuda(cudaMemcpyAsync(buffer_->memory.get(), from, bytes_, cudaMemcpyDeviceToHost,
                              stream_->get()),
              "copying from the device");
    buffer_->event.Record(stream_->get());
    buffer_->is_used = true;
  }

  void Wait() override {
    const std::scoped_lock lock(mutex_);
    if (is_done_) return;
    MakeCudaDeviceCurrent(device_);
    buffer_->event.Wait();
    std::memcpy(to_, buffer_->memory.get(), bytes_);
    is_done_ = true;
    stream_->GiveBack(std::exchange(buffer_, nullptr));
  }

 private:
  const int device_;
  Stream* const stream_;
  std::byte* const to_;
  const size_t bytes_;
  std::mutex mutex_;
  Stream::Buffer* buffer_ = nullptr;  // guarded by mutex_, as is what follows
  bool is_done_ = false;
};

class CudaDevice : public DeviceMemory {
 public:
  // REQUIRES: the device is current.
  explicit CudaDevice(int number) : number_(number) {
    cudaDeviceProp properties;
    CheckCuda(cudaGetDeviceProperties(&properties, number_), "asking for the device's name");
    description_ = properties.name;
    total_bytes_ = static_cast<int64_t>(properties.totalGlobalMem);
    cudaMemPoolProps pool = {};
    pool.allocType = cudaMemAllocationTypePinned;
    pool.location.type = cudaMemLocationTypeDevice;
    pool.location.id = number_;
    CheckCuda(cudaMemPoolCreate(&pool_, &pool), "making a memory pool");
    // What is freed stays for the next blocks.
    uint64_t keep = UINT64_MAX;
    CheckCuda(cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &keep),
              "setting the memory pool up");
    rooms_ = MakeCudaStream();
  }
  ~CudaDevice() override {
    cudaSetDevice(number_);
    cudaStreamSynchronize(rooms_.get());
    cudaMemPoolDestroy(pool_);
  }

  std::string name() const override { return "cuda:" + std::to_string(number_); }
  std::string description() const override { return description_; }
  int64_t total_bytes() const override { return total_bytes_; }
  int64_t free_bytes() const override {
    MakeCudaDeviceCurrent(number_);
    size_t free = 0, total = 0;
    CheckCuda(cudaMemGetInfo(&free, &total), "asking for free memory");
    return static_cast<int64_t>(free);
  }

  DeviceAddress Allocate(int64_t bytes) override {
    if (cudaSetDevice(number_) != cudaSuccess) return DeviceAddress::kNone;
    void* memory = nullptr;
    // The stream has nothing else to do, so that waiting for it takes no time; any stream may then
    // use the memory.
    if (cudaMallocFromPoolAsync(&memory, static_cast<size_t>(bytes), pool_, rooms_.get()) !=
            cudaSuccess ||
        cudaStreamSynchronize(rooms_.get()) != cudaSuccess) {
      cudaGetLastError();  // else the next call would report it
      return DeviceAddress::kNone;
    }
    return DeviceAddress{reinterpret_cast<uintptr_t>(memory)};
  }

  void Free(DeviceAddress address, int64_t) noexcept override {
    cudaSetDevice(number_);
    cudaFreeAsync(PointerTo(address), rooms_.get());
  }

  std::shared_ptr<CopyEvent> CopyIn(DeviceAddress to, const std::byte* from,
                                    int64_t bytes) override {
    MakeCudaDeviceCurrent(number_);
    auto event = std::make_shared<DirectEvent>(number_);
    std::byte* target = PointerTo(to);
    if (pinned_.Have(from, bytes)) {
      CheckCuda(cudaMemcpyAsync(target, from, static_cast<size_t>(bytes), cudaMemcpyHostToDevice,
                                in_.get()),
                "copying to the device");
      event->Record(in_.get());
      return event;
    }
    for (auto left = static_cast<size_t>(bytes); left > 0;) {
      const size_t part = std::min(left, kStagingBytes);
      Stream::Buffer* buffer = in_.Take();
      std::memcpy(buffer->memory.get(), from, part);
      try {
        CheckCuda(
            cudaMemcpyAsync(target, buffer->memory.get(), part, cudaMemcpyHostToDevice, in_.get()),
            "copying to the device");
        buffer->event.Record(in_.get());
        buffer->is_used = true;  // whoever takes it next waits for the event
      } catch (...) {
        cudaStreamSynchronize(in_.get());
        in_.GiveBack(buffer);
        throw;
      }
      in_.GiveBack(buffer);
      target += part;
      from += part;
      left -= part;
    }
    event->Record(in_.get());
    return event;
  }

  std::shared_ptr<CopyEvent> CopyOut(std::byte* to, DeviceAddress from, int64_t bytes) override {
    MakeCudaDeviceCurrent(number_);
    const std::byte* source = PointerTo(from);
    if (pinned_.Have(to, bytes)) {
      auto event = std::make_shared<DirectEvent>(number_);
      CheckCuda(cudaMemcpyAsync(to, source, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost,
                                out_.get()),
                "copying from the device");
      event->Record(out_.get());
      return event;
    }
    for (auto left = static_cast<size_t>(bytes);;) {
      const size_t part = std::min(left, kStagingBytes);
      auto event = std::make_shared<OutEvent>(number_, &out_, to, part);
      event->Begin(source);
      if (part == left) return event;
      // Of a copy that takes several buffers only the last one is not waited for.
      event->Wait();
      to += part;
      source += part;
      left -= part;
    }
  }

  const std::byte* ReadableOnHost(DeviceAddress) const override { return nullptr; }

 private:
  const int number_;
  std::string description_;
  int64_t total_bytes_ = 0;
  PinnedRegions pinned_;
  Stream in_;
  Stream out_;
  CudaStream rooms_;  // of memory that is taken and given back
  cudaMemPool_t pool_ = nullptr;
};

}  // namespace

int CudaDevices() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    cudaGetLastError();
    return 0;
  }
  return count;
}

std::unique_ptr<DeviceMemory> OpenCudaDevice(int number) {
  int count = 0;
  if (const cudaError_t status = cudaGetDeviceCount(&count); status != cudaSuccess) {
    cudaGetLastError();
    FailCuda(ErrorCode::kResource, "no GPU can be used", status);
  }
  if (number < 0 || number >= count) {
    throw Error(ErrorCode::kResource, "there is no device cuda:" + std::to_string(number) +
                                          "; this machine has " + std::to_string(count));
  }
  MakeCudaDeviceCurrent(number);
  return std::make_unique<CudaDevice>(number);
}

}  // namespace promptdb
