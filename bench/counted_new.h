// counted_new: operator new, counted, for the servers that say how much they allocate per request.
//
// Linking it replaces the global operator new of the program.
// Threads: any.
#pragma once

#include <cstdint>

// Calls of operator new so far.
uint64_t countedAllocations();
