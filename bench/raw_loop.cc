#include "bench/raw_loop.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/signalfd.h>
#include <sys/socket.h>

#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string_view>

namespace tnet {
namespace {

constexpr int kBacklog = 4096;

std::optional<uint16_t> parsePort(std::string_view text) {
    uint16_t port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (error != std::errc() || end != text.data() + text.size()) {
        return std::nullopt;
    }
    return port;
}

}  // namespace

RawLoop::RawLoop(const char* program, uint16_t port) : m_program(program) {
    m_epoll = epoll_create1(EPOLL_CLOEXEC);
    m_listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (m_epoll < 0 || m_listener < 0) {
        die("cannot create the listener");
    }
    const int on = 1;
    setsockopt(m_listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    // Accepted sockets inherit it: no system call per connection.
    setsockopt(m_listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (bind(m_listener, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        listen(m_listener, kBacklog) != 0 ||
        getsockname(m_listener, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
        die("cannot listen on 127.0.0.1:" + std::to_string(port));
    }
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIGTERM);
    sigprocmask(SIG_BLOCK, &mask, nullptr);
    m_signals = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
    control(EPOLL_CTL_ADD, m_signals, EPOLLIN);
    control(EPOLL_CTL_ADD, m_listener, EPOLLIN);
    std::printf("listening on http://127.0.0.1:%d\n", ntohs(address.sin_port));
    std::fflush(stdout);
}

void RawLoop::die(const std::string& what) const {
    std::fprintf(stderr, "%s: %s: %s\n", m_program, what.c_str(), std::strerror(errno));
    std::exit(1);
}

int RawLoop::acceptOne() {
    const int fd = accept4(m_listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && errno != EAGAIN && errno != ECONNABORTED) {
        die("accept");
    }
    return fd;
}

void RawLoop::control(int operation, int fd, uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    if (epoll_ctl(m_epoll, operation, fd, &event) != 0) {
        die("epoll_ctl");
    }
}

uint16_t portOfCommandLine(const char* program, int argc, char** argv) {
    const bool isPortGiven = argc == 3 && std::string_view(argv[1]) == "--port";
    const std::optional<uint16_t> port = isPortGiven ? parsePort(argv[2]) : std::optional<uint16_t>(0);
    if ((argc != 1 && !isPortGiven) || !port) {
        std::fprintf(stderr, "usage: %s [--port N]    (0, the default: any free port)\n", program);
        std::exit(2);
    }
    return *port;
}

}  // namespace tnet
