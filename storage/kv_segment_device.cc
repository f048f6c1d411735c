// What KvSegment does on a device.
#include <exception>
#include <memory>
#include <utility>

#include "base/error.h"
#include "storage/kv_segment.h"

namespace promptdb {

namespace {

// A copy may still be under way to memory that goes. One that failed has ended, too.
void Await(const std::shared_ptr<CopyEvent>& arrival) noexcept {
  if (arrival == nullptr) return;
  try {
    arrival->Wait();
  } catch (const Error&) {
  }
}

}  // namespace

KvSegment::~KvSegment() {
  for (const DeviceCopy& copy : copies_) Await(copy.arrival);
}

KvSegment& KvSegment::operator=(KvSegment&& other) noexcept {
  if (this != &other) {
    std::destroy_at(this);
    std::construct_at(this, std::move(other));
  }
  return *this;
}

DeviceBlock KvSegment::Allocate(DeviceMemory& device, int64_t bytes) {
  return AllocateOrThrow(device, bytes, "the states of this query",
                         "A smaller gpu_cache leaves more for queries.");
}

KvSegment::DeviceCopy KvSegment::CopyIn(DeviceMemory& device, size_t block) const {
  const BlockBuffer* source = nullptr;
  if (!is_pinned()) {
    source = &owned_[block];
  } else if (!pins_.empty()) {
    source = &pins_[block].block();
  }
  const std::byte* payload = source != nullptr ? source->payload() : device_pins_[block].payload();
  const int64_t bytes =
      source != nullptr ? source->payload_bytes() : device_pins_[block].size() - kBlockHeaderBytes;
  DeviceCopy copy{Allocate(device, bytes), nullptr};
  copy.arrival = device.CopyIn(copy.memory.address(), payload, bytes);
  return copy;
}

void KvSegment::CopyInAgain(size_t block) {
  Await(copies_[block].arrival);
  copies_[block] = CopyIn(*device_, block);
}

void KvSegment::BringTo(DeviceMemory& device) const {
  Check(device_ == nullptr || device_ == &device, "a segment is on one device");
  if (device_ != nullptr) return;
  copies_.resize(is_pinned() ? pins_.size() + device_pins_.size() : owned_.size());
  // The device tier's blocks are there, or on their way.
  if (device_pins_.empty()) {
    for (size_t block = 0; block < copies_.size(); ++block) {
      if (copies_[block].arrival == nullptr) copies_[block] = CopyIn(device, block);
    }
  }
  device_ = &device;
}

const std::byte* KvSegment::DevicePayload(DeviceMemory& device, size_t block) const {
  if (!device_pins_.empty()) {
    if (device_pins_[block].Arrive()) {
      return PointerTo(device_pins_[block].address()) + kBlockHeaderBytes;
    }
    // Once more, since it is on the host.
    if (!copies_[block].memory.is_there()) copies_[block] = CopyIn(device, block);
  }
  if (copies_[block].arrival != nullptr) {
    copies_[block].arrival->Wait();
    copies_[block].arrival.reset();
  }
  return copies_[block].memory.data();
}

void KvSegment::AppendDeviceSlices(DeviceMemory& device, int layer, int begin, int end,
                                   std::vector<KvSlice>& out) const {
  Check(device_ == &device, "a segment is brought to a device before it is read there");
  const int group = layer / group_layers_;
  while (begin < end) {
    const Place place = PlaceOf(begin);
    const int64_t layer_bytes = LayoutOf(shape_, ChunkCapacity(place.chunk)).bytes;
    const std::byte* part = DevicePayload(device, BlockOf(place.chunk, group)) +
                            (layer - group * group_layers_) * layer_bytes;
    out.push_back(SliceOf(part, place, begin, end));
    begin += out.back().tokens;
  }
}

void KvSegment::Fetch() const {
  if (device_ == nullptr || is_pinned() || fetched_tokens_ == tokens_) return;
  std::vector<std::shared_ptr<CopyEvent>> copied;
  const int first_chunk = PlaceOf(fetched_tokens_).chunk, last_chunk = PlaceOf(tokens_ - 1).chunk;
  std::exception_ptr failure;
  for (int chunk = first_chunk; chunk <= last_chunk; ++chunk) {
    for (int group = 0; group < groups_; ++group) {
      const size_t block = BlockOf(chunk, group);
      try {
        copied.push_back(device_->CopyOut(owned_[block].payload(), copies_[block].memory.address(),
                                          owned_[block].payload_bytes()));
      } catch (const Error&) {
        failure = std::current_exception();
      }
    }
  }
  // All of them, since they write to memory of this segment.
  for (const std::shared_ptr<CopyEvent>& copy : copied) {
    try {
      copy->Wait();
    } catch (const Error&) {
      failure = std::current_exception();
    }
  }
  if (failure != nullptr) std::rethrow_exception(failure);
  fetched_tokens_ = tokens_;
}

}  // namespace promptdb
