// The forward pass on a device that computes: weights, activations and the states that a pass
// reads and writes are in the device's memory; token ids and the tables of who reads what go there,
// and last hidden states or logits come back.
//
// States that are in the device tier are read where they are; others are copied to memory that
// goes with their segments (KvSegment::BringTo). The host queues a layer once its states have
// arrived, while the device computes the layer before. New states are written on the device, and
// fetched when somebody reads them on the host, to store them say.
//
// Thread-safe: const after loading; one pass at a time on a device.
#ifndef PROMPTDB_EXECUTOR_DEVICE_TRANSFORMER_H_
#define PROMPTDB_EXECUTOR_DEVICE_TRANSFORMER_H_

#include <memory>

#include "device/device_compute.h"
#include "executor/transformer.h"

namespace promptdb {

// `device` is borrowed. Weights are f32 or bf16 there, as Options::dtype says; activations that go
// into products are of the same. Throws Error: kResource where the device has no room, kUnsupported
// where its thread blocks have too little memory for heads of this size.
std::unique_ptr<Transformer> LoadOnDevice(std::shared_ptr<const Checkpoint> checkpoint,
                                          const Transformer::Options& options,
                                          DeviceCompute& device, ProgressListener* progress);

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_DEVICE_TRANSFORMER_H_
