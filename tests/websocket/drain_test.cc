// A server that drains, and its WebSocket connections.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/service.h"
#include "tests/websocket/ws_life_fixture.h"
#include "tnet/conn_checker.h"

namespace tnet {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class WsDrainTest : public WsLifeTest {
protected:
    void drain() {
        auto checker = ConnChecker::create(loop(), ConnChecker::Settings{});
        ASSERT_TRUE(checker);
        service().onDrain(**checker);
    }
};

TEST_F(WsDrainTest, AllConnectionsAreClosedWith1001) {
    serve(WsRoute{});
    const auto first = open();
    const auto second = open();
    opened[0]->pauseReading();
    drain();
    for (const auto& peer : {first.get(), second.get()}) {
        EXPECT_EQ(peer->shown(), "close(1001 the server is shutting down)");
        peer->close(1001).settle();
        EXPECT_TRUE(peer->isClosed());
    }
    ASSERT_EQ(closes.size(), 2U);
    EXPECT_EQ(closes[0].code, WsCloseCode::GoingAway);
}

TEST_F(WsDrainTest, TheyAreClosedEvenlyOverTheSpread) {
    serve(WsRoute{}, {.drainSpread = seconds(10)});
    std::vector<std::unique_ptr<WsPeer>> peers;
    for (int i = 0; i < 10; ++i) peers.push_back(open());
    drain();
    peers[9]->peer().feedReset().settle();  // goes before its turn
    for (size_t closing = 0; closing < 9; ++closing) {
        for (size_t i = 0; i < 9; ++i) {
            const bool isNow = i == closing;
            EXPECT_EQ(peers[i]->shown(), isNow ? "close(1001 the server is shutting down)" : "")
                << i << closing;
        }
        advance(seconds(1));
    }
}

TEST_F(WsDrainTest, ADrainClosesInTurns) {
    for (const milliseconds spread : {milliseconds(0), milliseconds::min(), milliseconds(1)}) {
        destroyServer();
        opened.clear();
        serve(WsRoute{}, {.drainSpread = spread});
        std::vector<std::unique_ptr<WsPeer>> peers;
        for (int i = 0; i < 400; ++i) peers.push_back(open());
        const auto closed = [this] {
            return std::count_if(opened.begin(), opened.end(), [](const auto& c) { return !c->isOpen(); });
        };
        drain();
        EXPECT_LE(closed(), 256);
        clock().advance(seconds(1));
        loop()->runOnce(Duration::zero());
        EXPECT_GE(closed(), 256);
        loop()->runOnce(Duration::zero());
        EXPECT_EQ(closed(), 400);
    }
}

// It would be over in three hundred years.
TEST_F(WsDrainTest, ASpreadWithoutEndClosesOneAtOnce) {
    WsRoute route;
    route.pingInterval = route.idleTimeout = milliseconds(0);
    serve(std::move(route), {.drainSpread = milliseconds::max()});
    const auto first = open();
    const auto second = open();
    drain();
    for (int i = 0; i < 5; ++i) advance(std::chrono::hours(1));
    EXPECT_FALSE(opened[0]->isOpen());
    EXPECT_TRUE(opened[1]->isOpen());
}

// The drain begins at any moment of the handshake: either there is no WebSocket connection, or it is closed.
TEST_F(WsDrainTest, AConnectionThatIsBeingHandedOverIsClosedToo) {
    serve(WsRoute{});
    for (int rounds = 0; rounds < 6; ++rounds) {
        startOver();
        opened.clear();
        WsServer fresh(router());
        fresh.route("/", WsRoute{.onOpen = [this](const WsConnectionPtr_t& c) { opened.push_back(c); }});
        const auto peer = connect();
        peer->feed(openingRequest());
        runRounds(rounds);
        drain();
        peer->settle();
        for (const WsConnectionPtr_t& connection : opened) EXPECT_FALSE(connection->isOpen()) << rounds;
    }
}

}  // namespace
}  // namespace tnet
