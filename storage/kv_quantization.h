// Attention states in 8 or 4 bits: what they are stored as where a model says so.
//
// Keys are quantized by channel, since RoPE leaves some channels large in all tokens, and values by
// token: Liu et al., "KIVI: A Tuning-Free Asymmetric 2bit Quantization for KV Cache" (2024). Codes
// run from 0 to 255 (15) over the range of their group; KvDtype says what they mean.
//
// Thread-safe: functions of their arguments.
#ifndef PROMPTDB_STORAGE_KV_QUANTIZATION_H_
#define PROMPTDB_STORAGE_KV_QUANTIZATION_H_

#include "storage/kv_segment.h"

namespace promptdb {

// What the forward pass writes its states in where they are stored as `stored`: codes come of whole
// chunks alone.
KvShape WorkingShape(const KvShape& stored);

// A copy in own memory. REQUIRES: IsQuantized(dtype), the segment is not quantized.
KvSegment Quantize(const KvSegment& segment, KvDtype dtype);

}  // namespace promptdb

#endif  // PROMPTDB_STORAGE_KV_QUANTIZATION_H_
