#include "tnet/out_of_memory.h"

#include <sys/uio.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

namespace tnet {

void endOutOfMemory(const char* what) noexcept {
    constexpr const char* kBegin = "tnet: out of memory: ";
    constexpr const char* kEnd = " cannot grow; the process ends\n";
    const auto piece = [](const char* text) {
        return iovec{const_cast<char*>(text), std::strlen(text)};  // only read
    };
    const iovec pieces[] = {piece(kBegin), piece(what), piece(kEnd)};
    [[maybe_unused]] const ssize_t written = ::writev(STDERR_FILENO, pieces, 3);
    std::abort();
}

}  // namespace tnet
