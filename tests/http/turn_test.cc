// A connection's turn: what it may do before the others have theirs, and what becomes of the rest that waits
// meanwhile.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/connection.h"
#include "http/responder.h"
#include "tests/http/http_fixture.h"
#include "tnet/conn_checker.h"
#include "tnet/stack_buffer.h"

namespace tnet {
namespace {

class HttpTurnTest : public HttpTest {
protected:
    HttpTurnTest() {
        router().get("/hi", [](const HttpRequest&) { return HttpResponse::text("hi"); });
        router().get("/n/:n", [](const HttpRequest& request) {
            return HttpResponse::text(std::string(request.param("n")));
        });
    }

    // For /n/0 and so on.
    static std::string requests(int count) {
        std::string all;
        for (int i = 0; i < count; ++i) all += getRequest("/n/" + std::to_string(i));
        return all;
    }

    std::vector<HttpResponder> held{};
};

// One client's pipelined requests, some sixteen hundred in a read buffer, were all answered before anybody else was
// looked at; with a handler that takes its time, that was long.
TEST_F(HttpTurnTest, AFloodOfPipelinedRequestsLetsOthersHaveTheirTurn) {
    int answered = 0;
    int answeredBefore = -1;
    router().get("/flood", [&](const HttpRequest&) {
        ++answered;
        return HttpResponse::text("flood");
    });
    router().get("/other", [&](const HttpRequest&) {
        answeredBefore = answered;
        return HttpResponse::text("other");
    });
    std::string requests;
    for (int i = 0; i < 300; ++i) requests += getRequest("/flood");
    const auto flooding = connect();
    const auto other = connect();
    flooding->feed(requests);
    other->feed(getRequest("/other"));
    other->settle();
    EXPECT_GE(answeredBefore, 0);
    EXPECT_LE(answeredBefore, 64);
    flooding->settle();
    EXPECT_LE(flooding->transport().writes().size(), 300U / 64 + 1);  // a turn is one write
    const Replies replies = parseReplies(flooding->collect());
    EXPECT_EQ(replies.size(), 300U);
    EXPECT_TRUE(replies.isClean());
    flooding->feed(getRequest("/n/301"));
    EXPECT_EQ(parseReplies(flooding->collect())[0].body, "301");
}

// The end of the client was noticed before the requests that waited for their turn, and those were lost.
TEST_F(HttpTurnTest, WhatWaitsForItsTurnComesBeforeTheEndOfTheClient) {
    std::string requests;
    for (int i = 0; i < 300; ++i) requests += getRequest("/n/" + std::to_string(i));
    const auto peer = connect();
    peer->feed(requests);
    peer->feedEnd();
    const Replies replies = parseReplies(peer->collect());
    EXPECT_TRUE(replies.isClean());
    ASSERT_EQ(replies.size(), 300U);
    EXPECT_EQ(replies[299].body, "299");
    EXPECT_TRUE(peer->isEnded());
}

// The same with a body in chunks of one byte, ten thousand of which are in a read buffer.
TEST_F(HttpTurnTest, AFloodOfChunksLetsOthersHaveTheirTurn) {
    size_t pieces = 0;
    size_t piecesBefore = SIZE_MAX;
    std::string body;
    router().post(
        "/flood",
        [&](const HttpRequest&, HttpResponder responder) {
            held.push_back(std::move(responder));
            held.back().readBody([&](std::string_view piece, bool last) {
                ++pieces;
                body += piece;
                if (last) held.back().respond(HttpResponse::text("taken"));
            });
        },
        HttpRouteOptions{std::nullopt, true});
    router().get("/other", [&](const HttpRequest&) {
        piecesBefore = pieces;
        return HttpResponse::text("other");
    });
    std::string request = "POST /flood HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (int i = 0; i < 2000; ++i) request += "1\r\nx\r\n";
    const auto flooding = connect();
    const auto other = connect();
    flooding->feed(request + "0\r\n\r\n" + getRequest("/hi"));
    other->feed(getRequest("/other"));
    other->settle();
    EXPECT_LE(piecesBefore, 257U);
    runRounds(20);
    EXPECT_EQ(body, std::string(2000, 'x'));
    EXPECT_EQ(parseReplies(flooding->collect()).statuses(), (std::vector<int>{200, 200}));
}

// Its turns, and what comes meanwhile, in order.
TEST_F(HttpTurnTest, PipelinedRequestsOfManyTurnsAreAnsweredInOrder) {
    std::string requests;
    for (int i = 0; i < 5000; ++i) requests += getRequest("/n/" + std::to_string(i));
    for (const size_t fragment : {ScriptedPeer::kWhole, size_t{1000}, size_t{30'000}}) {
        const Replies replies = ask(requests, fragment);
        ASSERT_EQ(replies.size(), 5000U) << fragment;
        for (size_t i = 0; i < 5000; ++i) ASSERT_EQ(replies[i].body, std::to_string(i)) << fragment;
    }
}

// --- Streams ---

// Writes until it is told to wait, and goes on when it is called.
class ChunkSource {
public:
    ChunkSource(HttpBodyWriter writer, size_t chunks) : m_writer(std::move(writer)), m_left(chunks) {
        m_writer.onDrain([this] { writeSome(); });
        writeSome();
    }
    size_t written() const { return m_written; }

private:
    void writeSome() {
        while (m_left > 0) {
            --m_left;
            ++m_written;
            if (m_writer.write("chunk\n") != HttpBodyWriter::Wrote::Accepted) return;
        }
        m_writer.finish();
    }

    HttpBodyWriter m_writer;
    size_t m_left;
    size_t m_written = 0;
};

// A fast reader's kernel takes every piece, so nothing ever told the writer to wait: a client that asked for a
// million chunks kept its loop for seconds.
TEST_F(HttpTurnTest, AStreamToAFastReaderLetsOthersHaveTheirTurn) {
    constexpr size_t kChunks = 20'000;
    std::vector<std::unique_ptr<ChunkSource>> sources;
    bool isAnswered = false;
    router().get("/stream", [&](const HttpRequest&, HttpResponder responder) {
        sources.push_back(std::make_unique<ChunkSource>(responder.stream(HttpResponse(200)), kChunks));
    });
    router().get("/other", [&](const HttpRequest&) {
        isAnswered = true;
        return HttpResponse::text("other");
    });
    const auto streaming = connect();
    const auto other = connect();
    streaming->feed(getRequest("/stream"));
    ASSERT_TRUE(runUntil([&] { return !sources.empty(); }));
    EXPECT_LE(sources[0]->written(), 1024U);
    other->feed(getRequest("/other"));
    for (int round = 0; round < 4; ++round) {
        const size_t before = sources[0]->written();
        loop()->runOnce(Duration::zero());
        EXPECT_GT(sources[0]->written(), before);
        EXPECT_LE(sources[0]->written(), before + 1025);
    }
    EXPECT_TRUE(isAnswered);
    const Replies replies = parseReplies(streaming->collect());
    ASSERT_EQ(replies.size(), 1U);
    EXPECT_EQ(replies[0].chunks, kChunks);
}

// As one that comes from a timer, or from another thread's task: each of its pieces was a system call.
TEST_F(HttpTurnTest, WhatIsWrittenInOneTurnLeavesInOneWrite) {
    HttpBodyWriter writer;
    router().get("/stream", [&](const HttpRequest&, HttpResponder responder) {
        writer = responder.stream(HttpResponse(200));
    });
    const auto peer = connect();
    peer->feed(getRequest("/stream")).settle();
    peer->transport().restartCounts();
    loop()->addCallback([&] {
        for (int i = 0; i < 500; ++i) EXPECT_EQ(writer.write("piece"), HttpBodyWriter::Wrote::Accepted);
    });
    peer->settle();
    EXPECT_LE(peer->transport().writeCalls(), 2U);
    writer.finish();
    EXPECT_EQ(parseReplies(peer->collect())[0].chunks, 500U);
}

// It is not told to wait because of what it wrote earlier.
TEST_F(HttpTurnTest, AStreamThatWritesALittleInEachRoundIsNeverToldToWait) {
    HttpBodyWriter writer;
    router().get("/stream", [&](const HttpRequest&, HttpResponder responder) {
        writer = responder.stream(HttpResponse(200));
    });
    const auto peer = connect();
    peer->feed(getRequest("/stream")).settle();
    for (int i = 0; i < 300; ++i) {
        for (int j = 0; j < 100; ++j) ASSERT_EQ(writer.write("piece"), HttpBodyWriter::Wrote::Accepted);
        loop()->runOnce(Duration::zero());
    }
    writer.finish();
    EXPECT_EQ(parseReplies(peer->collect())[0].chunks, 30'000U);
}

// Sixty-four answers of any size were one turn.
TEST_F(HttpTurnTest, LargeAnswersToPipelinedRequestsLetOthersHaveTheirTurn) {
    const auto body = std::make_shared<const std::string>(200'000, 'x');
    int answered = 0;
    router().get("/large", [&](const HttpRequest&) {
        ++answered;
        return HttpResponse(200).setBody(SharedBytesPtr_t(body));
    });
    std::string flood;
    for (int i = 0; i < 20; ++i) flood += getRequest("/large");
    const auto peer = connect();
    peer->feed(flood);
    for (int round = 0; round < 4; ++round) {
        const int before = answered;
        loop()->runOnce(Duration::zero());
        EXPECT_LE(answered, before + 4);  // an event and a task
    }
    EXPECT_EQ(parseReplies(peer->collect()).size(), 20U);
}

// --- What happens between two turns ---

TEST_F(HttpTurnTest, ADrainBetweenTwoTurnsAnswersWhatHasArrived) {
    const auto peer = connect();
    peer->feed(requests(200));
    loop()->runOnce(Duration::zero());
    const auto checker = ConnChecker::create(loop(), {});
    ASSERT_TRUE(checker);
    service().onDrain(**checker);
    const Replies replies = parseReplies(peer->collect());
    EXPECT_TRUE(replies.isClean());
    ASSERT_EQ(replies.size(), 200U);
    for (size_t i = 0; i < 200; ++i) EXPECT_EQ(replies[i].header("Connection"), i == 199 ? "close" : "") << i;
    EXPECT_TRUE(peer->isEnded());
}

TEST_F(HttpTurnTest, AnUpgradeBehindATurnGetsWhatFollows) {
    std::string got;
    router().upgrade("/up", "test", [&](const HttpRequest&, HttpResponder responder) {
        responder.upgrade(HttpResponse(101), [&](const ConnectionPtr_t& connection) {
            connection->setEventCallback([&](const ConnectionPtr_t&, ConnEvent event, const void* context) {
                if (event == Conn_ReadEvent) got += static_cast<const StackBuffer*>(context)->view();
            });
        });
    });
    // Before, at and behind the end of a turn.
    for (const int before : {62, 63, 64, 65, 127, 128, 200}) {
        got.clear();
        const auto peer = connect();
        peer->feed(requests(before) + getRequest("/up", "Connection: Upgrade\r\nUpgrade: test\r\n") +
                   "behind ");
        peer->settle();
        peer->feed("and later").settle();
        EXPECT_EQ(got, "behind and later") << before;
        peer->connection()->close();
        peer->settle();
    }
}

// Whatever the user does in the last request of a turn, or the first of the next.
TEST_F(HttpTurnTest, WhatAHandlerDoesWhileRequestsWaitForTheirTurn) {
    ConnectionPtr_t connection;
    router().get("/close", [&](const HttpRequest&) { return connection->close(), HttpResponse(204); });
    router().get("/abort", [&](const HttpRequest&) { return connection->abort(), HttpResponse(204); });
    router().get("/shutdown", [&](const HttpRequest&) { return connection->shutDown(), HttpResponse(204); });
    router().get("/throw", [](const HttpRequest&) -> HttpResponse { throw std::runtime_error("handler"); });
    router().get("/drop", [](const HttpRequest&, HttpResponder) {});
    router().get("/keep", [this](const HttpRequest&, HttpResponder responder) {
        held.push_back(std::move(responder));
    });
    struct Row {
        std::string_view path;
        bool goesOn;  // the rest is answered
    };
    for (const Row& row : {Row{"/close", false}, Row{"/abort", false}, Row{"/shutdown", false},
                           Row{"/throw", true}, Row{"/drop", true}, Row{"/keep", true}}) {
        for (const int before : {63, 64, 65}) {
            SCOPED_TRACE(testing::Message() << row.path << " behind " << before);
            const auto peer = connect();
            connection = peer->connection();
            peer->feed(requests(before) + getRequest(row.path) + requests(100));
            peer->settle();
            for (HttpResponder& responder : held) responder.respond(HttpResponse(204));
            held.clear();
            const Replies replies = parseReplies(peer->collect());
            EXPECT_EQ(peer->isClosed(), !row.goesOn);
            if (row.goesOn) {
                EXPECT_EQ(replies.size(), static_cast<size_t>(before) + 101);
            }
            peer->connection()->close();
            peer->settle();
        }
    }
    connection.reset();
}

TEST_F(HttpTurnTest, AConnectionThatEndsWhileRequestsWaitTakesThemWithIt) {
    int answered = 0;
    router().get("/counted", [&](const HttpRequest&) { return ++answered, HttpResponse(204); });
    std::string flood;
    for (int i = 0; i < 200; ++i) flood += getRequest("/counted");
    for (const bool isReset : {true, false}) {
        answered = 0;
        const auto peer = connect();
        peer->feed(flood);
        loop()->runOnce(Duration::zero());
        const int answeredBefore = answered;
        EXPECT_LT(answeredBefore, 200);
        isReset ? peer->connection()->abort() : peer->connection()->close();
        runRounds();
        EXPECT_TRUE(peer->isClosed());
        EXPECT_EQ(answered, answeredBefore);
    }
}

}  // namespace
}  // namespace tnet
