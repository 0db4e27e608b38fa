// socket: the owner of a descriptor, and the socket calls that the library needs, each once.
//
// Every socket made here is a non-blocking stream socket that is closed on exec.
//
// Threads: the functions may be called from any thread; a FileDescriptor belongs to one at a time.
// Lifetime: a FileDescriptor closes what it owns; a plain `int fd` is borrowed for the call.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <system_error>
#include <utility>

#include "tnet/address.h"
#include "tnet/result.h"

namespace tnet {

class FileDescriptor {
public:
    FileDescriptor() = default;
    explicit FileDescriptor(int fd) : m_fd(fd) {}
    ~FileDescriptor() { reset(); }
    FileDescriptor(FileDescriptor&& other) noexcept : m_fd(other.release()) {}
    FileDescriptor& operator=(FileDescriptor&& other) noexcept {
        reset(other.release());
        return *this;
    }

    int get() const { return m_fd; }  // -1: owns nothing
    bool valid() const { return m_fd >= 0; }

    // Gives the descriptor up; the caller closes it.
    int release() { return std::exchange(m_fd, -1); }

    // Closes what it owns and owns `fd` from now on. Leaves errno alone.
    void reset(int fd = -1);

private:
    int m_fd = -1;
};

// A socket of the family AF_INET, AF_INET6 or AF_UNIX, neither bound nor connected.
Result<FileDescriptor> openSocket(int family);

struct ListenOptions {
    int backlog = 1024;      // the kernel lowers it to net.core.somaxconn
    bool reusePort = false;  // others may join with joinGroup; the kernel spreads the connections
    bool joinGroup = false;  // join the listeners of this port, which were opened with reusePort
    bool v6Only = true;      // an IPv6 listener takes no IPv4 connections
    // Of TCP, for the accepted sockets: see setAcknowledgeTimeout.
    std::chrono::milliseconds acknowledgeTimeout{0};
    // Of a Unix path: the file's mode, which says who may connect (unix(7): write permission). Nothing: what bind(2)
    // gives, 0777 less the umask.
    std::optional<mode_t> unixMode{};
};

// A listening socket, bound to `address`; port 0 lets the kernel choose (see localAddress). Its
// accepted sockets inherit TCP_NODELAY and the user timeout.
//
// A port that anybody listens on is an error (address_in_use), also when both sides ask for
// reusePort: two servers never share a port by accident. To listen with several sockets, open the
// first with reusePort and the others, at its localAddress, with joinGroup. joinGroup does not
// check that it joins its own: any listener of the same user with SO_REUSEPORT will do, or none.
//
// A Unix path where a socket lies that nobody listens on is unlinked and used again; to find out,
// it is connected to, which a live listener sees as a connection that closes at once. Any other
// file there is left alone and is an error (address_in_use). The path stays behind when the
// listener is closed (tnet/socket_file.h removes it). Two processes that start at the same moment on the same
// stale path can both succeed, and the later one has the path; a lock is theirs to hold if that can happen. A
// Unix socket has no port to share: with reusePort or joinGroup the error is operation_not_supported.
Result<FileDescriptor> listenOn(const Address& address, const ListenOptions& options = {});

// What a listening socket that comes from elsewhere needs before it is served: it becomes non-blocking, for
// all who hold it, and is closed on exec. Errors: invalid_argument if it is no stream socket, or does not
// listen; what the kernel says (not_a_socket, bad_file_descriptor).
std::error_code prepareListener(int fd);

// From now on nobody new comes to `listener`, as if it were closed already, while who is connected, or about
// to be, can still be accepted: what a listener needs before it is closed, since closing resets all of these.
// What other processes hold of the same socket is affected, too, and nothing undoes it. Errors: what the
// kernel says, as before Linux 5.7, or without CAP_NET_RAW to a TCP socket that is bound to an interface
// (operation_not_permitted).
std::error_code refuseNewPeers(int listener);

// The two ends of a socket; AF_UNSPEC if the call fails (not connected, say).
Address localAddress(int fd);
Address peerAddress(int fd);

// The pending error of a socket (SO_ERROR), which is cleared; of a connect, its outcome.
std::error_code socketError(int fd);

// Whether small writes leave at once. False if the socket is not TCP.
bool setNoDelay(int fd, bool enabled);

// For how long the peer may acknowledge nothing of what was sent, or have no room for more, before the
// connection fails (TCP_USER_TIMEOUT). Zero, less, and max(): the kernel's own time, some 15 minutes. What a
// listener accepts inherits it. False if the socket is not TCP.
bool setAcknowledgeTimeout(int fd, std::chrono::milliseconds timeout);

}  // namespace tnet
