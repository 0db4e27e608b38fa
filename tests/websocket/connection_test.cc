// How WebSocket connections open, close and say why.
#include "websocket/connection.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/largest_allocation.h"
#include "tests/websocket/ws_life_fixture.h"
#include "websocket/deflate.h"

namespace tnet {
namespace {

class WsConnectionTest : public WsLifeTest {
protected:
    WsRoute echo() {
        WsRoute route;
        route.onMessage = [this](const WsConnectionPtr_t& c, std::string_view message, WsOpcode opcode) {
            ++messages;
            c->send(message, opcode);
        };
        return route;
    }

    void expectClosed(WsCloseCode code, std::string_view reason = {}) {
        ASSERT_EQ(closes.size(), 1U);
        EXPECT_EQ(closes[0].code, code);
        EXPECT_EQ(closes[0].reason, reason);
        closes.clear();
    }

    int messages = 0;
};

TEST_F(WsConnectionTest, MessagesBehindTheRequestAreReceived) {
    serve(echo());
    const auto peer = open({}, clientFrame(WsOpcode::Text, "one") + clientFrame(WsOpcode::Binary, "two"));
    EXPECT_EQ(peer->shown(), "text(one) binary(two)");
}

TEST_F(WsConnectionTest, ThePeersCloseIsAnsweredWithItsCodeAndEndsTheConnection) {
    serve(echo());
    const auto peer = open();
    peer->close(3001, "their reason");
    EXPECT_EQ(peer->shown(), "close(3001)");
    EXPECT_TRUE(peer->isClosed());
    expectClosed(static_cast<WsCloseCode>(3001), "their reason");
}

TEST_F(WsConnectionTest, AnEmptyCloseHasNoStatus) {
    serve(echo());
    const auto peer = open();
    peer->frame(WsOpcode::Close, "");
    EXPECT_EQ(peer->shown(), "close()");
    EXPECT_TRUE(peer->isClosed());
    expectClosed(WsCloseCode::NoStatus);
}

TEST_F(WsConnectionTest, OurCloseWaitsForThePeersAndIgnoresWhatComesBefore) {
    serve(echo());
    const auto peer = open();
    last().close(WsCloseCode::GoingAway, "ours");
    last().close(WsCloseCode::Normal, "a second has no effect");
    EXPECT_EQ(last().send("late"), WsSendStatus::Closed);
    peer->text("late").frame(WsOpcode::Ping, "late");
    EXPECT_EQ(peer->shown(), "close(1001 ours)");
    EXPECT_EQ(messages, 0);
    EXPECT_FALSE(peer->isClosed());
    EXPECT_TRUE(closes.empty());
    peer->close(1000, "theirs");
    EXPECT_EQ(peer->shown(), "");
    EXPECT_TRUE(peer->isClosed());
    expectClosed(WsCloseCode::GoingAway, "ours");
}

TEST_F(WsConnectionTest, WhatFollowsThePeersCloseIsIgnored) {
    serve(echo());
    const auto peer = open();
    peer->peer().feed(clientClose(1000) + clientFrame(WsOpcode::Text, "late") + clientClose(1001));
    EXPECT_EQ(peer->shown(), "close(1000)");
    EXPECT_EQ(messages, 0);
    expectClosed(WsCloseCode::Normal);
}

TEST_F(WsConnectionTest, AnEndWithoutACloseIsAbnormal) {
    serve(echo());
    for (const bool resets : {false, true}) {
        for (const bool midMessage : {false, true}) {
            const auto peer = open();
            if (midMessage) peer->peer().feed(clientFrame(WsOpcode::Text, "cut off").substr(0, 9));
            resets ? peer->peer().feedReset() : peer->peer().feedEnd();
            peer->settle();
            EXPECT_TRUE(peer->isClosed());
            expectClosed(WsCloseCode::Abnormal);
        }
    }
}

TEST_F(WsConnectionTest, AnAbortIsAbnormal) {
    serve(echo());
    const auto peer = open();
    peer->block();
    last().send("lost");
    last().abort();
    peer->settle();
    expectClosed(WsCloseCode::Abnormal);
}

TEST_F(WsConnectionTest, AResetAtEveryByteEndsItOnce) {
    serve(echo());
    const size_t headBytes = open()->head().size();
    closes.clear();
    for (size_t at = headBytes; at < headBytes + 20; ++at) {
        const auto peer = connect();
        peer->transport().resetAfterWritten(at);
        peer->feed(openingRequest() + clientFrame(WsOpcode::Text, "hello") +
                   clientFrame(WsOpcode::Ping, "p") + clientFrame(WsOpcode::Text, "world"));
        peer->settle();
        last().send("more than that");
        peer->settle();
        EXPECT_TRUE(peer->isClosed()) << at;
        expectClosed(WsCloseCode::Abnormal);
    }
}

TEST_F(WsConnectionTest, ShortWritesChangeNothing) {
    serve(echo());
    for (const size_t limit : {1, 2, 3, 7}) {
        const auto peer = open();
        peer->transport().limitWrites(limit);
        peer->text("one").text(std::string(300, 'x')).frame(WsOpcode::Ping, "p").close(1000);
        EXPECT_EQ(peer->shown(), "text(one) text(300 bytes) pong(p) close(1000)");
        expectClosed(WsCloseCode::Normal);
    }
}

TEST_F(WsConnectionTest, PausedReadingHoldsMessagesBackUntilResumed) {
    serve(echo());
    const auto peer = open();
    last().pauseReading();
    peer->text("held");
    EXPECT_EQ(peer->shown(), "");
    last().resumeReading();
    EXPECT_EQ(peer->shown(), "text(held)");
    last().pauseReading();
    last().close();
    peer->close(1000).settle();
    EXPECT_TRUE(peer->isClosed());  // a close resumes
}

TEST_F(WsConnectionTest, A256MiBMessageIsReceivedInPiecesAndBoundedMemory) {
    constexpr size_t kTotal = 256 << 20;
    size_t received = 0;
    bool isComplete = false;
    WsRoute route;
    route.maxMessageBytes = route.maxFrameBytes = kTotal;
    route.onPiece = [&](const WsConnectionPtr_t& c, std::string_view piece, WsOpcode, bool isLast) {
        received += piece.size();
        isComplete = isLast;
        c->pauseReading();
    };
    serve(std::move(route));
    const auto peer = open();
    const std::string zeros(64 << 10, '\0');
    // One frame: its header, and then the mask over zeros.
    std::string header = clientFrame(WsOpcode::Binary, std::string(70'000, 'x')).substr(0, 14);
    for (size_t i = 0; i < 8; ++i) header[2 + i] = static_cast<char>(uint64_t{kTotal} >> (8 * (7 - i)));
    peer->peer().feed(header);
    const LargestAllocation largest;
    for (size_t fed = 0; fed < kTotal; fed += zeros.size()) {
        peer->peer().feed(zeros);
        do {  // over TLS it is more than one read
            runRounds(2);
            ASSERT_LE(received, fed + zeros.size());
            last().resumeReading();
        } while (peer->transport().hasInput());
    }
    runRounds(2);
    EXPECT_EQ(received, kTotal);
    EXPECT_TRUE(isComplete);
    EXPECT_LT(largest.size(), size_t{1} << 20);
}

// --- Compression ---

TEST_F(WsConnectionTest, CompressedConversationsWithBothModes) {
    for (const WsCompression mode : {WsCompression::Shared, WsCompression::Dedicated}) {
        destroyServer();
        WsRoute route = echo();
        route.compression = mode;
        route.compressFromBytes = 100;
        route.releaseWindowsAfter = std::chrono::seconds(60);
        serve(std::move(route));
        const auto peer = open("Sec-WebSocket-Extensions: permessage-deflate\r\n");
        const bool isShared = mode == WsCompression::Shared;
        EXPECT_EQ(peer->head().find("no_context_takeover") != std::string::npos, isShared) << peer->head();
        last().subscribe("t");
        WsDeflater deflater({.noContextTakeover = isShared});
        WsInflater inflater({.noContextTakeover = isShared});
        const auto decode = [&](const WsWireFrame& frame) {
            if (!frame.rsv1) return frame.payload;
            std::string text(100'000, '\0');
            std::string_view input = frame.payload;
            const auto step = inflater.inflate(input, true, text.data(), text.size());
            EXPECT_EQ(step.state, WsInflater::State::MessageEnd);
            text.resize(step.written);
            return text;
        };
        for (int i = 0; i < 60; ++i) {
            const std::string small = "small " + std::to_string(i);
            const std::string large = patternOf(static_cast<size_t>(200 + 997 * i));
            std::string compressed;
            ASSERT_TRUE(deflater.deflate(large, true, compressed));
            peer->frame(WsOpcode::Text, compressed, true, true).text(small).settle();
            ws().topics()->publish("t", large + "published");
            ws().topics()->publish("t", small + "published");
            const auto frames = peer->frames();
            ASSERT_EQ(frames.size(), 4U);
            EXPECT_TRUE(frames[0].rsv1);
            EXPECT_FALSE(frames[1].rsv1);
            EXPECT_TRUE(frames[2].rsv1);
            EXPECT_FALSE(frames[3].rsv1);
            EXPECT_EQ(decode(frames[0]), large);
            EXPECT_EQ(decode(frames[1]), small);
            EXPECT_EQ(decode(frames[2]), large + "published");
            EXPECT_EQ(decode(frames[3]), small + "published");
            if (i % 10 != 9) continue;
            // Windows go after a while without messages; the peer keeps its own.
            for (int k = 0; k < 10; ++k) {
                advance(std::chrono::seconds(15));
                peer->frame(WsOpcode::Pong, "").settle();
            }
        }
        EXPECT_TRUE(last().isOpen());
    }
}

}  // namespace
}  // namespace tnet
