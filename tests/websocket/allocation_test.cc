// What an echoed message costs in heap allocations: none, once everything has its capacity.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>

#include "http/server.h"
#include "tests/http/allocation_counter.h"
#include "tests/support/manual_clock.h"
#include "tests/websocket/ws_life_fixture.h"
#include "tnet/io_loop.h"

namespace tnet {
namespace {

class WsAllocationTest : public ::testing::Test {
protected:
    static void echo(const WsConnectionPtr_t& c, std::string_view m, WsOpcode o) { c->send(m, o); }

    void start(WsRoute route, std::string_view fields = {}, decltype(WsRoute::onMessage) onMessage = echo) {
        route.maxMessagesPerSecond = 0;
        route.onMessage = std::move(onMessage);
        auto made = IOLoop::create(clock);
        ASSERT_TRUE(made);
        loop = std::move(*made);
        ws.route("/", std::move(route));
        const auto bound = server.listen(Address::loopback(0));
        ASSERT_TRUE(server.attach(loop.get()));
        peer = BlockingClient::connectTo(*bound);
        roundTrip(openingRequest("/", fields), 0);
    }
    ~WsAllocationTest() override { server.stop(); }

    void roundTrip(std::string_view bytes, size_t expected) {
        ASSERT_EQ(::send(peer.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
                  static_cast<ssize_t>(bytes.size()));
        for (size_t received = 0; received < expected || (expected == 0 && received == 0);) {
            loop->runOnce(std::chrono::milliseconds(10));
            const ssize_t n = ::recv(peer.fd(), buffer.data(), buffer.size(), MSG_DONTWAIT);
            if (n > 0) received += static_cast<size_t>(n);
        }
    }

    size_t allocations(std::string_view bytes, size_t expected) {
        for (int i = 0; i < 20; ++i) roundTrip(bytes, expected);
        const AllocationCounter counter;
        for (int i = 0; i < 500; ++i) roundTrip(bytes, expected);
        return counter.count();
    }

    ManualClock clock{};  // stands: what is done once a second is not counted, however long the test takes
    std::unique_ptr<IOLoop> loop{};
    HttpServer server{};
    WsServer ws{server.router()};
    BlockingClient peer{};
    std::array<char, 65536> buffer{};
};

TEST_F(WsAllocationTest, ASmallEchoAllocatesNothing) {
    start(WsRoute{});
    EXPECT_EQ(allocations(clientFrame(WsOpcode::Text, "hello, world"), 14), 0U);
}

TEST_F(WsAllocationTest, ABurstAllocatesNothing) {
    start(WsRoute{});
    std::string burst;
    for (int i = 0; i < 16; ++i) burst += clientFrame(WsOpcode::Binary, std::string(100, 'x'));
    EXPECT_EQ(allocations(burst, 16 * 102), 0U);
}

// The loop's buffer for compressed messages forgets how long one of them was.
TEST_F(WsAllocationTest, ALongCompressedMessageIsNotKept) {
    std::string noise(300'000, '\0');
    std::mt19937 random(1);
    for (char& c : noise) c = static_cast<char>(random());
    WsRoute route;
    route.compression = WsCompression::Shared;
    start(std::move(route), "Sec-WebSocket-Extensions: permessage-deflate\r\n",
          [&](const WsConnectionPtr_t& c, std::string_view message, WsOpcode opcode) {
              c->send(message == "long" ? noise : std::string(1000, 's'), opcode);
          });
    roundTrip(clientFrame(WsOpcode::Binary, "short"), 10);
    const AllocationCounter counter;
    roundTrip(clientFrame(WsOpcode::Binary, "long"), 300'000);
    runLoopUntil(loop.get(),
                 [this] { return ::recv(peer.fd(), buffer.data(), buffer.size(), MSG_DONTWAIT) < 0; });
    roundTrip(clientFrame(WsOpcode::Binary, "short"), 10);
    EXPECT_LT(counter.heldBytes(), 100'000);
}

TEST_F(WsAllocationTest, APongAllocatesNothing) {
    start(WsRoute{});
    EXPECT_EQ(allocations(clientFrame(WsOpcode::Ping, "are you there?"), 16), 0U);
}

}  // namespace
}  // namespace tnet
