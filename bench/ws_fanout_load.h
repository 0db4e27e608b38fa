// FanoutLoad: ws_load's mode fanout: one publisher, many subscribers, each of whom must get every message.
//
//   publisher ─▶ server ─▶ every subscriber; when the last one has message N, message N + window is published
//
// So at most `window` messages wait in a subscriber's socket: small enough for every kernel's buffers, and
// neither the server nor we may drop one.
//
// Threads: one. What is wrong ends the program.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "bench/load_socket.h"
#include "bench/ws_client.h"
#include "bench/ws_messages.h"

namespace tnet {

struct FanoutLoadSettings {
    size_t subscribers = 10000;
    uint64_t messages = 100;  // that are measured; one more goes first
    size_t window = 4;        // messages under way
    std::string publishPath = "/publish";
    std::string subscribePath = "/subscribe";
};

class FanoutLoad {
public:
    // Opens the connections. `messages` has to outlive this.
    FanoutLoad(LoadTarget& target, FanoutLoadSettings settings, const WsMessages& messages);

    // See ws_load.cc. The latency is that of a whole fan-out: from publishing to the last subscriber.
    void run();

private:
    using Clock = std::chrono::steady_clock;
    static constexpr uint64_t kPublisher = UINT64_MAX;  // its place in epoll's data

    struct Message {
        size_t missing = 0;  // subscribers that do not have it
        Clock::time_point publishedAt;
    };

    // Publishes `count` messages, and returns when every subscriber has them.
    void publishAndAwait(uint64_t count);
    void publishNext();
    void read(WsProgress& subscriber, int fd);
    void meetDelivery(uint64_t number);

    const FanoutLoadSettings m_settings;
    const WsMessages& m_messages;
    const int m_epoll;
    int m_publisher = -1;
    std::vector<int> m_fds;  // the subscribers'
    std::vector<WsProgress> m_subscribers;
    std::vector<Message> m_underWay;  // by number modulo window
    uint64_t m_published = 0;
    uint64_t m_done = 0;
    uint64_t m_last = 0;  // messages to publish so far
    std::vector<uint32_t> m_latenciesNs;
    std::array<char, 64 * 1024> m_input{};
};

}  // namespace tnet
