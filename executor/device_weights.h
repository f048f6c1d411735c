// A model's weights in a device's memory.
//
// Thread-safe: immutable after loading.
#ifndef PROMPTDB_EXECUTOR_DEVICE_WEIGHTS_H_
#define PROMPTDB_EXECUTOR_DEVICE_WEIGHTS_H_

#include <vector>

#include "base/progress.h"
#include "device/device_compute.h"
#include "model/checkpoint.h"
#include "storage/device_block.h"

namespace promptdb {

// Vectors are f32, and nothing where the checkpoint has none.
struct DeviceNorm {
  DeviceBlock weight;  // [dim]
  DeviceBlock bias;    // [dim]
};

// Several weights stacked to one, with their biases.
struct DeviceProduct {
  DeviceBlock weight;  // [out, in] number
  DeviceBlock bias;    // [out]
  int in = 0;
  int out = 0;
};

struct DeviceLayer {
  DeviceNorm attention_norm;
  DeviceProduct qkv;   // dim -> (heads + 2 kv_heads) * head_dim
  DeviceBlock q_norm;  // [head_dim]
  DeviceBlock k_norm;
  DeviceProduct attention_output;
  DeviceNorm mlp_norm;  // of a parallel block it may be attention_norm again
  DeviceProduct up;     // dim -> hidden; SwiGLU: the gate first, dim -> 2 hidden
  DeviceProduct down;
};

struct DeviceWeights {
  NumberType number = NumberType::kF32;
  DeviceProduct embedding;  // [vocab, dim]; the head, too, if that is tied
  DeviceBlock learned;      // [context, dim] number; PositionScheme::kLearned
  DeviceBlock slopes;       // [heads] f32; PositionScheme::kAlibi
  std::vector<DeviceLayer> layers;
  DeviceNorm final_norm;
  DeviceProduct head;  // [vocab, dim], if not tied
  int64_t bytes = 0;

  const DeviceProduct& output() const { return head.out > 0 ? head : embedding; }
};

// Throws Error(kResource) where the device has no room, kCanceled when `progress` says so.
DeviceWeights LoadDeviceWeights(const Checkpoint& checkpoint, NumberType number,
                                DeviceMemory& device, ProgressListener* progress);

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_DEVICE_WEIGHTS_H_
