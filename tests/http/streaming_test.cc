// Responses written in pieces, and request bodies read in pieces.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "http/responder.h"
#include "tests/http/http_fixture.h"

namespace tnet {
namespace {

using Wrote = HttpBodyWriter::Wrote;

class HttpStreamTest : public HttpTest {
protected:
    HttpStreamTest() {
        router().get("/hi", [](const HttpRequest&) { return HttpResponse::text("hi"); });
        router().any("/stream", [this](const HttpRequest&, HttpResponder responder) {
            writer = responder.stream(HttpResponse(200).header("X-A", "b"));
        });
        router().get("/counted/:length", [this](const HttpRequest& request, HttpResponder responder) {
            writer = responder.stream(HttpResponse(200).header("Content-Length", request.param("length")));
        });
    }

    HttpBodyWriter writer{};
};

// --- Writing ---

TEST_F(HttpStreamTest, PiecesAreChunksAndGoOutAtOnce) {
    const auto peer = connect();
    peer->feed(getRequest("/stream"));
    const std::string head = peer->collect();
    EXPECT_TRUE(head.starts_with("HTTP/1.1 200 OK\r\n"));
    EXPECT_NE(head.find("\r\nTransfer-Encoding: chunked\r\n"), std::string::npos);
    EXPECT_NE(head.find("\r\nX-A: b\r\n"), std::string::npos);
    EXPECT_EQ(head.find("Content-Length"), std::string::npos);
    EXPECT_TRUE(writer.isOpen());
    EXPECT_EQ(writer.write("hello"), Wrote::Accepted);
    EXPECT_EQ(peer->collect(), "5\r\nhello\r\n");
    EXPECT_EQ(writer.write(""), Wrote::Accepted);  // an empty chunk would be the end
    EXPECT_EQ(peer->collect(), "");
    EXPECT_EQ(writer.write(std::string(300, 'x')), Wrote::Accepted);
    EXPECT_EQ(peer->collect(), "12c\r\n" + std::string(300, 'x') + "\r\n");
    writer.finish();
    EXPECT_EQ(peer->collect(), "0\r\n\r\n");
    EXPECT_FALSE(writer.isOpen());
    EXPECT_EQ(writer.write("late"), Wrote::Closed);
    writer.finish();
    peer->feed(getRequest("/hi"));
    EXPECT_EQ(parseReplies(peer->collect())[0].body, "hi");
}

TEST_F(HttpStreamTest, TrailersFollowTheLastChunk) {
    const auto peer = connect();
    peer->feed(getRequest("/stream")).settle();
    writer.write("abc");
    HttpHeaders trailers;
    trailers.add("X-Sum", "7");
    trailers.add("X-More", "");
    writer.finish(std::move(trailers));
    const Replies replies = parseReplies(peer->collect());
    ASSERT_TRUE(replies.isClean()) << replies;
    EXPECT_EQ(replies[0].body, "abc");
    EXPECT_EQ(replies[0].trailer("X-Sum"), "7");
    EXPECT_EQ(replies[0].trailers.size(), 2U);
}

// They went out, and whoever merges trailers into the header fields then has two lengths and two hosts.
TEST_F(HttpStreamTest, TrailersThatMayBeNoneAreLeftOut) {
    const auto peer = connect();
    peer->feed(getRequest("/stream")).settle();
    writer.write("abc");
    HttpHeaders trailers;
    for (const std::string_view name : {"Content-Length", "Transfer-Encoding", "Host", "Connection", "X-Sum"})
        trailers.add(name, "7");
    writer.finish(std::move(trailers));
    const Replies replies = parseReplies(peer->collect());
    ASSERT_TRUE(replies.isClean()) << replies;
    EXPECT_EQ(replies[0].trailer("X-Sum"), "7");
    EXPECT_EQ(replies[0].trailers.size(), 1U);
}

TEST_F(HttpStreamTest, ALengthThatIsGivenIsKept) {
    const auto peer = connect();
    peer->feed(getRequest("/counted/8") + getRequest("/hi")).settle();
    writer.write("1234");
    writer.write("5678");
    HttpHeaders trailers;
    trailers.add("X-Sum", "7");
    writer.finish(std::move(trailers));  // there is no place for them
    const Replies replies = parseReplies(peer->collect());
    ASSERT_EQ(replies.size(), 2U) << replies;
    EXPECT_EQ(replies[0].header("Content-Length"), "8");
    EXPECT_EQ(replies[0].count("Content-Length"), 1U);
    EXPECT_FALSE(replies[0].has("Transfer-Encoding"));
    EXPECT_EQ(replies[0].body, "12345678");
    EXPECT_EQ(replies[1].body, "hi");
}

TEST_F(HttpStreamTest, ALengthOfZeroIsAnEmptyBody) {
    const auto peer = connect();
    peer->feed(getRequest("/counted/0") + getRequest("/hi")).settle();
    writer.finish();
    const Replies replies = parseReplies(peer->collect());
    ASSERT_EQ(replies.size(), 2U) << replies;
    EXPECT_EQ(replies[0].header("Content-Length"), "0");
}

// What the client was promised and what it got must not differ without its noticing.
TEST_F(HttpStreamTest, AWrongLengthBreaksTheConnectionOff) {
    for (const std::string& piece : {std::string("1234"), std::string("123456")}) {
        const auto peer = connect();
        peer->feed(getRequest("/counted/5") + getRequest("/hi")).settle();
        writer.write(piece);
        writer.finish();
        const Replies replies = parseReplies(peer->collect());
        EXPECT_EQ(replies.size(), 0U) << replies;
        EXPECT_TRUE(peer->isClosed());
        EXPECT_TRUE(log().contains(piece.size() < 5 ? "shorter" : "longer"));
        EXPECT_EQ(writer.write("x"), Wrote::Closed);
    }
}

TEST_F(HttpStreamTest, AMalformedLengthIsNone) {
    for (const std::string_view length : {"x", "-1", "1%202", "18446744073709551616"}) {
        const auto peer = connect();
        peer->feed(getRequest("/counted/" + std::string(length))).settle();
        writer.write("abc");
        writer.finish();
        const Replies replies = parseReplies(peer->collect());
        ASSERT_TRUE(replies.isClean()) << length << "\n" << replies;
        EXPECT_EQ(replies[0].body, "abc");
        EXPECT_EQ(replies[0].chunks, 1U);
    }
}

TEST_F(HttpStreamTest, AWriterThatIsDroppedUnfinishedBreaksTheConnectionOff) {
    for (const std::string path : {"/stream", "/counted/9"}) {
        const auto peer = connect();
        peer->feed(getRequest(path) + getRequest("/hi")).settle();
        writer.write("half");
        writer = HttpBodyWriter();
        const Replies replies = parseReplies(peer->collect());
        EXPECT_EQ(replies.size(), 0U) << replies;
        EXPECT_NE(replies.rest.find("half"), std::string::npos);  // but not its end
        EXPECT_TRUE(peer->isClosed());
    }
}

// Answers that were queued in the same burst were lost with the one that was broken off.
TEST_F(HttpStreamTest, ABrokenOffStreamDoesNotTakeEarlierAnswersWithIt) {
    router().get("/dropped", [](const HttpRequest&, HttpResponder responder) {
        HttpBodyWriter dropped = responder.stream(HttpResponse(200));
        dropped.write("half");
    });
    const auto peer = connect();
    peer->feed(getRequest("/hi") + getRequest("/dropped") + getRequest("/hi"));
    const Replies replies = parseReplies(peer->collect());
    EXPECT_EQ(replies.statuses(), std::vector<int>{200});
    EXPECT_NE(replies.rest.find("half"), std::string::npos);
    EXPECT_TRUE(peer->isClosed());
}

TEST_F(HttpStreamTest, OldClientsReadToTheEndOfTheConnection) {
    for (const std::string_view connection : {"", "Connection: keep-alive\r\n"}) {
        const auto peer = connect();
        peer->feed("GET /stream HTTP/1.0\r\n" + std::string(connection) + "\r\n" + getRequest("/hi"))
            .settle();
        writer.write("hello ");
        writer.write("world");
        EXPECT_FALSE(peer->isEnded());
        HttpHeaders trailers;
        trailers.add("X-Sum", "7");
        writer.finish(std::move(trailers));
        const Replies replies = parseReplies(peer->collect());
        ASSERT_EQ(replies.size(), 1U);
        EXPECT_TRUE(replies[0].untilClose);
        EXPECT_EQ(replies[0].body, "hello world");
        EXPECT_EQ(replies[0].header("Connection"), "close");
        EXPECT_TRUE(peer->isEnded());
    }
}

TEST_F(HttpStreamTest, OldClientsWithALengthKeepTheirConnection) {
    const auto peer = connect();
    peer->feed("GET /counted/2 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").settle();
    writer.write("ab");
    writer.finish();
    const Replies replies = parseReplies(peer->collect());
    EXPECT_EQ(replies[0].header("Connection"), "keep-alive");
    EXPECT_FALSE(peer->isEnded());
}

TEST_F(HttpStreamTest, AHeadRequestGetsTheHeadAlone) {
    const auto peer = connect();
    peer->feed(headRequest("/stream") + headRequest("/counted/3") + getRequest("/hi")).settle();
    EXPECT_FALSE(writer.isOpen());
    EXPECT_EQ(writer.write("not sent"), Wrote::Closed);
    writer.finish();
    const Replies replies = parseReplies(peer->collect(), {0, 1});
    ASSERT_EQ(replies.size(), 3U) << replies;
    EXPECT_EQ(replies[0].header("Transfer-Encoding"), "chunked");
    EXPECT_EQ(replies[1].header("Content-Length"), "3");
    EXPECT_EQ(replies[2].body, "hi");
}

TEST_F(HttpStreamTest, StatusesWithoutBodyGetNone) {
    router().get("/status/:status", [](const HttpRequest& request, HttpResponder responder) {
        HttpBodyWriter none = responder.stream(HttpResponse(std::stoi(std::string(request.param("status")))));
        EXPECT_FALSE(none.isOpen());
        EXPECT_EQ(none.write("not sent"), Wrote::Closed);
        none.finish();
    });
    const Replies replies = ask(getRequest("/status/204") + getRequest("/status/304") + getRequest("/hi"));
    EXPECT_EQ(replies.statuses(), (std::vector<int>{204, 304, 200}));
    EXPECT_FALSE(replies[0].has("Transfer-Encoding"));
}

TEST_F(HttpStreamTest, MovingAWriterMovesTheDuty) {
    const auto first = connect();
    first->feed(getRequest("/stream")).settle();
    HttpBodyWriter mine = std::move(writer);
    const auto second = connect();
    second->feed(getRequest("/stream")).settle();
    mine.write("one");
    mine = std::move(writer);  // breaks the first off
    mine.finish();
    first->settle();
    EXPECT_TRUE(first->isClosed());
    EXPECT_TRUE(parseReplies(second->collect()).isClean());
    EXPECT_FALSE(second->isClosed());
}

// --- Back-pressure ---

// Writes until it is told to wait, and goes on when there is room.
class Source {
public:
    Source(HttpBodyWriter& writer, size_t pieces, size_t pieceBytes)
        : m_writer(writer), m_left(pieces), m_piece(pieceBytes, 'p') {}

    void start() {
        m_writer.onDrain([this] { writeSome(); });
        writeSome();
    }
    void writeSome() {
        ++m_turns;
        while (m_left > 0) {
            --m_left;
            const Wrote wrote = m_writer.write(m_piece);
            if (wrote == Wrote::Accepted) continue;
            return;
        }
        m_writer.finish();
    }
    size_t left() const { return m_left; }
    size_t turns() const { return m_turns; }

private:
    HttpBodyWriter& m_writer;
    size_t m_left;
    size_t m_turns = 0;
    std::string m_piece;
};

TEST_F(HttpStreamTest, ASlowClientMakesTheWriterWait) {
    constexpr size_t kPieces = 1000;
    constexpr size_t kPieceBytes = 10'000;
    const auto peer = connect();
    peer->feed(getRequest("/stream")).settle();
    peer->transport().blockWrites();
    Source source(writer, kPieces, kPieceBytes);
    source.start();
    peer->settle();
    const size_t mark = limits().highWaterBytes;
    EXPECT_GT(source.left(), kPieces - mark / kPieceBytes - 3);
    EXPECT_LE(peer->connection()->queuedBytes(), mark + kPieceBytes + 100);
    EXPECT_GT(peer->connection()->queuedBytes(), mark / 2);
    const size_t turns = source.turns();
    runRounds(50);
    EXPECT_EQ(source.turns(), turns) << "it asks again and again";

    size_t most = 0;
    peer->transport().limitWrites(30'000);
    peer->transport().unblockWrites();
    std::string text;
    ASSERT_TRUE(runUntil([&] {
        runRounds(1);
        most = std::max(most, peer->connection()->queuedBytes());
        text += peer->takeWritten();
        return source.left() == 0 && peer->connection()->queuedBytes() == 0;
    }));
    text += peer->collect();
    EXPECT_LE(most, mark + kPieceBytes + 100);
    const Replies replies = parseReplies(text);
    ASSERT_TRUE(replies.isClean());
    EXPECT_EQ(replies[0].body.size(), kPieces * kPieceBytes);
    EXPECT_EQ(replies[0].chunks, kPieces);
}

TEST_F(HttpStreamTest, AWriterOnAnotherThreadIsMadeToWait) {
    constexpr size_t kPieces = 2000;
    const auto peer = connect();
    peer->feed(getRequest("/stream")).settle();
    peer->transport().limitWrites(20'000);
    std::atomic<bool> mayGoOn{false};
    std::atomic<size_t> waits{0};
    std::thread producer([&] {
        writer.onDrain([&mayGoOn] { mayGoOn = true; });
        for (size_t i = 0; i < kPieces; ++i) {
            mayGoOn = false;
            if (writer.write(std::to_string(i) + std::string(5000, '.')) != Wrote::Wait) continue;
            ++waits;
            if (!waitUntil([&mayGoOn] { return mayGoOn.load(); })) return;
        }
        writer.finish();
    });
    std::string text;
    size_t most = 0;
    Replies replies;
    EXPECT_TRUE(runUntil([&] {
        runRounds(1);
        most = std::max(most, peer->connection()->queuedBytes());
        text += peer->takeWritten();
        if (!text.ends_with("0\r\n\r\n")) return false;
        replies = parseReplies(text);
        return replies.size() == 1;
    }));
    producer.join();
    EXPECT_LE(most, limits().highWaterBytes + 20'000);
    EXPECT_GT(waits, 0U);
    ASSERT_EQ(replies.size(), 1U);
    EXPECT_EQ(replies[0].chunks, kPieces);
    std::string expected;
    for (size_t i = 0; i < kPieces; ++i) expected += std::to_string(i) + std::string(5000, '.');
    EXPECT_EQ(replies[0].body, expected);
}

// The room came before anybody asked to be told, as it may with a producer on another thread, and then
// nobody was told.
TEST_F(HttpStreamTest, OnDrainThatIsRegisteredLateIsCalledIfThereIsRoom) {
    const auto peer = connect();
    peer->feed(getRequest("/stream")).settle();
    peer->transport().blockWrites();
    while (writer.write(std::string(50'000, 'x')) == Wrote::Accepted) {
    }
    peer->transport().unblockWrites();
    peer->settle();
    int called = 0;
    writer.onDrain([&called] { ++called; });
    EXPECT_EQ(called, 0);  // not inside the call
    peer->settle();
    EXPECT_EQ(called, 1);
}

TEST_F(HttpStreamTest, OnDrainMayFinishOrDropItsWriter) {
    for (const bool finish : {true, false}) {
        const auto peer = connect();
        peer->feed(getRequest("/stream")).settle();
        peer->transport().blockWrites();
        auto owner = std::make_shared<std::optional<HttpBodyWriter>>(std::move(writer));
        (*owner)->onDrain([owner, finish] {
            if (finish && *owner) (*owner)->finish();
            owner->reset();
        });
        while ((*owner)->write(std::string(50'000, 'x')) == Wrote::Accepted) {
        }
        owner.reset();
        peer->settle();
        peer->transport().unblockWrites();
        const Replies replies = parseReplies(peer->collect());
        EXPECT_EQ(replies.size(), finish ? 1U : 0U);
        EXPECT_EQ(peer->isClosed(), !finish);
    }
}

TEST_F(HttpStreamTest, WhatOnDrainThrowsBreaksTheStreamOff) {
    const auto peer = connect();
    peer->feed(getRequest("/stream")).settle();
    peer->transport().blockWrites();
    writer.onDrain([] { throw std::runtime_error("no more"); });
    while (writer.write(std::string(50'000, 'x')) == Wrote::Accepted) {
    }
    peer->settle();
    peer->transport().unblockWrites();
    peer->settle();
    EXPECT_TRUE(peer->isClosed());
    EXPECT_TRUE(log().contains("no more"));
    EXPECT_EQ(writer.write("x"), Wrote::Closed);
}

// Its writer was kept elsewhere, by its own drain callback for one, and so the client waited for ever.
TEST_F(HttpStreamTest, AHandlerThatThrowsBehindTheHeadBreaksTheStreamOff) {
    router().get("/fails", [this](const HttpRequest&, HttpResponder responder) {
        writer = responder.stream(HttpResponse(200));
        writer.write("begun");
        throw std::runtime_error("no memory for the rest");
    });
    const auto peer = connect();
    peer->feed(getRequest("/fails")).settle();
    EXPECT_TRUE(peer->collect().ends_with("5\r\nbegun\r\n"));
    EXPECT_TRUE(peer->isClosed());
    EXPECT_TRUE(log().contains("no memory for the rest"));
    EXPECT_EQ(writer.write("x"), Wrote::Closed);
    EXPECT_EQ(askOne(getRequest("/hi")).body, "hi");
}

TEST_F(HttpStreamTest, AWriterThatDoesNotWaitFailsItsConnectionInTheEnd) {
    const auto peer = connect();
    peer->connection()->setMaxQueuedBytes(1'000'000);
    peer->feed(getRequest("/stream")).settle();
    peer->transport().blockWrites();
    for (int i = 0; i < 90; ++i) ASSERT_NE(writer.write(std::string(10'000, 'x')), Wrote::Closed);
    EXPECT_LE(peer->connection()->queuedBytes(), 1'000'000U);
    for (int i = 0; i < 15; ++i) writer.write(std::string(10'000, 'x'));
    peer->settle();
    EXPECT_TRUE(peer->isClosed());
    EXPECT_EQ(writer.write("x"), Wrote::Closed);
    EXPECT_EQ(askOne(getRequest("/hi")).body, "hi");
}

TEST_F(HttpStreamTest, AClientThatLeavesMakesTheWriterInert) {
    const auto peer = connect();
    peer->feed(getRequest("/stream")).settle();
    peer->transport().blockWrites();
    int drained = 0;
    writer.onDrain([&drained] { ++drained; });
    peer->settle();
    drained = 0;
    while (writer.write(std::string(50'000, 'x')) == Wrote::Accepted) {
    }
    peer->feedReset().settle();
    EXPECT_FALSE(writer.isOpen());
    EXPECT_EQ(writer.write("x"), Wrote::Closed);
    writer.finish();
    peer->settle();
    EXPECT_EQ(drained, 0);
}

// A writer was told Accepted for as long as it liked, and so one GET or HEAD stopped a loop for good: by leaving,
// or by asking for a head alone.
TEST_F(HttpStreamTest, AWriterLearnsAtOnceThatItsConnectionIsNoMore) {
    struct Row {
        std::string_view what;
        void (*end)(Connection&);
    };
    for (const Row& row :
         {Row{"closed", [](Connection& c) { c.close(); }}, Row{"reset", [](Connection& c) { c.abort(); }},
          Row{"shut down", [](Connection& c) { c.shutDown(); }},
          Row{"no more to send", [](Connection& c) { c.shutDownWrite(); }}}) {
        SCOPED_TRACE(row.what);
        const auto peer = connect();
        peer->feed(getRequest("/stream")).settle();
        EXPECT_EQ(writer.write("a"), Wrote::Accepted);
        row.end(*peer->connection());
        EXPECT_EQ(writer.write("b"), Wrote::Closed);
        EXPECT_FALSE(writer.isOpen());
        EXPECT_EQ(writer.write(""), Wrote::Closed);
        peer->connection()->close();
        peer->settle();
        EXPECT_EQ(accesses().back().outcome, HttpOutcome::CutOff);
    }
}

TEST_F(HttpStreamTest, AWriterLearnsAtOnceThatTheKernelRefuses) {
    const auto peer = connect();
    peer->feed(getRequest("/stream")).settle();
    peer->transport().resetAfterWritten(0);
    int pieces = 0;
    while (writer.write("piece") != Wrote::Closed && pieces < 10'000) ++pieces, runRounds(1);
    EXPECT_LE(pieces, 1);
    EXPECT_FALSE(writer.isOpen());
    peer->settle();
    EXPECT_TRUE(peer->isClosed());
    EXPECT_EQ(accesses().back().outcome, HttpOutcome::ClientGone);
}

// Two million pieces were Accepted behind the one that was too long.
TEST_F(HttpStreamTest, AWriterLearnsAtOnceThatItsBodyIsTooLong) {
    for (const bool inItsHandler : {false, true}) {
        std::vector<Wrote> wrote;
        bool isOpen = true;
        const auto writeTooMuch = [&] {
            for (int i = 0; i < 3; ++i) wrote.push_back(writer.write("123456"));
            isOpen = writer.isOpen();
        };
        startOver();
        router().get("/ten", [&](const HttpRequest&, HttpResponder responder) {
            writer = responder.stream(HttpResponse(200).header("Content-Length", "10"));
            if (inItsHandler) writeTooMuch();
        });
        const auto peer = connect();
        peer->feed(getRequest("/ten")).settle();
        if (!inItsHandler) writeTooMuch();
        EXPECT_EQ(wrote, (std::vector<Wrote>{Wrote::Accepted, Wrote::Closed, Wrote::Closed}));
        EXPECT_FALSE(isOpen);
        peer->settle();
        EXPECT_TRUE(peer->isClosed());
        EXPECT_EQ(accesses().back().outcome, HttpOutcome::CutOff);
        EXPECT_EQ(accesses().back().bodyBytes, 6U);
    }
}

// With a client that takes everything, neither Wait nor the limit of what is queued stops a writer that heeds
// nothing.
TEST_F(HttpStreamTest, AWriterThatHeedsNothingEndsSoon) {
    size_t pieces = 0;
    router().get("/reckless", [&](const HttpRequest&, HttpResponder responder) {
        HttpBodyWriter reckless = responder.stream(HttpResponse(200));
        while (reckless.write(std::string(1000, 'x')) != Wrote::Closed && pieces < 100'000) ++pieces;
    });
    const auto peer = connect();
    peer->connection()->setMaxQueuedBytes(3'000'000);
    peer->feed(getRequest("/reckless")).settle();
    EXPECT_LE(pieces, 3001U);
    EXPECT_TRUE(peer->isClosed());
    EXPECT_TRUE(log().contains("the answer to GET /reckless breaks off: its writer goes on after Wait"));

    pieces = 0;
    const auto another = connect();
    another->connection()->setMaxQueuedBytes(3'000'000);
    another->feed(getRequest("/stream")).settle();
    while (writer.write(std::string(1000, 'x')) != Wrote::Closed && pieces < 100'000) ++pieces;
    EXPECT_LE(pieces, 3001U);
}

TEST_F(HttpStreamTest, AWriterOnAnotherThreadThatHeedsNothingEndsSoon) {
    const auto peer = connect();
    peer->feed(getRequest("/stream")).settle();
    // The loop does not run meanwhile: everything would pile up.
    std::thread([this] {
        for (int i = 0; i < 80; ++i) {
            if (writer.write(std::string(1 << 20, 'x')) == Wrote::Closed) break;
            EXPECT_LT(i, 70);
        }
        EXPECT_FALSE(writer.isOpen());
    }).join();
    peer->settle();
    EXPECT_TRUE(peer->isClosed());
    EXPECT_TRUE(log().contains("its writer goes on after Wait"));
}

// --- Request bodies in pieces ---

class HttpBodyStreamTest : public HttpTest {
protected:
    struct Upload {
        std::optional<HttpResponder> responder{};
        std::string body{};
        size_t pieces = 0;
        int lasts = 0;
    };

    HttpBodyStreamTest() {
        HttpRouteOptions streamed;
        streamed.streamBody = true;
        router().get("/hi", [](const HttpRequest&) { return HttpResponse::text("hi"); });
        // Reads at once, answers with what it got at the end.
        router().any(
            "/upload",
            [this](const HttpRequest& request, HttpResponder responder) {
                EXPECT_EQ(request.body(), "");
                auto upload = std::make_shared<Upload>();
                upload->responder = std::move(responder);
                uploads.push_back(upload);
                read(upload);
            },
            streamed);
        // Waits until the test reads.
        router().any(
            "/wait",
            [this](const HttpRequest&, HttpResponder responder) {
                uploads.push_back(std::make_shared<Upload>());
                uploads.back()->responder = std::move(responder);
            },
            streamed);
    }

    void read(const std::shared_ptr<Upload>& upload) {
        upload->responder->readBody([this, upload](std::string_view piece, bool last) {
            upload->body += piece;
            upload->pieces += piece.empty() ? 0 : 1;
            upload->lasts += last ? 1 : 0;
            if (last && answerAtEnd) upload->responder->respond(HttpResponse::text(upload->body));
        });
    }

    static std::string chunked(std::string_view path, std::string_view body, size_t chunk) {
        std::string text =
            "POST " + std::string(path) + " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        while (!body.empty()) {
            const std::string_view piece = body.substr(0, chunk);
            body.remove_prefix(piece.size());
            char size[32];
            std::snprintf(size, sizeof(size), "%zx\r\n", piece.size());
            text.append(size).append(piece).append("\r\n");
        }
        return text + "0\r\n\r\n";
    }

    bool answerAtEnd = true;
    std::vector<std::shared_ptr<Upload>> uploads{};
};

TEST_F(HttpBodyStreamTest, PiecesAreTheBodyAndTheLastIsSaidOnce) {
    const std::string body = patternOf(1000);
    for (const std::string& request : {postRequest("/upload", body), chunked("/upload", body, 77),
                                       chunked("/upload", "", 1), postRequest("/upload", "")}) {
        for (const size_t fragment : kFragments) {
            uploads.clear();
            const Replies replies = ask(request + getRequest("/hi"), fragment);
            ASSERT_EQ(replies.statuses(), (std::vector<int>{200, 200})) << replies;
            ASSERT_EQ(uploads.size(), 1U);
            EXPECT_EQ(uploads[0]->lasts, 1);
            EXPECT_EQ(replies[0].body, uploads[0]->body);
            EXPECT_TRUE(uploads[0]->body == body || uploads[0]->body.empty());
        }
    }
}

// A streaming route asked with a request that has no body waited for one until its deadline.
TEST_F(HttpBodyStreamTest, ARequestWithoutABodyEndsAtOnce) {
    EXPECT_EQ(askOne(getRequest("/upload")).status, 200);
    EXPECT_EQ(askOne("POST /upload HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
    ASSERT_EQ(uploads.size(), 2U);
    EXPECT_EQ(uploads[0]->lasts, 1);
    const auto peer = connect();
    peer->feed(getRequest("/wait")).settle();
    read(uploads[2]);
    EXPECT_EQ(uploads[2]->lasts, 0);  // not inside the call
    EXPECT_EQ(parseReplies(peer->collect()).statuses(), std::vector<int>{200});
    EXPECT_EQ(uploads[2]->lasts, 1);
}

TEST_F(HttpBodyStreamTest, ReadBodyOnAnOrdinaryRouteGivesTheWholeBody) {
    router().post("/whole", [](const HttpRequest&, HttpResponder responder) {
        auto shared = std::make_shared<HttpResponder>(std::move(responder));
        shared->readBody([shared](std::string_view piece, bool last) {
            EXPECT_TRUE(last);
            shared->respond(HttpResponse::text("got " + std::string(piece)));
        });
    });
    EXPECT_EQ(askOne(postRequest("/whole", "body")).body, "got body");
}

TEST_F(HttpBodyStreamTest, TheHandlerIsCalledAtTheEndOfTheHead) {
    const auto peer = connect();
    peer->feed(postHead("/upload", 5)).settle();
    ASSERT_EQ(uploads.size(), 1U);
    EXPECT_EQ(uploads[0]->pieces, 0U);
    peer->feed("he").settle();
    EXPECT_EQ(uploads[0]->body, "he");
    EXPECT_EQ(uploads[0]->lasts, 0);
    peer->feed("llo");
    EXPECT_EQ(parseReplies(peer->collect())[0].body, "hello");
}

TEST_F(HttpBodyStreamTest, ContinueIsSentWhenTheHandlerWantsTheBody) {
    const auto peer = connect();
    peer->feed(postHead("/wait", 5, "Expect: 100-continue\r\n"));
    EXPECT_EQ(peer->collect(), "");
    ASSERT_EQ(uploads.size(), 1U);
    read(uploads[0]);
    EXPECT_EQ(peer->collect(), "HTTP/1.1 100 Continue\r\n\r\n");
    uploads[0]->responder->pauseBody();
    uploads[0]->responder->resumeBody();
    EXPECT_EQ(peer->collect(), "");  // said once
    peer->feed("hello");
    EXPECT_EQ(parseReplies(peer->collect()).statuses(), std::vector<int>{200});
}

TEST_F(HttpBodyStreamTest, AnAnswerInsteadOfReadingNeedsNoContinue) {
    const auto peer = connect();
    peer->feed(postHead("/wait", 5, "Expect: 100-continue\r\n")).settle();
    uploads[0]->responder->respond(HttpResponse::error(403));
    const Replies replies = parseReplies(peer->collect());
    EXPECT_EQ(replies.statuses(), std::vector<int>{403});
    EXPECT_EQ(replies[0].header("Connection"), "close");
    EXPECT_TRUE(peer->isEnded());
}

TEST_F(HttpBodyStreamTest, NothingIsReadBeforeTheHandlerWantsIt) {
    const std::string body = patternOf(500'000);
    const auto peer = connect();
    peer->feed(postRequest("/wait", body), 10'000).settle();
    ASSERT_EQ(uploads.size(), 1U);
    EXPECT_EQ(uploads[0]->body, "");
    EXPECT_TRUE(peer->connection()->isReadingPaused());
    EXPECT_TRUE(peer->transport().hasInput());
    read(uploads[0]);
    const Replies replies = awaitReplies(*peer, 1);
    EXPECT_EQ(replies[0].body, body);
}

TEST_F(HttpBodyStreamTest, PausingStopsReadingAndResumingGoesOn) {
    const std::string body = patternOf(1'000'000);
    for (const std::string& request : {postRequest("/wait", body), chunked("/wait", body, 5000)}) {
        uploads.clear();
        const auto peer = connect();
        peer->feed(request, 8000).settle();
        const auto upload = uploads[0];
        int pauses = 0;
        // Pauses again and again, sometimes within the callback itself.
        upload->responder->readBody([&](std::string_view piece, bool last) {
            upload->body += piece;
            upload->lasts += last ? 1 : 0;
            if (++pauses % 3 == 0) upload->responder->pauseBody();
        });
        ASSERT_TRUE(runUntil([&] {
            upload->responder->pauseBody();
            peer->settle();
            const size_t before = upload->body.size();
            const size_t reads = peer->transport().readCalls();
            runRounds(20);
            EXPECT_EQ(upload->body.size(), before);
            EXPECT_EQ(peer->transport().readCalls(), reads);
            upload->responder->resumeBody();
            peer->settle();
            return upload->lasts > 0;
        }));
        EXPECT_EQ(upload->lasts, 1);
        EXPECT_EQ(upload->body, body);
        upload->responder->respond(HttpResponse::text("done"));
        EXPECT_EQ(parseReplies(peer->collect())[0].body, "done");
        EXPECT_FALSE(peer->isEnded());
    }
}

TEST_F(HttpBodyStreamTest, PausingBeforeTheLastPieceIsSaidKeepsTheEndForLater) {
    const auto peer = connect();
    peer->feed(postHead("/wait", 5)).settle();
    const auto upload = uploads[0];
    upload->responder->readBody([upload](std::string_view piece, bool last) {
        upload->body += piece;
        upload->lasts += last ? 1 : 0;
        if (!last) upload->responder->pauseBody();
    });
    peer->feed("hello" + getRequest("/hi")).settle();
    EXPECT_EQ(upload->body, "hello");
    EXPECT_EQ(upload->lasts, 0);
    upload->responder->resumeBody();
    peer->settle();
    EXPECT_EQ(upload->lasts, 1);
    upload->responder->respond(HttpResponse::text("done"));
    EXPECT_EQ(parseReplies(peer->collect()).size(), 2U);
}

TEST_F(HttpBodyStreamTest, PausingWorksFromAnotherThread) {
    const std::string body = patternOf(300'000);
    const auto peer = connect();
    peer->feed(postRequest("/upload", body), 5000);
    peer->feed(getRequest("/hi"));
    ASSERT_TRUE(runUntil([&] { return !uploads.empty(); }));
    std::atomic<bool> done{false};
    std::thread toggler([&, upload = uploads[0]] {
        for (int i = 0; i < 100; ++i) {
            upload->responder->pauseBody();
            upload->responder->resumeBody();
        }
        done = true;
    });
    answerAtEnd = false;
    EXPECT_TRUE(runUntil([&] { return done && uploads[0]->lasts == 1; }));
    toggler.join();
    EXPECT_EQ(uploads[0]->body, body);
    uploads[0]->responder->respond(HttpResponse::text("done"));
    EXPECT_EQ(awaitReplies(*peer, 2)[0].body, "done");
}

TEST_F(HttpBodyStreamTest, AnEarlyAnswerEndsTheConnectionWithTheRestDrained) {
    const auto peer = connect();
    peer->withholdEnd();
    peer->feed(postHead("/upload", 1'000'000) + std::string(1000, 'b')).settle();
    ASSERT_EQ(uploads.size(), 1U);
    EXPECT_EQ(uploads[0]->body.size(), 1000U);
    uploads[0]->responder->respond(HttpResponse::text("enough"));
    const Replies replies = parseReplies(peer->collect());
    ASSERT_EQ(replies.statuses(), std::vector<int>{200});
    EXPECT_EQ(replies[0].header("Connection"), "close");
    EXPECT_TRUE(peer->isEnded());    // our direction...
    EXPECT_FALSE(peer->isClosed());  // ...while the peer's goes on and is drained
    peer->feed(std::string(200'000, 'b'), 10'000).settle();
    EXPECT_FALSE(peer->transport().hasInput());
    EXPECT_EQ(uploads[0]->body.size(), 1000U);
    peer->feedEnd().settle();
    EXPECT_TRUE(peer->isClosed());
}

TEST_F(HttpBodyStreamTest, APeerThatNeverEndsIsClosedAllTheSame) {
    const auto peer = connect();
    peer->feed(postHead("/upload", 1'000'000)).settle();
    uploads[0]->responder->respond(HttpResponse::text("enough"));
    peer->settle();
    for (int i = 0; i < 10 && !peer->isClosed(); ++i) {
        peer->feed(std::string(1000, 'b')).settle();
        advance(std::chrono::seconds(1));
    }
    EXPECT_TRUE(peer->isClosed());
}

TEST_F(HttpBodyStreamTest, AnAnswerInsideABodyCallbackIsFine) {
    router().post(
        "/early",
        [](const HttpRequest&, HttpResponder responder) {
            auto owner = std::make_shared<std::optional<HttpResponder>>(std::move(responder));
            (*owner)->readBody([owner](std::string_view piece, bool) {
                if (*owner) (*owner)->respond(HttpResponse::text("first was " + std::string(piece)));
                owner->reset();
            });
        },
        HttpRouteOptions{std::nullopt, true});
    for (const size_t fragment : {size_t{1}, size_t{7}, ScriptedPeer::kWhole}) {
        const auto peer = connect();
        peer->feed(postHead("/early", 100) + "x").settle();
        peer->feed(std::string(99, 'y') + getRequest("/hi"), fragment);
        const Replies replies = parseReplies(peer->collect());
        EXPECT_EQ(replies.statuses(), std::vector<int>{200});
        EXPECT_EQ(replies[0].body, "first was x");
        EXPECT_TRUE(peer->isEnded());
    }
}

TEST_F(HttpBodyStreamTest, WhatABodyCallbackThrowsIs500) {
    router().post(
        "/throws",
        [](const HttpRequest&, HttpResponder responder) {
            auto owner = std::make_shared<HttpResponder>(std::move(responder));
            owner->readBody([owner](std::string_view, bool) { throw std::runtime_error("bad piece"); });
        },
        HttpRouteOptions{std::nullopt, true});
    const auto peer = connect();
    peer->feed(postRequest("/throws", "hello"));
    EXPECT_EQ(parseReplies(peer->collect()).statuses(), std::vector<int>{500});
    EXPECT_TRUE(peer->isEnded());
    EXPECT_TRUE(log().contains("bad piece"));
    EXPECT_EQ(askOne(getRequest("/hi")).body, "hi");
}

TEST_F(HttpBodyStreamTest, TooLargeBodiesAreCutOff) {
    limits().bodyBytes = 1000;
    const auto counted = connect();
    counted->feed(postHead("/upload", 1001)).settle();
    EXPECT_TRUE(uploads.empty());  // refused before the handler
    EXPECT_EQ(parseReplies(counted->collect()).statuses(), std::vector<int>{413});
    const auto peer = connect();
    int gone = 0;
    peer->feed("POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1f4\r\n" +
               std::string(500, 'b'))
        .settle();
    ASSERT_EQ(uploads.size(), 1U);
    uploads[0]->responder->onClientGone([&gone] { ++gone; });
    peer->feed("\r\n1f5\r\n").settle();
    EXPECT_EQ(parseReplies(peer->collect()).statuses(), std::vector<int>{413});
    EXPECT_EQ(gone, 1);
    EXPECT_FALSE(uploads[0]->responder->isOpen());
    EXPECT_EQ(uploads[0]->lasts, 0);
}

TEST_F(HttpBodyStreamTest, AMalformedChunkCutsTheHandlerOff) {
    const auto peer = connect();
    int gone = 0;
    peer->feed("POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello").settle();
    uploads[0]->responder->onClientGone([&gone] { ++gone; });
    peer->feed("XX").settle();
    EXPECT_EQ(parseReplies(peer->collect()).statuses(), std::vector<int>{400});
    EXPECT_EQ(uploads[0]->body, "hello");
    EXPECT_EQ(uploads[0]->lasts, 0);
    EXPECT_EQ(gone, 1);
}

TEST_F(HttpBodyStreamTest, AClientThatLeavesInsideItsBodyIsTold) {
    const auto peer = connect();
    int gone = 0;
    peer->feed(postHead("/upload", 100) + "part").settle();
    uploads[0]->responder->onClientGone([&gone] { ++gone; });
    peer->feedEnd().settle();
    EXPECT_EQ(gone, 1);
    EXPECT_EQ(uploads[0]->lasts, 0);
    EXPECT_FALSE(uploads[0]->responder->isOpen());
}

// The body comes in while the answer goes out: an echo.
TEST_F(HttpBodyStreamTest, AnAnswerMayBeStreamedWhileTheBodyIsRead) {
    router().post(
        "/echo",
        [](const HttpRequest&, HttpResponder responder) {
            struct Echo {
                HttpBodyWriter writer{};
            };
            auto shared = std::make_shared<Echo>();
            responder.readBody([shared](std::string_view piece, bool last) {
                if (!piece.empty() && shared->writer.write(std::string(piece)) == Wrote::Wait)
                    shared->writer.pauseBody();
                if (last) shared->writer.finish();
            });
            shared->writer = responder.stream(HttpResponse(200));
            shared->writer.onDrain([shared] { shared->writer.resumeBody(); });
        },
        HttpRouteOptions{2'000'000, true});
    const std::string body = patternOf(1'000'000);
    for (const std::string& request : {postRequest("/echo", body), chunked("/echo", body, 3000)}) {
        const auto peer = connect();
        peer->transport().limitWrites(10'000);
        peer->feed(request, 20'000);
        size_t most = 0;
        std::string text;
        Replies replies;
        ASSERT_TRUE(runUntil([&] {
            runRounds(1);
            most = std::max(most, peer->connection()->queuedBytes());
            text += peer->takeWritten();
            return peer->isEnded();
        }));
        replies = parseReplies(text);
        ASSERT_EQ(replies.size(), 1U) << replies;
        EXPECT_EQ(replies[0].body, body);
        EXPECT_LE(most, limits().highWaterBytes + 100'000);
    }
}

TEST_F(HttpBodyStreamTest, TrailersAreThereAtTheEnd) {
    router().post(
        "/t",
        [](const HttpRequest&, HttpResponder responder) {
            auto shared = std::make_shared<HttpResponder>(std::move(responder));
            shared->readBody([shared](std::string_view, bool last) {
                if (last)
                    shared->respond(
                        HttpResponse::text(std::string(shared->request().trailers().get("X-Sum"))));
            });
        },
        HttpRouteOptions{std::nullopt, true});
    EXPECT_EQ(askOne("POST /t HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Sum: "
                     "7\r\n\r\n")
                  .body,
              "7");
}

}  // namespace
}  // namespace tnet
