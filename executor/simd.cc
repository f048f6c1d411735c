#include "executor/simd.h"

#include "base/error.h"
#include "executor/simd_paths.h"

namespace promptdb {

std::string_view CpuPathName(CpuPath path) {
  switch (path) {
    case CpuPath::kPortable:
      return "portable";
    case CpuPath::kAvx2:
      return "avx2";
    case CpuPath::kAvx512:
      return "avx512";
  }
  return "?";
}

std::vector<CpuPath> CpuPaths() {
  std::vector<CpuPath> paths = {CpuPath::kPortable};
#ifdef PROMPTDB_X86_PATHS
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    paths.push_back(CpuPath::kAvx2);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
      paths.push_back(CpuPath::kAvx512);
    }
  }
#endif
  return paths;
}

CpuPath BestCpuPath() {
  static const CpuPath best = CpuPaths().back();
  return best;
}

const SimdKernels& KernelsFor(CpuPath path) {
#ifdef PROMPTDB_X86_PATHS
  if (path == CpuPath::kAvx512) return Avx512Kernels();
  if (path == CpuPath::kAvx2) return Avx2Kernels();
#endif
  Check(path == CpuPath::kPortable, "this build has the vector path");
  return PortableKernels();
}

}  // namespace promptdb
