#include "tnet/release_memory.h"

#include <malloc.h>

namespace tnet {

void returnFreeMemory() {
#ifdef __GLIBC__
    ::malloc_trim(0);
#endif
}

}  // namespace tnet
