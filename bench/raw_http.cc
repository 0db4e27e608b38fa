// raw_http: the RAW limit, the least that answering "Hello, World!" over HTTP/1.1 can cost.
//
//   epoll_wait ─▶ one recv per ready descriptor ─▶ count the blank lines ─▶ one send of so many answers
//
// Nothing is parsed, checked, limited or timed out; what a real server costs is given as a multiple of
// this one. A request is anything that ends in an empty line. One thread, level-triggered epoll.
//
// "Connection: close" is honoured where http_load puts it, as the last field of the last request read:
// finding it there is one comparison, so it costs the keep-alive measurements nothing.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr int kBacklog = 4096;
constexpr size_t kEventsPerWait = 512;
constexpr size_t kReadBytes = 64 * 1024;
constexpr size_t kAnswersPerSend = 64;
constexpr std::string_view kCloseField = "\r\nConnection: close\r\n\r\n";

// The last bytes of the read before, so that an empty line cut in two is still found.
using Carry = std::array<char, 3>;

[[noreturn]] void die(const char* what) {
    std::fprintf(stderr, "raw_http: %s: %s\n", what, std::strerror(errno));
    std::exit(1);
}

// The same answer many times over, so that a burst of pipelined requests is answered from one block.
// The Date in it changes once a second.
class Answers {
public:
    // Call once per batch of events.
    void refresh() {
        const time_t now = std::time(nullptr);
        if (now == m_second) {
            return;
        }
        m_second = now;
        std::tm parts{};
        gmtime_r(&now, &parts);
        std::array<char, 64> date{};
        const size_t size = std::strftime(date.data(), date.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
        const std::string one =
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\nDate: " +
            std::string(date.data(), size) + "\r\n\r\nHello, World!";
        m_answerBytes = one.size();
        m_block.clear();
        for (size_t i = 0; i < kAnswersPerSend; ++i) {
            m_block += one;
        }
    }

    // `count` answers, at most kAnswersPerSend; valid until refresh().
    std::string_view of(size_t count) const {
        return std::string_view(m_block).substr(0, count * m_answerBytes);
    }

private:
    time_t m_second = 0;
    size_t m_answerBytes = 0;
    std::string m_block;
};

// Without a branch per byte, so that the compiler compares sixteen of them at a time.
size_t countBlankLines(const char* data, size_t size) {
    size_t count = 0;
    while (size >= 4) {
        // At most 255 in one go: the sum fits the byte that a vector lane has for it.
        const size_t positions = std::min<size_t>(size - 3, 255);
        uint8_t found = 0;
        for (size_t i = 0; i < positions; ++i) {
            const bool first = (data[i] == '\r') & (data[i + 1] == '\n');
            const bool second = (data[i + 2] == '\r') & (data[i + 3] == '\n');
            found = static_cast<uint8_t>(found + (first & second));
        }
        count += found;
        data += positions;
        size -= positions;
    }
    return count;
}

class RawServer {
public:
    explicit RawServer(uint16_t port) { listenOn(port); }

    // Serves until SIGINT or SIGTERM.
    void run() {
        std::array<epoll_event, kEventsPerWait> events{};
        for (;;) {
            const int ready = epoll_wait(m_epoll, events.data(), static_cast<int>(events.size()), -1);
            if (ready < 0 && errno != EINTR) {
                die("epoll_wait");
            }
            m_answers.refresh();
            for (int i = 0; i < ready; ++i) {
                const int fd = events[static_cast<size_t>(i)].data.fd;
                if (fd == m_signals) {
                    return;
                }
                if (fd == m_listener) {
                    acceptOne();
                } else {
                    serve(fd);
                }
            }
        }
    }

private:
    void listenOn(uint16_t port) {
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
            die(("cannot listen on 127.0.0.1:" + std::to_string(port)).c_str());
        }
        sigset_t mask;
        sigemptyset(&mask);
        sigaddset(&mask, SIGINT);
        sigaddset(&mask, SIGTERM);
        sigprocmask(SIG_BLOCK, &mask, nullptr);
        m_signals = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
        watch(m_signals);
        watch(m_listener);
        std::printf("listening on http://127.0.0.1:%d\n", ntohs(address.sin_port));
        std::fflush(stdout);
    }

    void watch(int fd) {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.fd = fd;
        if (epoll_ctl(m_epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
            die("epoll_ctl");
        }
    }

    void acceptOne() {
        const int fd = accept4(m_listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EAGAIN || errno == ECONNABORTED) {
                return;
            }
            die("accept");
        }
        if (static_cast<size_t>(fd) >= m_carries.size()) {
            m_carries.resize(static_cast<size_t>(fd) * 2);
        }
        m_carries[static_cast<size_t>(fd)] = Carry{};
        watch(fd);
    }

    void serve(int fd) {
        Carry& carry = m_carries[static_cast<size_t>(fd)];
        // What is carried over stands right before what is read.
        char* const data = m_input.data() + carry.size();
        const ssize_t got = recv(fd, data, kReadBytes, 0);
        if (got <= 0) {
            if (got == 0 || errno != EAGAIN) {
                close(fd);
            }
            return;
        }
        std::copy(carry.begin(), carry.end(), m_input.begin());
        const char* const end = data + got;
        const size_t requests = countBlankLines(m_input.data(), static_cast<size_t>(end - m_input.data()));
        std::copy(end - carry.size(), end, carry.begin());
        const bool sent = answer(fd, requests);
        if (!sent || std::string_view(data, end).ends_with(kCloseField)) {
            close(fd);
        }
    }

    // False if the socket did not take it all: a client that does not read is dropped.
    bool answer(int fd, size_t requests) {
        while (requests > 0) {
            const size_t count = std::min(requests, kAnswersPerSend);
            const std::string_view bytes = m_answers.of(count);
            if (send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(bytes.size())) {
                return false;
            }
            requests -= count;
        }
        return true;
    }

    int m_epoll = -1;
    int m_listener = -1;
    int m_signals = -1;
    Answers m_answers;
    std::vector<Carry> m_carries = std::vector<Carry>(1024);  // by descriptor
    std::array<char, sizeof(Carry) + kReadBytes> m_input{};
};

std::optional<uint16_t> parsePort(std::string_view text) {
    uint16_t port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (error != std::errc() || end != text.data() + text.size()) {
        return std::nullopt;
    }
    return port;
}

}  // namespace

int main(int argc, char** argv) {
    const bool isPortGiven = argc == 3 && std::string_view(argv[1]) == "--port";
    const std::optional<uint16_t> port = isPortGiven ? parsePort(argv[2]) : std::optional<uint16_t>(0);
    if ((argc != 1 && !isPortGiven) || !port) {
        std::fprintf(stderr, "usage: raw_http [--port N]    (0, the default: any free port)\n");
        return 2;
    }
    static RawServer server(*port);
    server.run();
    return 0;
}
