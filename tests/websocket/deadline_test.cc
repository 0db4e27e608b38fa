// Deadlines of WebSocket connections, with a clock that the test moves.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/websocket/ws_life_fixture.h"

namespace tnet {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class WsDeadlineTest : public WsLifeTest {
protected:
    static WsRoute quietRoute() {
        WsRoute route;
        route.pingInterval = route.pongTimeout = route.idleTimeout = milliseconds(0);
        route.sendTimeout = route.closeTimeout = milliseconds(0);
        return route;
    }

    // Second by second, as a loop's timers see it.
    void pass(int count) {
        for (int i = 0; i < count; ++i) advance(seconds(1));
    }
};

// --- Dead peers ---

TEST_F(WsDeadlineTest, APeerIsPingedBeforeItWasSilentForAnInterval) {
    for (int heardAt = 0; heardAt < 12; ++heardAt) {
        SCOPED_TRACE(heardAt);
        destroyServer();
        WsRoute route = quietRoute();
        route.pingInterval = seconds(12);
        serve(std::move(route));
        const auto peer = open();
        pass(heardAt);
        peer->text("hi").settle();
        pass(8);
        EXPECT_EQ(peer->shown(), "");
        pass(4);
        EXPECT_EQ(peer->shown(), "ping()");
        EXPECT_FALSE(peer->isClosed());
    }
}

TEST_F(WsDeadlineTest, APeerThatDoesNotAnswerIsDropped) {
    WsRoute route = quietRoute();
    route.pingInterval = seconds(12);
    route.pongTimeout = seconds(5);
    serve(std::move(route));
    const auto peer = open();
    pass(12);
    EXPECT_EQ(peer->shown(), "ping()");
    pass(4);
    EXPECT_FALSE(peer->isClosed());
    pass(1);
    EXPECT_TRUE(peer->isClosed());
    ASSERT_EQ(closes.size(), 1U);
    EXPECT_EQ(closes[0].code, WsCloseCode::Abnormal);
}

// The first ping came after up to 60 s, and further ones 50 s after the one before: a proxy that allows 60 s
// of silence had closed the connection by then.
TEST_F(WsDeadlineTest, ByDefaultNoSilenceLastsForThirtySeconds) {
    for (const bool speaksOnce : {false, true}) {
        destroyServer();
        serve(WsRoute{});
        const auto peer = open();
        Duration silence{};
        int pings = 0;
        for (int quarters = 0; quarters < 4 * 600; ++quarters) {
            advance(milliseconds(250));
            silence += milliseconds(250);
            if (speaksOnce && quarters == 26) {
                peer->frame(WsOpcode::Pong, "").settle();
                silence = {};
            }
            ASSERT_LT(silence, seconds(30)) << quarters;
            for (const WsWireFrame& frame : peer->frames()) {
                EXPECT_EQ(frame.opcode, WsOpcode::Ping);
                peer->frame(WsOpcode::Pong, "").settle();
                silence = {};
                ++pings;
            }
        }
        EXPECT_LE(pings, 600 / 18);
        EXPECT_FALSE(peer->isClosed());
    }
}

// Whether or not the server has something to say: what the kernel takes is no sign of life.
TEST_F(WsDeadlineTest, ByDefaultADeadPeerIsFoundWithinAMinute) {
    for (const bool sends : {false, true}) {
        for (int heardAt = 0; heardAt < 26; heardAt += 5) {
            destroyServer();
            closes.clear();
            serve(WsRoute{});
            const auto peer = open();
            pass(heardAt);
            peer->frame(WsOpcode::Pong, "").settle();
            for (int second = 0; second < 59; ++second) {
                if (sends && last().isOpen()) last().send("tick");
                pass(1);
            }
            EXPECT_TRUE(peer->isClosed());
            ASSERT_EQ(closes.size(), 1U);
            EXPECT_EQ(closes[0].code, WsCloseCode::Abnormal);
        }
    }
}

// milliseconds::max() was a million times more than the clock can hold, and came out as a time in the past.
TEST_F(WsDeadlineTest, ADeadlineMayBeAnyDuration) {
    milliseconds WsRoute::*const settings[] = {&WsRoute::sendTimeout,  &WsRoute::pingInterval,
                                               &WsRoute::pongTimeout,  &WsRoute::idleTimeout,
                                               &WsRoute::closeTimeout, &WsRoute::releaseWindowsAfter};
    for (const auto setting : settings) {
        for (const milliseconds value : {milliseconds::max(), milliseconds::min(), milliseconds(0),
                                         milliseconds(-1), milliseconds::max() - milliseconds(1)}) {
            SCOPED_TRACE(testing::Message() << &setting - settings << " " << value.count());
            destroyServer();
            WsRoute route;
            route.sendTimeout = route.pingInterval = route.pongTimeout = milliseconds::max();
            route.idleTimeout = route.closeTimeout = milliseconds::max();
            route.compression = WsCompression::Dedicated;
            if (setting == &WsRoute::pongTimeout) route.pingInterval = seconds(12);
            route.*setting = value;
            serve(std::move(route));
            const auto peer = open("Sec-WebSocket-Extensions: permessage-deflate\r\n");
            peer->block();
            last().send(std::string(100'000, 'x'));
            for (int i = 0; i < 5; ++i) advance(std::chrono::hours(1));
            EXPECT_TRUE(last().isOpen());
            EXPECT_FALSE(peer->isClosed());
            last().close();
            for (int i = 0; i < 5; ++i) advance(std::chrono::hours(1));
            EXPECT_FALSE(peer->isClosed());
            peer->unblock();
            EXPECT_TRUE(peer->shown().ends_with("close(1000)"));
        }
    }
}

// A hundred thousand connections that came in one burst are due in the same round.
TEST_F(WsDeadlineTest, PingsAreSentInTurns) {
    WsRoute route = quietRoute();
    route.pingInterval = seconds(12);
    serve(std::move(route));
    std::vector<std::unique_ptr<WsPeer>> peers;
    for (int i = 0; i < 400; ++i) peers.push_back(open());
    const auto pinged = [&] {
        size_t count = 0;
        for (const auto& peer : peers) count += peer->peer().transport().written().empty() ? 0U : 1U;
        return count;
    };
    pass(11);
    const size_t before = pinged();
    clock().advance(seconds(1));
    loop()->runOnce(Duration::zero());
    EXPECT_EQ(pinged() - before, 256U);
    loop()->runOnce(Duration::zero());
    EXPECT_EQ(pinged() - before, 400U);
}

TEST_F(WsDeadlineTest, APongOrAnythingElseKeepsAPeerAlive) {
    for (const WsOpcode opcode : {WsOpcode::Pong, WsOpcode::Ping, WsOpcode::Text}) {
        destroyServer();
        WsRoute route = quietRoute();
        route.pingInterval = seconds(10);
        route.pongTimeout = seconds(5);
        serve(std::move(route));
        const auto peer = open();
        int pings = 0;
        for (int i = 0; i < 200; ++i) {
            pass(1);
            for (const WsWireFrame& frame : peer->frames()) {
                if (frame.opcode != WsOpcode::Ping) continue;
                ++pings;
                peer->frame(opcode, "").settle();
            }
        }
        EXPECT_FALSE(peer->isClosed());
        EXPECT_GE(pings, 8);
        EXPECT_LE(pings, 20);
    }
}

// The timer stood at the deadline of a peer that had been pinged, and nobody looked at one that came after.
TEST_F(WsDeadlineTest, AConnectionThatComesWhileAnotherIsPingedIsLookedAtInTime) {
    WsRoute route = quietRoute();
    route.pingInterval = seconds(5);
    route.pongTimeout = seconds(60);
    serve(std::move(route));
    const auto first = open();
    pass(10);
    EXPECT_EQ(first->shown(), "ping()");
    pass(1);
    const auto second = open();
    pass(11);
    EXPECT_EQ(second->shown(), "ping()");
}

TEST_F(WsDeadlineTest, APausedConnectionIsNotPinged) {
    WsRoute route = quietRoute();
    route.pingInterval = seconds(10);
    route.pongTimeout = seconds(5);
    serve(std::move(route));
    const auto peer = open();
    last().pauseReading();
    pass(100);
    EXPECT_EQ(peer->shown(), "");
    last().resumeReading();
    pass(21);
    EXPECT_EQ(peer->shown(), "ping()");
}

// The pong lay in the kernel, and the connection was dropped because nobody had read it.
TEST_F(WsDeadlineTest, AConnectionThatIsPausedBehindAPingIsNotDropped) {
    WsRoute route = quietRoute();
    route.pingInterval = seconds(10);
    route.pongTimeout = seconds(5);
    serve(std::move(route));
    const auto peer = open();
    pass(12);
    EXPECT_EQ(peer->shown(), "ping()");
    last().pauseReading();
    peer->frame(WsOpcode::Pong, "").settle();
    pass(50);
    EXPECT_FALSE(peer->isClosed());
    last().resumeReading();
    peer->settle();
    pass(5);
    EXPECT_FALSE(peer->isClosed());
}

// --- Idle ---

TEST_F(WsDeadlineTest, AnIdleConnectionIsClosedWith1001) {
    WsRoute route = quietRoute();
    route.idleTimeout = seconds(10);
    route.onMessage = [](const WsConnectionPtr_t&, std::string_view, WsOpcode) {};
    serve(std::move(route));
    const auto peer = open();
    pass(5);
    peer->text("hi").settle();
    pass(14);
    EXPECT_EQ(peer->shown(), "");
    pass(6);
    EXPECT_EQ(peer->shown(), "close(1001 idle)");
    peer->close(1001).settle();
    ASSERT_EQ(closes.size(), 1U);
    EXPECT_EQ(closes[0].code, WsCloseCode::GoingAway);
}

TEST_F(WsDeadlineTest, PingsAndPongsAreNoMessages) {
    WsRoute route = quietRoute();
    route.idleTimeout = seconds(10);
    route.pingInterval = seconds(3);
    serve(std::move(route));
    const auto peer = open();
    std::string shown;
    for (int i = 0; i < 14; ++i) {
        pass(1);
        peer->frame(WsOpcode::Pong, "").settle();
        shown += peer->shown();
    }
    EXPECT_TRUE(shown.ends_with("close(1001 idle)")) << shown;
}

// Windows were looked after once an idleTimeout: an hour late, if nothing was pinged.
TEST_F(WsDeadlineTest, WindowsAreReleasedInTimeWithoutPings) {
    WsRoute route = quietRoute();
    route.idleTimeout = seconds(3600);
    route.compression = WsCompression::Dedicated;
    route.compressFromBytes = 0;
    route.releaseWindowsAfter = seconds(60);
    serve(std::move(route));
    const auto peer = open("Sec-WebSocket-Extensions: permessage-deflate\r\n");
    const std::string text(1000, 'x');
    last().send(text);
    last().send(text);
    const auto frames = peer->frames();
    ASSERT_EQ(frames.size(), 2U);
    ASSERT_LT(frames[1].payload.size(), frames[0].payload.size());  // refers to the one before
    pass(121);
    last().send(text);
    const auto later = peer->frames();
    ASSERT_EQ(later.size(), 1U);
    EXPECT_EQ(later[0].payload, frames[0].payload);  // refers to nothing
}

// --- Slow peers ---

TEST_F(WsDeadlineTest, AReaderThatTakesNothingIsDropped) {
    WsRoute route = quietRoute();
    route.sendTimeout = seconds(10);
    serve(std::move(route));
    const auto peer = open();
    peer->block();
    EXPECT_EQ(last().send(std::string(100'000, 'x')), WsSendStatus::Queued);
    runRounds(1);
    pass(9);
    EXPECT_FALSE(peer->isClosed());
    pass(1);
    EXPECT_TRUE(peer->isClosed());
    ASSERT_EQ(closes.size(), 1U);
    EXPECT_EQ(closes[0].code, WsCloseCode::Abnormal);
}

// Only what was beyond highWaterBytes was watched: a little less was kept for a peer that took nothing, for ever.
TEST_F(WsDeadlineTest, AReaderThatTakesNothingOfALittleIsDroppedToo) {
    WsRoute route = quietRoute();
    route.sendTimeout = seconds(10);
    serve(std::move(route));
    const auto peer = open();
    peer->block();
    EXPECT_EQ(last().send("a little"), WsSendStatus::Accepted);
    runRounds(1);
    pass(9);
    EXPECT_FALSE(peer->isClosed());
    pass(1);
    EXPECT_TRUE(peer->isClosed());
}

TEST_F(WsDeadlineTest, AReaderThatTakesALittleIsNot) {
    for (const WsOverflow overflow : {WsOverflow::Close, WsOverflow::DropNewest, WsOverflow::DropOldest}) {
        destroyServer();
        WsRoute route = quietRoute();
        route.sendTimeout = seconds(10);
        route.overflow = overflow;
        route.maxQueuedBytes = 10 << 20;
        serve(std::move(route));
        const auto peer = open();
        peer->block();
        for (int i = 0; i < 200; ++i) {
            last().send(std::string(10'000, 'x'));  // more than it takes
            pass(1);
            if (i % 8 != 7) continue;
            peer->transport().onWrite(ScriptedTransport::takes(3'000));
            peer->unblock();
            loop()->runOnce(Duration::zero());
            peer->block();
        }
        EXPECT_FALSE(peer->isClosed()) << static_cast<int>(overflow);
    }
}

// Five bytes in eight seconds were enough to be waited for, and what was queued was held for ever.
TEST_F(WsDeadlineTest, AReaderThatTakesNextToNothingIsDropped) {
    WsRoute route = quietRoute();
    route.sendTimeout = seconds(10);
    serve(std::move(route));
    const auto peer = open();
    peer->block();
    last().send(std::string(100'000, 'x'));
    runRounds(1);
    for (int i = 0; i < 10; ++i) {
        EXPECT_FALSE(peer->isClosed()) << i;
        pass(1);
        if (i % 4 != 3) continue;
        peer->transport().onWrite(ScriptedTransport::takes(500));
        peer->unblock();
        loop()->runOnce(Duration::zero());
        peer->block();
    }
    EXPECT_TRUE(peer->isClosed());
}

// --- Closing ---

TEST_F(WsDeadlineTest, APeerThatDoesNotAnswerOurCloseIsDropped) {
    WsRoute route = quietRoute();
    route.closeTimeout = seconds(5);
    serve(std::move(route));
    const auto peer = open();
    last().close(WsCloseCode::Normal, "bye");
    pass(4);
    peer->text("still here").settle();
    EXPECT_FALSE(peer->isClosed());
    pass(1);
    EXPECT_TRUE(peer->isClosed());
    ASSERT_EQ(closes.size(), 1U);
    EXPECT_EQ(closes[0].code, WsCloseCode::Normal);
    EXPECT_EQ(closes[0].reason, "bye");
}

TEST_F(WsDeadlineTest, AFailedConnectionEndsWhateverThePeerDoes) {
    WsRoute route = quietRoute();
    route.closeTimeout = seconds(5);
    serve(std::move(route));
    const auto peer = open();
    peer->peer().withholdEnd();
    last().pauseReading();
    last().resumeReading();
    peer->peer().feed("\xff");
    EXPECT_EQ(peer->shown(), "close(1002 RSV2 or RSV3 set)");
    pass(4);
    EXPECT_FALSE(peer->isClosed());  // its end is awaited
    pass(2);
    EXPECT_TRUE(peer->isClosed());
    EXPECT_EQ(closes.size(), 1U);
}

TEST_F(WsDeadlineTest, TooManyMessagesInASecondAreAPolicyViolation) {
    WsRoute route = quietRoute();
    route.maxMessagesPerSecond = 10;
    int messages = 0;
    route.onMessage = [&](const WsConnectionPtr_t&, std::string_view, WsOpcode) { ++messages; };
    serve(std::move(route));
    const auto peer = open();
    for (int second = 0; second < 3; ++second) {
        for (int i = 0; i < 9; ++i) peer->text("x");
        peer->frame(WsOpcode::Pong, "").settle();
        pass(1);
    }
    EXPECT_EQ(messages, 27);
    for (int i = 0; i < 20; ++i) peer->text("x");
    EXPECT_EQ(peer->shown(), "close(1008 too many messages)");
    EXPECT_EQ(messages, 37);
    peer->peer().feedEnd().settle();
    ASSERT_EQ(closes.size(), 1U);
    EXPECT_EQ(closes[0].code, WsCloseCode::PolicyViolation);
}

TEST_F(WsDeadlineTest, ZeroSwitchesEachOff) {
    WsRoute route = quietRoute();
    route.maxMessagesPerSecond = 0;
    route.onMessage = [](const WsConnectionPtr_t&, std::string_view, WsOpcode) {};
    serve(std::move(route));
    const auto peer = open();
    std::string burst;
    for (int i = 0; i < 20'000; ++i) burst += clientFrame(WsOpcode::Text, "x");
    peer->peer().feed(burst).settle();
    peer->block();
    last().send(std::string(100'000, 'x'));
    for (int i = 0; i < 10; ++i) advance(std::chrono::hours(1));
    EXPECT_TRUE(last().isOpen());
    last().close();
    for (int i = 0; i < 10; ++i) advance(std::chrono::hours(1));
    EXPECT_FALSE(peer->isClosed());
    peer->unblock();
    EXPECT_EQ(peer->shown(), "text(100000 bytes) close(1000)");
}

}  // namespace
}  // namespace tnet
