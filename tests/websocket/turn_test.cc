// A connection's turn: what it may do before the others have theirs, and what becomes of the rest that waits meanwhile.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "tests/websocket/ws_life_fixture.h"
#include "websocket/deflate.h"

namespace tnet {
namespace {

class WsTurnTest : public WsLifeTest {};

// All that one read brought was worked off before anybody else had a turn: a read buffer holds ten thousand messages, or
// hundreds of compressed ones that become a megabyte each.
TEST_F(WsTurnTest, AFloodOfMessagesLetsOthersHaveTheirTurn) {
    WsDeflater deflater({.noContextTakeover = true});
    std::string zeros;
    ASSERT_TRUE(deflater.deflate(std::string(100'000, '\0'), true, zeros));
    struct Row {
        std::string frame;
        size_t count;
        size_t mostBefore;
    };
    const Row rows[] = {{clientFrame(WsOpcode::Text, "m"), 1000, 256},
                        {clientFrame(WsOpcode::Ping, "p"), 1000, 256},
                        {clientFrame(WsOpcode::Binary, zeros, true, true), 50, 3}};
    for (const Row& row : rows) {
        destroyServer();
        size_t flooded = 0;
        size_t before = SIZE_MAX;
        WsRoute route;
        route.compression = WsCompression::Shared;
        route.onMessage = [&](const WsConnectionPtr_t& c, std::string_view message, WsOpcode) {
            if (message == "other") {
                before = flooded;
            } else if (message.size() > 5 || message == "m") {
                ++flooded;
            } else {
                c->send(message);
            }
        };
        serve(std::move(route));
        const auto flooding = open("Sec-WebSocket-Extensions: permessage-deflate\r\n");
        const auto other = open();
        std::string flood;
        for (size_t i = 0; i < row.count; ++i) flood += row.frame;
        flooding->peer().feed(flood + clientFrame(WsOpcode::Text, "last"));
        other->peer().feed(clientFrame(WsOpcode::Text, "other"));
        other->settle();
        EXPECT_LE(before, row.mostBefore);
        runRounds(50);
        const auto frames = flooding->frames();
        ASSERT_FALSE(frames.empty());
        EXPECT_EQ(frames.back().payload, "last");  // behind all pongs
        const bool isPing = row.frame[0] == static_cast<char>(0x89);
        EXPECT_EQ(isPing ? frames.size() - 1 : flooded, row.count);
        flooding->peer().feed(clientFrame(WsOpcode::Text, "more"));
        flooding->settle();
        EXPECT_EQ(flooding->frames().back().payload, "more");  // it is read again
    }
}

// What waits for its turn comes although the handler pauses reading meanwhile, as all that was read does; what comes
// behind it waits until reading is resumed.
TEST_F(WsTurnTest, WhatWaitsForItsTurnKeepsItsOrderAndThePause) {
    std::vector<std::string> seen;
    WsRoute route;
    route.onMessage = [&](const WsConnectionPtr_t& c, std::string_view message, WsOpcode) {
        seen.emplace_back(message);
        if (message == "0") c->pauseReading();
        if (message == "1") c->resumeReading();
        if (message == "2") c->pauseReading();
    };
    serve(std::move(route));
    const auto peer = open();
    std::string flood;
    for (int i = 0; i < 600; ++i) flood += clientFrame(WsOpcode::Text, std::to_string(i));
    peer->peer().feed(flood);
    peer->settle();
    peer->peer().feed(clientFrame(WsOpcode::Text, "600"));
    peer->settle();
    ASSERT_EQ(seen.size(), 600U);
    for (size_t i = 0; i < 600; ++i) EXPECT_EQ(seen[i], std::to_string(i));
    last().resumeReading();
    peer->settle();
    EXPECT_EQ(seen.back(), "600");
}

// --- What happens between two turns ---

std::string numbered(int count) {
    std::string flood;
    for (int i = 0; i < count; ++i) flood += clientFrame(WsOpcode::Text, std::to_string(i));
    return flood;
}

// What was sent before the peer's end, or its Close, is received before that.
TEST_F(WsTurnTest, WhatWaitsForItsTurnComesBeforeTheEndOfThePeer) {
    for (const bool saysClose : {true, false}) {
        destroyServer();
        std::vector<std::string> seen;
        WsRoute route;
        route.onMessage = [&](const WsConnectionPtr_t&, std::string_view message, WsOpcode) {
            seen.emplace_back(message);
        };
        serve(std::move(route));
        const auto peer = open();
        peer->peer().feed(numbered(600) + (saysClose ? clientClose(1000) : std::string()));
        peer->peer().feedEnd();
        peer->settle();
        ASSERT_EQ(seen.size(), 600U);
        EXPECT_EQ(seen.back(), "599");
        ASSERT_EQ(closes.size(), 1U);
        EXPECT_EQ(closes[0].code, saysClose ? WsCloseCode::Normal : WsCloseCode::Abnormal);
        closes.clear();
    }
}

// Whatever the user does in the last message of a turn, or the first of the next.
TEST_F(WsTurnTest, WhatAHandlerDoesWhileMessagesWaitForTheirTurn) {
    struct Row {
        std::function<void(WsConnection&)> act;
        bool goesOn;  // the rest is received
    };
    const Row rows[] = {{[](WsConnection& c) { c.close(); }, false},
                        {[](WsConnection& c) { c.abort(); }, false},
                        {[](WsConnection&) { throw std::runtime_error("handler"); }, false},
                        {[](WsConnection& c) { c.pauseReading(), c.resumeReading(); }, true},
                        {[](WsConnection& c) { c.send("answer"), c.publish("t", "news"); }, true}};
    for (const Row& row : rows) {
        for (const int at : {254, 255, 256, 257, 511, 512}) {
            SCOPED_TRACE(testing::Message() << "row " << &row - rows << " at " << at);
            destroyServer();
            int seen = 0;
            WsRoute route;
            route.onMessage = [&](const WsConnectionPtr_t& c, std::string_view, WsOpcode) {
                if (seen++ == at) row.act(*c);
            };
            serve(std::move(route));
            const auto peer = open();
            peer->peer().feed(numbered(600) + clientClose(1000));
            peer->settle();
            if (!peer->isClosed()) peer->peer().feedEnd();  // a failed connection waits for it
            peer->settle();
            EXPECT_EQ(seen, row.goesOn ? 600 : at + 1);
            EXPECT_TRUE(peer->isClosed());
            EXPECT_EQ(closes.size(), 1U);
            closes.clear();
        }
    }
}

TEST_F(WsTurnTest, AConnectionThatEndsWhileMessagesWaitTakesThemWithIt) {
    int seen = 0;
    WsRoute route;
    route.onMessage = [&](const WsConnectionPtr_t&, std::string_view, WsOpcode) { ++seen; };
    serve(std::move(route));
    const auto peer = open();
    peer->peer().feed(numbered(900));
    loop()->runOnce(Duration::zero());
    const int seenBefore = seen;
    EXPECT_GT(seenBefore, 0);
    EXPECT_LT(seenBefore, 900);
    last().abort();
    runRounds();
    EXPECT_EQ(seen, seenBefore);
    EXPECT_EQ(closes.size(), 1U);
}

// --- The inbox ---

// Four talkers in a room whose members are on another loop kept that from answering anybody for a minute.
TEST_F(WsTurnTest, PublicationsLetOthersHaveTheirTurn) {
    bool isAnswered = false;
    WsRoute route;
    route.maxQueuedBytes = 64 << 20;
    route.onMessage = [&](const WsConnectionPtr_t&, std::string_view, WsOpcode) { isAnswered = true; };
    serve(std::move(route));
    std::vector<std::unique_ptr<WsPeer>> peers;
    for (int i = 0; i < 40; ++i) {
        peers.push_back(open());
        last().subscribe("room");
    }
    constexpr int kPublications = 300;
    for (int i = 0; i < kPublications; ++i) {
        ASSERT_EQ(ws().topics()->publish("room", std::to_string(i)), WsPublishStatus::Accepted);
    }
    loop()->runOnce(Duration::zero());
    const uint64_t before = ws().topics()->stats().delivered;
    EXPECT_GE(before, 100U);
    EXPECT_LE(before, 700U);
    peers[0]->text("other");
    loop()->runOnce(Duration::zero());
    EXPECT_TRUE(isAnswered);
    EXPECT_LE(ws().topics()->stats().delivered, 2 * before + 100);
    runRounds(50);
    for (const auto& peer : peers) {
        const auto frames = peer->frames();
        ASSERT_EQ(frames.size(), static_cast<size_t>(kPublications));
        for (int i = 0; i < kPublications; ++i)
            ASSERT_EQ(frames[static_cast<size_t>(i)].payload, std::to_string(i));
    }
}

// One publication is as much work as it has subscribers, and a large one is more.
TEST_F(WsTurnTest, APublicationToManyTakesSeveralTurns) {
    WsRoute route;
    route.maxQueuedBytes = 64 << 20;
    serve(std::move(route));
    std::vector<std::unique_ptr<WsPeer>> peers;
    for (int i = 0; i < 40; ++i) {
        peers.push_back(open());
        last().subscribe("room");
    }
    ws().topics()->publish("room", std::string(100'000, 'x'));
    ws().topics()->publish("room", "next");
    loop()->runOnce(Duration::zero());
    EXPECT_GE(ws().topics()->stats().delivered, 4U);
    EXPECT_LE(ws().topics()->stats().delivered, 8U);
    // Members leave and come in the middle of it; whoever stays gets both, in order.
    opened[20]->unsubscribe("room");
    opened[39]->unsubscribe("room");
    opened[0]->close();
    opened[1]->abort();
    auto late = open();
    last().subscribe("room");
    runRounds(50);
    for (size_t i = 2; i < 39; ++i) {
        EXPECT_EQ(peers[i]->shown(), i == 20 ? "" : "text(100000 bytes) text(next)") << i;
    }
    const std::string seen = late->shown();
    EXPECT_TRUE(seen.empty() || seen.ends_with("text(next)")) << seen;
}

// Whatever other threads ask for is worked off in turns, too; an order that one thread gave is kept.
TEST_F(WsTurnTest, WhatOtherThreadsAskForIsDoneInTurns) {
    serve(WsRoute{});
    const auto peer = open();
    const auto connection = opened.back();
    std::thread([&] {
        for (int i = 0; i < 2000; ++i) connection->send(std::to_string(i));
    }).join();
    for (int round = 1; round <= 3; ++round) {
        const size_t before = connection->queuedBytes();
        loop()->runOnce(Duration::zero());
        EXPECT_LT(connection->queuedBytes(), before);
    }
    EXPECT_GT(connection->queuedBytes(), 0U);
    const auto frames = peer->frames();
    ASSERT_EQ(frames.size(), 2000U);
    for (size_t i = 0; i < 2000; ++i) ASSERT_EQ(frames[i].payload, std::to_string(i));
    EXPECT_EQ(connection->queuedBytes(), 0U);
}

}  // namespace
}  // namespace tnet
