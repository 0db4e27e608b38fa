// The system calls that the library makes, in front of libc's: an executable's symbols come before a library's.
// A sanitizer's interceptors come next in line, so what they learn of descriptors and memory stays true.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdarg>

#include "tests/faults/strike.h"

namespace {

using tnet::chosen;
using tnet::failWith;
using tnet::Fault;
using tnet::strikes;

// The next in line for a symbol; looked up once.
template <class Function>
class Next {
public:
    constexpr explicit Next(const char* name) : m_name(name) {}

    template <class... Arguments>
    auto operator()(Arguments... arguments) {
        Function* function = m_function.load(std::memory_order_acquire);
        if (function == nullptr) {
            function = reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, m_name));
            m_function.store(function, std::memory_order_release);
        }
        return function(arguments...);
    }

private:
    const char* m_name;
    std::atomic<Function*> m_function{nullptr};
};

Next<ssize_t(int, void*, size_t)> nextRead("read");
Next<ssize_t(int, const void*, size_t)> nextWrite("write");
Next<ssize_t(int, void*, size_t, off_t)> nextPread("pread");
Next<ssize_t(int, void*, size_t, int)> nextRecv("recv");
Next<ssize_t(int, const void*, size_t, int)> nextSend("send");
Next<ssize_t(int, const msghdr*, int)> nextSendmsg("sendmsg");
Next<ssize_t(int, int, off_t*, size_t)> nextSendfile("sendfile");
Next<int(int, sockaddr*, socklen_t*, int)> nextAccept4("accept4");
Next<int(int, const sockaddr*, socklen_t)> nextConnect("connect");
Next<int(int, int, int, epoll_event*)> nextEpollCtl("epoll_ctl");
Next<int(int)> nextEpollCreate1("epoll_create1");
Next<int(int, int, int)> nextSocket("socket");
Next<int(unsigned, int)> nextEventfd("eventfd");
Next<int(int, const sigset_t*, int)> nextSignalfd("signalfd");
Next<int(int, int)> nextShutdown("shutdown");
Next<long(long, ...)> nextSyscall("syscall");

bool isPollable(int fd) {
    int type = 0;
    socklen_t size = sizeof(type);
    const int before = errno;
    const bool isSocket = ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
    errno = before;
    return isSocket;
}

// True: `result` is the call's.
bool readStrikes(size_t& size, int& result) {
    if (strikes(Fault::ReadFails)) {
        result = failWith({ECONNRESET, ETIMEDOUT, ENOMEM});
        return true;
    }
    if (!strikes(Fault::ShortRead)) return false;
    const size_t kind = chosen(5);
    if (kind < 2) {
        result = failWith({kind == 0 ? EINTR : EAGAIN});
        return true;
    }
    size = std::min(size, 1 + chosen(kind == 2 ? 0 : 200));
    return false;
}

bool writeStrikes(int& result) {
    if (strikes(Fault::WriteFails)) {
        result = failWith({EPIPE, ECONNRESET, ENOBUFS, ENOMEM});
        return true;
    }
    return false;
}

// How much of `size` is taken; zero: none, and errno is set.
size_t shortened(size_t size) {
    if (!strikes(Fault::ShortWrite)) return size;
    const size_t kind = chosen(5);
    if (kind < 2) {
        failWith({kind == 0 ? EINTR : EAGAIN});
        return 0;
    }
    return std::min(size, 1 + chosen(kind == 2 ? 0 : 200));
}

long epollWait(int epoll, epoll_event* events, int max, int timeout, const void* mask, size_t maskSize) {
    tnet::countWait();
    if (strikes(Fault::EarlyWait)) {
        const size_t kind = chosen(2);
        if (kind == 0) return failWith({EINTR});
        if (kind == 1) return 0;
        max = 1 + static_cast<int>(chosen(static_cast<size_t>(max) - 1) % 3);
    }
    return nextSyscall(long{SYS_epoll_pwait}, epoll, events, max, timeout, mask, maskSize);
}

}  // namespace

extern "C" {

ssize_t read(int fd, void* into, size_t size) {
    // Of a counter (eventfd) or signals: whole or not at all.
    if (!isPollable(fd)) {
        if (strikes(Fault::ShortRead)) return failWith({EINTR});
        return nextRead(fd, into, size);
    }
    int result = 0;
    return readStrikes(size, result) ? result : nextRead(fd, into, size);
}

ssize_t pread(int fd, void* into, size_t size, off_t offset) {
    if (strikes(Fault::ReadFails)) return failWith({EIO});
    if (strikes(Fault::ShortRead)) {
        if (chosen(1) == 0) return failWith({EINTR});
        size = std::min(size, 1 + chosen(200));
    }
    return nextPread(fd, into, size, offset);
}

ssize_t recv(int fd, void* into, size_t size, int flags) {
    int result = 0;
    return readStrikes(size, result) ? result : nextRecv(fd, into, size, flags);
}

ssize_t write(int fd, const void* from, size_t size) {
    if (strikes(Fault::ShortWrite)) return failWith({EINTR});
    return nextWrite(fd, from, size);
}

ssize_t send(int fd, const void* from, size_t size, int flags) {
    int result = 0;
    if (writeStrikes(result)) return result;
    size = shortened(size);
    return size == 0 ? -1 : nextSend(fd, from, size, flags);
}

ssize_t sendmsg(int fd, const msghdr* message, int flags) {
    int result = 0;
    if (writeStrikes(result)) return result;
    size_t whole = 0;
    for (size_t i = 0; i < message->msg_iovlen; ++i) whole += message->msg_iov[i].iov_len;
    const size_t size = shortened(whole);
    if (size == 0 && whole > 0) return -1;
    if (size == whole || message->msg_controllen > 0) return nextSendmsg(fd, message, flags);
    iovec pieces[64];
    msghdr part = *message;
    part.msg_iov = pieces;
    part.msg_iovlen = 0;
    for (size_t left = size; left > 0; ++part.msg_iovlen) {
        iovec piece = message->msg_iov[part.msg_iovlen];
        piece.iov_len = std::min(piece.iov_len, left);
        left -= piece.iov_len;
        pieces[part.msg_iovlen] = piece;
    }
    return nextSendmsg(fd, &part, flags);
}

ssize_t sendfile(int to, int from, off_t* offset, size_t size) noexcept {
    if (strikes(Fault::WriteFails)) return failWith({EIO, EPIPE, ENOMEM});
    size = shortened(size);
    return size == 0 ? -1 : nextSendfile(to, from, offset, size);
}

int accept4(int listener, sockaddr* peer, socklen_t* size, int flags) {
    if (strikes(Fault::AcceptFails)) return failWith({EMFILE, ENFILE, ENOBUFS, ENOMEM});
    if (strikes(Fault::LostPeer)) return failWith({ECONNABORTED, EINTR, EAGAIN, EPROTO});
    return nextAccept4(listener, peer, size, flags);
}

int connect(int fd, const sockaddr* address, socklen_t size) {
    if (!strikes(Fault::ConnectFails)) return nextConnect(fd, address, size);
    const int failed = failWith({EADDRNOTAVAIL, ETIMEDOUT, EINTR, ECONNREFUSED, ENETUNREACH});
    if (errno != EINTR) return failed;
    nextConnect(fd, address, size);  // which goes on, whatever interrupted the call
    errno = EINTR;
    return failed;
}

int epoll_ctl(int epoll, int operation, int fd, epoll_event* event) noexcept {
    // To change or remove what is watched needs nothing that could be missing.
    if (operation == EPOLL_CTL_ADD && strikes(Fault::WatchFails)) return failWith({ENOSPC, ENOMEM});
    return nextEpollCtl(epoll, operation, fd, event);
}

int epoll_create1(int flags) noexcept {
    if (strikes(Fault::OpenFails)) return failWith({EMFILE, ENFILE, ENOMEM});
    return nextEpollCreate1(flags);
}

int socket(int domain, int type, int protocol) noexcept {
    if (strikes(Fault::OpenFails)) return failWith({EMFILE, ENFILE, ENOBUFS, ENOMEM});
    return nextSocket(domain, type, protocol);
}

int eventfd(unsigned count, int flags) noexcept {
    if (strikes(Fault::OpenFails)) return failWith({EMFILE, ENFILE, ENOMEM});
    return nextEventfd(count, flags);
}

int signalfd(int fd, const sigset_t* mask, int flags) noexcept {
    if (strikes(Fault::OpenFails)) return failWith({EMFILE, ENFILE, ENOMEM});
    return nextSignalfd(fd, mask, flags);
}

int shutdown(int fd, int how) noexcept {
    if (strikes(Fault::ShutDownFails)) return failWith({ENOTCONN});
    return nextShutdown(fd, how);
}

// What the plain transport and the poller call past libc's wrappers.
long syscall(long number, ...) noexcept {
    va_list list;
    va_start(list, number);
    long arguments[6];
    for (long& argument : arguments) argument = va_arg(list, long);
    va_end(list);
    const auto fd = static_cast<int>(arguments[0]);
    switch (number) {
        case SYS_recvfrom: {
            auto size = static_cast<size_t>(arguments[2]);
            int result = 0;
            if (readStrikes(size, result)) return result;
            arguments[2] = static_cast<long>(size);
            break;
        }
        case SYS_sendto: {
            int result = 0;
            if (writeStrikes(result)) return result;
            const size_t size = shortened(static_cast<size_t>(arguments[2]));
            if (size == 0) return -1;
            arguments[2] = static_cast<long>(size);
            break;
        }
        case SYS_epoll_pwait:
            return epollWait(fd, reinterpret_cast<epoll_event*>(arguments[1]), static_cast<int>(arguments[2]),
                             static_cast<int>(arguments[3]), reinterpret_cast<const void*>(arguments[4]),
                             static_cast<size_t>(arguments[5]));
        default: break;
    }
    return nextSyscall(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4],
                       arguments[5]);
}

}  // extern "C"
