// How many threads the forward pass uses.
//
// Thread-safe.
#ifndef PROMPTDB_EXECUTOR_THREADS_H_
#define PROMPTDB_EXECUTOR_THREADS_H_

namespace promptdb {

// For the whole process, from the next forward pass on. 0: as many as there are physical cores.
void SetThreads(int threads);
int Threads();

// Gives the calling thread's OpenMP and libtorch the number. OpenMP keeps it for each
// thread apart, so whoever runs a forward pass calls this first. Cheap when nothing has changed.
void ApplyThreads();

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_THREADS_H_
