// raw_http: the RAW limit, the least that answering "Hello, World!" over HTTP/1.1 can cost.
//
//   epoll_wait ─▶ one recv per ready descriptor ─▶ count the blank lines ─▶ one send of so many answers
//
// Nothing is parsed, checked, limited or timed out; what a real server costs is given as a multiple of
// this one. A request is anything that ends in an empty line. One thread, level-triggered epoll.
//
// "Connection: close" is honoured where http_load puts it, as the last field of the last request read:
// finding it there is one comparison, so it costs the keep-alive measurements nothing.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <ctime>
#include <string>
#include <string_view>
#include <vector>

#include "bench/raw_loop.h"

namespace {

constexpr size_t kReadBytes = 64 * 1024;
constexpr size_t kAnswersPerSend = 64;
constexpr std::string_view kCloseField = "\r\nConnection: close\r\n\r\n";

// The last bytes of the read before, so that an empty line cut in two is still found.
using Carry = std::array<char, 3>;

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

class RawHttp {
public:
    explicit RawHttp(uint16_t port) : m_loop("raw_http", port) {}

    // Serves until SIGINT or SIGTERM.
    void run() { m_loop.run(*this); }

    void woke() { m_answers.refresh(); }

    void accepted(int fd) {
        if (static_cast<size_t>(fd) >= m_carries.size()) {
            m_carries.resize(static_cast<size_t>(fd) * 2);
        }
        m_carries[static_cast<size_t>(fd)] = Carry{};
    }

    void ready(int fd, uint32_t /*events*/) {
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

private:
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

    tnet::RawLoop m_loop;
    Answers m_answers;
    std::vector<Carry> m_carries = std::vector<Carry>(1024);  // by descriptor
    std::array<char, sizeof(Carry) + kReadBytes> m_input{};
};

}  // namespace

int main(int argc, char** argv) {
    static RawHttp server(tnet::portOfCommandLine("raw_http", argc, argv));
    server.run();
    return 0;
}
