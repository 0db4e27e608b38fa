// GoodClient: the well-behaved one: asks all the time, one thing at a time and at a fixed pace, and measures how long
// each takes: on a kept connection, on a fresh one, and a WebSocket message that comes back.
//
//     GoodClient good(address, {});
//     ... attack ...
//     good.stop();
//     good.figures().p99
//
// What it may not meet: a connect that is refused, an answer that is wrong or does not come within ten seconds, a
// connection that ends.
//
// Threads: the maker's; its own asks. Lifetime: stop() or the destructor ends the thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/loop_fixture.h"
#include "tnet/address.h"

namespace tnet {

class GoodClient {
public:
    struct Settings {
        std::chrono::milliseconds pace{4};  // from the begin of one to that of the next
    };
    struct Figures {
        size_t asked = 0;
        size_t failed = 0;
        std::string firstFailure{};
        double p50 = 0;  // } milliseconds
        double p99 = 0;  // }
        double max = 0;  // }
    };

    GoodClient(const Address& server, Settings settings);
    ~GoodClient();
    GoodClient(const GoodClient&) = delete;
    GoodClient& operator=(const GoodClient&) = delete;

    // False from now on: nothing on fresh connections.
    void setConnects(bool connects) { m_connects = connects; }
    size_t asked() const { return m_asked; }

    void stop();
    Figures figures() const;  // after stop()

private:
    void run();
    bool askOn(BlockingClient& client, const char* kind);
    bool echo();
    bool upgrade();
    bool failed(const std::string& how);

    const Address m_server;
    const Settings m_settings;
    BlockingClient m_kept{};
    BlockingClient m_webSocket{};
    uint32_t m_next = 0;  // what the next message says
    std::vector<double> m_milliseconds{};
    size_t m_failed = 0;
    std::string m_firstFailure{};
    std::atomic<size_t> m_asked{0};
    std::atomic<bool> m_connects{true};
    std::atomic<bool> m_isOver{false};
    std::thread m_thread;
};

// The answer to GET `path` on a connection of its own; empty if there is none with 200.
std::string askOnce(const Address& server, const std::string& path);

}  // namespace tnet
