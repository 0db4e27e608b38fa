#include "tnet/release_memory.h"

#include <malloc.h>

#include <cstdlib>

namespace tnet {

#ifdef __GLIBC__

namespace {

constexpr int kKeptBytes = 4 << 20;           // at the end of each thread's heap
constexpr size_t kTrimmingBytes = 100 << 10;  // a free of more than 64 KiB looks at that end

}  // namespace

// malloc_trim leaves the end of the heaps of all threads but the first alone, and by itself glibc keeps up to
// 64 MiB there once it has seen large blocks come and go. A free gives back what is beyond the threshold.
void returnFreeMemory() {
    static const int isSet = ::mallopt(M_TRIM_THRESHOLD, kKeptBytes);
    static_cast<void>(isSet);
    ::malloc_trim(0);
    void* volatile block = std::malloc(kTrimmingBytes);
    std::free(block);
}

#else

void returnFreeMemory() {}

#endif

}  // namespace tnet
