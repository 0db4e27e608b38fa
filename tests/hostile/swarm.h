// Swarm: the connections of one attack, each of which follows its plan; one that ends is replaced by another.
//
//     Swarm swarm(attack, 2000, plain, secure);   // begins
//     ...
//     swarm.stopOpening();                        // those that are there go on
//     swarm.stop();                               // resets them
//     swarm.figures()
//
// Threads: the maker's; one of its own attacks. Lifetime: stop() or the destructor ends the thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <queue>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/hostile/answers.h"
#include "tests/hostile/plan.h"
#include "tnet/address.h"
#include "tnet/clock.h"
#include "tnet/socket.h"

namespace tnet {

class Swarm {
public:
    struct Figures {
        size_t opened = 0;   // connects that succeeded
        size_t refused = 0;  // connects that failed
        uint64_t sentBytes = 0;
        uint64_t receivedBytes = 0;
        size_t ended = 0;       // by the server, with a FIN
        size_t wasReset = 0;    // by the server
        size_t turnedAway = 0;  // of the two, those that got not a byte
        Answers::Counts answers{};
    };

    Swarm(const Attack& attack, size_t connections, const Address& plain, const Address& secure);
    ~Swarm();
    Swarm(const Swarm&) = delete;
    Swarm& operator=(const Swarm&) = delete;

    size_t open() const { return m_open; }  // any thread
    void stopOpening() { m_opens = false; }
    void stop();
    Figures figures() const { return m_figures; }  // after stop()

private:
    struct Hostile;
    struct Due {
        TimePoint at;
        size_t index;
        uint64_t serial;
        bool operator>(const Due& other) const { return at > other.at; }
    };

    void run();
    void openOne(size_t index);
    FileDescriptor openFrom(uint64_t number) const;
    void runDue();
    int millisToWait() const;
    void onEvents(Hostile& hostile, uint32_t events);
    void onConnected(Hostile& hostile);
    void onTimer(Hostile& hostile);
    void read(Hostile& hostile);
    bool readOnce(Hostile& hostile, size_t most);
    void takeInput(Hostile& hostile, std::string_view bytes);
    bool refill(Hostile& hostile) const;
    void write(Hostile& hostile);
    void onServersEnd(Hostile& hostile);
    void lose(Hostile& hostile, int error);
    void end(Hostile& hostile);
    void watch(Hostile& hostile);
    void schedule(Hostile& hostile, Duration after);

    const Attack& m_attack;
    const Address m_server;
    SslCtxPtr_t m_ctx{};
    FileDescriptor m_epoll;
    std::vector<std::unique_ptr<Hostile>> m_hostiles;  // null: to be opened
    std::vector<size_t> m_vacant;
    std::priority_queue<Due, std::vector<Due>, std::greater<>> m_due;
    uint64_t m_serial = 0;
    Figures m_figures{};
    std::atomic<size_t> m_open{0};
    std::atomic<bool> m_opens{true};
    std::atomic<bool> m_isOver{false};
    std::thread m_thread;
};

}  // namespace tnet
