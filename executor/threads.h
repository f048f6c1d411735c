// How many threads the forward pass uses, and whether the BLAS under libtorch suits them.
//
// Thread-safe.
#ifndef PROMPTDB_EXECUTOR_THREADS_H_
#define PROMPTDB_EXECUTOR_THREADS_H_

#include <string>

namespace promptdb {

// For the whole process, from the next forward pass on. 0: as many as there are physical cores.
void SetThreads(int threads);
int Threads();

// Gives the calling thread's OpenMP, OpenBLAS and libtorch the number. OpenMP keeps it for each
// thread apart, so whoever runs a forward pass calls this first. Cheap when nothing has changed.
void ApplyThreads();

// What is wrong with the OpenBLAS that is loaded and how to put it right, as a sentence; "" when
// nothing is. Another build than the OpenMP one keeps a second pool of threads, and the two fight.
std::string BlasWarning();

}  // namespace promptdb

#endif  // PROMPTDB_EXECUTOR_THREADS_H_
