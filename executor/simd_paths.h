// The builds of executor/simd_kernels.inc. Callers use KernelsFor() of executor/simd.h.
#ifndef PROMPTDB_EXECUTOR_SIMD_PATHS_H_
#define PROMPTDB_EXECUTOR_SIMD_PATHS_H_

#include "executor/simd.h"

#if defined(__x86_64__)
#define PROMPTDB_X86_PATHS 1
#endif

namespace promptdb {

const SimdKernels& PortableKernels();
#ifdef PROMPTDB_X86_PATHS
const SimdKernels& Avx2Kernels();
const SimdKernels& Avx512Kernels();
#endif

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_SIMD_PATHS_H_
