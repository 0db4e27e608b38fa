// raw_ws: the RAW limit, the least that echoing WebSocket messages can cost.
//
//   epoll_wait ─▶ one recv per ready descriptor ─▶ unmask, shorten the heads, in place ─▶ one send of it all
//
// An echoed frame is the frame that came, without its key and its mask bit: four bytes shorter. So the
// answers to one read grow in the buffer behind what is still to be looked at, and stay one piece. A
// frame that a read cuts is echoed as far as it has come; only a head that is cut waits for its rest.
//
// Nothing is checked, limited or timed out, and no message is ever put together; what a real server costs
// is given as a multiple of this one. One thread, level-triggered epoll. The upgrade request has to come in
// one piece; what comes behind it in the same piece is not looked at.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "bench/raw_loop.h"
#include "bench/ws_wire.h"

namespace {

using tnet::FrameHead;
using tnet::kMaxFrameHead;

constexpr size_t kReadBytes = 64 * 1024;

struct Connection {
    bool isUpgraded = false;
    uint8_t cutBytes = 0;                   // of `cut`
    std::array<char, kMaxFrameHead> cut{};  // the beginning of a head that was not complete
    uint32_t key = 0;                       // of the frame under way, turned to the next byte
    uint64_t payloadLeft = 0;               // of the frame under way
    std::string unsent;                     // what the socket did not take; nothing is read meanwhile
};

class RawWs {
public:
    explicit RawWs(uint16_t port) : m_loop("raw_ws", port) {}

    // Serves until SIGINT or SIGTERM.
    void run() { m_loop.run(*this); }

    void woke() {}

    void accepted(int fd) {
        if (static_cast<size_t>(fd) >= m_connections.size()) {
            m_connections.resize(static_cast<size_t>(fd) * 2);
        }
        m_connections[static_cast<size_t>(fd)] = Connection{};
    }

    void ready(int fd, uint32_t /*events*/) {
        Connection& connection = m_connections[static_cast<size_t>(fd)];
        if (!connection.unsent.empty()) {
            sendKept(fd, connection);
            return;
        }
        char* const data = m_input.data() + kMaxFrameHead;
        const ssize_t got = recv(fd, data, kReadBytes, 0);
        if (got <= 0) {
            if (got == 0 || errno != EAGAIN) {
                close(fd);
            }
            return;
        }
        if (connection.isUpgraded) {
            echo(fd, connection, data, data + got);
        } else {
            upgrade(fd, connection, std::string_view(data, static_cast<size_t>(got)));
        }
    }

private:
    void upgrade(int fd, Connection& connection, std::string_view request) {
        const std::string answer = tnet::upgradeAnswer(request);
        if (answer.empty()) {
            close(fd);
            return;
        }
        connection.isUpgraded = true;
        sendOrKeep(fd, connection, answer);
    }

    // The kMaxFrameHead bytes before `data` are free.
    void echo(int fd, Connection& connection, char* const data, const char* const end) {
        const char* in = data - connection.cutBytes;
        char* out = data - connection.cutBytes;
        char* const begin = out;
        std::memcpy(out, connection.cut.data(), connection.cutBytes);
        connection.cutBytes = 0;
        uint64_t payloadLeft = connection.payloadLeft;
        uint32_t key = connection.key;
        while (in != end) {
            const auto available = static_cast<size_t>(end - in);
            if (payloadLeft == 0) {
                const FrameHead head = tnet::readMaskedHead(in, available);
                if (head.headBytes == 0) {
                    std::memcpy(connection.cut.data(), in, available);
                    connection.cutBytes = static_cast<uint8_t>(available);
                    break;
                }
                in += head.headBytes;
                out += tnet::putFrameHead(out, head.firstByte, head.payloadBytes);
                payloadLeft = head.payloadBytes;
                key = head.key;
            }
            const auto size =
                static_cast<size_t>(std::min<uint64_t>(payloadLeft, static_cast<uint64_t>(end - in)));
            key = tnet::applyMask(out, in, size, key);
            in += size;
            out += size;
            payloadLeft -= size;
        }
        connection.payloadLeft = payloadLeft;
        connection.key = key;
        if (out != begin) {
            sendOrKeep(fd, connection, std::string_view(begin, out));
        }
    }

    void sendOrKeep(int fd, Connection& connection, std::string_view bytes) {
        const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent == static_cast<ssize_t>(bytes.size())) {
            return;
        }
        if (sent < 0 && errno != EAGAIN) {
            close(fd);
            return;
        }
        connection.unsent = bytes.substr(static_cast<size_t>(std::max<ssize_t>(sent, 0)));
        m_loop.watchFor(fd, EPOLLOUT);
    }

    void sendKept(int fd, Connection& connection) {
        const ssize_t sent = send(fd, connection.unsent.data(), connection.unsent.size(), MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno != EAGAIN) {
                close(fd);
            }
            return;
        }
        connection.unsent.erase(0, static_cast<size_t>(sent));
        if (connection.unsent.empty()) {
            m_loop.watchFor(fd, EPOLLIN);
        }
    }

    tnet::RawLoop m_loop;
    std::vector<Connection> m_connections = std::vector<Connection>(1024);  // by descriptor
    std::array<char, kMaxFrameHead + kReadBytes> m_input{};
};

}  // namespace

int main(int argc, char** argv) {
    static RawWs server(tnet::portOfCommandLine("raw_ws", argc, argv));
    server.run();
    return 0;
}
