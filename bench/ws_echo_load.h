// EchoLoad: ws_load's mode echo: connections that each keep a number of messages under way.
//
//   epoll_wait ─▶ one recv per ready descriptor ─▶ compare with what was sent ─▶ as many new messages, one send
//
// The pieces a server answers in decide how many messages the next send carries, as with any client that has
// something to say for every answer. What a socket does not take waits here, and the connection is still
// read: a server that stops reading until it is read gets what it waits for.
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

struct EchoLoadSettings {
    size_t connections = 64;
    size_t inFlight = 1;              // messages per connection
    uint64_t messages = 0;            // all connections together; 0: until the time is up
    std::chrono::seconds seconds{0};  // 0: until the messages are done
    std::string path = "/";
};

class EchoLoad {
public:
    // Opens the connections. `messages` has to outlive this.
    EchoLoad(const LoadTarget& target, EchoLoadSettings settings, const WsMessages& messages);

    // Until every message is back, then prints the result: with one in flight the latencies too.
    void run();

private:
    using Clock = std::chrono::steady_clock;
    static constexpr size_t kReadBytes = 256 * 1024;

    struct Connection {
        int fd = -1;
        uint64_t nextNumber = 0;  // the message to send next
        WsProgress progress;      // in the echoes
        size_t outstanding = 0;   // sent, or waiting in `unsent`, and not back yet
        std::string unsent;       // what the socket has not taken
        Clock::time_point sentAt;
    };

    // How many messages may still be sent, at most `wanted`.
    size_t allowance(size_t wanted) const;
    void sendMessages(Connection& connection, size_t count);
    void sendUnsent(Connection& connection);
    void watchForOutput(const Connection& connection, bool isOn) const;
    void read(Connection& connection);
    void report() const;

    const EchoLoadSettings m_settings;
    const WsMessages& m_messages;
    const int m_epoll;
    std::vector<Connection> m_connections;
    std::string m_burst;
    uint64_t m_sent = 0;
    uint64_t m_echoed = 0;
    Clock::time_point m_started;
    Clock::time_point m_now;  // the time of the last read
    std::vector<uint32_t> m_latenciesNs;
    std::array<char, kReadBytes> m_input{};
};

}  // namespace tnet
