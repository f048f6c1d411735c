// The kernels for x86-64 with AVX-512 (F, BW, VL, DQ). As for AVX2, headers come before the pragma.
#include "executor/simd_paths.h"
#include "storage/kv_segment.h"

#ifdef PROMPTDB_X86_PATHS
#include <immintrin.h>

#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")
#define PROMPTDB_SIMD_LANES 16
#define PROMPTDB_SIMD_ROWS 12
#define PROMPTDB_SIMD_KERNELS Avx512Kernels
#include "executor/simd_kernels.inc"
#endif
