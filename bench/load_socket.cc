#include "bench/load_socket.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace tnet {
namespace {

constexpr uint32_t kSourceAddresses = 8;

int createSocket() {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        failWithErrno("socket");
    }
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

}  // namespace

void fail(const std::string& what) {
    std::fprintf(stderr, "%s: %s\n", program_invocation_short_name, what.c_str());
    std::exit(1);
}

void failWithErrno(const std::string& what) { fail(what + ": " + std::strerror(errno)); }

LoadTarget::LoadTarget(const std::string& address, uint16_t port)
    : m_text(address + ":" + std::to_string(port)) {
    m_server.sin_family = AF_INET;
    m_server.sin_port = htons(port);
    if (inet_pton(AF_INET, address.c_str(), &m_server.sin_addr) != 1) {
        fail("not an IPv4 address: " + address);
    }
}

int LoadTarget::connect() const { return connectSocket(createSocket()); }

int LoadTarget::connectFromNextSource() {
    const int fd = createSocket();
    // The port is chosen by connect(), which knows the whole pair and can use every port once per address.
    const int on = 1;
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    sockaddr_in source{};
    source.sin_family = AF_INET;
    source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + m_source);
    m_source = (m_source + 1) % kSourceAddresses;
    if (bind(fd, reinterpret_cast<const sockaddr*>(&source), sizeof source) != 0) {
        failWithErrno("cannot bind to a loopback address");
    }
    return connectSocket(fd);
}

int LoadTarget::connectSocket(int fd) const {
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&m_server), sizeof m_server) != 0) {
        failWithErrno("cannot connect to " + m_text);
    }
    return fd;
}

int createLoadEpoll() {
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) {
        failWithErrno("epoll_create1");
    }
    return epoll;
}

void watchForInput(int epoll, int fd, uint64_t index) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = index;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        failWithErrno("epoll_ctl");
    }
}

void holdUntilStdinEnds(const std::vector<int>& fds) {
    std::array<char, 64> ignored{};
    while (read(STDIN_FILENO, ignored.data(), ignored.size()) > 0) {
    }
    // A connection the server gave up meanwhile was not idle memory: say so.
    size_t lost = 0;
    for (const int fd : fds) {
        char byte = 0;
        const ssize_t got = recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);
        lost += got >= 0 || errno != EAGAIN ? 1 : 0;
    }
    std::printf("closed_by_server=%zu\n", lost);
    if (lost > 0) {
        fail("the server did not keep " + std::to_string(lost) + " connections open");
    }
}

}  // namespace tnet
