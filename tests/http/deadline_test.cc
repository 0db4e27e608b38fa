// Who is too slow, and what becomes of them; on a clock that the test moves.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/responder.h"
#include "tests/http/http_fixture.h"

namespace tnet {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class HttpDeadlineTest : public HttpTest {
protected:
    HttpDeadlineTest() {
        limits().headerTimeout = seconds(10);
        limits().idleTimeout = seconds(60);
        limits().handlerTimeout = seconds(20);
        limits().sendTimeout = seconds(30);
        limits().bodyBytesPerSecond = 100;
        limits().bodyGrace = seconds(5);
        router().get("/hi", [](const HttpRequest&) { return HttpResponse::text("hi"); });
        router().post("/echo", [](const HttpRequest& request) {
            return HttpResponse::text(std::string(request.body()));
        });
        router().get("/held", [this](const HttpRequest&, HttpResponder responder) {
            held.push_back(std::move(responder));
        });
        router().post(
            "/wait",
            [this](const HttpRequest&, HttpResponder responder) { held.push_back(std::move(responder)); },
            HttpRouteOptions{std::nullopt, true});
        router().get("/stream", [this](const HttpRequest&, HttpResponder responder) {
            writer = responder.stream(HttpResponse(200));
        });
        router().get("/large", [](const HttpRequest&) { return HttpResponse::text(patternOf(1'000'000)); });
    }

    std::vector<int> statuses(ScriptedPeer& peer) { return parseReplies(peer.collect()).statuses(); }

    std::vector<HttpResponder> held{};
    HttpBodyWriter writer{};
};

// --- The head ---

TEST_F(HttpDeadlineTest, AHeadThatComesTooSlowlyIs408) {
    const auto peer = connect();
    peer->feed("GET /hi").settle();
    for (int i = 0; i < 9; ++i) {
        advance(seconds(1));
        peer->feed("i").settle();  // activity does not help: the deadline is for the whole head
    }
    EXPECT_EQ(peer->collect(), "");
    advance(milliseconds(999));
    EXPECT_EQ(peer->collect(), "");
    advance(milliseconds(1));
    const Replies replies = parseReplies(peer->collect());
    EXPECT_EQ(replies.statuses(), std::vector<int>{408});
    EXPECT_EQ(replies[0].header("Connection"), "close");
    EXPECT_TRUE(peer->isEnded());
}

TEST_F(HttpDeadlineTest, AHeadThatComesInTimeIsAnswered) {
    const auto peer = connect();
    const std::string request = getRequest("/hi");
    for (int round = 0; round < 3; ++round) {  // each request has its own time
        peer->feed(request.substr(0, 5)).settle();
        advance(milliseconds(9900));
        peer->feed(request.substr(5));
        EXPECT_EQ(statuses(*peer), std::vector<int>{200});
        advance(seconds(30));
    }
}

TEST_F(HttpDeadlineTest, TheHeadsTimeBeginsWithItsFirstByte) {
    const auto peer = connect();
    advance(seconds(50));
    peer->feed("G").settle();
    advance(milliseconds(9900));
    EXPECT_EQ(peer->collect(), "");
    advance(milliseconds(200));
    EXPECT_EQ(statuses(*peer), std::vector<int>{408});
}

TEST_F(HttpDeadlineTest, AnEmptyLineInFrontIsAByte) {
    const auto peer = connect();
    peer->feed("\r\n").settle();
    advance(seconds(11));
    EXPECT_EQ(statuses(*peer), std::vector<int>{408});
}

TEST_F(HttpDeadlineTest, ThePipelinedRequestsBehindHaveTheirOwnTime) {
    const auto peer = connect();
    peer->feed(getRequest("/held") + "GET /hi HT").settle();
    advance(seconds(15));  // of the handler, not of the head behind
    held[0].respond(HttpResponse::text("late"));
    EXPECT_EQ(statuses(*peer), std::vector<int>{200});
    advance(seconds(9));
    peer->feed("TP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_EQ(statuses(*peer), std::vector<int>{200});
}

// --- The body ---

TEST_F(HttpDeadlineTest, ABodyBelowTheRateIs408) {
    const auto peer = connect();
    peer->feed(postHead("/echo", 10'000)).settle();
    // 50 bytes a second where 100 are due: below after the grace of 5 seconds is used up twice as fast.
    std::vector<int> seen;
    int second = 0;
    while (seen.empty() && second < 60) {
        advance(seconds(1));
        ++second;
        seen = statuses(*peer);
        if (seen.empty()) peer->feed(std::string(50, 'b')).settle();
    }
    EXPECT_EQ(seen, std::vector<int>{408});
    EXPECT_GE(second, 9);
    EXPECT_LE(second, 11);
    EXPECT_TRUE(peer->isEnded());
}

TEST_F(HttpDeadlineTest, ASlowBodyAboveTheRatePasses) {
    const auto peer = connect();
    peer->feed(postHead("/echo", 10'000)).settle();
    for (int second = 0; second < 90; ++second) {
        advance(seconds(1));
        peer->feed(std::string(110, 'b')).settle();
    }
    peer->feed(std::string(100, 'b'));
    const Replies replies = parseReplies(peer->collect());
    ASSERT_EQ(replies.statuses(), std::vector<int>{200});
    EXPECT_EQ(replies[0].body.size(), 10'000U);
}

TEST_F(HttpDeadlineTest, ABodyThatStopsIs408WhenItsLeadIsUsedUp) {
    const auto peer = connect();
    peer->feed(postHead("/echo", 10'000) + std::string(1000, 'b')).settle();
    advance(seconds(14));
    EXPECT_EQ(peer->collect(), "");
    advance(seconds(2));  // 10 for the bytes, 5 of grace
    EXPECT_EQ(statuses(*peer), std::vector<int>{408});
}

TEST_F(HttpDeadlineTest, TheLeadOfOneBodyIsNotTheNextOnes) {
    const auto peer = connect();
    peer->feed(postRequest("/echo", std::string(5000, 'b')));
    EXPECT_EQ(statuses(*peer), std::vector<int>{200});
    peer->feed(postHead("/echo", 100)).settle();
    advance(seconds(6));
    EXPECT_EQ(statuses(*peer), std::vector<int>{408});
}

TEST_F(HttpDeadlineTest, ChunkFramingIsNoBody) {
    const auto peer = connect();
    peer->feed("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").settle();
    for (int i = 0; i < 4; ++i) {
        advance(seconds(1));
        peer->feed("1;" + std::string(200, 'x') + "\r\nb\r\n").settle();
    }
    EXPECT_EQ(peer->collect(), "");
    advance(seconds(2));
    EXPECT_EQ(statuses(*peer), std::vector<int>{408});
}

// The time in which the handler did not want the body counted as the client's.
TEST_F(HttpDeadlineTest, ABodyThatTheHandlerDoesNotWantIsNotSlow) {
    const auto peer = connect();
    peer->feed(postHead("/wait", 100)).settle();
    ASSERT_EQ(held.size(), 1U);
    std::string body;
    std::optional<bool> done;
    advance(seconds(15));
    held[0].readBody([&](std::string_view piece, bool last) {
        body += piece;
        done = last;
        if (body.size() == 10) held[0].pauseBody();
    });
    peer->feed(std::string(10, 'b')).settle();
    EXPECT_EQ(body.size(), 10U);
    advance(seconds(15));
    held[0].resumeBody();
    peer->settle();
    advance(seconds(4));
    EXPECT_EQ(peer->collect(), "");
    peer->feed(std::string(90, 'b')).settle();
    EXPECT_EQ(done, true);
    held[0].respond(HttpResponse::text("done"));
    EXPECT_EQ(statuses(*peer), std::vector<int>{200});
}

TEST_F(HttpDeadlineTest, ABodyThatIsWantedAgainHasItsGraceAndNoMore) {
    const auto peer = connect();
    peer->feed(postHead("/wait", 100)).settle();
    advance(seconds(15));
    int gone = 0;
    held[0].onClientGone([&gone] { ++gone; });
    held[0].readBody([](std::string_view, bool) {});
    peer->settle();
    advance(seconds(6));
    EXPECT_EQ(statuses(*peer), std::vector<int>{408});
    EXPECT_EQ(gone, 1);
    EXPECT_FALSE(held[0].respond(HttpResponse::text("late")));
}

TEST_F(HttpDeadlineTest, ASlowBodyUnderAStreamedAnswerBreaksItOff) {
    router().post(
        "/both",
        [this](const HttpRequest&, HttpResponder responder) {
            responder.readBody([](std::string_view, bool) {});
            writer = responder.stream(HttpResponse(200));
            writer.write("begun");
        },
        HttpRouteOptions{std::nullopt, true});
    const auto peer = connect();
    peer->feed(postHead("/both", 1000)).settle();
    advance(seconds(6));
    const Replies replies = parseReplies(peer->collect());
    EXPECT_EQ(replies.size(), 0U);  // a second head in a body would be worse than none
    EXPECT_NE(replies.rest.find("begun"), std::string::npos);
    EXPECT_TRUE(peer->isClosed());
    EXPECT_FALSE(writer.isOpen());
}

// --- The handler ---

TEST_F(HttpDeadlineTest, AHandlerThatTakesTooLongIs503AndItsResponderInert) {
    const auto peer = connect();
    int gone = 0;
    peer->feed(getRequest("/held")).settle();
    held[0].onClientGone([&gone] { ++gone; });
    advance(milliseconds(19'999));
    EXPECT_EQ(peer->collect(), "");
    EXPECT_TRUE(held[0].isOpen());
    advance(milliseconds(1));
    const Replies replies = parseReplies(peer->collect());
    EXPECT_EQ(replies.statuses(), std::vector<int>{503});
    EXPECT_EQ(replies[0].header("Connection"), "close");
    EXPECT_EQ(gone, 1);
    EXPECT_FALSE(held[0].isOpen());
    EXPECT_FALSE(held[0].respond(HttpResponse::text("late")));
    held.clear();
    EXPECT_EQ(peer->collect(), "");
    EXPECT_TRUE(peer->isEnded());
    ASSERT_EQ(accesses().size(), 1U);
    EXPECT_EQ(accesses()[0].status, 503);
}

TEST_F(HttpDeadlineTest, AHandlerInTimeIsNotDisturbedByTheDeadlinesOfOthers) {
    const auto peer = connect();
    for (int i = 0; i < 5; ++i) {
        peer->feed(getRequest("/held")).settle();
        advance(seconds(19));
        ASSERT_EQ(held.size(), 1U);
        EXPECT_TRUE(held[0].respond(HttpResponse::text("just in time")));
        held.clear();
        EXPECT_EQ(statuses(*peer), std::vector<int>{200});
    }
}

TEST_F(HttpDeadlineTest, AStreamThatHasBegunHasNoHandlerDeadline) {
    const auto peer = connect();
    peer->feed(getRequest("/stream")).settle();
    for (int i = 0; i < 10; ++i) {
        advance(seconds(50));
        EXPECT_EQ(writer.write("x"), HttpBodyWriter::Wrote::Accepted);
    }
    writer.finish();
    const Replies replies = parseReplies(peer->collect());
    ASSERT_EQ(replies.size(), 1U);
    EXPECT_EQ(replies[0].body, "xxxxxxxxxx");
}

TEST_F(HttpDeadlineTest, AHandlerThatReadsSlowlyArrivingBodiesIsNotTooSlow) {
    limits().bodyBytesPerSecond = 0;
    const auto peer = connect();
    peer->feed(postHead("/wait", 10)).settle();
    bool done = false;
    held[0].readBody([&done](std::string_view, bool last) { done = last; });
    for (int i = 0; i < 10; ++i) {
        advance(seconds(15));
        EXPECT_TRUE(held[0].isOpen()) << i;
        peer->feed("b").settle();
    }
    EXPECT_TRUE(done);
    held[0].respond(HttpResponse::text("done"));
    EXPECT_EQ(statuses(*peer), std::vector<int>{200});
}

TEST_F(HttpDeadlineTest, AHandlerThatNeverReadsItsBodyIs503) {
    const auto peer = connect();
    peer->feed(postHead("/wait", 10) + "0123456789").settle();
    advance(seconds(21));
    EXPECT_EQ(statuses(*peer), std::vector<int>{503});
    EXPECT_TRUE(peer->isEnded());
}

// --- Idle ---

TEST_F(HttpDeadlineTest, IdleConnectionsAreClosedWithoutAWord) {
    const auto fresh = connect();
    advance(seconds(1));
    const auto used = connect();
    used->feed(getRequest("/hi")).settle();
    used->collect();
    advance(seconds(58));
    EXPECT_FALSE(fresh->isEnded());
    advance(seconds(1));
    EXPECT_TRUE(fresh->isEnded());
    EXPECT_FALSE(used->isEnded());
    advance(seconds(1));
    EXPECT_TRUE(used->isEnded());
    EXPECT_EQ(fresh->collect() + used->collect(), "");
}

TEST_F(HttpDeadlineTest, EveryRequestBeginsTheIdleTimeAnew) {
    const auto peer = connect();
    for (int i = 0; i < 5; ++i) {
        advance(seconds(59));
        peer->feed(getRequest("/hi"));
        EXPECT_EQ(statuses(*peer), std::vector<int>{200});
    }
    advance(seconds(61));
    EXPECT_TRUE(peer->isEnded());
}

TEST_F(HttpDeadlineTest, ManyIdleConnectionsEndEachInItsTime) {
    std::vector<std::unique_ptr<ScriptedPeer>> peers;
    for (int i = 0; i < 50; ++i) {
        peers.push_back(connect());
        advance(seconds(1));
    }
    // Every other one is used again.
    for (size_t i = 0; i < 50; i += 2) peers[i]->feed(getRequest("/hi")).settle();
    for (int second = 50; second < 120; ++second) {
        for (size_t i = 0; i < 50; ++i) {
            const int ends = i % 2 == 0 ? 50 + 60 : static_cast<int>(i) + 60;
            EXPECT_EQ(peers[i]->isEnded(), second >= ends) << i << " after " << second;
        }
        advance(seconds(1));
    }
}

TEST_F(HttpDeadlineTest, AConnectionWithARequestIsNotIdle) {
    limits().handlerTimeout = milliseconds::zero();
    const auto peer = connect();
    peer->feed(getRequest("/held")).settle();
    advance(seconds(1000));
    EXPECT_TRUE(held[0].respond(HttpResponse::text("at last")));
    EXPECT_EQ(statuses(*peer), std::vector<int>{200});
    advance(seconds(59));
    EXPECT_FALSE(peer->isEnded());
    advance(seconds(2));
    EXPECT_TRUE(peer->isEnded());
}

TEST_F(HttpDeadlineTest, ALongAnswerToASlowReaderIsNotIdle) {
    const auto peer = connect();
    peer->transport().blockWrites();
    peer->feed(getRequest("/large")).settle();
    peer->transport().limitWrites(50'000);
    for (int i = 0; i < 14; ++i) {
        advance(seconds(25));
        ASSERT_FALSE(peer->isClosed()) << i;
        peer->transport().unblockWrites();
        runRounds(1);
        peer->transport().blockWrites();
    }
    peer->transport().unblockWrites();
    const Replies replies = parseReplies(peer->collect());
    ASSERT_EQ(replies.statuses(), std::vector<int>{200});
    EXPECT_EQ(replies[0].body.size(), 1'000'000U);
    EXPECT_FALSE(peer->isClosed());
}

// --- Sending ---

TEST_F(HttpDeadlineTest, APeerThatTakesNothingOfItsAnswerIsClosed) {
    const auto peer = connect();
    peer->transport().blockWrites();
    peer->feed(getRequest("/large")).settle();
    // Whether it counts as idle or as sending: not much longer than both.
    advance(seconds(29));
    EXPECT_FALSE(peer->isClosed());
    for (int i = 0; i < 62 && !peer->isClosed(); ++i) advance(seconds(1));
    EXPECT_TRUE(peer->isClosed());
}

TEST_F(HttpDeadlineTest, APeerThatTakesNothingOfItsStreamIsClosed) {
    const auto peer = connect();
    int gone = 0;
    router();
    peer->feed(getRequest("/stream")).settle();
    peer->transport().blockWrites();
    while (writer.write(std::string(10'000, 'x')) == HttpBodyWriter::Wrote::Accepted) {
    }
    peer->settle();
    advance(milliseconds(29'900));
    EXPECT_FALSE(peer->isClosed());
    advance(milliseconds(200));
    EXPECT_TRUE(peer->isClosed());
    EXPECT_FALSE(writer.isOpen());
    EXPECT_EQ(gone, 0);
}

TEST_F(HttpDeadlineTest, APeerThatTakesItsStreamSlowlyIsNot) {
    const auto peer = connect();
    peer->feed(getRequest("/stream")).settle();
    peer->transport().blockWrites();
    while (writer.write(std::string(10'000, 'x')) == HttpBodyWriter::Wrote::Accepted) {
    }
    peer->transport().limitWrites(20'000);
    for (int i = 0; i < 10; ++i) {
        advance(seconds(29));
        ASSERT_FALSE(peer->isClosed()) << i;
        peer->transport().unblockWrites();
        runRounds(1);
        peer->transport().blockWrites();
    }
    peer->transport().unblockWrites();
    peer->transport().limitWrites(SIZE_MAX);
    writer.finish();
    EXPECT_TRUE(parseReplies(peer->collect()).isClean());
}

TEST_F(HttpDeadlineTest, APeerThatFloodsAndTakesNothingIsClosed) {
    limits().highWaterBytes = 1000;
    const auto peer = connect();
    peer->transport().blockWrites();
    std::string requests;
    for (int i = 0; i < 1000; ++i) requests += getRequest("/hi");
    peer->feed(requests).settle();
    advance(seconds(31));
    EXPECT_TRUE(peer->isClosed());
    for (const Access& access : accesses()) EXPECT_EQ(access.status, 200);  // and none that never began
}

// Those that came in one burst time out at once. All of them were closed in one call of a timer, however many they
// were.
TEST_F(HttpDeadlineTest, AMassOfIdleConnectionsIsClosedATurnAtATime) {
    constexpr size_t kPeers = 700;
    std::vector<std::unique_ptr<ScriptedPeer>> peers;
    while (peers.size() < kPeers) peers.push_back(connect());
    runRounds();
    clock().advance(seconds(61));
    size_t before = 0;
    int rounds = 0;
    for (; before < kPeers && rounds < 100; ++rounds) {
        loop()->runOnce(seconds(1));
        const auto closed = static_cast<size_t>(
            std::count_if(peers.begin(), peers.end(), [](const auto& peer) { return peer->isEnded(); }));
        EXPECT_LE(closed - before, 256U);
        before = closed;
    }
    EXPECT_EQ(before, kPeers);
    EXPECT_GE(rounds, 3);
}

TEST_F(HttpDeadlineTest, TheLongestIdleTimeoutMeansNever) {
    limits().idleTimeout = milliseconds::max();
    const auto peer = connect();
    peer->feed(getRequest("/hi")).settle();
    for (int i = 0; i < 10; ++i) advance(std::chrono::hours(24));
    EXPECT_FALSE(peer->isEnded());
    peer->feed(getRequest("/hi")).settle();
    EXPECT_EQ(statuses(*peer), (std::vector{200, 200}));
}

// Where idleTimeout was off nobody looked at a connection between two requests, and an answer that was never read was
// held for ever.
TEST_F(HttpDeadlineTest, WithoutAnIdleTimeoutAnAnswerThatIsNotReadStillHasItsTime) {
    limits().idleTimeout = milliseconds::zero();
    const auto peer = connect();
    peer->transport().blockWrites();
    peer->feed(getRequest("/large")).settle();
    advance(milliseconds(29'900));
    EXPECT_FALSE(peer->isClosed());
    advance(milliseconds(200));
    EXPECT_TRUE(peer->isClosed());
}

// A few bytes of an answer now and then kept it, and its megabytes, for as long as the client liked: while the
// connection was idle, and behind the last answer.
TEST_F(HttpDeadlineTest, APeerThatTakesNextToNothingIsClosed) {
    for (const char* const fields : {"", "Connection: close\r\n"}) {
        const auto peer = connect();
        peer->transport().blockWrites();
        peer->feed(getRequest("/large", fields)).settle();
        int drips = 0;
        for (; drips < 20 && !peer->isClosed(); ++drips) {
            advance(seconds(7));
            peer->transport().onWrite(ScriptedTransport::takes(200));
            peer->transport().unblockWrites();
            runRounds(1);
            peer->transport().blockWrites();
        }
        EXPECT_TRUE(peer->isClosed()) << fields;
        EXPECT_GE(drips, 4) << fields;
    }
}

// What it sent, a byte now and then, was taken for a sign that it reads.
TEST_F(HttpDeadlineTest, APeerThatSendsAndTakesNothingIsClosed) {
    const auto peer = connect();
    peer->transport().blockWrites();
    peer->feed(getRequest("/large")).settle();
    for (int i = 0; i < 5; ++i) {
        advance(seconds(7));
        peer->feed("G").settle();
    }
    EXPECT_TRUE(peer->isClosed());
}

// --- Switched off ---

TEST_F(HttpDeadlineTest, ZeroSwitchesEachOff) {
    limits().headerTimeout = limits().idleTimeout = limits().handlerTimeout = limits().sendTimeout =
        milliseconds::zero();
    limits().bodyBytesPerSecond = 0;
    const auto idle = connect();
    const auto head = connect();
    head->feed("GET /hi HT").settle();
    const auto body = connect();
    body->feed(postHead("/echo", 5) + "he").settle();
    const auto handler = connect();
    handler->feed(getRequest("/held")).settle();
    const auto sending = connect();
    sending->transport().blockWrites();
    sending->feed(getRequest("/large")).settle();
    advance(std::chrono::hours(24));
    head->feed("TP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_EQ(statuses(*head), std::vector<int>{200});
    body->feed("llo");
    EXPECT_EQ(statuses(*body), std::vector<int>{200});
    held[0].respond(HttpResponse::text("late"));
    EXPECT_EQ(statuses(*handler), std::vector<int>{200});
    idle->feed(getRequest("/hi"));
    EXPECT_EQ(statuses(*idle), std::vector<int>{200});
    sending->transport().unblockWrites();
    EXPECT_EQ(statuses(*sending), std::vector<int>{200});
}

// A streamed answer had no deadline at all: one that its handler forgot held its connection for ever.
TEST_F(HttpDeadlineTest, AStreamOfWhichNothingComesIsCutOff) {
    limits().streamIdleTimeout = seconds(60);
    const auto peer = connect();
    peer->feed(getRequest("/stream")).settle();
    for (int i = 0; i < 10; ++i) {
        advance(seconds(59));
        EXPECT_EQ(writer.write(": alive\n"), HttpBodyWriter::Wrote::Accepted);
        peer->settle();
    }
    advance(seconds(59));
    EXPECT_TRUE(writer.isOpen());
    advance(seconds(1));
    EXPECT_FALSE(writer.isOpen());
    EXPECT_EQ(writer.write("late"), HttpBodyWriter::Wrote::Closed);
    peer->settle();
    EXPECT_TRUE(peer->isClosed());
    EXPECT_TRUE(log().contains("the answer to GET /stream is cut off"));
    EXPECT_EQ(accesses().back().outcome, HttpOutcome::CutOff);
}

// milliseconds::max() in the clock's unit is less than nothing: what was to be never was over at once. Zero and less
// turn a limit off.
TEST_F(HttpDeadlineTest, ALimitMayBeAnyDuration) {
    milliseconds HttpLimits::*const settings[] = {
        &HttpLimits::headerTimeout, &HttpLimits::idleTimeout, &HttpLimits::handlerTimeout,
        &HttpLimits::sendTimeout,   &HttpLimits::bodyGrace,   &HttpLimits::streamIdleTimeout};
    for (const auto setting : settings) {
        for (const milliseconds value : {milliseconds::max(), milliseconds::max() - milliseconds(1),
                                         milliseconds::min(), milliseconds(0), milliseconds(-1)}) {
            SCOPED_TRACE(testing::Message() << &setting - settings << " " << value.count());
            startOver();
            limits() = HttpLimits{};
            for (const auto each : settings) limits().*each = milliseconds(0);
            limits().*setting = value;
            std::optional<HttpResponder> waiting;
            router().post("/later", [&](const HttpRequest&, HttpResponder responder) {
                waiting.emplace(std::move(responder));
            });
            const auto peer = connect();
            const auto waitLong = [&] {
                for (int i = 0; i < 5; ++i) advance(std::chrono::hours(1));
                ASSERT_FALSE(peer->isClosed());
            };
            const std::string request = postRequest("/later", "0123456789");
            const size_t inHead = 10;
            const size_t inBody = request.size() - 5;
            waitLong();
            peer->feed(request.substr(0, inHead)).settle();
            waitLong();
            peer->feed(request.substr(inHead, inBody - inHead)).settle();
            waitLong();
            peer->feed(request.substr(inBody)).settle();
            waitLong();
            ASSERT_TRUE(waiting);
            writer = waiting->stream(HttpResponse(200));
            peer->settle();
            waitLong();
            peer->transport().blockWrites();
            writer.write("answer");
            waitLong();
            peer->transport().unblockWrites();
            writer.finish();
            peer->settle();
            const Replies replies = parseReplies(peer->collect());
            ASSERT_EQ(replies.size(), 1U);
            EXPECT_EQ(replies[0].body, "answer");
            waitLong();
        }
    }
}

TEST_F(HttpDeadlineTest, AStreamMayBeIdleForEver) {
    for (const milliseconds never : {milliseconds::zero(), milliseconds::max()}) {
        limits().streamIdleTimeout = never;
        const auto peer = connect();
        peer->feed(getRequest("/stream")).settle();
        advance(std::chrono::hours(24 * 365));
        EXPECT_EQ(writer.write("still here"), HttpBodyWriter::Wrote::Accepted);
        writer.finish();
        peer->settle();
    }
}

TEST_F(HttpDeadlineTest, NoTimerIsLeftBehind) {
    {
        const auto peer = connect();
        peer->feed("GET /hi HT").settle();
        const auto second = connect();
        second->feed(getRequest("/held")).settle();
    }
    held.clear();
    destroyService();
    advance(seconds(1000));  // would run what is left
}

}  // namespace
}  // namespace tnet
