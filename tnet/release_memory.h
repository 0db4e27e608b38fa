// release_memory: gives memory back that was needed once.
//
// Threads: any; each string is its owner's.
#pragma once

#include <string>

#include "tnet/cpp20.h"

namespace tnet {

// Empties a string and gives its memory back. Assigning an empty one does not: a string keeps its buffer when
// it takes over one that needs none.
inline void releaseMemory(std::string& text) { std::string().swap(text); }

// Gives what was freed, and the allocator keeps, back to the system. Costs about as much as there are free pieces:
// for now and then, not for each request. With glibc the first call sets the process's M_TRIM_THRESHOLD to 4
// MiB, and the end of the calling thread's own heap goes back, too. Does nothing where the C library has no
// such call.
void returnFreeMemory();

}  // namespace tnet
