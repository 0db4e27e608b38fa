// A connection's turn: what it may do before the others have theirs, and what becomes of the rest that waits
// meanwhile.
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

// All that one read brought was worked off before anybody else had a turn: a read buffer holds ten thousand
// messages, or hundreds of compressed ones that become a megabyte each.
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

// What waits for its turn waits for the user, too, and keeps its order. What had been read came although the
// handler had paused reading.
TEST_F(WsTurnTest, WhatWaitsForItsTurnKeepsItsOrderAndThePause) {
    std::vector<std::string> seen;
    WsRoute route;
    route.onMessage = [&](const WsConnectionPtr_t& c, std::string_view message, WsOpcode) {
        seen.emplace_back(message);
        if (message == "0" || message == "300") c->pauseReading();
        if (message == "1") c->pauseReading(), c->resumeReading();
    };
    serve(std::move(route));
    const auto peer = open();
    std::string flood;
    for (int i = 0; i < 600; ++i) flood += clientFrame(WsOpcode::Text, std::to_string(i));
    peer->peer().feed(flood);
    peer->settle();
    peer->peer().feed(clientFrame(WsOpcode::Text, "600"));
    peer->settle();
    EXPECT_EQ(seen.size(), 1U);
    last().resumeReading();
    last().resumeReading();
    peer->settle();
    EXPECT_EQ(seen.size(), 301U);
    last().resumeReading();
    last().pauseReading();
    peer->settle();
    EXPECT_EQ(seen.size(), 301U);
    last().resumeReading();
    peer->settle();
    ASSERT_EQ(seen.size(), 601U);
    for (size_t i = 0; i < 601; ++i) EXPECT_EQ(seen[i], std::to_string(i));
}

// --- Compressed messages ---

std::string compressed(std::string_view message) {
    WsDeflater deflater({.noContextTakeover = true});
    std::string payload;
    EXPECT_TRUE(deflater.deflate(message, true, payload));
    return payload;
}

constexpr std::string_view kOffer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

// 64 KiB that become 66 MB, of which onPiece wanted the first piece only: all of it was delivered after the
// pause, and in one turn.
TEST_F(WsTurnTest, NothingComesAfterAPause) {
    for (const WsCompression compression : {WsCompression::Shared, WsCompression::Dedicated}) {
        destroyServer();
        size_t pieces = 0;
        size_t bytes = 0;
        WsRoute route;
        route.compression = compression;
        route.maxMessageBytes = route.maxFrameBytes = 100 << 20;
        route.onPiece = [&](const WsConnectionPtr_t& c, std::string_view piece, WsOpcode, bool) {
            ++pieces;
            bytes += piece.size();
            if (pieces < 10) c->pauseReading();
        };
        serve(std::move(route));
        const auto peer = open(kOffer);
        constexpr size_t kBytes = 20 << 20;
        peer->peer().feed(clientFrame(WsOpcode::Binary, compressed(std::string(kBytes, '\0')), true, true) +
                          clientFrame(WsOpcode::Text, "next"));
        for (size_t i = 1; i <= 9; ++i) {
            peer->settle();
            EXPECT_EQ(pieces, i);
            EXPECT_EQ(bytes, i * (16 << 10));
            last().resumeReading();
        }
        loop()->runOnce(Duration::zero());
        EXPECT_LE(bytes, (9U * 16 + 256 + 16) << 10);
        runRounds(200);
        EXPECT_EQ(bytes, kBytes + 4);
        peer->text("more").settle();
        EXPECT_EQ(bytes, kBytes + 8);
    }
}

// The same of whole messages, which nobody sees before they are complete.
TEST_F(WsTurnTest, ALargeCompressedMessageLetsOthersHaveTheirTurn) {
    bool isWhole = false;
    bool isWholeBefore = true;
    WsRoute route;
    route.compression = WsCompression::Shared;
    route.maxMessageBytes = 100 << 20;
    route.onMessage = [&](const WsConnectionPtr_t&, std::string_view message, WsOpcode) {
        if (message == "other") {
            isWholeBefore = isWhole;
        } else {
            EXPECT_EQ(message.size(), 20U << 20);
            isWhole = true;
        }
    };
    serve(std::move(route));
    const auto flooding = open(kOffer);
    const auto other = open();
    flooding->peer().feed(clientFrame(WsOpcode::Binary, compressed(std::string(20 << 20, '\0')), true, true));
    loop()->runOnce(Duration::zero());
    other->peer().feed(clientFrame(WsOpcode::Text, "other"));
    runRounds(200);
    EXPECT_FALSE(isWholeBefore);
    EXPECT_TRUE(isWhole);
}

// However the bytes are cut, and whoever pauses at each of them.
TEST_F(WsTurnTest, PausedAtEverythingAllOfItComesOnce) {
    std::string text;
    while (text.size() < 40'000) text += std::to_string(text.size() * text.size()) + std::string(200, 'x');
    const std::string payload = compressed(text);
    const size_t half = payload.size() / 2;
    const std::string bytes = clientFrame(WsOpcode::Text, "first") +
                              clientFrame(WsOpcode::Text, payload.substr(0, half), false, true) +
                              clientFrame(WsOpcode::Pong, "pong") +
                              clientFrame(WsOpcode::Continuation, payload.substr(half)) +
                              clientFrame(WsOpcode::Text, compressed(text), true, true) + clientClose(1000);
    for (const bool inPieces : {true, false}) {
        for (size_t fragment = 1; fragment < bytes.size(); fragment += 1 + fragment / 5) {
            SCOPED_TRACE(testing::Message() << inPieces << " " << fragment);
            destroyServer();
            closes.clear();
            std::string seen;
            bool isPaused = false;
            const auto take = [&](const WsConnectionPtr_t& c, std::string_view what) {
                EXPECT_FALSE(isPaused);
                seen += what;
                c->pauseReading();
                isPaused = true;
            };
            WsRoute route;
            route.compression = WsCompression::Shared;
            if (inPieces) {
                route.onPiece = [&](const WsConnectionPtr_t& c, std::string_view piece, WsOpcode, bool last) {
                    take(c, std::string(piece) + (last ? "|" : ""));
                };
            } else {
                route.onMessage = [&](const WsConnectionPtr_t& c, std::string_view message, WsOpcode) {
                    take(c, std::string(message) + "|");
                };
            }
            std::string pongs;
            route.onPong = [&](const WsConnectionPtr_t& c, std::string_view pong) {
                take(c, "");
                pongs += pong;
            };
            serve(std::move(route));
            const auto peer = open(kOffer);
            const auto connection = opened.back();
            peer->peer().feed(bytes, fragment);
            for (int i = 0; i < 20'000 && closes.empty(); ++i) {
                peer->settle();
                if (!isPaused) break;
                isPaused = false;
                connection->resumeReading();
            }
            EXPECT_EQ(seen, "first|" + text + "|" + text + "|");
            EXPECT_EQ(pongs, "pong");
            ASSERT_EQ(closes.size(), 1U);
            EXPECT_EQ(closes[0].code, WsCloseCode::Normal);
        }
    }
}

// While the rest of a message waits, the connection ends in each way there is.
TEST_F(WsTurnTest, AConnectionEndsWhileItIsPausedInAMessage) {
    const std::function<void(WsPeer&, WsConnection&)> ends[] = {
        [](WsPeer& peer, WsConnection& c) { peer.peer().feedReset(), peer.settle(), c.resumeReading(); },
        [](WsPeer& peer, WsConnection& c) { peer.peer().feedEnd(), peer.settle(), c.resumeReading(); },
        [](WsPeer&, WsConnection& c) { c.abort(); },
        [](WsPeer& peer, WsConnection& c) { c.close(), peer.close(1000); },
        [](WsPeer&, WsConnection& c) { c.resumeReading(), c.abort(); },
    };
    for (const auto& end : ends) {
        SCOPED_TRACE(&end - ends);
        destroyServer();
        closes.clear();
        size_t pieces = 0;
        WsRoute route;
        route.compression = WsCompression::Shared;
        route.maxMessageBytes = 100 << 20;
        route.onPiece = [&](const WsConnectionPtr_t& c, std::string_view, WsOpcode, bool) {
            if (++pieces == 1) c->pauseReading();
        };
        serve(std::move(route));
        const auto peer = open(kOffer);
        peer->peer().feed(clientFrame(WsOpcode::Binary, compressed(std::string(2 << 20, '\0')), true, true));
        peer->settle();
        EXPECT_EQ(pieces, 1U);
        end(*peer, last());
        runRounds(50);
        EXPECT_TRUE(peer->isClosed());
        EXPECT_EQ(closes.size(), 1U);
        const auto next = open(kOffer);  // with a receiver of its own
        pieces = 1;
        next->text("next").settle();
        EXPECT_EQ(pieces, 2U);
    }
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
