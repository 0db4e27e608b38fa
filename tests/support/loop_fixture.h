// loop_fixture: a loop with a clock that tests own, and the peers that talk to it.
//
//     class FooTest : public LoopTest {};
//     TEST_F(FooTest, Claim) {
//         ...
//         ASSERT_TRUE(runUntil([&] { return isDone; }));   // polls; fails after a real-time deadline
//         advance(std::chrono::seconds(5));                // moves the clock, runs what is due
//
// Threads: the test's own, which is the loop's.
// Lifetime: the loop is destroyed before the clock; destroyLoop() does it early.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "tests/support/manual_clock.h"
#include "tnet/address.h"
#include "tnet/connection.h"
#include "tnet/io_loop.h"
#include "tnet/socket.h"
#include "tnet/types.h"

namespace tnet {

constexpr std::chrono::milliseconds kTestDeadline{20000};  // generous: sanitizers on a busy machine

// Runs `loop` until `condition` holds; false if it does not within `deadline` of real time.
bool runLoopUntil(IOLoop* loop, const std::function<bool()>& condition,
                  std::chrono::milliseconds deadline = kTestDeadline);

// Without a loop: polls `condition`, which other threads make true.
bool waitUntil(const std::function<bool()>& condition, std::chrono::milliseconds deadline = kTestDeadline);

struct SocketPair {
    FileDescriptor ours;   // non-blocking, for the loop
    FileDescriptor peers;  // blocking, for the test
};

// Two connected stream sockets: Unix-domain, or TCP over the loopback.
SocketPair makeSocketPair();
SocketPair makeTcpPair();

// A plain client (or the other end of a pair) whose calls block, at most kTestDeadline.
class BlockingClient {
public:
    BlockingClient() = default;
    explicit BlockingClient(FileDescriptor socket);
    // Not valid() if it fails.
    static BlockingClient connectTo(const Address& address);

    bool valid() const { return m_socket.valid(); }
    int fd() const { return m_socket.get(); }

    bool send(std::string_view bytes);
    std::string receive(size_t bytes);  // exactly; less if the stream ends or the deadline passes
    std::string receiveAll();           // up to the end of the stream
    bool isAtEnd();                     // waits for the next thing: a clean end of stream
    bool isReset();                     // waits for the next thing: ECONNRESET
    void shutDownWrite();
    void close() { m_socket.reset(); }
    FileDescriptor release() { return std::move(m_socket); }
    void reset();  // closes with RST

private:
    FileDescriptor m_socket;
};

// For messages of failed tests.
void PrintTo(ConnEvent event, std::ostream* out);

// The events of one connection, in order, and what was read. A connection may outlive it: what
// happens then is not recorded.
class EventLog {
public:
    EventLog() = default;
    EventLog(const EventLog&) = delete;
    EventLog& operator=(const EventLog&) = delete;

    // Records every event.
    ConnEventCallback_t callback();
    void record(ConnEvent event, const void* context);

    size_t count(ConnEvent event) const;
    bool has(ConnEvent event) const { return count(event) > 0; }

    std::vector<ConnEvent> events{};
    std::string bytes{};
    std::error_code error{};

private:
    std::shared_ptr<bool> m_alive = std::make_shared<bool>(true);
};

class LoopTest : public ::testing::Test {
protected:
    LoopTest();
    ~LoopTest() override;

    IOLoop* loop() { return m_loop.get(); }
    ManualClock& clock() { return m_clock; }
    void destroyLoop() { m_loop.reset(); }

    bool runUntil(const std::function<bool()>& condition) { return runLoopUntil(loop(), condition); }

    // Runs rounds without waiting.
    void runRounds(int rounds = 8);

    // Moves the clock on, and runs what is due then.
    void advance(Duration step);

    // A started connection on `socket`.
    ConnectionPtr_t startConnection(FileDescriptor socket, ConnEventCallback_t callback);

private:
    ManualClock m_clock;
    std::unique_ptr<IOLoop> m_loop;
};

}  // namespace tnet
