// Handlers that block their loop are mentioned.
#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "tests/http/http_fixture.h"

namespace tnet {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class BlockedLoopTest : public HttpTest {
protected:
    BlockedLoopTest() {
        router().get("/slow/:id", [this](const HttpRequest&) {
            clock().advance(blocked);
            return HttpResponse(204);
        });
        router().get("/quick", [](const HttpRequest&) { return HttpResponse(204); });
        router().get("/last", [this](const HttpRequest&) {
            loop()->stop();
            return HttpResponse(204);
        });
    }

    // `requests` in one round of the loop, and another request in the next.
    void serve(const std::string& requests) {
        const auto peer = connect();
        const auto last = connect();
        peer->feed(requests);
        loop()->addCallback([&] { last->feed(getRequest("/last")); });
        loop()->start();
        peer->settle();
    }

    Duration blocked = seconds(3);
};

// A handler that blocked its loop for three seconds was not mentioned anywhere.
TEST_F(BlockedLoopTest, AHandlerThatBlocksItsLoopIsSaid) {
    serve(getRequest("/slow/1"));
    EXPECT_EQ(log().text(), "a handler blocked its loop for 3000 ms: /slow/:id\n");
}

TEST_F(BlockedLoopTest, SoAreThoseThatRanInTheSameRound) {
    serve(getRequest("/quick") + getRequest("/slow/1"));
    EXPECT_EQ(log().text(), "a handler blocked its loop for 3000 ms: one of /quick, /slow/:id\n");
}

TEST_F(BlockedLoopTest, OnceAMinute) {
    for (int i = 0; i < 10; ++i) serve(getRequest("/slow/1"));
    EXPECT_EQ(log().text(), "a handler blocked its loop for 3000 ms: /slow/:id\n");
    advance(seconds(60));
    serve(getRequest("/slow/1"));
    EXPECT_NE(log().text(), "a handler blocked its loop for 3000 ms: /slow/:id\n");
}

TEST_F(BlockedLoopTest, WhatIsQuickIsNotSaid) {
    blocked = milliseconds(100);
    serve(getRequest("/slow/1"));
    // What passes between two runs of the loop is not a round's.
    clock().advance(seconds(5));
    serve(getRequest("/quick"));
    EXPECT_EQ(log().text(), "");
}

}  // namespace
}  // namespace tnet
