#include "tnet/socket.h"

#include <netinet/tcp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cassert>
#include <cerrno>
#include <climits>
#include <cstring>
#include <string>

namespace tnet {

namespace {

std::error_code lastError() { return std::error_code(errno, std::generic_category()); }

bool setOption(int fd, int level, int option, bool enabled) {
    const int value = enabled ? 1 : 0;
    return ::setsockopt(fd, level, option, &value, sizeof(value)) == 0;
}

std::string pathOf(const Address& address) { return address.toString().substr(std::strlen("unix:")); }

// Whether a socket lies at `address` that nobody listens on: left behind by a process that is gone.
bool isStale(const Address& address) {
    struct stat status {};
    if (::lstat(pathOf(address).c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) return false;

    const Result<FileDescriptor> probe = openSocket(AF_UNIX);
    if (!probe) return false;
    // A live listener accepts it, or with a full backlog answers EAGAIN; a datagram socket EPROTOTYPE.
    return ::connect(probe->get(), address.data(), address.size()) != 0 && errno == ECONNREFUSED;
}

std::error_code bindUnix(int fd, const Address& address) {
    if (::bind(fd, address.data(), address.size()) == 0) return {};
    const std::error_code error = lastError();
    if (error != std::errc::address_in_use || address.isAbstract() || !isStale(address)) return error;

    if (::unlink(pathOf(address).c_str()) != 0 && errno != ENOENT) return lastError();
    return ::bind(fd, address.data(), address.size()) == 0 ? std::error_code() : lastError();
}

std::error_code listenUnix(int fd, const Address& address, const ListenOptions& options) {
    if (options.reusePort || options.joinGroup)
        return std::make_error_code(std::errc::operation_not_supported);
    if (const std::error_code error = bindUnix(fd, address)) return error;
    return ::listen(fd, options.backlog) == 0 ? std::error_code() : lastError();
}

std::error_code listenInet(int fd, const Address& address, const ListenOptions& options) {
    // A restarted server must not wait for its old connections to leave TIME_WAIT.
    if (!setOption(fd, SOL_SOCKET, SO_REUSEADDR, true)) return lastError();
    if (!setNoDelay(fd, true)) return lastError();
    if (address.family() == AF_INET6 && !setOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, options.v6Only))
        return lastError();
    if (options.joinGroup && !setOption(fd, SOL_SOCKET, SO_REUSEPORT, true)) return lastError();
    if (::bind(fd, address.data(), address.size()) != 0) return lastError();
    if (::listen(fd, options.backlog) != 0) return lastError();
    // The first of a group becomes one that can be joined only now. Had it SO_REUSEPORT before bind,
    // another server of this user could share the port by asking for the same; had it SO_REUSEPORT
    // before listen, two that bind at the same moment (SO_REUSEADDR lets them) could.
    if (options.reusePort && !setOption(fd, SOL_SOCKET, SO_REUSEPORT, true)) return lastError();
    return {};
}

template <class Call>
Address askAddress(int fd, Call call) {
    sockaddr_storage storage{};
    socklen_t length = sizeof(storage);
    sockaddr* const address = reinterpret_cast<sockaddr*>(&storage);
    if (call(fd, address, &length) != 0) return Address();
    return Address::fromSockaddr(address, length);
}

}  // namespace

void FileDescriptor::reset(int fd) {
    assert((fd < 0 || fd != m_fd) && "a descriptor cannot be replaced by itself");
    const int old = std::exchange(m_fd, fd);
    if (old < 0) return;
    const int savedErrno = errno;
    ::close(old);  // not repeated on EINTR: on Linux the number is free by then, perhaps taken again
    errno = savedErrno;
}

Result<FileDescriptor> openSocket(int family) {
    FileDescriptor fd(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd.valid()) return makeErrnoError(errno, "socket");
    return fd;
}

Result<FileDescriptor> listenOn(const Address& address, const ListenOptions& options) {
    Result<FileDescriptor> fd = openSocket(address.family());
    if (!fd) return makeError(fd.error().code, "listen " + address.toString());
    const std::error_code error =
        address.isUnix() ? listenUnix(fd->get(), address, options) : listenInet(fd->get(), address, options);
    if (error) return makeError(error, "listen " + address.toString());
    return fd;
}

std::error_code refuseNewPeers(int listener) {
    // accept goes on until its queue is empty, and then says EINVAL.
    if (localAddress(listener).isUnix())
        return ::shutdown(listener, SHUT_RD) == 0 ? std::error_code() : lastError();

    // Bound to an interface that there is not, it matches no packet that begins a connection; those of a handshake
    // that is under way belong to that, not to the listener, and go on.
    const int nowhere = INT_MAX;
    if (::setsockopt(listener, SOL_SOCKET, SO_BINDTOIFINDEX, &nowhere, sizeof(nowhere)) != 0)
        return lastError();
    return {};
}

Address localAddress(int fd) { return askAddress(fd, ::getsockname); }

Address peerAddress(int fd) { return askAddress(fd, ::getpeername); }

std::error_code socketError(int fd) {
    int error = 0;
    socklen_t length = sizeof(error);
    if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) return lastError();
    return error == 0 ? std::error_code() : std::error_code(error, std::generic_category());
}

bool setNoDelay(int fd, bool enabled) { return setOption(fd, IPPROTO_TCP, TCP_NODELAY, enabled); }

bool setAcknowledgeTimeout(int fd, std::chrono::milliseconds timeout) {
    const bool isLimited = timeout > std::chrono::milliseconds::zero() && timeout.count() <= INT_MAX;
    const unsigned int millis = isLimited ? static_cast<unsigned int>(timeout.count()) : 0;
    return ::setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &millis, sizeof(millis)) == 0;
}

}  // namespace tnet
