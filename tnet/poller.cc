#include "tnet/poller.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <utility>

#include "tnet/types.h"

namespace tnet {
namespace {

// Hang-up and error cannot be masked. Who watches for nothing else is told once (edge-triggered), or a
// hang-up that has to wait, behind input that is not read now, would be told in every round.
uint32_t toEpoll(uint32_t events) {
    if (events == 0) return EPOLLET;
    return ((events & TNET_READ) != 0 ? uint32_t{EPOLLIN} : 0) |
           ((events & TNET_WRITE) != 0 ? uint32_t{EPOLLOUT} : 0);
}

uint32_t fromEpoll(uint32_t events) {
    return ((events & EPOLLIN) != 0 ? uint32_t{TNET_READ} : 0) |
           ((events & EPOLLOUT) != 0 ? uint32_t{TNET_WRITE} : 0) |
           ((events & (EPOLLERR | EPOLLHUP)) != 0 ? uint32_t{TNET_ERROR} : 0);
}

}  // namespace

Result<Poller> Poller::create() {
    FileDescriptor epoll(::epoll_create1(EPOLL_CLOEXEC));
    if (!epoll.valid()) return makeErrnoError(errno, "epoll_create1");
    return Poller(std::move(epoll));
}

std::error_code Poller::add(int fd, uint32_t events, uint64_t tag) {
    return control(EPOLL_CTL_ADD, fd, events, tag);
}

std::error_code Poller::modify(int fd, uint32_t events, uint64_t tag) {
    return control(EPOLL_CTL_MOD, fd, events, tag);
}

void Poller::remove(int fd) {
    // Fails only if the caller closed the descriptor first, and then there is nothing to remove.
    control(EPOLL_CTL_DEL, fd, 0, 0);
}

size_t Poller::wait(Duration timeout) {
    using std::chrono::ceil;
    using std::chrono::milliseconds;
    int wait = -1;
    if (timeout >= Duration::zero()) {
        wait = static_cast<int>(std::min<int64_t>(ceil<milliseconds>(timeout).count(), INT_MAX));
    }
    // Past libc's wrapper, which makes it a cancellation point at some fifty instructions; a loop's thread is
    // never cancelled.
    const long n = ::syscall(SYS_epoll_pwait, m_epoll.get(), m_events.data(),
                             static_cast<int>(m_events.size()), wait, nullptr, 0);
    return n > 0 ? static_cast<size_t>(n) : 0;
}

Poller::Ready Poller::ready(size_t index) const {
    return {m_events[index].data.u64, fromEpoll(m_events[index].events)};
}

std::error_code Poller::control(int operation, int fd, uint32_t events, uint64_t tag) {
    epoll_event event{};
    event.events = toEpoll(events);
    event.data.u64 = tag;
    if (::epoll_ctl(m_epoll.get(), operation, fd, &event) == 0) return {};
    return {errno, std::generic_category()};
}

}  // namespace tnet
