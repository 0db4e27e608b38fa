// Clients that end their direction and go on reading, and those that leave: RFC 9112 §9.6.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/responder.h"
#include "tests/http/http_fixture.h"
#include "tests/support/loop_fixture.h"
#include "tnet/connection.h"
#include "tnet/transport.h"

namespace tnet {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Wrote = HttpBodyWriter::Wrote;

class HalfCloseTest : public HttpTest {
protected:
    HalfCloseTest() {
        router().get("/hi", [](const HttpRequest&) { return HttpResponse::text("hi"); });
        router().get("/held", [this](const HttpRequest&, HttpResponder responder) {
            responder.onClientGone([this] { ++gone; });
            held.push_back(std::move(responder));
        });
        router().get("/stream", [this](const HttpRequest&, HttpResponder responder) {
            responder.onClientGone([this] { ++gone; });
            writer = responder.stream(HttpResponse(200));
        });
        router().post(
            "/upload",
            [this](const HttpRequest&, HttpResponder responder) {
                responder.onClientGone([this] { ++gone; });
                held.push_back(std::move(responder));
            },
            HttpRouteOptions{std::nullopt, true});
    }

    // One on a socket, for what only the kernel knows.
    BlockingClient connectSocket() {
        SocketPair pair = makeTcpPair();
        connection = std::make_shared<Connection>(loop(), std::move(pair.ours), plainTransport(),
                                                  Connection::Origin::Accepted);
        service().onConnection(connection);
        connection->start();
        return BlockingClient(std::move(pair.peers));
    }

    int gone = 0;
    std::vector<HttpResponder> held{};
    HttpBodyWriter writer{};
    ConnectionPtr_t connection{};
};

// `printf 'GET / HTTP/1.0\r\n\r\n' | socat -t2 - TCP:...`: the answer was lost whenever the handler answered later.
TEST_F(HalfCloseTest, WhatIsAnsweredWithinTheGraceIsDelivered) {
    for (const std::string& request : {getRequest("/held"), std::string("GET /held HTTP/1.0\r\n\r\n")}) {
        const auto peer = connect();
        peer->feed(request).feedEnd().settle();
        advance(milliseconds(900));
        EXPECT_EQ(gone, 0);
        EXPECT_TRUE(held[0].isOpen());
        EXPECT_TRUE(held[0].respond(HttpResponse::text("late")));
        held.clear();
        const Replies replies = parseReplies(peer->collect());
        ASSERT_EQ(replies.size(), 1U) << replies;
        EXPECT_EQ(replies[0].body, "late");
        EXPECT_EQ(replies[0].header("Connection"), "close");
        EXPECT_TRUE(peer->isClosed());
        EXPECT_EQ(gone, 0);
        EXPECT_EQ(accesses().back().outcome, HttpOutcome::Complete);
    }
}

TEST_F(HalfCloseTest, ThenTheClientCountsAsGone) {
    const auto peer = connect();
    peer->feed(getRequest("/held")).feedEnd().settle();
    advance(milliseconds(1001));
    EXPECT_EQ(gone, 1);
    EXPECT_FALSE(held[0].isOpen());
    EXPECT_FALSE(held[0].respond(HttpResponse::text("too late")));
    EXPECT_TRUE(peer->isClosed());
    EXPECT_EQ(accesses().back().outcome, HttpOutcome::ClientGone);
}

TEST_F(HalfCloseTest, TheGraceIsASetting) {
    limits().halfCloseGrace = milliseconds::zero();
    {
        const auto peer = connect();
        peer->feed(getRequest("/held")).feedEnd().settle();
        EXPECT_EQ(gone, 1);
        EXPECT_TRUE(peer->isClosed());
    }
    held.clear();
    limits().halfCloseGrace = milliseconds::max();
    limits().handlerTimeout = milliseconds::zero();
    const auto peer = connect();
    peer->feed(getRequest("/held")).feedEnd().settle();
    advance(std::chrono::hours(24 * 365));
    EXPECT_EQ(gone, 1);
    EXPECT_TRUE(held[0].respond(HttpResponse::text("at last")));
    EXPECT_EQ(parseReplies(peer->collect())[0].body, "at last");
    EXPECT_TRUE(peer->isClosed());
}

TEST_F(HalfCloseTest, PipelinedRequestsBeforeTheEndAreAnswered) {
    const auto peer = connect();
    peer->feed(getRequest("/held") + getRequest("/hi") + getRequest("/held") + getRequest("/hi"))
        .feedEnd()
        .settle();
    ASSERT_EQ(held.size(), 1U);
    held[0].respond(HttpResponse::text("first"));
    peer->settle();
    ASSERT_EQ(held.size(), 2U);
    held[1].respond(HttpResponse::text("second"));
    const Replies replies = parseReplies(peer->collect());
    ASSERT_EQ(replies.size(), 4U) << replies;
    EXPECT_EQ(replies[2].body, "second");
    EXPECT_EQ(replies[2].header("Connection"), "");
    EXPECT_TRUE(peer->isClosed());
    EXPECT_EQ(gone, 0);
}

TEST_F(HalfCloseTest, AnIdleConnectionClosesAtOnce) {
    const auto fresh = connect();
    fresh->feedEnd().settle();
    EXPECT_TRUE(fresh->isClosed());
    const auto kept = connect();
    kept->feed(getRequest("/hi")).settle();
    EXPECT_FALSE(kept->isClosed());
    kept->feedEnd().settle();
    EXPECT_TRUE(kept->isClosed());
}

TEST_F(HalfCloseTest, AnUnfinishedRequestIsGivenUpAtOnce) {
    for (const std::string& begun :
         {std::string("GET /hi HTT"), postHead("/hi", 100) + "part", postHead("/upload", 100) + "part"}) {
        const auto peer = connect();
        peer->feed(begun).feedEnd().settle();
        if (!held.empty()) held[0].readBody([](std::string_view, bool) {});
        peer->settle();
        EXPECT_TRUE(peer->isClosed()) << begun;
        EXPECT_EQ(gone, held.empty() ? 0 : 1) << begun;
    }
}

TEST_F(HalfCloseTest, AStreamGoesOnForTheGrace) {
    for (const bool isOld : {false, true}) {
        gone = 0;
        const auto peer = connect();
        peer->feed(isOld ? "GET /stream HTTP/1.0\r\n\r\n" : getRequest("/stream")).feedEnd().settle();
        EXPECT_EQ(writer.write("one"), Wrote::Accepted);
        advance(milliseconds(900));
        EXPECT_EQ(writer.write("two"), Wrote::Accepted);
        advance(milliseconds(101));
        EXPECT_EQ(gone, 1);
        EXPECT_EQ(writer.write("three"), Wrote::Closed);
        const Replies replies = parseReplies(peer->collect());
        EXPECT_EQ(replies.size(), isOld ? 1U : 0U);  // an old client reads to the end, which is a reset
        EXPECT_TRUE(peer->isClosed());
    }
}

TEST_F(HalfCloseTest, AResetIsImmediate) {
    BlockingClient client = connectSocket();
    client.send(getRequest("/held"));
    ASSERT_TRUE(runUntil([&] { return !held.empty(); }));
    client.shutDownWrite();
    runRounds();
    EXPECT_EQ(gone, 0);
    client.reset();
    EXPECT_TRUE(runUntil([&] { return gone == 1; }));
    EXPECT_EQ(connection->state(), ConnState::Disconnected);
}

// Its reading was paused behind 64 KiB of requests that wait for the end of the stream, and so its end was never
// noticed: 197 of 200 such connections stayed in CLOSE-WAIT for ever.
TEST_F(HalfCloseTest, TheEndBehindInputThatIsNotReadIsNoticed) {
    for (const std::string_view path : {"/stream", "/held"}) {
        gone = 0;
        held.clear();
        BlockingClient client = connectSocket();
        client.send(getRequest(path));
        std::string flood;
        for (int i = 0; i < 4000; ++i) flood += getRequest("/hi");
        client.send(flood);
        ASSERT_TRUE(runUntil([&] { return connection->isReadingPaused(); }));
        // What it has not read would make a reset of its end.
        for (std::string head; path == "/stream" && !head.ends_with("\r\n\r\n");) head += client.receive(1);
        client.close();
        ASSERT_TRUE(runUntil([&] { return connection->hasPeerEnded(); }));
        for (int i = 0; i < 50 && gone == 0; ++i) advance(milliseconds(100));
        EXPECT_EQ(gone, 1) << path;
        EXPECT_TRUE(runUntil([&] { return connection->state() == ConnState::Disconnected; }));
    }
}

}  // namespace
}  // namespace tnet
