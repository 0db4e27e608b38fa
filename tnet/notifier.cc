#include "tnet/notifier.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <utility>

namespace tnet {

Notifier::Notifier(FileDescriptor fd) : m_fd(std::move(fd)) {}

Result<Notifier> Notifier::create() {
    FileDescriptor fd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    if (!fd.valid()) return makeErrnoError(errno, "eventfd");
    return Notifier(std::move(fd));
}

void Notifier::notify() {
    const int savedErrno = errno;
    const uint64_t one = 1;
    // EAGAIN means that the counter is full, and so that fd() is readable already.
    while (::write(m_fd.get(), &one, sizeof(one)) < 0 && errno == EINTR) {
    }
    errno = savedErrno;
}

void Notifier::drain() {
    uint64_t count = 0;
    // One read takes the whole counter; EAGAIN means that it was zero.
    while (::read(m_fd.get(), &count, sizeof(count)) < 0 && errno == EINTR) {
    }
}

}  // namespace tnet
