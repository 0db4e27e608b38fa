// HttpResponder: answering later, elsewhere, not at all, and to clients that have gone.
#include "http/responder.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/http/http_fixture.h"

namespace tnet {
namespace {

class HttpResponderTest : public HttpTest {
protected:
    HttpResponderTest() {
        router().get("/hi", [](const HttpRequest&) { return HttpResponse::text("hi"); });
        router().get("/held/*rest", [this](const HttpRequest&, HttpResponder responder) {
            held.push_back(std::move(responder));
        });
    }

    // A connection whose request waits in held.
    std::unique_ptr<ScriptedPeer> connectHeld(std::string_view path = "/held/x") {
        auto peer = connect();
        peer->feed(getRequest(path)).settle();
        EXPECT_FALSE(held.empty());
        return peer;
    }

    std::vector<HttpResponder> held{};
};

// --- Answering ---

TEST_F(HttpResponderTest, AnswersLater) {
    const auto peer = connectHeld();
    EXPECT_EQ(peer->collect(), "");
    EXPECT_TRUE(held[0].isOpen());
    EXPECT_EQ(held[0].request().path(), "/held/x");
    EXPECT_TRUE(held[0].respond(HttpResponse::text("late")));
    EXPECT_EQ(parseReplies(peer->collect())[0].body, "late");
}

TEST_F(HttpResponderTest, AnswersOnce) {
    const auto peer = connectHeld();
    EXPECT_TRUE(held[0].respond(HttpResponse::text("first")));
    EXPECT_FALSE(held[0].isOpen());
    EXPECT_FALSE(held[0].respond(HttpResponse::text("second")));
    EXPECT_FALSE(held[0].stream(HttpResponse(200)).isOpen());
    EXPECT_FALSE(held[0].readBody([](std::string_view, bool) {}));
    EXPECT_FALSE(held[0].upgrade(HttpResponse(101), [](const ConnectionPtr_t&) {}));
    held[0].pauseBody();
    held[0].resumeBody();
    held[0].onResponse([](HttpResponse&) {});
    held[0].onClientGone([] { FAIL(); });
    held.clear();
    EXPECT_EQ(parseReplies(peer->collect()).statuses(), std::vector<int>{200});
}

TEST_F(HttpResponderTest, DroppedUnansweredIs500) {
    const auto peer = connectHeld();
    held.clear();
    peer->feed(getRequest("/hi"));
    EXPECT_EQ(parseReplies(peer->collect()).statuses(), (std::vector<int>{500, 200}));
    EXPECT_TRUE(log().contains("GET /held/x is answered 500: its responder was dropped"));
}

TEST_F(HttpResponderTest, MiddlewareThatNeitherAnswersNorPassesOnIsSaidOnce) {
    router().use([](const HttpRequest&, HttpResponder, const HttpNext&) {});
    EXPECT_EQ(askOne(getRequest("/hi")).status, 500);
    EXPECT_EQ(log().text(), "GET /hi is answered 500: its responder was dropped\n");
}

TEST_F(HttpResponderTest, AHandlerThatThrowsIsSaidOnce) {
    router().get("/throws", [](const HttpRequest&, HttpResponder) { throw std::runtime_error("no answer"); });
    EXPECT_EQ(askOne(getRequest("/throws")).status, 500);
    EXPECT_EQ(log().text(), "handler of GET /throws threw: no answer\n");
}

TEST_F(HttpResponderTest, WhatIsDroppedAfterItsClientIsNotSaid) {
    const auto peer = connectHeld();
    peer->feedReset().settle();
    held.clear();
    peer->settle();
    EXPECT_EQ(log().text(), "");
}

TEST_F(HttpResponderTest, MovingItMovesTheDuty) {
    const auto first = connectHeld();
    const auto second = connectHeld();
    ASSERT_EQ(held.size(), 2U);
    held[0] = std::move(held[1]);  // what the first one held is dropped
    EXPECT_EQ(parseReplies(first->collect()).statuses(), std::vector<int>{500});
    EXPECT_EQ(second->collect(), "");
    HttpResponder& alias = held[0];
    held[0] = std::move(alias);
    HttpResponder moved(std::move(held[0]));
    held.clear();
    moved.respond(HttpResponse::text("moved"));
    EXPECT_EQ(parseReplies(second->collect())[0].body, "moved");
}

TEST_F(HttpResponderTest, TheRequestStaysReadableWhileItIsHeld) {
    const auto peer = connect();
    peer->feed("GET /held/a%20b?q=1 HTTP/1.1\r\nHost: example.com\r\nX-A: " + std::string(3000, 'v') +
               "\r\n\r\n");
    peer->feed(getRequest("/hi") + getRequest("/hi")).settle();
    ASSERT_EQ(held.size(), 1U);
    const HttpRequest& request = held[0].request();
    // Others use the parsers meanwhile.
    for (int i = 0; i < 3; ++i) ask(getRequest("/hi", "X-A: other\r\n"));
    EXPECT_EQ(request.target(), "/held/a%20b?q=1");
    EXPECT_EQ(request.param("rest"), "a b");
    EXPECT_EQ(request.query(), "q=1");
    EXPECT_EQ(request.authority(), "example.com");
    EXPECT_EQ(request.header("X-A"), std::string(3000, 'v'));
    peer->feedReset().settle();
    EXPECT_EQ(request.header("X-A"), std::string(3000, 'v'));  // the client has gone, the request not
    EXPECT_EQ(request.param("rest"), "a b");
}

// --- Threads ---

TEST_F(HttpResponderTest, AnswersFromOtherThreadsKeepTheOrderOfRequests) {
    constexpr int kRequests = 200;
    std::vector<std::thread> threads;
    router().get("/t/:n", [&threads](const HttpRequest& request, HttpResponder responder) {
        threads.emplace_back(
            [responder = std::move(responder), n = std::string(request.param("n"))]() mutable {
                responder.respond(HttpResponse::text(n));
            });
    });
    const auto peer = connect();
    std::string requests;
    for (int i = 0; i < kRequests; ++i) {
        requests += getRequest((i % 4 == 3 ? "/held/" : "/t/") + std::to_string(i));
    }
    peer->feed(requests, 100);
    std::string text;
    Replies replies;
    EXPECT_TRUE(runUntil([&] {
        text += peer->collect();
        for (HttpResponder& responder : std::exchange(held, {})) {
            responder.respond(HttpResponse::text(std::string(responder.request().param("rest"))));
        }
        replies = parseReplies(text);
        return replies.size() == kRequests;
    }));
    for (std::thread& thread : threads) thread.join();
    ASSERT_EQ(replies.size(), static_cast<size_t>(kRequests));
    for (int i = 0; i < kRequests; ++i) EXPECT_EQ(replies[static_cast<size_t>(i)].body, std::to_string(i));
}

TEST_F(HttpResponderTest, DroppedOnAnotherThreadIs500) {
    const auto peer = connectHeld();
    std::thread([dropped = std::move(held)]() mutable { dropped.clear(); }).join();
    EXPECT_EQ(awaitReplies(*peer, 1).statuses(), std::vector<int>{500});
}

TEST_F(HttpResponderTest, ClientsThatLeaveWhileOtherThreadsAnswerDisturbNobody) {
    for (int round = 0; round < 50; ++round) {
        auto peer = connectHeld();
        std::atomic<bool> go{false};
        std::thread worker([&go, responder = std::move(held.back())]() mutable {
            while (!go) {
            }
            responder.onClientGone([] {});
            responder.respond(HttpResponse::text(patternOf(10'000)));
        });
        held.clear();
        go = true;
        if (round % 2 == 0) peer->feedReset();
        if (round % 3 == 0) peer->connection()->close();
        peer->settle();
        worker.join();
        peer->settle();
    }
    EXPECT_EQ(askOne(getRequest("/hi")).body, "hi");
}

// --- The client goes ---

TEST_F(HttpResponderTest, IsInertOnceTheClientHasGone) {
    for (const bool reset : {true, false}) {
        const auto peer = connectHeld();
        int gone = 0;
        held[0].onClientGone([&gone] { ++gone; });
        peer->settle();
        EXPECT_EQ(gone, 0);
        reset ? peer->feedReset() : peer->feedEnd();
        peer->settle();
        if (!reset) advance(limits().halfCloseGrace);
        EXPECT_EQ(gone, 1);
        EXPECT_FALSE(held[0].isOpen());
        EXPECT_FALSE(held[0].respond(HttpResponse::text("late")));
        held.clear();
        peer->settle();
        EXPECT_EQ(gone, 1);
        EXPECT_EQ(peer->collect(), "");
    }
}

// The last one silently replaced the first, or both ran, by timing.
TEST_F(HttpResponderTest, OnClientGoneIsForMiddlewareAndHandlerAlike) {
    std::vector<std::string> told;
    router().use([&](const HttpRequest&, HttpResponder responder, HttpNext next) {
        responder.onClientGone([&] { told.push_back("middleware"); });
        next(std::move(responder));
    });
    for (const bool late : {false, true}) {
        told.clear();
        held.clear();
        const auto peer = connectHeld();
        const auto registerAnother = [&] { held[0].onClientGone([&] { told.push_back("handler"); }); };
        if (!late) registerAnother();
        peer->settle();
        peer->feedReset().settle();
        if (late) registerAnother();
        peer->settle();
        EXPECT_EQ(told, (std::vector<std::string>{"middleware", "handler"}));
    }
}

TEST_F(HttpResponderTest, WhatOneOnClientGoneThrowsDoesNotKeepTheNextFromBeingCalled) {
    const auto peer = connectHeld();
    int gone = 0;
    held[0].onClientGone([] { throw std::runtime_error("the first"); });
    held[0].onClientGone([&] { ++gone; });
    peer->settle();
    peer->feedReset().settle();
    EXPECT_EQ(gone, 1);
    EXPECT_TRUE(log().contains("the first"));
}

TEST_F(HttpResponderTest, OnClientGoneIsCalledAtOnceFromTheLoopIfItHasGone) {
    const auto peer = connectHeld();
    peer->feedReset().settle();
    int gone = 0;
    held[0].onClientGone([&gone] { ++gone; });
    EXPECT_EQ(gone, 0);  // not inside the call
    peer->settle();
    EXPECT_EQ(gone, 1);
}

// The registration travels through the loop, and the answer was there before it: it was taken for one
// whose client had gone.
TEST_F(HttpResponderTest, OnClientGoneIsNotCalledForWhatWasAnswered) {
    int gone = 0;
    router().get("/both", [&gone](const HttpRequest&, HttpResponder responder) {
        responder.onClientGone([&gone] { ++gone; });
        responder.respond(HttpResponse::text("answered"));
    });
    router().get("/stream", [&gone](const HttpRequest&, HttpResponder responder) {
        responder.onClientGone([&gone] { ++gone; });
        HttpBodyWriter writer = responder.stream(HttpResponse(200));
        writer.finish();
    });
    ask("BAD\r\n\r\n");  // what was cut off here leaves nothing to the next
    ask(getRequest("/both") + getRequest("/stream"));
    runRounds();
    EXPECT_EQ(gone, 0);

    ask("BAD\r\n\r\n");
    const auto peer = connectHeld();
    held[0].onClientGone([&gone] { ++gone; });
    std::thread([responder = std::move(held[0])]() mutable {
        responder.respond(HttpResponse::text("late"));
    }).join();
    EXPECT_EQ(awaitReplies(*peer, 1).statuses(), std::vector<int>{200});
    peer->feedReset().settle();
    EXPECT_EQ(gone, 0);
}

TEST_F(HttpResponderTest, OnClientGoneIsCalledForAStreamThatIsCutOff) {
    int gone = 0;
    HttpBodyWriter writer;
    router().get("/stream", [&](const HttpRequest&, HttpResponder responder) {
        responder.onClientGone([&gone] { ++gone; });
        writer = responder.stream(HttpResponse(200));
        writer.write("a piece");
    });
    const auto peer = connect();
    peer->feed(getRequest("/stream")).settle();
    EXPECT_TRUE(writer.isOpen());
    peer->feedReset().settle();
    EXPECT_EQ(gone, 1);
    EXPECT_FALSE(writer.isOpen());
    EXPECT_EQ(writer.write("more"), HttpBodyWriter::Wrote::Closed);
    writer.finish();
}

TEST_F(HttpResponderTest, AnsweringInsideOnClientGoneDoesNothing) {
    const auto peer = connectHeld();
    auto responder = std::make_shared<HttpResponder>(std::move(held[0]));
    std::optional<bool> taken;
    responder->onClientGone([&taken, responder] { taken = responder->respond(HttpResponse::text("late")); });
    responder.reset();
    peer->settle();
    EXPECT_EQ(taken, std::nullopt);
    peer->feedReset().settle();
    EXPECT_EQ(taken, false);
}

TEST_F(HttpResponderTest, ACallbackMayOwnItsResponderAndDropIt) {
    const auto peer = connectHeld();
    auto owner = std::make_shared<std::optional<HttpResponder>>(std::move(held[0]));
    bool called = false;
    (*owner)->onClientGone([&called, owner] {
        owner->reset();
        called = true;
    });
    owner.reset();
    peer->settle();
    peer->feedReset().settle();
    EXPECT_TRUE(called);
}

// A responder that only its own callbacks own lives as long as the request does.
TEST_F(HttpResponderTest, ACycleThroughACallbackEndsWithTheRequest) {
    struct Counted {
        std::shared_ptr<int> token;
        HttpResponder responder;
    };
    auto token = std::make_shared<int>(0);
    {
        const auto peer = connectHeld();
        auto owner = std::make_shared<Counted>(Counted{token, std::move(held[0])});
        owner->responder.onClientGone([owner] {});
        owner.reset();
        held.clear();
        peer->settle();
        EXPECT_EQ(token.use_count(), 2);
    }
    EXPECT_EQ(token.use_count(), 1);
}

TEST_F(HttpResponderTest, HandlersMayCloseOtherConnectionsFromInside) {
    auto victim = connectHeld();
    ASSERT_EQ(held.size(), 1U);
    router();
    const auto killer = connectHeld();
    int gone = 0;
    held[0].onClientGone([&] {
        ++gone;
        held[1].respond(HttpResponse::text("from another's callback"));
    });
    victim->settle();
    victim->feedReset().settle();
    EXPECT_EQ(gone, 1);
    EXPECT_EQ(parseReplies(killer->collect())[0].body, "from another's callback");
}

// --- The server goes ---

TEST_F(HttpResponderTest, OutlivesItsServer) {
    std::vector<HttpResponder> kept;
    HttpBodyWriter writer;
    int gone = 0;
    router().get("/stream", [&writer](const HttpRequest&, HttpResponder responder) {
        writer = responder.stream(HttpResponse(200));
    });
    {
        const auto peer = connectHeld();
        const auto second = connect();
        second->feed(getRequest("/stream")).settle();
        held[0].onClientGone([&gone] { ++gone; });
        peer->settle();
        kept = std::move(held);
    }
    destroyService();
    EXPECT_EQ(gone, 1);
    destroyLoop();
    EXPECT_FALSE(kept[0].isOpen());
    EXPECT_FALSE(kept[0].respond(HttpResponse::text("too late")));
    kept[0].onClientGone([&gone] { ++gone; });
    EXPECT_EQ(writer.write("x"), HttpBodyWriter::Wrote::Closed);
    writer.onDrain([] { FAIL(); });
    writer.finish();
    kept.clear();
    EXPECT_EQ(gone, 1);
}

TEST_F(HttpResponderTest, MayBeDroppedWhileTheLoopIsDestroyed) {
    auto peer = connectHeld();
    std::thread([responder = std::move(held[0])]() mutable {
        responder.respond(HttpResponse::text("posted and never run"));
    }).join();
    held.clear();
    peer.reset();
    destroyService();
    destroyLoop();
}

}  // namespace
}  // namespace tnet
