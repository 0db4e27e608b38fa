// Peers that read slowly or not at all: what is queued for them, what is dropped, what arrives and in which order.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/support/largest_allocation.h"
#include "tests/websocket/ws_life_fixture.h"
#include "websocket/backlog.h"
#include "websocket/deflate.h"
#include "websocket/publication.h"

namespace tnet {
namespace {

constexpr std::string_view kDeflate = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

class WsSlowPeerTest : public WsLifeTest {
protected:
    // Above highWaterBytes messages wait where they can be dropped; that far 10 messages of 100 bytes may.
    static WsRoute slowRoute(WsOverflow overflow) {
        WsRoute route;
        route.overflow = overflow;
        route.highWaterBytes = 1000;
        route.maxQueuedBytes = 2000 + 10 * bytesOfMessage(overflow);
        return route;
    }

    // What one of 100 bytes takes of maxQueuedBytes: copied behind others, or in the backlog.
    static size_t bytesOfMessage(WsOverflow overflow) {
        const SharedBytesPtr_t frame = makeFrame(std::string(100, '.'), WsOpcode::Text);
        switch (overflow) {
            case WsOverflow::Close:
            case WsOverflow::DropNewest: break;
            case WsOverflow::DropOldest: return WsBacklog::bytesOf("", frame);
            case WsOverflow::KeepLatest: return WsBacklog::bytesOf("key", frame);
        }
        return frame->size();
    }

    // "00", "01", ... with 98 more bytes each.
    static std::string message(int number) {
        std::string text = std::to_string(number);
        if (text.size() < 2) text.insert(0, "0");
        return text + std::string(98, '.');
    }

    // The first two letters of each message.
    static std::string numbers(const std::vector<WsWireFrame>& frames) {
        std::string text;
        for (const WsWireFrame& frame : frames)
            text += (text.empty() ? "" : " ") + frame.payload.substr(0, 2);
        return text;
    }

    // Two thousand bytes that the peer does not take: from here on messages wait.
    void fill(WsPeer& peer) {
        peer.block();
        last().send("##" + std::string(1994, '#'));
        ASSERT_GT(last().queuedBytes(), 1900U);
    }

    // From another thread, and the loop has done it.
    template <class Task>
    void elsewhere(Task task) {
        std::thread(task).join();
        runRounds();
    }

    int drained = 0;
    WsRoute draining(WsRoute route) {
        route.onDrain = [this](const WsConnectionPtr_t&) { ++drained; };
        return route;
    }
};

// --- The high-water mark ---

TEST_F(WsSlowPeerTest, AboveTheHighWaterMarkSendSaysQueuedAndOnDrainFollowsOnce) {
    serve(draining(slowRoute(WsOverflow::Close)));
    const auto peer = open();
    EXPECT_EQ(last().send(message(0)), WsSendStatus::Accepted);
    runRounds(1);
    peer->block();
    for (int i = 1; i <= 9; ++i) EXPECT_EQ(last().send(message(i)), WsSendStatus::Accepted) << i;
    EXPECT_EQ(last().send(message(10)), WsSendStatus::Queued);
    EXPECT_EQ(last().send(message(11)), WsSendStatus::Queued);
    runRounds();
    EXPECT_EQ(drained, 0);
    peer->unblock();
    EXPECT_EQ(numbers(peer->frames()), "00 01 02 03 04 05 06 07 08 09 10 11");
    EXPECT_EQ(drained, 1);
    EXPECT_EQ(last().queuedBytes(), 0U);
    last().send(message(12));
    peer->settle();
    EXPECT_EQ(drained, 1);
}

// onDrain came when the last of the waiting messages had been handed to the connection, which a peer that takes
// a little at a time was far from having read.
TEST_F(WsSlowPeerTest, OnDrainComesWhenAllHasLeft) {
    WsRoute route = draining(slowRoute(WsOverflow::DropOldest));
    size_t queuedThen = 1;
    Connection* connection = nullptr;
    route.onDrain = [&, this](const WsConnectionPtr_t&) {
        ++drained;
        queuedThen = connection->queuedBytes();
    };
    serve(std::move(route));
    const auto peer = open();
    connection = peer->peer().connection().get();
    fill(*peer);
    for (int i = 0; i < 5; ++i) EXPECT_EQ(last().send(message(i)), WsSendStatus::Queued);
    peer->transport().onWrite(ScriptedTransport::takes(1998));  // what fill() sent, and no more
    peer->unblock();
    peer->transport().onWrite(ScriptedTransport::takes(10));
    peer->transport().onWrite(ScriptedTransport::wantsWrite());
    EXPECT_EQ(numbers(peer->frames()), "## 00 01 02 03 04");
    EXPECT_EQ(drained, 1);
    EXPECT_EQ(queuedThen, 0U);
}

// --- Policies ---

TEST_F(WsSlowPeerTest, CloseClosesWithTheRoutesCode) {
    WsRoute route = slowRoute(WsOverflow::Close);
    route.overflowCode = WsCloseCode::TryAgainLater;
    serve(std::move(route));
    const auto peer = open();
    fill(*peer);
    for (int i = 0; i < 10; ++i) EXPECT_EQ(last().send(message(i)), WsSendStatus::Queued) << i;
    EXPECT_EQ(last().send(message(10)), WsSendStatus::Closed);
    EXPECT_FALSE(last().isOpen());
    peer->unblock();
    const auto frames = peer->frames();
    ASSERT_EQ(frames.size(), 12U);
    EXPECT_EQ(numbers({frames.begin(), frames.end() - 1}), "## 00 01 02 03 04 05 06 07 08 09");
    EXPECT_EQ(show({frames.back()}), "close(1013 too slow)");
    peer->close(1013).settle();
    ASSERT_EQ(closes.size(), 1U);
    EXPECT_EQ(closes[0].code, WsCloseCode::TryAgainLater);
}

TEST_F(WsSlowPeerTest, DropNewestDropsWhatComes) {
    serve(slowRoute(WsOverflow::DropNewest));
    const auto peer = open();
    fill(*peer);
    for (int i = 0; i < 10; ++i) EXPECT_EQ(last().send(message(i)), WsSendStatus::Queued) << i;
    for (int i = 10; i < 30; ++i) EXPECT_EQ(last().send(message(i)), WsSendStatus::Dropped) << i;
    EXPECT_EQ(ws().topics()->stats().dropped, 20U);
    EXPECT_LE(last().queuedBytes(), last().route().maxQueuedBytes);
    peer->unblock();
    EXPECT_EQ(numbers(peer->frames()), "## 00 01 02 03 04 05 06 07 08 09");
    EXPECT_EQ(last().send(message(30)), WsSendStatus::Accepted);
}

TEST_F(WsSlowPeerTest, DropOldestKeepsTheLatest) {
    serve(slowRoute(WsOverflow::DropOldest));
    const auto peer = open();
    fill(*peer);
    for (int i = 0; i < 30; ++i) EXPECT_EQ(last().send(message(i)), WsSendStatus::Queued) << i;
    EXPECT_EQ(ws().topics()->stats().dropped, 20U);
    EXPECT_LE(last().queuedBytes(), last().route().maxQueuedBytes);
    peer->unblock();
    EXPECT_EQ(numbers(peer->frames()), "## 20 21 22 23 24 25 26 27 28 29");
}

// The default highWaterBytes is larger than a small maxQueuedBytes: no message ever waited where it could be
// dropped, and DropOldest dropped the newest ones.
TEST_F(WsSlowPeerTest, DropOldestDropsTheOldestWhateverTheHighWaterMark) {
    WsRoute route;
    route.overflow = WsOverflow::DropOldest;
    route.maxQueuedBytes = 20 * bytesOfMessage(WsOverflow::DropOldest);
    serve(std::move(route));
    const auto peer = open();
    peer->block();
    for (int i = 0; i < 90; ++i) EXPECT_NE(last().send(message(i)), WsSendStatus::Dropped) << i;
    EXPECT_LE(last().queuedBytes(), last().route().maxQueuedBytes);
    peer->unblock();
    const std::string arrived = numbers(peer->frames());
    EXPECT_TRUE(arrived.ends_with("84 85 86 87 88 89")) << arrived;
}

TEST_F(WsSlowPeerTest, KeepLatestKeepsOneMessagePerKey) {
    serve(slowRoute(WsOverflow::KeepLatest));
    const auto peer = open();
    fill(*peer);
    for (int i = 0; i < 30; ++i) {
        const std::string key(1, static_cast<char>('a' + i % 3));
        EXPECT_EQ(last().sendLatest(key, message(i)), WsSendStatus::Queued) << i;
    }
    EXPECT_EQ(last().send(message(30)), WsSendStatus::Queued);  // without a key: takes nobody's place
    EXPECT_EQ(last().send(message(31)), WsSendStatus::Queued);
    EXPECT_EQ(ws().topics()->stats().dropped, 27U);
    peer->unblock();
    EXPECT_EQ(numbers(peer->frames()), "## 27 28 29 30 31");
}

// "Takes the place of": a key that is sent again and again stays where it waits, or it would never have its turn.
TEST_F(WsSlowPeerTest, TheLatestMessageTakesThePlaceOfTheWaitingOne) {
    serve(slowRoute(WsOverflow::KeepLatest));
    const auto peer = open();
    fill(*peer);
    last().sendLatest("a", message(1));
    last().sendLatest("b", message(2));
    last().sendLatest("a", message(3));
    peer->unblock();
    EXPECT_EQ(numbers(peer->frames()), "## 03 02");
}

TEST_F(WsSlowPeerTest, ALargerLatestMessageMakesRoomAmongTheOthers) {
    serve(slowRoute(WsOverflow::KeepLatest));
    const auto peer = open();
    fill(*peer);
    for (int i = 0; i < 10; ++i) last().sendLatest(std::to_string(i), message(i));
    EXPECT_EQ(last().sendLatest("0", message(50) + std::string(300, '.')), WsSendStatus::Queued);
    EXPECT_EQ(last().sendLatest("9", message(59) + std::string(100, '.')), WsSendStatus::Queued);
    peer->unblock();
    EXPECT_EQ(numbers(peer->frames()), "## 02 03 04 05 06 07 08 59");  // 50 had waited longest
}

// Messages that had lost their place stayed in the list, empty: it grew with each publication for a subscriber
// that never read.
TEST_F(WsSlowPeerTest, ASubscriberThatNeverReadsCostsNoMoreThanItsLimit) {
    for (const WsOverflow overflow :
         {WsOverflow::KeepLatest, WsOverflow::DropOldest, WsOverflow::DropNewest}) {
        destroyServer();
        serve(slowRoute(overflow));
        const auto peer = open();
        last().subscribe("prices");
        fill(*peer);
        const LargestAllocation largest;
        for (int i = 0; i < 10'000; ++i) {
            ws().topics()->publish("prices", message(i));
            runRounds(1);
            ASSERT_LE(last().queuedBytes(), last().route().maxQueuedBytes);
        }
        EXPECT_LT(largest.size(), 10'000U) << static_cast<int>(overflow);
        const WsTopics::Stats stats = ws().topics()->stats();
        EXPECT_EQ(stats.published, 10'000U);
        EXPECT_GE(stats.dropped, 9'980U);
        EXPECT_TRUE(last().isOpen());
        peer->unblock();
        const auto frames = peer->frames();
        ASSERT_FALSE(frames.empty());
        EXPECT_LE(frames.size(), 11U);
        if (overflow == WsOverflow::DropNewest) continue;
        EXPECT_EQ(frames.back().payload, message(9'999));
    }
}

TEST_F(WsSlowPeerTest, PingsOfAPeerThatNeverReadsDoNotPileUp) {
    WsRoute route = slowRoute(WsOverflow::Close);
    route.maxMessagesPerSecond = 0;
    serve(std::move(route));
    const auto peer = open();
    peer->block();
    const LargestAllocation largest;
    for (int i = 0; i < 2'000; ++i) peer->frame(WsOpcode::Ping, std::string(100, 'p')).settle();
    EXPECT_TRUE(last().isOpen());
    EXPECT_LE(peer->peer().connection()->queuedBytes(), last().route().maxQueuedBytes);
    EXPECT_LT(largest.size(), 70'000U);
}

// --- Compression and drops ---

// A message was compressed with the connection's history, and then dropped: what came after it referred to a
// message that the peer had never got.
TEST_F(WsSlowPeerTest, DroppedMessagesLeaveNoGapInTheHistory) {
    for (const WsOverflow overflow :
         {WsOverflow::DropNewest, WsOverflow::DropOldest, WsOverflow::KeepLatest}) {
        destroyServer();
        WsRoute route = slowRoute(overflow);
        route.compression = WsCompression::Dedicated;
        route.compressFromBytes = 0;
        serve(std::move(route));
        const auto peer = open(kDeflate);
        const std::string word = "the same words again and again, or so it seems ";
        std::vector<std::string> sent;
        const auto send = [&](int i) {
            std::string text = std::to_string(i) + ": " + word;
            uint32_t seed = static_cast<uint32_t>(i) * 2654435761U;
            for (int k = 0; k < 60; ++k) {
                seed = seed * 1664525 + 1013904223;
                text += static_cast<char>('!' + (seed >> 24) % 90);
            }
            text += word + std::to_string(i) + word;
            sent.push_back(text);
            return last().sendLatest(i % 2 == 0 ? "even" : "", text);
        };
        for (int i = 0; i < 3; ++i) send(i);
        peer->settle();
        peer->block();
        for (int i = 3; i < 60; ++i) send(i);
        EXPECT_GT(ws().topics()->stats().dropped, 5U);
        peer->unblock();
        peer->settle();
        for (int i = 60; i < 70; ++i) send(i);
        WsInflater inflater({});
        size_t known = 0;
        std::string lastText;
        for (const WsWireFrame& frame : peer->frames()) {
            ASSERT_TRUE(frame.rsv1);
            std::string text(10'000, '\0');
            std::string_view input = frame.payload;
            const WsInflater::Step step = inflater.inflate(input, true, text.data(), text.size());
            ASSERT_EQ(step.state, WsInflater::State::MessageEnd) << static_cast<int>(overflow);
            text.resize(step.written);
            ASSERT_NE(std::find(sent.begin(), sent.end(), text), sent.end())
                << static_cast<int>(overflow) << text;
            ++known;
            lastText = text;
        }
        EXPECT_GE(known, 13U);
        EXPECT_EQ(lastText, sent.back());
    }
}

// --- Sends of other threads ---

// Other threads went by what had been queued when the loop last looked: a peer that had read most of it since was
// closed for being too slow.
TEST_F(WsSlowPeerTest, OtherThreadsDoNotGoByWhatWasQueuedOnce) {
    serve(slowRoute(WsOverflow::Close));
    const auto peer = open();
    fill(*peer);
    for (int i = 0; i < 10; ++i) last().send(message(i));
    // Over TLS the records that were blocked leave by themselves, and then those behind them.
    if (ScriptedPeer::isSecure()) peer->transport().onWrite(ScriptedTransport::takes(SIZE_MAX));
    peer->transport().onWrite(ScriptedTransport::takes(2900));
    peer->transport().onWrite(ScriptedTransport::wantsWrite());
    const auto connection = opened.back();
    peer->unblock();
    loop()->runOnce(Duration::zero());
    ASSERT_LT(peer->peer().connection()->queuedBytes(), 200U);
    WsSendStatus status = WsSendStatus::Closed;
    elsewhere([&] { status = connection->send(message(20) + std::string(500, '.')); });
    EXPECT_NE(status, WsSendStatus::Closed);
    EXPECT_TRUE(connection->isOpen());
    EXPECT_TRUE(numbers(peer->frames()).ends_with("08 09 20"));
}

TEST_F(WsSlowPeerTest, WhatOtherThreadsSendIsBoundedWhileTheLoopIsBusy) {
    serve(draining(slowRoute(WsOverflow::DropNewest)));
    const auto peer = open();
    const auto connection = opened.back();
    int accepted = 0;
    std::thread([&] {
        for (int i = 0; i < 1'000; ++i)
            accepted += connection->send(message(i)) != WsSendStatus::Dropped ? 1 : 0;
    }).join();
    EXPECT_LE(connection->queuedBytes(), connection->route().maxQueuedBytes);
    EXPECT_GE(accepted, 8);
    EXPECT_EQ(ws().topics()->stats().dropped, static_cast<uint64_t>(1'000 - accepted));
    EXPECT_EQ(peer->frames().size(), static_cast<size_t>(accepted));
    EXPECT_EQ(connection->queuedBytes(), 0U);
    EXPECT_EQ(drained, 1);  // some were told that they were Queued
}

// --- Limits of the connection below ---

// A single message may be larger than the connection's own limit; the Close behind it was what exceeded it, and the
// message was lost.
TEST_F(WsSlowPeerTest, ACloseBehindALargeMessageFits) {
    serve(WsRoute{});
    const auto peer = open();
    peer->peer().connection()->setMaxQueuedBytes(1'000);
    peer->block();
    EXPECT_EQ(last().send(std::string(500'000, 'x')), WsSendStatus::Queued);
    last().close(WsCloseCode::Normal, std::string(100, 'r'));
    EXPECT_FALSE(peer->isClosed());
    peer->unblock();
    const auto frames = peer->frames();
    ASSERT_EQ(frames.size(), 2U);
    EXPECT_EQ(frames[0].payload.size(), 500'000U);
    EXPECT_EQ(frames[1].opcode, WsOpcode::Close);
}

// What is gathered in a handler is written when it exceeds the limit. The write found the peer gone, and the
// connection was closed for being too slow.
TEST_F(WsSlowPeerTest, AResetThatASendFindsIsNoOverflow) {
    WsRoute route = slowRoute(WsOverflow::Close);
    route.onMessage = [](const WsConnectionPtr_t& connection, std::string_view, WsOpcode) {
        for (int i = 0; i < 40; ++i) connection->send(message(i));
    };
    serve(std::move(route));
    const auto peer = open();
    peer->transport().resetAfterWritten(0);
    peer->text("go").settle();
    ASSERT_EQ(closes.size(), 1U);
    EXPECT_EQ(closes[0].code, WsCloseCode::Abnormal);
}

// --- Messages in pieces ---

TEST_F(WsSlowPeerTest, WholeMessagesWaitForTheEndOfOneInPieces) {
    serve(WsRoute{});
    const auto peer = open();
    ASSERT_TRUE(last().beginMessage());
    EXPECT_FALSE(last().beginMessage());
    EXPECT_EQ(last().send("early"), WsSendStatus::Queued);  // not even begun, but it is
    last().sendPiece("one ", false);
    last().ping("p");
    last().send("whole");
    last().sendPiece("two ", false);
    peer->frame(WsOpcode::Ping, "q").settle();
    last().sendPiece("three", true);
    last().send("after");
    EXPECT_EQ(peer->shown(),
              "text(one )... ping(p) more(two )... pong(q) more(three) text(early) text(whole) text(after)");
}

TEST_F(WsSlowPeerTest, ACloseInTheMiddleOfAMessageIsSentAtOnce) {
    serve(WsRoute{});
    const auto peer = open();
    last().beginMessage();
    last().sendPiece("one ", false);
    last().send("whole");
    last().close(WsCloseCode::GoingAway);
    EXPECT_EQ(last().sendPiece("two", true), WsSendStatus::Closed);
    EXPECT_EQ(peer->shown(), "text(one )... close(1001)");
}

// Messages that waited for a slow peer when another was begun in pieces came after it.
TEST_F(WsSlowPeerTest, AMessageInPiecesDoesNotOvertake) {
    serve(slowRoute(WsOverflow::DropOldest));
    const auto peer = open();
    fill(*peer);
    last().send(message(1));
    last().send(message(2));
    last().beginMessage();
    last().sendPiece("3 ", true);
    last().send(message(4));
    peer->unblock();
    EXPECT_EQ(numbers(peer->frames()), "## 01 02 3  04");
}

// Whoever waits for onDrain with the next piece waited for ever: a whole message waited for the last piece, and
// onDrain for the whole message.
TEST_F(WsSlowPeerTest, OnDrainComesBetweenPiecesThoughMessagesWait) {
    WsRoute route = slowRoute(WsOverflow::Close);
    int pieces = 0;
    route.onDrain = [&](const WsConnectionPtr_t& connection) {
        ++drained;
        if (pieces == 3) return;
        connection->sendPiece(std::string(1'500, 'p'), ++pieces == 3);
    };
    serve(std::move(route));
    const auto peer = open();
    peer->block();
    last().beginMessage();
    EXPECT_EQ(last().sendPiece(std::string(1'500, 'p'), false), WsSendStatus::Queued);
    last().send("whole");
    peer->unblock();
    EXPECT_EQ(peer->shown(),
              "text(1500 bytes)... more(1500 bytes)... more(1500 bytes)... more(1500 bytes) text(whole)");
    EXPECT_EQ(drained, 4);
}

TEST_F(WsSlowPeerTest, WholeMessagesBehindOneInPiecesAreDroppedAsTheRouteSays) {
    serve(slowRoute(WsOverflow::DropNewest));
    const auto peer = open();
    last().beginMessage();
    last().sendPiece("one ", false);
    for (int i = 0; i < 60; ++i) last().send(message(i));
    EXPECT_TRUE(last().isOpen());
    EXPECT_GT(ws().topics()->stats().dropped, 20U);
    EXPECT_EQ(last().sendPiece("two", true), WsSendStatus::Accepted);
    EXPECT_TRUE(peer->shown().starts_with("text(one )... more(two) text(100 bytes)"));
}

TEST_F(WsSlowPeerTest, A64MiBMessageInPiecesIsSentInBoundedMemory) {
    constexpr size_t kPiece = 64 << 10;
    constexpr size_t kTotal = 64 << 20;
    const std::string piece(kPiece, 'p');
    size_t sent = 0;
    const auto sendSome = [&](const WsConnectionPtr_t& connection) {
        WsSendStatus status = WsSendStatus::Accepted;
        while (status == WsSendStatus::Accepted && sent < kTotal) {
            sent += kPiece;
            status = connection->sendPiece(piece, sent == kTotal);
        }
    };
    WsRoute route;
    route.onOpen = [&](const WsConnectionPtr_t& connection) {
        connection->beginMessage(WsOpcode::Binary);
        sendSome(connection);
    };
    route.onDrain = sendSome;
    serve(std::move(route));
    const auto peer = connect();
    peer->transport().limitWrites(50'000);
    peer->feed(openingRequest());
    const LargestAllocation largest;
    size_t received = 0;
    size_t mostQueued = 0;
    ASSERT_TRUE(runUntil([&] {
        received += peer->takeWritten().size();
        mostQueued = std::max(mostQueued, peer->connection()->queuedBytes());
        return received >= kTotal;
    }));
    EXPECT_LE(mostQueued, 3 * kPiece);
    EXPECT_LE(largest.size(), size_t{1} << 20);
}

}  // namespace
}  // namespace tnet
