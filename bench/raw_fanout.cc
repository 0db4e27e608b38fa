// raw_fanout: the bare loop, the least that sending one WebSocket message to many subscribers can cost.
//
//   a message on /publish ─▶ the ready frame, once ─▶ one writev per subscriber
//
// Whoever connects to another path than /publish is a subscriber from its 101 on. A subscriber whose socket
// is full misses the message, or the rest of it; that is counted and told at the end. Nothing is checked,
// as in raw_ws. One thread, level-triggered epoll.
//
// Output: `deliveries=N dropped=N` when it ends.
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "bench/raw_loop.h"
#include "bench/ws_wire.h"

namespace {

using tnet::FrameHead;
using tnet::kMaxFrameHead;

constexpr size_t kReadBytes = 64 * 1024;

enum class Role : uint8_t { Unknown, Publisher, Subscriber };

struct Peer {
    Role role = Role::Unknown;
    size_t place = 0;  // among the subscribers
    std::string cut;   // of a publisher: the beginning of a frame that was not complete
};

class RawFanout {
public:
    explicit RawFanout(uint16_t port) : m_loop("raw_fanout", port) {}

    // Serves until SIGINT or SIGTERM.
    void run() {
        m_loop.run(*this);
        std::printf("deliveries=%llu dropped=%llu\n", static_cast<unsigned long long>(m_deliveries),
                    static_cast<unsigned long long>(m_dropped));
    }

    void woke() {}

    void accepted(int fd) {
        if (static_cast<size_t>(fd) >= m_peers.size()) {
            m_peers.resize(static_cast<size_t>(fd) * 2);
        }
        m_peers[static_cast<size_t>(fd)] = Peer{};
    }

    void ready(int fd, uint32_t /*events*/) {
        Peer& peer = m_peers[static_cast<size_t>(fd)];
        const ssize_t got = recv(fd, m_input.data(), m_input.size(), 0);
        if (got <= 0) {
            if (got == 0 || errno != EAGAIN) {
                end(fd, peer);
            }
            return;
        }
        const std::string_view input(m_input.data(), static_cast<size_t>(got));
        switch (peer.role) {
            case Role::Unknown: upgrade(fd, peer, input); return;
            case Role::Publisher: take(peer, input); return;
            case Role::Subscriber: return;
        }
    }

private:
    void upgrade(int fd, Peer& peer, std::string_view request) {
        const std::string answer = tnet::upgradeAnswer(request);
        if (answer.empty() || send(fd, answer.data(), answer.size(), MSG_NOSIGNAL) < 0) {
            end(fd, peer);
            return;
        }
        if (request.starts_with("GET /publish ")) {
            peer.role = Role::Publisher;
            return;
        }
        peer.role = Role::Subscriber;
        peer.place = m_subscribers.size();
        m_subscribers.push_back(fd);
    }

    void take(Peer& publisher, std::string_view input) {
        publisher.cut += input;
        size_t taken = 0;
        for (;;) {
            const std::string_view rest = std::string_view(publisher.cut).substr(taken);
            const FrameHead head = tnet::readMaskedHead(rest.data(), rest.size());
            if (head.headBytes == 0 || rest.size() - head.headBytes < head.payloadBytes) {
                break;
            }
            m_frame.resize(kMaxFrameHead + head.payloadBytes);
            const size_t headBytes = tnet::putFrameHead(m_frame.data(), head.firstByte, head.payloadBytes);
            tnet::applyMask(m_frame.data() + headBytes, rest.data() + head.headBytes, head.payloadBytes,
                            head.key);
            m_frame.resize(headBytes + head.payloadBytes);
            sendToAll();
            taken += head.headBytes + head.payloadBytes;
        }
        publisher.cut.erase(0, taken);
    }

    void sendToAll() {
        const iovec frame{m_frame.data(), m_frame.size()};
        for (const int fd : m_subscribers) {
            if (writev(fd, &frame, 1) == static_cast<ssize_t>(m_frame.size())) {
                ++m_deliveries;
            } else {
                ++m_dropped;
            }
        }
    }

    void end(int fd, Peer& peer) {
        if (peer.role == Role::Subscriber) {
            const int last = m_subscribers.back();
            m_subscribers[peer.place] = last;
            m_peers[static_cast<size_t>(last)].place = peer.place;
            m_subscribers.pop_back();
        }
        close(fd);
    }

    tnet::RawLoop m_loop;
    std::vector<Peer> m_peers = std::vector<Peer>(1024);  // by descriptor
    std::vector<int> m_subscribers;
    std::string m_frame;
    uint64_t m_deliveries = 0;
    uint64_t m_dropped = 0;
    std::array<char, kReadBytes> m_input{};
};

}  // namespace

int main(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);  // writev has no flag for it
    static RawFanout server(tnet::portOfCommandLine("raw_fanout", argc, argv));
    server.run();
    return 0;
}
