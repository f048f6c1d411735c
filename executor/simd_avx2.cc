// The kernels for x86-64 with AVX2 and FMA. Headers come before the pragma: what they hold must
// stay fit for every CPU, since the linker may pick any file's copy of an inline function.
#include "executor/simd_paths.h"
#include "storage/kv_segment.h"

#ifdef PROMPTDB_X86_PATHS
#include <immintrin.h>

#pragma GCC target("avx2,fma,f16c")
#define PROMPTDB_SIMD_LANES 8
#define PROMPTDB_SIMD_ROWS 6
#define PROMPTDB_SIMD_KERNELS Avx2Kernels
#include "executor/simd_kernels.inc"
#endif
