// What one connection does with requests, their bodies and their answers; the tests of responders,
// streams, deadlines and upgrades have files of their own.
#include "http/connection.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/http/http_fixture.h"
#include "tests/support/largest_allocation.h"

namespace tnet {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

SharedFilePtr_t makeFile(std::string_view content) {
    FileDescriptor file(::memfd_create("connection_test", MFD_CLOEXEC));
    EXPECT_EQ(::write(file.get(), content.data(), content.size()), static_cast<ssize_t>(content.size()));
    return std::make_shared<const FileDescriptor>(std::move(file));
}

HttpResponse echo(const HttpRequest& request) { return HttpResponse::text(std::string(request.body())); }

class HttpConnectionTest : public HttpTest {
protected:
    HttpConnectionTest() {
        router().get("/hi", [](const HttpRequest&) { return HttpResponse::text("hi"); });
        router().get("/n/:n", [](const HttpRequest& request) {
            return HttpResponse::text(std::string(request.param("n")));
        });
        router().any("/echo", echo);
        router().get("/held", [this](const HttpRequest&, HttpResponder responder) {
            held.push_back(std::move(responder));
        });
    }

    std::vector<HttpResponder> held{};
};

// --- Persistence ---

TEST_F(HttpConnectionTest, PersistsAsVersionAndConnectionSay) {
    struct Row {
        std::string request;
        bool stays;
        std::string_view connection;  // the field of the answer
    };
    const Row rows[] = {
        {"GET /hi HTTP/1.1\r\nHost: a\r\n\r\n", true, ""},
        {"GET /hi HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", true, ""},
        {"GET /hi HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false, "close"},
        {"GET /hi HTTP/1.1\r\nHost: a\r\nConnection: foo, CLOSE\r\n\r\n", false, "close"},
        {"GET /hi HTTP/1.0\r\n\r\n", false, "close"},
        {"GET /hi HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", true, "keep-alive"},
        {"GET /hi HTTP/1.0\r\nConnection: Keep-Alive, close\r\n\r\n", false, "close"},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", true, ""},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi", false,
         "close"},
        {"POST /echo HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi", true, "keep-alive"},
        {"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", true,
         ""},
    };
    for (const Row& row : rows) {
        for (const size_t fragment : kFragments) {
            SCOPED_TRACE(row.request);
            const auto peer = connect();
            peer->feed(row.request, fragment);
            const Replies replies = parseReplies(peer->collect());
            ASSERT_EQ(replies.statuses(), std::vector<int>{200}) << replies;
            EXPECT_TRUE(replies.isClean());
            EXPECT_EQ(replies[0].body, "hi");
            EXPECT_EQ(replies[0].header("Connection"), row.connection);
            EXPECT_EQ(peer->isEnded(), !row.stays);
            if (!row.stays) continue;
            peer->feed(row.request, fragment);
            EXPECT_EQ(parseReplies(peer->collect()).statuses(), std::vector<int>{200});
        }
    }
}

TEST_F(HttpConnectionTest, WhatComesBehindTheLastRequestIsNotAnswered) {
    for (const std::string& behind : {getRequest("/hi"), std::string("garbage"), std::string(100'000, 'x')}) {
        for (const size_t fragment : kFragments) {
            const auto peer = connect();
            peer->feed(getRequest("/n/1", "Connection: close\r\n") + behind, fragment);
            const Replies replies = parseReplies(peer->collect());
            EXPECT_EQ(replies.statuses(), std::vector<int>{200});
            EXPECT_TRUE(replies.isClean());
            EXPECT_TRUE(peer->isEnded());
            if (behind.size() > 1000 && fragment < 16) break;  // the small fragments have shown it
        }
    }
}

TEST_F(HttpConnectionTest, EveryAnswerHasADateAndALength) {
    const Reply reply = askOne(getRequest("/hi"));
    EXPECT_EQ(reply.head,
              "HTTP/1.1 200 OK\r\nDate: Sun, 13 Sep 2020 12:26:40 GMT\r\nContent-Length: 2\r\n"
              "Content-Type: text/plain; charset=utf-8\r\n\r\n");
    advance(seconds(1));
    EXPECT_EQ(askOne(getRequest("/hi")).header("Date"), "Sun, 13 Sep 2020 12:26:41 GMT");
}

// What a client sends behind its CONNECT is for somebody else.
TEST_F(HttpConnectionTest, AConnectThatNobodyTakesEndsTheConnection) {
    const auto peer = connect();
    peer->feed("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n" + getRequest("/hi"));
    const Replies replies = parseReplies(peer->collect());
    EXPECT_EQ(replies.statuses(), std::vector<int>{501});
    EXPECT_EQ(replies[0].header("Connection"), "close");
    EXPECT_TRUE(peer->isEnded());
}

// RFC 9110 §15.3.6: no content; and a client has to be told so, which reads it as it does others (RFC 9112 §6.3).
TEST_F(HttpConnectionTest, ResetContentHasNoContent) {
    const auto shared = std::make_shared<const std::string>("xyz");
    router().get("/205", [](const HttpRequest&) { return HttpResponse(205).setBody("xyz"); });
    router().get("/205/shared", [shared](const HttpRequest&) { return HttpResponse(205).setBody(shared); });
    router().get("/205/length",
                 [](const HttpRequest&) { return HttpResponse(205).header("Content-Length", "3"); });
    router().get("/205/stream", [](const HttpRequest&, HttpResponder responder) {
        HttpBodyWriter writer = responder.stream(HttpResponse(205).header("Content-Length", "3"));
        writer.write("xyz");
        writer.finish();
    });
    for (const std::string_view path : {"/205", "/205/shared", "/205/length", "/205/stream"}) {
        const Replies replies = ask(getRequest(path) + getRequest("/hi"));
        EXPECT_EQ(replies.statuses(), (std::vector<int>{205, 200})) << path;
        EXPECT_EQ(replies[0].header("Content-Length"), "0") << path;
        EXPECT_FALSE(replies[0].has("Transfer-Encoding")) << path;
        EXPECT_EQ(replies[0].body, "") << path;
        const Replies head =
            ask("HEAD " + std::string(path) + " HTTP/1.1\r\nHost: a\r\n\r\n", ScriptedPeer::kWhole, {0});
        EXPECT_EQ(head[0].header("Content-Length"), "0") << path;
    }
}

// --- Pipelining ---

TEST_F(HttpConnectionTest, PipelinedRequestsAreAnsweredInOrder) {
    std::string requests;
    for (int i = 0; i < 50; ++i) {
        const std::string number = std::to_string(i);
        requests += i % 3 == 0 ? postRequest("/echo", number) : getRequest("/n/" + number);
    }
    for (const size_t fragment : kFragments) {
        const Replies replies = ask(requests, fragment);
        ASSERT_EQ(replies.size(), 50U);
        for (size_t i = 0; i < 50; ++i) EXPECT_EQ(replies[i].body, std::to_string(i));
    }
}

TEST_F(HttpConnectionTest, ABurstCostsOneReadAndOneWrite) {
    std::string requests;
    for (int i = 0; i < 16; ++i) requests += getRequest("/n/" + std::to_string(i));
    const auto peer = connect();
    peer->feed(requests).settle();
    EXPECT_EQ(peer->transport().writes().size(), 1U);
    EXPECT_EQ(parseReplies(peer->collect()).size(), 16U);
}

// To assign an empty string to a large one does not free it: the spare requests kept what the largest body
// had needed, each, for ever.
TEST_F(HttpConnectionTest, WhatALargeBodyNeededIsGivenBack) {
    router().post("/size", [](const HttpRequest& request) {
        return HttpResponse::text(std::to_string(request.body().size()));
    });
    const auto peer = connect();
    for (int i = 0; i < 2; ++i) {
        peer->feed(postRequest("/size", std::string(200'000, 'x')), 30'000);
        const LargestAllocation largest;
        EXPECT_EQ(parseReplies(peer->collect())[0].body, "200000");
        EXPECT_GE(largest.size(), 200'000U) << "the second one has the first one's memory";
    }
}

TEST_F(HttpConnectionTest, TheNextRequestWaitsUntilTheOneBeforeIsAnswered) {
    const auto peer = connect();
    std::string requests;
    for (int i = 0; i < 3; ++i) requests += getRequest("/held") + getRequest("/n/" + std::to_string(i));
    peer->feed(requests, 7);
    for (int i = 0; i < 3; ++i) {
        const Replies before = parseReplies(peer->collect());
        EXPECT_EQ(before.size(), i == 0 ? 0U : 1U);
        if (i > 0) {
            EXPECT_EQ(before[0].body, std::to_string(i - 1));
        }
        ASSERT_EQ(held.size(), 1U);
        EXPECT_TRUE(held.back().respond(HttpResponse::text("held " + std::to_string(i))));
        held.clear();
        peer->connection()->flush();
        const Replies after = parseReplies(peer->takeWritten());
        ASSERT_EQ(after.size(), 1U);
        EXPECT_EQ(after[0].body, "held " + std::to_string(i));
    }
    EXPECT_EQ(parseReplies(peer->collect())[0].body, "2");
    EXPECT_TRUE(held.empty());
}

TEST_F(HttpConnectionTest, AnswersKeepTheirOrderWhenResponsesAreOfEveryKind) {
    const std::string large = patternOf(100'000);
    const auto shared = std::make_shared<const std::string>(patternOf(70'000));
    const SharedFilePtr_t file = makeFile(patternOf(90'000));
    router().get("/large", [&](const HttpRequest&) { return HttpResponse::text(large); });
    router().get("/shared", [&](const HttpRequest&) { return HttpResponse(200).setBody(shared); });
    router().get("/file", [&](const HttpRequest&) {
        return HttpResponse(200).setBody(HttpResponse::FileBody{file, 10, 5000});
    });
    router().get("/stream", [&](const HttpRequest&, HttpResponder responder) {
        HttpBodyWriter writer = responder.stream(HttpResponse(200));
        writer.write("one ");
        writer.write("two");
        writer.finish();
    });
    std::string requests;
    for (const std::string_view path :
         {"/large", "/hi", "/file", "/shared", "/stream", "/file", "/hi", "/large"}) {
        requests += getRequest(path);
    }
    for (const size_t limit : {SIZE_MAX, size_t{1000}, size_t{7777}}) {
        const auto peer = connect();
        peer->transport().limitWrites(limit);
        peer->feed(requests);
        const Replies replies = awaitReplies(*peer, 8);
        ASSERT_EQ(replies.size(), 8U);
        EXPECT_EQ(replies[0].body, large);
        EXPECT_EQ(replies[1].body, "hi");
        EXPECT_EQ(replies[2].body, patternOf(5010).substr(10));
        EXPECT_EQ(replies[3].body, *shared);
        EXPECT_EQ(replies[4].body, "one two");
        EXPECT_EQ(replies[5].body, patternOf(5010).substr(10));
        EXPECT_EQ(replies[6].body, "hi");
        EXPECT_EQ(replies[7].body, large);
    }
}

// A client that pipelines and never reads: what it costs is bounded, and when it reads at last it gets
// every answer in order.
TEST_F(HttpConnectionTest, AFloodOfPipelinedRequestsIsNotStored) {
    limits().highWaterBytes = 64 << 10;
    router().get("/k/:n", [](const HttpRequest& request) {
        return HttpResponse::text(std::string(request.param("n")) + " " + std::string(1000, 'x'));
    });
    constexpr size_t kRequests = 20'000;
    std::string requests;
    for (size_t i = 0; i < kRequests; ++i) requests += getRequest("/k/" + std::to_string(i));
    const auto peer = connect();
    peer->transport().blockWrites();
    peer->feed(requests, 16 << 10).settle();
    EXPECT_TRUE(peer->transport().hasInput());  // most of it was never read
    // At most one answer beyond the mark, and gathered ones of one read.
    EXPECT_LE(peer->connection()->queuedBytes(), limits().highWaterBytes + 2000);
    const size_t unread = requests.size() - peer->transport().readCalls() * (16 << 10);
    EXPECT_GT(unread, requests.size() / 2);

    peer->transport().unblockWrites();
    size_t most = 0;
    for (int quiet = 0; quiet < 10;) {
        const size_t before = peer->transport().calls();
        runRounds(1);
        most = std::max(most, peer->connection()->queuedBytes());
        quiet = peer->transport().calls() == before ? quiet + 1 : 0;
    }
    EXPECT_LE(most, limits().highWaterBytes + 2000);
    const Replies replies = parseReplies(peer->collect());
    EXPECT_TRUE(replies.isClean());
    ASSERT_EQ(replies.size(), kRequests);
    for (size_t i = 0; i < kRequests; ++i) {
        ASSERT_TRUE(replies[i].body.starts_with(std::to_string(i) + " ")) << i;
    }
}

TEST_F(HttpConnectionTest, RequestsBehindAHeldOneAreKeptUpToOneReadBuffer) {
    const auto peer = connect();
    std::string requests = getRequest("/held");
    constexpr size_t kBehind = 5000;
    for (size_t i = 0; i < kBehind; ++i) requests += getRequest("/n/" + std::to_string(i));
    peer->feed(requests, 1000).settle();
    EXPECT_TRUE(peer->connection()->isReadingPaused());
    const size_t read = peer->transport().readCalls() * 1000;
    EXPECT_LE(read, 2 * IOLoop::kReadBufferBytes);
    ASSERT_EQ(held.size(), 1U);
    held[0].respond(HttpResponse::text("first"));
    const Replies replies = awaitReplies(*peer, kBehind + 1);
    EXPECT_EQ(replies[0].body, "first");
    for (size_t i = 0; i < kBehind; ++i) ASSERT_EQ(replies[i + 1].body, std::to_string(i));
    EXPECT_FALSE(peer->connection()->isReadingPaused());
}

// --- Bodies of requests ---

TEST_F(HttpConnectionTest, BodiesReachTheHandlerWhole) {
    for (const size_t size : {0U, 1U, 1000U, 65'536U, 300'000U}) {
        const std::string body = patternOf(size);
        const Replies counted = ask(postRequest("/echo", body), 10'000);
        EXPECT_EQ(counted[0].body, body);
        std::string chunked = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        for (size_t at = 0; at < size; at += 999) {
            const std::string piece = body.substr(at, 999);
            char head[32];
            std::snprintf(head, sizeof(head), "%zx\r\n", piece.size());
            chunked.append(head).append(piece).append("\r\n");
        }
        EXPECT_EQ(ask(chunked + "0\r\n\r\n", 10'000)[0].body, body);
    }
}

TEST_F(HttpConnectionTest, TrailersReachTheHandler) {
    router().post("/t", [](const HttpRequest& request) {
        return HttpResponse::text(std::string(request.trailers().get("X-Sum")) + "/" +
                                  std::to_string(request.trailers().size()));
    });
    for (const size_t fragment : kFragments) {
        const Replies replies =
            ask("POST /t HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Sum: 7 "
                "\r\nB: c\r\n\r\n" +
                    getRequest("/hi"),
                fragment);
        EXPECT_EQ(replies[0].body, "7/2");
        EXPECT_EQ(replies[1].body, "hi");
    }
}

TEST_F(HttpConnectionTest, ABodyOfOneRequestIsGoneInTheNext) {
    const Replies replies =
        ask(postRequest("/echo", "secret") + getRequest("/echo") + postRequest("/echo", "x"));
    EXPECT_EQ(replies[0].body, "secret");
    EXPECT_EQ(replies[1].body, "");
    EXPECT_EQ(replies[2].body, "x");
}

TEST_F(HttpConnectionTest, BodiesBeyondTheLimitAre413) {
    limits().bodyBytes = 1000;
    HttpRouteOptions large;
    large.maxBodyBytes = 2000;
    HttpRouteOptions small;
    small.maxBodyBytes = 10;
    router().post("/large", echo, large);
    router().post("/small", echo, small);
    struct Row {
        std::string_view path;
        size_t size;
        int status;
    };
    constexpr Row kRows[] = {{"/echo", 1000, 200},  {"/echo", 1001, 413}, {"/large", 2000, 200},
                             {"/large", 2001, 413}, {"/small", 10, 200},  {"/small", 11, 413},
                             {"/none", 1000, 404},  {"/none", 1001, 413}};
    for (const Row& row : kRows) {
        SCOPED_TRACE(std::string(row.path) + " " + std::to_string(row.size));
        const std::string body(row.size, 'b');
        const std::string chunkedHead =
            "POST " + std::string(row.path) + " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        std::string chunked = chunkedHead;
        for (size_t i = 0; i < row.size; ++i) chunked += "1\r\nb\r\n";
        for (const std::string& request : {postRequest(row.path, body), chunked + "0\r\n\r\n"}) {
            const auto peer = connect();
            peer->feed(request + getRequest("/hi"), 100);
            const Replies replies = parseReplies(peer->collect());
            if (row.status == 413) {
                EXPECT_EQ(replies.statuses(), std::vector<int>{413}) << replies;
                EXPECT_EQ(replies[0].header("Connection"), "close");
                EXPECT_TRUE(peer->isEnded());
            } else {
                EXPECT_EQ(replies.statuses(), (std::vector<int>{row.status, 200})) << replies;
            }
        }
    }
}

TEST_F(HttpConnectionTest, ATooLargeBodyIsRefusedBeforeItComes) {
    limits().bodyBytes = 1000;
    const auto counted = connect();
    counted->feed(postHead("/echo", 1001));
    EXPECT_EQ(parseReplies(counted->collect()).statuses(), std::vector<int>{413});
    EXPECT_TRUE(counted->isEnded());
    const auto chunked = connect();
    chunked->feed("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3e6\r\n");
    EXPECT_EQ(parseReplies(chunked->collect()).statuses(), std::vector<int>{413});
    EXPECT_TRUE(chunked->isEnded());
}

// --- Expect: 100-continue ---

TEST_F(HttpConnectionTest, ContinueIsSentBeforeTheBodyIsAwaited) {
    for (const size_t fragment : kFragments) {
        const auto peer = connect();
        peer->feed(postHead("/echo", 5, "Expect: 100-continue\r\n"), fragment);
        EXPECT_EQ(peer->collect(), "HTTP/1.1 100 Continue\r\n\r\n");
        peer->feed("hello", fragment);
        const Replies replies = parseReplies(peer->collect());
        EXPECT_EQ(replies.statuses(), std::vector<int>{200});
        EXPECT_EQ(replies[0].body, "hello");
    }
}

TEST_F(HttpConnectionTest, ContinueIsOncePerRequestAndNotSaidToOthers) {
    const Replies replies =
        ask(postRequest("/echo", "a", "Expect: 100-continue\r\n") + postRequest("/echo", "b") +
            postRequest("/echo", "c", "Expect: 100-Continue\r\n"));
    EXPECT_EQ(replies.statuses(), (std::vector<int>{100, 200, 200, 100, 200}));
    EXPECT_EQ(replies[1].body + replies[2].body + replies[4].body, "abc");
}

TEST_F(HttpConnectionTest, AFinalAnswerComesInsteadOfContinue) {
    limits().bodyBytes = 1000;
    struct Row {
        std::string request;
        int status;
    };
    const Row rows[] = {
        {postHead("/echo", 1001, "Expect: 100-continue\r\n"), 413},
        {postHead("/none", 5, "Expect: 100-continue\r\n"), 404},
        {postHead("/hi", 5, "Expect: 100-continue\r\n"), 405},
        {postHead("/echo", 5, "Expect: something\r\n"), 417},
        {getRequest("/hi", "Expect: something\r\n"), 417},
    };
    for (const Row& row : rows) {
        const auto peer = connect();
        peer->feed(row.request);
        const Replies replies = parseReplies(peer->collect());
        EXPECT_EQ(replies.statuses(), std::vector<int>{row.status}) << row.request;
        EXPECT_TRUE(peer->isEnded()) << row.request;  // what comes next may be a body or a request
    }
}

TEST_F(HttpConnectionTest, AnExpectationThatWasNotMetIsNotTheNextOnes) {
    limits().bodyBytes = 1000;
    for (const std::string_view path : {"/none", "/echo"}) {
        const auto peer = connect();
        peer->feed(postHead(path, path == "/none" ? 5 : 1001, "Expect: 100-continue\r\n")).settle();
        EXPECT_EQ(ask(postRequest("/echo", "hello")).statuses(), std::vector<int>{200});
    }
}

TEST_F(HttpConnectionTest, ContinueIsOnlyForBodiesOfHttp11) {
    EXPECT_EQ(ask("POST /echo HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi").statuses(),
              std::vector<int>{200});
    EXPECT_EQ(ask(getRequest("/hi", "Expect: 100-continue\r\n")).statuses(), std::vector<int>{200});
    EXPECT_EQ(ask(postRequest("/echo", "", "Expect: 100-continue\r\n")).statuses(), std::vector<int>{200});
}

// Middleware that takes its time over a 404 ran a second time when the client sent the body after all.
TEST_F(HttpConnectionTest, ARequestIsHandledOnceThoughItsBodyComesBeforeTheRefusal) {
    int runs = 0;
    router().use([this, &runs](const HttpRequest&, HttpResponder responder, const HttpNext&) {
        ++runs;
        held.push_back(std::move(responder));
    });
    const auto peer = connect();
    peer->feed(postRequest("/none", "body", "Expect: 100-continue\r\n")).settle();
    EXPECT_EQ(runs, 1);
    ASSERT_EQ(held.size(), 1U);
    held[0].respond(HttpResponse::error(404));
    EXPECT_EQ(parseReplies(peer->collect()).statuses(), std::vector<int>{404});
    EXPECT_TRUE(peer->isEnded());
}

// --- Answers ---

TEST_F(HttpConnectionTest, BodilessStatusesSendNoBody) {
    router().get("/s/:status", [](const HttpRequest& request) {
        return HttpResponse::text("a body", std::stoi(std::string(request.param("status"))));
    });
    for (const std::string status : {"204", "304"}) {
        const Replies replies = ask(getRequest("/s/" + status) + getRequest("/hi"));
        EXPECT_EQ(replies.statuses(), (std::vector<int>{std::stoi(status), 200}));
        EXPECT_FALSE(replies[0].has("Content-Length"));
        EXPECT_FALSE(replies[0].has("Transfer-Encoding"));
    }
}

// A handler that answers what is no final status would leave the client waiting, or out of step.
TEST_F(HttpConnectionTest, StatusesThatAreNoFinalOnesAre500) {
    router().get("/s/:status", [](const HttpRequest& request) {
        return HttpResponse::text("a body", std::stoi(std::string(request.param("status"))));
    });
    router().get("/stream/:status", [](const HttpRequest& request, HttpResponder responder) {
        HttpBodyWriter writer =
            responder.stream(HttpResponse(std::stoi(std::string(request.param("status")))));
        writer.write("piece");
        writer.finish();
    });
    for (const std::string status : {"-1", "0", "99", "100", "101", "199", "1000", "99999"}) {
        for (const std::string path : {"/s/", "/stream/"}) {
            const Replies replies = ask(getRequest(path + status) + getRequest("/hi"));
            EXPECT_EQ(replies.statuses(), (std::vector<int>{500, 200})) << path << status;
            EXPECT_TRUE(log().contains(status));
        }
    }
    EXPECT_EQ(ask(getRequest("/s/599")).statuses(), std::vector<int>{599});
    EXPECT_EQ(ask(getRequest("/s/999")).statuses(), std::vector<int>{999});
}

TEST_F(HttpConnectionTest, HeadHasTheHeadOfGetForEveryKindOfBody) {
    const SharedFilePtr_t file = makeFile(patternOf(9000));
    router().get("/large", [](const HttpRequest&) { return HttpResponse::text(patternOf(9000)); });
    router().get("/file", [&](const HttpRequest&) {
        return HttpResponse(200).setBody(HttpResponse::FileBody{file, 0, 9000});
    });
    router().get("/stream", [](const HttpRequest&, HttpResponder responder) {
        HttpBodyWriter writer = responder.stream(HttpResponse(200));
        writer.write("piece");
        writer.finish();
    });
    router().get("/counted", [](const HttpRequest&, HttpResponder responder) {
        HttpBodyWriter writer = responder.stream(HttpResponse(200).header("Content-Length", "5"));
        writer.write("piece");
        writer.finish();
    });
    for (const std::string path : {"/hi", "/large", "/file", "/stream", "/counted", "/none"}) {
        const Replies replies =
            ask(headRequest(path) + getRequest(path) + headRequest(path), ScriptedPeer::kWhole, {0, 2});
        ASSERT_EQ(replies.size(), 3U);
        EXPECT_EQ(replies[0].head, replies[1].head) << path;
        EXPECT_EQ(replies[2].head, replies[1].head) << path;
    }
}

// The method of an earlier request, perhaps of another connection, was taken for that of one that could
// not be parsed: its refusal had a length, but no body.
TEST_F(HttpConnectionTest, ARefusalBehindAHeadRequestHasItsBody) {
    const auto peer = connect();
    peer->feed(headRequest("/hi") + "BAD\r\n\r\n");
    const Replies replies = parseReplies(peer->collect(), {0});
    EXPECT_EQ(replies.statuses(), (std::vector<int>{200, 400}));
    EXPECT_EQ(replies[1].body, "400 Bad Request\n");
    EXPECT_TRUE(replies.isClean());

    ask(headRequest("/hi"), ScriptedPeer::kWhole, {0});
    EXPECT_EQ(askOne("BAD\r\n\r\n").body, "400 Bad Request\n");
    ask("GET /hi HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    EXPECT_EQ(askOne("BAD\r\n\r\n").header("Connection"), "close");
}

TEST_F(HttpConnectionTest, AnAnswerOnItsWayIsNotCutByTheEndOfTheConnection) {
    // A client that asks for the end of the connection, and reads its megabyte slowly but surely: closing
    // after a fixed time cut the answer off.
    router().get("/large", [](const HttpRequest&) { return HttpResponse::text(patternOf(1'000'000)); });
    const auto peer = connect();
    peer->transport().blockWrites();
    peer->feed(getRequest("/large", "Connection: close\r\n")).settle();
    peer->transport().limitWrites(50'000);
    for (int i = 0; i < 9; ++i) {
        advance(seconds(4));
        ASSERT_FALSE(peer->isClosed()) << i;
        peer->transport().unblockWrites();
        runRounds(1);
        peer->transport().blockWrites();
    }
    peer->transport().unblockWrites();
    const Replies replies = parseReplies(peer->collectUntilClosed());
    ASSERT_EQ(replies.size(), 1U) << replies.rest.size();
    EXPECT_EQ(replies[0].body, patternOf(1'000'000));
}

TEST_F(HttpConnectionTest, ADeadReaderOfTheLastAnswerIsClosedInTheEnd) {
    router().get("/large", [](const HttpRequest&) { return HttpResponse::text(patternOf(1'000'000)); });
    const auto peer = connect();
    peer->transport().blockWrites();
    peer->feed(getRequest("/large", "Connection: close\r\n")).settle();
    advance(limits().sendTimeout + seconds(1));
    advance(seconds(1));
    EXPECT_TRUE(peer->isClosed());
}

TEST_F(HttpConnectionTest, AnAnswerLargerThanTheQueueMayBeIsSentAllTheSame) {
    // One body is the handler's decision; the limit of queued bytes is against streams that pile up.
    const auto shared = std::make_shared<const std::string>(patternOf(500'000));
    const SharedFilePtr_t file = makeFile(patternOf(600'000));
    router().get("/shared", [&](const HttpRequest&) { return HttpResponse(200).setBody(shared); });
    router().get("/file", [&](const HttpRequest&) {
        return HttpResponse(200).setBody(HttpResponse::FileBody{file, 0, 600'000});
    });
    for (const std::string path : {"/file", "/shared"}) {
        const auto peer = connect();
        peer->connection()->setMaxQueuedBytes(100'000);
        peer->transport().limitWrites(50'000);
        peer->feed(getRequest(path));
        EXPECT_EQ(awaitReplies(*peer, 1)[0].body, path == "/file" ? patternOf(600'000) : *shared);
    }
}

// A hundred bytes of the heap were sent for a body without a file; a file that was shorter broke off after its head.
TEST_F(HttpConnectionTest, AFileThatIsNotThereOrShorterThanSaidIs500) {
    const SharedFilePtr_t file = makeFile("short");
    const auto closed = std::make_shared<const FileDescriptor>();
    const auto directory = std::make_shared<const FileDescriptor>(::open("/", O_RDONLY | O_CLOEXEC));
    constexpr size_t kMost = SIZE_MAX;
    for (const HttpResponse::FileBody& body : std::vector<HttpResponse::FileBody>{{nullptr, 0, 100},
                                                                                  {closed, 0, 100},
                                                                                  {directory, 0, 1},
                                                                                  {file, 0, 6},
                                                                                  {file, 5, 1},
                                                                                  {file, 6, 1},
                                                                                  {file, -1, 1},
                                                                                  {file, 1, kMost},
                                                                                  {file, 0, kMost}}) {
        startOver();
        router().get("/file", [&](const HttpRequest&) { return HttpResponse(200).setBody(body); });
        const Reply reply = askOne(getRequest("/file"));
        EXPECT_EQ(reply.status, 500) << body.offset << " " << body.size;
        EXPECT_TRUE(log().contains("handler of GET /file answered with a file that is not there"));
        EXPECT_EQ(ask(headRequest("/file"), ScriptedPeer::kWhole, {0})[0].status, 500);
    }
    startOver();
    router().get("/file/:offset", [&](const HttpRequest& request) {
        const int offset = std::stoi(std::string(request.param("offset")));
        return HttpResponse(200).setBody(
            HttpResponse::FileBody{file, offset, static_cast<size_t>(5 - offset)});
    });
    EXPECT_EQ(askOne(getRequest("/file/0")).body, "short");
    EXPECT_EQ(askOne(getRequest("/file/5")).body, "");
}

TEST_F(HttpConnectionTest, AFileThatShrinksMeanwhileBreaksOff) {
    const SharedFilePtr_t file = makeFile(patternOf(100));
    router().get("/file", [&](const HttpRequest&) {
        return HttpResponse(200).setBody(HttpResponse::FileBody{file, 0, 100});
    });
    const auto peer = connect();
    peer->transport().blockWrites();
    peer->feed(getRequest("/file")).settle();
    ASSERT_EQ(::ftruncate(file->get(), 50), 0);
    peer->transport().unblockWrites();
    const Replies replies = parseReplies(peer->collectUntilClosed());
    EXPECT_EQ(replies.size(), 0U);  // not whole: the client can tell
}

// --- Handlers that throw ---

TEST_F(HttpConnectionTest, AHandlerThatThrowsIs500AndTheServerLives) {
    router().get("/std", [](const HttpRequest&) -> HttpResponse { throw std::runtime_error("a message"); });
    router().get("/other", [](const HttpRequest&) -> HttpResponse { throw 7; });
    router().get("/async",
                 [](const HttpRequest&, HttpResponder) { throw std::runtime_error("async message"); });
    router().get("/answered", [](const HttpRequest&, HttpResponder responder) {
        responder.respond(HttpResponse::text("answered"));
        throw std::runtime_error("too late");
    });
    router().get("/field/:value", [](const HttpRequest& request) {
        return HttpResponse(200).header("X", request.param("value"));  // throws at a line end
    });
    router().get("/kept", [this](const HttpRequest&, HttpResponder responder) {
        held.push_back(std::move(responder));
        throw std::runtime_error("but kept");
    });
    const Replies replies =
        ask(getRequest("/std") + getRequest("/hi") + getRequest("/other") + getRequest("/async") +
            getRequest("/answered") + getRequest("/field/a%0d%0ab") + getRequest("/hi"));
    EXPECT_EQ(replies.statuses(), (std::vector<int>{500, 200, 500, 500, 200, 500, 200}));
    EXPECT_EQ(replies[0].body, "500 Internal Server Error\n");  // and nothing of the message
    EXPECT_TRUE(log().contains("GET /std threw: a message"));
    EXPECT_TRUE(log().contains("async message"));
    EXPECT_TRUE(log().contains("too late"));

    const auto peer = connect();
    peer->feed(getRequest("/kept")).settle();
    ASSERT_EQ(held.size(), 1U);
    held[0].respond(HttpResponse::text("kept"));
    EXPECT_EQ(parseReplies(peer->collect())[0].body, "kept");
}

// --- The access log ---

TEST_F(HttpConnectionTest, TheAccessLogHasWhatWasAnswered) {
    router().get("/large", [](const HttpRequest&) { return HttpResponse::text(patternOf(9000)); });
    router().get("/stream", [](const HttpRequest&, HttpResponder responder) {
        HttpBodyWriter writer = responder.stream(HttpResponse(202));
        writer.write("12345");
        writer.write("678");
        writer.finish();
    });
    ask(getRequest("/hi?q=1") + headRequest("/large") + getRequest("/large") + getRequest("/stream") +
            getRequest("/none") + postRequest("/echo", "abc"),
        ScriptedPeer::kWhole, {1});
    struct Row {
        HttpMethod method;
        std::string_view target;
        int status;
        uint64_t bytes;
    };
    constexpr Row kRows[] = {{HttpMethod::Get, "/hi?q=1", 200, 2},   {HttpMethod::Head, "/large", 200, 0},
                             {HttpMethod::Get, "/large", 200, 9000}, {HttpMethod::Get, "/stream", 202, 8},
                             {HttpMethod::Get, "/none", 404, 14},    {HttpMethod::Post, "/echo", 200, 3}};
    ASSERT_EQ(accesses().size(), std::size(kRows));
    for (size_t i = 0; i < std::size(kRows); ++i) {
        EXPECT_EQ(accesses()[i].method, kRows[i].method);
        EXPECT_EQ(accesses()[i].target, kRows[i].target);
        EXPECT_EQ(accesses()[i].status, kRows[i].status);
        EXPECT_EQ(accesses()[i].bodyBytes, kRows[i].bytes);
    }
}

TEST_F(HttpConnectionTest, TheAccessLogHasHowLongItTook) {
    const auto peer = connect();
    peer->feed("GET /held HTTP/1.1\r\nHo").settle();
    advance(milliseconds(300));
    peer->feed("st: a\r\n\r\n").settle();
    advance(milliseconds(200));
    ASSERT_EQ(held.size(), 1U);
    held[0].respond(HttpResponse::text("late"));
    ASSERT_EQ(accesses().size(), 1U);
    EXPECT_EQ(accesses()[0].duration, milliseconds(500));
}

TEST_F(HttpConnectionTest, TheAccessLogHasRefusalsAndClientsThatLeft) {
    askOne("BAD\r\n\r\n");
    askOne(getRequest("/hi", "X Y: z\r\n"));
    {
        const auto peer = connect();
        peer->feed(getRequest("/held")).settle();
        peer->feedReset().settle();
    }
    ASSERT_EQ(accesses().size(), 3U);
    EXPECT_EQ(accesses()[0].status, 400);
    EXPECT_EQ(accesses()[1].status, 400);
    EXPECT_EQ(accesses()[2].status, 0);
    EXPECT_EQ(accesses()[2].target, "/held");
    const auto idle = connect();  // a connection without a request is no access
    idle->feedEnd().settle();
    EXPECT_EQ(accesses().size(), 3U);
}

TEST_F(HttpConnectionTest, AnAccessLogIsNotNeeded) {
    const HttpAccessCallback_t none;
    router().freeze();
    HttpService bare(loop(), router(), limits(), none);
    ScriptedPeer peer(loop());
    bare.onConnection(peer.connection());
    peer.start();
    peer.feed(getRequest("/hi"));
    EXPECT_EQ(parseReplies(peer.collect()).statuses(), std::vector<int>{200});
    peer.connection()->close();
    peer.settle();
}

// --- The client ends ---

TEST_F(HttpConnectionTest, AnswersQueuedAreDeliveredToAClientThatHasEndedItsDirection) {
    for (const size_t fragment : kFragments) {
        const auto peer = connect();
        peer->feed(getRequest("/n/1") + getRequest("/n/2"), fragment).feedEnd();
        EXPECT_EQ(parseReplies(peer->collect()).size(), 2U);
        EXPECT_TRUE(peer->isClosed());
    }
}

TEST_F(HttpConnectionTest, ARequestThatEndsEarlyIsNotAnswered) {
    for (const std::string& part : {getRequest("/hi").substr(0, 10), postHead("/echo", 5) + "hel"}) {
        const auto peer = connect();
        peer->feed(part).feedEnd();
        EXPECT_EQ(peer->collect(), "");
        EXPECT_TRUE(peer->isClosed());
    }
}

// --- Draining ---

class HttpDrainTest : public HttpConnectionTest {
protected:
    void drain() {
        auto checker = ConnChecker::create(loop(), {});
        ASSERT_TRUE(checker);
        service().onDrain(**checker);
    }
};

// Requests that had arrived, and were not read yet, were lost with their connection.
TEST_F(HttpDrainTest, RequestsThatHaveArrivedAreAnswered) {
    const auto fresh = connect();
    const auto used = connect();
    used->feed(getRequest("/hi")).settle();
    used->collect();
    fresh->feed(getRequest("/n/1"));
    used->feed(getRequest("/n/2"));
    drain();
    const Replies first = parseReplies(fresh->collect());
    ASSERT_EQ(first.size(), 1U);
    EXPECT_EQ(first[0].body, "1");
    EXPECT_EQ(first[0].header("Connection"), "close");
    EXPECT_EQ(parseReplies(used->collect())[0].body, "2");
    EXPECT_TRUE(fresh->isEnded());
    EXPECT_TRUE(used->isEnded());
}

// They were closed at once, in front of clients that were about to use them.
TEST_F(HttpDrainTest, IdleConnectionsMayBringOneMoreRequest) {
    const auto quiet = connect();
    const auto fresh = connect();
    const auto used = connect();
    used->feed(getRequest("/hi")).settle();
    used->collect();
    drain();
    advance(milliseconds(900));
    EXPECT_FALSE(quiet->isEnded());
    for (ScriptedPeer* const peer : {fresh.get(), used.get()}) {
        peer->feed(getRequest("/hi"));
        const Replies replies = parseReplies(peer->collect());
        ASSERT_EQ(replies.statuses(), std::vector<int>{200});
        EXPECT_EQ(replies[0].header("Connection"), "close");
        EXPECT_TRUE(peer->isEnded());
    }
    advance(milliseconds(200));
    EXPECT_TRUE(quiet->isEnded());
}

TEST_F(HttpDrainTest, WithoutDrainTimeIdleConnectionsAreClosedAtOnce) {
    limits().drainTime = milliseconds(0);
    const auto fresh = connect();
    drain();
    fresh->settle();
    EXPECT_TRUE(fresh->isEnded());
}

// A request that crosses the end of its connection meets an end of stream, not a reset that says nothing.
TEST_F(HttpDrainTest, ARequestThatCrossesTheEndIsReadAndDropped) {
    const auto peer = connect();
    peer->withholdEnd();
    drain();
    advance(milliseconds(1000));
    ASSERT_TRUE(peer->isEnded());
    EXPECT_FALSE(peer->isClosed());
    peer->feed(getRequest("/hi"));
    EXPECT_EQ(peer->collect(), "");
    EXPECT_FALSE(peer->isClosed());
    advance(milliseconds(500));
    EXPECT_TRUE(peer->isClosed());
}

// What arrives in the very round in which the time is over is answered.
TEST_F(HttpDrainTest, AConnectionIsNotClosedOverARequestThatHasJustArrived) {
    const auto peer = connect();
    loop()->runAfter(milliseconds(1000), [&] { peer->feed(getRequest("/hi")); });  // runs first
    drain();
    peer->settle();
    clock().advance(milliseconds(1000));
    const Replies replies = parseReplies(peer->collect());
    EXPECT_EQ(replies.statuses(), std::vector<int>{200});
}

TEST_F(HttpDrainTest, RequestsUnderWayAreAnsweredAndTheirConnectionClosed) {
    const auto waiting = connect();
    waiting->feed(getRequest("/held")).settle();
    const auto half = connect();
    half->feed("GET /hi HTTP/1.1\r\nHo").settle();
    const auto body = connect();
    body->feed(postHead("/echo", 5) + "he").settle();
    drain();
    waiting->settle();
    EXPECT_FALSE(waiting->isEnded());
    EXPECT_FALSE(half->isEnded());
    EXPECT_FALSE(body->isEnded());

    held[0].respond(HttpResponse::text("late"));
    half->feed("st: a\r\n\r\n");
    body->feed("llo");
    for (ScriptedPeer* const peer : {waiting.get(), half.get(), body.get()}) {
        const Replies replies = parseReplies(peer->collect());
        ASSERT_EQ(replies.statuses(), std::vector<int>{200}) << replies;
        EXPECT_EQ(replies[0].header("Connection"), "close");
        EXPECT_TRUE(peer->isEnded());
    }
}

TEST_F(HttpDrainTest, AStreamUnderWayGoesOnToItsEnd) {
    HttpBodyWriter writer;
    router().get("/stream", [&writer](const HttpRequest&, HttpResponder responder) {
        writer = responder.stream(HttpResponse(200));
    });
    const auto peer = connect();
    peer->feed(getRequest("/stream")).settle();
    writer.write("one ");
    drain();
    peer->settle();
    writer.write("two");
    writer.finish();
    const Replies replies = parseReplies(peer->collect());
    ASSERT_EQ(replies.size(), 1U);
    EXPECT_EQ(replies[0].body, "one two");
    EXPECT_FALSE(peer->isEnded());  // its head said nothing of an end: the client may go on
    advance(seconds(1));
    EXPECT_TRUE(peer->isEnded());
}

TEST_F(HttpDrainTest, AnAnswerOnItsWayIsNotCut) {
    router().get("/large", [](const HttpRequest&) { return HttpResponse::text(patternOf(500'000)); });
    const auto peer = connect();
    peer->transport().blockWrites();
    peer->feed(getRequest("/large")).settle();
    drain();
    advance(seconds(6));
    EXPECT_FALSE(peer->isClosed());
    peer->transport().unblockWrites();
    const Replies replies = parseReplies(peer->collect());
    ASSERT_EQ(replies.size(), 1U);
    EXPECT_EQ(replies[0].body.size(), 500'000U);
    EXPECT_TRUE(peer->isEnded());
}

// Only the first was answered, though all had arrived.
TEST_F(HttpDrainTest, PipelinedRequestsThatHaveArrivedAreAnswered) {
    const auto peer = connect();
    peer->feed(getRequest("/held") + getRequest("/hi") + getRequest("/hi")).settle();
    drain();
    held[0].respond(HttpResponse::text("late"));
    const Replies replies = parseReplies(peer->collect());
    ASSERT_EQ(replies.statuses(), (std::vector<int>{200, 200, 200}));
    EXPECT_FALSE(replies[1].has("Connection"));
    EXPECT_EQ(replies[2].header("Connection"), "close");
    EXPECT_TRUE(peer->isEnded());
}

TEST_F(HttpDrainTest, AClientThatAlwaysPipelinesIsCutOffWhenItsTimeIsOver) {
    const auto peer = connect();
    peer->feed(getRequest("/held") + getRequest("/hi")).settle();
    drain();
    advance(seconds(1));
    held[0].respond(HttpResponse::text("late"));
    const Replies replies = parseReplies(peer->collect());
    EXPECT_EQ(replies.statuses(), std::vector<int>{200});
    EXPECT_EQ(replies[0].header("Connection"), "close");
    EXPECT_TRUE(peer->isEnded());
}

// With TLS a connection that was accepted before may be ready only now.
TEST_F(HttpDrainTest, ConnectionsThatAreReadyAfterwardsHaveTheirTime) {
    if (ScriptedPeer::isSecure()) GTEST_SKIP() << "its handshake is scripted";
    ScriptedPeer peer(loop());
    peer.transport().onHandshake(ScriptedTransport::wantsRead());
    service().onConnection(peer.connection());
    peer.start();
    drain();
    advance(seconds(5));
    peer.transport().becomeReadable();
    peer.settle();
    advance(milliseconds(900));
    EXPECT_FALSE(peer.isEnded());
    advance(milliseconds(100));
    EXPECT_TRUE(peer.isEnded());
}

}  // namespace
}  // namespace tnet
