#include "executor/threads.h"

#ifdef PROMPTDB_TORCH
#include <ATen/Parallel.h>
#endif
#include <omp.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <set>
#include <thread>
#include <utility>

namespace promptdb {
namespace {

// Two hyper-threads of one core share its FMA units, so the second adds contention, not speed.
int PhysicalCores() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  std::set<std::pair<std::string, std::string>> cores;
  std::string line, socket;
  while (std::getline(cpuinfo, line)) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    if (line.starts_with("physical id")) socket = line.substr(colon + 1);
    if (line.starts_with("core id")) cores.emplace(socket, line.substr(colon + 1));
  }
  // omp_get_num_procs() counts what this process may use, which a container can make fewer.
  const int available = std::max(1, omp_get_num_procs());
  if (cores.empty()) return available;
  return std::min(available, static_cast<int>(cores.size()));
}

std::atomic<int> wanted_threads{0};

}  // namespace

void SetThreads(int threads) {
  wanted_threads = threads > 0 ? threads : PhysicalCores();
  ApplyThreads();
}

int Threads() {
  int threads = wanted_threads;
  if (threads == 0) {
    threads = PhysicalCores();
    wanted_threads = threads;
  }
  return threads;
}

void ApplyThreads() {
  const int threads = Threads();
#ifdef PROMPTDB_TORCH
  if (at::get_num_threads() != threads) at::set_num_threads(threads);
#endif
  if (omp_get_max_threads() != threads) omp_set_num_threads(threads);
}

}  // namespace promptdb
