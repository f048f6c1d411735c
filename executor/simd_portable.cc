// The kernels in 16-byte vectors, which every CPU has.
#include "executor/simd_paths.h"
#include "storage/kv_segment.h"

#define PROMPTDB_SIMD_LANES 4
#define PROMPTDB_SIMD_ROWS 6
#define PROMPTDB_SIMD_KERNELS PortableKernels
#include "executor/simd_kernels.inc"
