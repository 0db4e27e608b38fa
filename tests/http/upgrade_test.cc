// Switching protocols: a test protocol takes connections over from HTTP.
#include <gtest/gtest.h>

#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "http/connection.h"
#include "http/responder.h"
#include "tests/http/http_fixture.h"
#include "tnet/stack_buffer.h"

namespace tnet {
namespace {

constexpr std::string_view kOffer = "Connection: Upgrade\r\nUpgrade: echo\r\n";

std::string upgradeRequest(std::string_view path = "/echo") { return getRequest(path, kOffer); }

// The protocol: sends back what it gets, in capital letters. Lives inside the connection's callback.
class ShoutProtocol {
public:
    explicit ShoutProtocol(int& alive) : m_alive(alive) { ++m_alive; }
    ~ShoutProtocol() { --m_alive; }
    ShoutProtocol(const ShoutProtocol&) = delete;
    ShoutProtocol& operator=(const ShoutProtocol&) = delete;

    static HttpTakeOver_t takeOver(int& alive) {
        return [&alive](const ConnectionPtr_t& connection) {
            const auto self = std::make_shared<ShoutProtocol>(alive);
            connection->setEventCallback(
                [self](const ConnectionPtr_t& c, ConnEvent event, const void* context) {
                    if (event == Conn_ReadEvent)
                        self->onRead(*c, static_cast<const StackBuffer*>(context)->view());
                });
        };
    }

private:
    void onRead(Connection& connection, std::string_view bytes) {
        std::string shouted(bytes);
        for (char& c : shouted) {
            if (c >= 'a' && c <= 'z') c = static_cast<char>(c - ('a' - 'A'));
        }
        connection.send(shouted);
    }

    int& m_alive;
};

class HttpUpgradeTest : public HttpTest {
protected:
    HttpUpgradeTest() {
        router().get("/hi", [](const HttpRequest&) { return HttpResponse::text("hi"); });
        router().upgrade("/echo", "echo", [this](const HttpRequest&, HttpResponder responder) {
            responder.upgrade(HttpResponse(101), ShoutProtocol::takeOver(alive));
        });
        router().upgrade("/held", "echo", [this](const HttpRequest&, HttpResponder responder) {
            held.push_back(std::move(responder));
        });
    }

    // The 101 in `bytes`, and what follows it.
    static std::pair<Reply, std::string> split(const std::string& bytes) {
        const size_t end = bytes.find("\r\n\r\n");
        if (end == std::string::npos) return {Reply{}, bytes};
        const Replies replies = parseReplies(bytes.substr(0, end + 4));
        return {replies.size() > 0 ? replies[0] : Reply{}, bytes.substr(end + 4)};
    }

    int alive = 0;
    std::vector<HttpResponder> held{};
};

// --- Handing over ---

TEST_F(HttpUpgradeTest, TheNewLayerOwnsTheConnection) {
    const auto peer = connect();
    peer->feed(upgradeRequest());
    const auto [reply, rest] = split(peer->collect());
    EXPECT_EQ(reply.head, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    EXPECT_EQ(rest, "");
    EXPECT_EQ(alive, 1);
    peer->feed("hello");
    EXPECT_EQ(peer->collect(), "HELLO");
    peer->feed(getRequest("/hi").substr(0, 4));  // no HTTP any more
    EXPECT_EQ(peer->collect(), "GET ");
    peer->feedEnd().settle();
    EXPECT_EQ(alive, 0);
}

// Hazard 7: bytes that follow the request in the same packet reach the new layer, in order, once it owns
// the callback.
TEST_F(HttpUpgradeTest, BytesBehindTheRequestReachTheNewLayerAtEveryCut) {
    std::string behind;
    for (int i = 0; i < 200; ++i) behind += "message " + std::to_string(i) + "\n";
    std::string shouted = behind;
    for (char& c : shouted) {
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
    }
    for (const auto arrival : {ScriptedPeer::Arrival::OnSocket, ScriptedPeer::Arrival::Buffered}) {
        for (const size_t fragment : kFragments) {
            const auto peer = connect();
            peer->feed(getRequest("/hi") + upgradeRequest() + behind, fragment, arrival);
            std::string bytes = peer->collect();
            const size_t second = bytes.find("HTTP/1.1 101");
            ASSERT_NE(second, std::string::npos) << fragment;
            EXPECT_EQ(parseReplies(bytes.substr(0, second)).statuses(), std::vector<int>{200});
            EXPECT_EQ(split(bytes.substr(second)).second, shouted) << fragment;
        }
    }
    EXPECT_EQ(alive, 0);
}

TEST_F(HttpUpgradeTest, LaterUpgradesGetTheBytesThatCameMeanwhile) {
    for (const size_t fragment : kFragments) {
        const auto peer = connect();
        peer->feed(upgradeRequest("/held") + "first ", fragment).settle();
        peer->feed("second ", fragment);
        EXPECT_EQ(peer->collect(), "");
        ASSERT_EQ(held.size(), 1U);
        EXPECT_TRUE(held[0].upgrade(HttpResponse(101), ShoutProtocol::takeOver(alive)));
        held.clear();
        peer->feed("third", fragment);
        EXPECT_EQ(split(peer->collect()).second, "FIRST SECOND THIRD");
    }
}

TEST_F(HttpUpgradeTest, UpgradesFromAnotherThread) {
    for (int i = 0; i < 20; ++i) {
        const auto peer = connect();
        peer->feed(upgradeRequest("/held") + "hello").settle();
        ASSERT_EQ(held.size(), 1U);
        std::thread worker([this, responder = std::move(held[0])]() mutable {
            responder.upgrade(HttpResponse(101), ShoutProtocol::takeOver(alive));
        });
        held.clear();
        std::string bytes;
        EXPECT_TRUE(runUntil([&] {
            bytes += peer->collect();
            return bytes.ends_with("HELLO");
        }));
        worker.join();
    }
}

TEST_F(HttpUpgradeTest, ReadingThatWasPausedGoesOn) {
    const auto peer = connect();
    const std::string behind(300'000, 'x');
    peer->feed(upgradeRequest("/held") + behind, 10'000).settle();
    EXPECT_TRUE(peer->connection()->isReadingPaused());
    held[0].upgrade(HttpResponse(101), ShoutProtocol::takeOver(alive));
    EXPECT_EQ(split(peer->collect()).second, std::string(300'000, 'X'));
}

// The hand-over resumed reading after the new layer had paused it.
TEST_F(HttpUpgradeTest, TheNewLayerMayPauseReadingAtOnce) {
    for (const bool inTakeOver : {true, false}) {
        startOver();
        std::string got;
        router().upgrade("/pausing", "echo", [&](const HttpRequest&, HttpResponder responder) {
            responder.upgrade(HttpResponse(101), [&, inTakeOver](const ConnectionPtr_t& connection) {
                if (inTakeOver) connection->pauseReading();
                connection->setEventCallback(
                    [&got](const ConnectionPtr_t& c, ConnEvent event, const void* context) {
                        if (event != Conn_ReadEvent) return;
                        got += static_cast<const StackBuffer*>(context)->view();
                        c->pauseReading();
                    });
            });
        });
        const auto peer = connect();
        peer->feed(upgradeRequest("/pausing") + "first").settle();
        EXPECT_EQ(got, "first");
        peer->feed("second").settle();
        EXPECT_EQ(got, "first");
        peer->connection()->resumeReading();
        peer->settle();
        EXPECT_EQ(got, "firstsecond");
    }
}

TEST_F(HttpUpgradeTest, TheHttpConnectionIsGoneAfterTheHandOver) {
    const auto peer = connect();
    // What the handler and the hook of the request own goes with the request.
    auto token = std::make_shared<int>(0);
    peer->feed(upgradeRequest("/held")).settle();
    ASSERT_EQ(held.size(), 1U);
    held[0].onClientGone([token] { FAIL() << "it has not gone"; });
    held[0].onResponse([token](HttpResponse&) {});
    peer->settle();
    EXPECT_EQ(token.use_count(), 3);
    held[0].upgrade(HttpResponse(101), [this, token](const ConnectionPtr_t& connection) {
        ShoutProtocol::takeOver(alive)(connection);
    });
    EXPECT_GT(token.use_count(), 1);
    peer->settle();
    EXPECT_EQ(token.use_count(), 1);
    EXPECT_FALSE(held[0].isOpen());
    EXPECT_EQ(peer->connection().use_count(), 2);  // the peer's and the loop's
    peer->feedReset().settle();
    EXPECT_EQ(alive, 0);
}

TEST_F(HttpUpgradeTest, TheCallbackOfHttpIsDestroyedOnce) {
    // A callback that counts stands where HttpConnection's does.
    for (int i = 0; i < 100; ++i) {
        const auto peer = connect();
        peer->feed(upgradeRequest() + "x", i % 2 == 0 ? ScriptedPeer::kWhole : 3);
        EXPECT_EQ(split(peer->collect()).second, "X");
        EXPECT_EQ(alive, 1);
    }
    EXPECT_EQ(alive, 0);
}

TEST_F(HttpUpgradeTest, TheNewLayerMayCloseInsideTheHandOver) {
    enum class How { Close, ShutDown, SendAndShutDown };
    for (const How how : {How::Close, How::ShutDown, How::SendAndShutDown}) {
        for (const bool later : {false, true}) {
            const auto end = [how](const ConnectionPtr_t& connection) {
                connection->setEventCallback([](const ConnectionPtr_t&, ConnEvent event, const void*) {
                    EXPECT_NE(event, Conn_ReadEvent);
                });
                if (how == How::SendAndShutDown) connection->send("bye");
                how == How::Close ? connection->close() : connection->shutDown();
            };
            startOver();
            router().upgrade("/ending", "echo", [&](const HttpRequest&, HttpResponder responder) {
                if (later) return held.push_back(std::move(responder));
                responder.upgrade(HttpResponse(101), end);
            });
            const auto peer = connect();
            peer->feed(upgradeRequest("/ending") + "unread").settle();
            if (later) held[0].upgrade(HttpResponse(101), end);
            held.clear();
            const std::string bytes = peer->collect();
            EXPECT_TRUE(peer->isClosed());
            if (how == How::SendAndShutDown) {
                EXPECT_EQ(split(bytes).second, "bye");
            }
        }
    }
}

TEST_F(HttpUpgradeTest, TheNewLayerMayCloseInsideItsFirstRead) {
    router().upgrade("/once", "echo", [](const HttpRequest&, HttpResponder responder) {
        responder.upgrade(HttpResponse(101), [](const ConnectionPtr_t& connection) {
            connection->setEventCallback([](const ConnectionPtr_t& c, ConnEvent event, const void*) {
                if (event == Conn_ReadEvent) c->close();
            });
        });
    });
    const auto peer = connect();
    peer->feed(upgradeRequest("/once") + "x").settle();
    EXPECT_TRUE(peer->isClosed());
}

TEST_F(HttpUpgradeTest, AClientThatLeavesBeforeTheHandOverIsNotHandedOver) {
    const auto peer = connect();
    int gone = 0;
    peer->feed(upgradeRequest("/held")).settle();
    held[0].onClientGone([&gone] { ++gone; });
    peer->feedReset().settle();
    EXPECT_EQ(gone, 1);
    EXPECT_FALSE(held[0].upgrade(HttpResponse(101), [](const ConnectionPtr_t&) { FAIL(); }));
    // And between the answer and the hand-over, which takes a turn of the loop.
    const auto second = connect();
    second->feed(upgradeRequest("/held")).settle();
    EXPECT_TRUE(held[1].upgrade(HttpResponse(101), [](const ConnectionPtr_t&) { FAIL(); }));
    second->connection()->close();
    second->settle();
}

TEST_F(HttpUpgradeTest, HttpsDeadlinesEndWithHttp) {
    limits().handlerTimeout = std::chrono::seconds(10);
    limits().idleTimeout = std::chrono::seconds(10);
    limits().headerTimeout = std::chrono::seconds(10);
    limits().sendTimeout = std::chrono::seconds(10);
    const auto direct = connect();
    direct->feed(upgradeRequest()).settle();
    const auto later = connect();
    later->feed(upgradeRequest("/held")).settle();
    advance(std::chrono::seconds(9));
    held[0].upgrade(HttpResponse(101), ShoutProtocol::takeOver(alive));
    later->settle();
    later->transport().blockWrites();
    later->feed("x").settle();
    advance(std::chrono::seconds(100));
    EXPECT_EQ(alive, 2);
    later->transport().unblockWrites();
    EXPECT_EQ(split(later->collect()).second, "X");
    destroyService();  // the new layer needs nothing of it
    direct->feed("y");
    EXPECT_EQ(split(direct->collect()).second, "Y");
}

// Between the 101 and the hand-over the handler's time ran out, and a 503 followed the 101.
TEST_F(HttpUpgradeTest, AHandlerThatUpgradesAtItsDeadlineIsInTime) {
    limits().handlerTimeout = std::chrono::seconds(10);
    const auto peer = connect();
    peer->feed(upgradeRequest("/held") + "hello").settle();
    clock().advance(std::chrono::milliseconds(9'999));
    runRounds();
    held[0].upgrade(HttpResponse(101), ShoutProtocol::takeOver(alive));
    clock().advance(std::chrono::milliseconds(1));
    EXPECT_EQ(split(peer->collect()).second, "HELLO");
}

// --- Whom to upgrade ---

TEST_F(HttpUpgradeTest, OnlyOffersOfHttp11ThatNameTheTokenAreTaken) {
    struct Row {
        std::string request;
        int status;
    };
    const Row rows[] = {
        {getRequest("/echo", "Connection: upgrade\r\nUpgrade: ECHO\r\n"), 101},
        {getRequest("/echo", "Connection: keep-alive, Upgrade\r\nUpgrade: other, echo\r\n"), 101},
        {getRequest("/echo", "Connection: upgrade\r\nUpgrade: other\r\nUpgrade: echo\r\n"), 101},
        {getRequest("/echo", "Upgrade: echo\r\nConnection: foo\r\nConnection: upgrade\r\n"), 101},
        {getRequest("/echo"), 426},
        {getRequest("/echo", "Connection: upgrade\r\n"), 426},
        {getRequest("/echo", "Upgrade: echo\r\n"), 426},
        {getRequest("/echo", "Connection: upgrade\r\nUpgrade: other\r\n"), 426},
        {getRequest("/echo", "Connection: upgrade\r\nUpgrade: echoes\r\n"), 426},
        {getRequest("/echo", "Connection: upgrade\r\nUpgrade: echo/2\r\n"), 426},
        {getRequest("/echo", "Connection: upgraded\r\nUpgrade: echo\r\n"), 426},
        {"GET /echo HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n", 426},
        {headRequest("/echo", kOffer), 426},
    };
    for (const Row& row : rows) {
        for (const size_t fragment : {ScriptedPeer::kWhole, size_t{1}}) {
            const auto peer = connect();
            peer->feed(row.request, fragment);
            const Replies replies = parseReplies(peer->collect(), {0});
            ASSERT_EQ(replies.size(), 1U) << row.request << replies;
            EXPECT_EQ(replies[0].status, row.status) << row.request;
            EXPECT_EQ(replies[0].header("Upgrade"), "echo") << row.request;
            EXPECT_EQ(replies[0].count("Upgrade"), 1U) << row.request;
        }
    }
}

// A 426 named the token, and no Connection named Upgrade, so any proxy would have passed on what is for the next hop
// (RFC 9110 §7.8).
TEST_F(HttpUpgradeTest, AnswersWithUpgradeNameItInConnection) {
    router().get("/offer",
                 [](const HttpRequest&) { return HttpResponse::text("hi").header("upgrade", "echo"); });
    EXPECT_EQ(askOne(getRequest("/echo")).header("Connection"), "Upgrade");
    EXPECT_EQ(askOne(getRequest("/offer")).header("Connection"), "Upgrade");
    const Reply last = askOne(getRequest("/echo", "Connection: close\r\n"));
    EXPECT_EQ(last.count("Connection"), 2U) << last.head;
    EXPECT_NE(last.head.find("Connection: close\r\n"), std::string::npos) << last.head;
    EXPECT_NE(last.head.find("Connection: Upgrade\r\n"), std::string::npos) << last.head;
    EXPECT_FALSE(askOne(getRequest("/hi")).has("Connection"));
}

TEST_F(HttpUpgradeTest, OffersThatNobodyTakesAreOrdinaryRequests) {
    router().get("/echo", [](const HttpRequest&) { return HttpResponse::text("plain"); });
    const Replies replies =
        ask(getRequest("/echo", "Connection: upgrade\r\nUpgrade: other\r\n") + getRequest("/echo") +
            getRequest("/hi", kOffer) + getRequest("/none", kOffer));
    EXPECT_EQ(replies.statuses(), (std::vector<int>{200, 200, 200, 404}));
    EXPECT_EQ(replies[0].body, "plain");
    EXPECT_EQ(askOne("GET /echo HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n").body, "plain");
    const auto peer = connect();
    peer->feed(upgradeRequest() + "x");
    EXPECT_EQ(split(peer->collect()).second, "X");
}

TEST_F(HttpUpgradeTest, TheMostSpecificUpgradeWins) {
    const auto naming = [](std::string name) {
        return [name = std::move(name)](const HttpRequest&, HttpResponder responder) {
            responder.respond(HttpResponse::text(name));
        };
    };
    router().upgrade("/ws/:x", "echo", naming("param"));
    router().upgrade("/ws/a", "echo", naming("static"));
    router().upgrade("/ws/a", "other", naming("other"));
    EXPECT_EQ(askOne(upgradeRequest("/ws/a")).body, "static");
    EXPECT_EQ(askOne(upgradeRequest("/ws/b")).body, "param");
    EXPECT_EQ(askOne(getRequest("/ws/a", "Connection: upgrade\r\nUpgrade: other\r\n")).body, "other");
    EXPECT_EQ(askOne(getRequest("/ws/a")).header("Upgrade"), "echo, other");
}

TEST_F(HttpUpgradeTest, AnUpgradeMayBeRefused) {
    router().upgrade("/refused", "echo", [](const HttpRequest&, HttpResponder responder) {
        responder.respond(HttpResponse::error(403));
    });
    router().upgrade("/dropped", "echo", [](const HttpRequest&, HttpResponder) {});
    router().upgrade("/throws", "echo", [](const HttpRequest&, HttpResponder) { throw 7; });
    const Replies replies = ask(upgradeRequest("/refused") + upgradeRequest("/dropped") +
                                upgradeRequest("/throws") + getRequest("/hi"));
    EXPECT_EQ(replies.statuses(), (std::vector<int>{403, 500, 500, 200}));
}

TEST_F(HttpUpgradeTest, MiddlewareStandsBeforeUpgrades) {
    router().use([](const HttpRequest& request, HttpResponder responder, const HttpNext& next) {
        if (request.header("Authorization").empty()) return void(responder.respond(HttpResponse::error(401)));
        responder.onResponse([](HttpResponse& response) { response.header("X-Seen", "yes"); });
        next(std::move(responder));
    });
    EXPECT_EQ(askOne(upgradeRequest()).status, 401);
    EXPECT_EQ(alive, 0);
    const auto peer = connect();
    peer->feed(getRequest("/echo", std::string(kOffer) + "Authorization: x\r\n") + "hi");
    const auto [reply, rest] = split(peer->collect());
    EXPECT_EQ(reply.status, 101);
    EXPECT_EQ(reply.header("X-Seen"), "yes");
    EXPECT_EQ(rest, "HI");
}

TEST_F(HttpUpgradeTest, HeadersOfTheHandlerGoIntoThe101) {
    router().upgrade("/fields", "echo", [this](const HttpRequest&, HttpResponder responder) {
        HttpResponse head(101);
        head.header("X-A", "b")
            .header("Upgrade", "echo/9")
            .header("Connection", "close")
            .header("Content-Length", "5");
        head.header("Transfer-Encoding", "chunked").setBody("never");
        responder.upgrade(std::move(head), ShoutProtocol::takeOver(alive));
    });
    const auto peer = connect();
    peer->feed(upgradeRequest("/fields") + "x");
    const auto [reply, rest] = split(peer->collect());
    EXPECT_EQ(reply.status, 101);
    EXPECT_EQ(reply.header("X-A"), "b");
    EXPECT_EQ(reply.header("Upgrade"), "echo/9");
    EXPECT_EQ(reply.header("Connection"), "Upgrade");
    EXPECT_EQ(reply.count("Connection"), 1U);
    EXPECT_FALSE(reply.has("Content-Length"));
    EXPECT_FALSE(reply.has("Transfer-Encoding"));
    EXPECT_EQ(rest, "X");
}

// A 101 that nobody offered to take would leave the client speaking HTTP to another protocol.
TEST_F(HttpUpgradeTest, OrdinaryRoutesCannotUpgrade) {
    router().get("/plain", [](const HttpRequest&, HttpResponder responder) {
        responder.upgrade(HttpResponse(101), [](const ConnectionPtr_t&) { FAIL(); });
    });
    const Replies replies =
        ask(getRequest("/plain") + getRequest("/plain", kOffer) +
            "GET /plain HTTP/1.0\r\nConnection: upgrade, keep-alive\r\nUpgrade: echo\r\n\r\n");
    EXPECT_EQ(replies.statuses(), (std::vector<int>{500, 500, 500}));
    EXPECT_TRUE(log().contains("/plain"));
}

TEST_F(HttpUpgradeTest, AnUpgradeWithABodyWaitsForItsEnd) {
    const std::string request = getRequest("/echo", std::string(kOffer) + "Content-Length: 4\r\n");
    for (const size_t fragment : kFragments) {
        const auto peer = connect();
        peer->feed(request + "bodyhello", fragment);
        EXPECT_EQ(split(peer->collect()).second, "HELLO");
    }
}

TEST_F(HttpUpgradeTest, TheAccessLogHasThe101) {
    const auto peer = connect();
    peer->feed(upgradeRequest()).settle();
    ASSERT_EQ(accesses().size(), 1U);
    EXPECT_EQ(accesses()[0].status, 101);
    EXPECT_EQ(accesses()[0].target, "/echo");
    peer->feedEnd().settle();
    EXPECT_EQ(accesses().size(), 1U);
}

TEST_F(HttpUpgradeTest, AnyCallbackThatReplacesHttpsEndsItsRequests) {
    // Whoever owns the callback owns the connection, however it came to be.
    const auto peer = connect();
    int gone = 0;
    peer->feed(upgradeRequest("/held")).settle();
    held[0].onClientGone([&gone] { ++gone; });
    peer->settle();
    peer->connection()->setEventCallback([](const ConnectionPtr_t&, ConnEvent, const void*) {});
    peer->settle();
    EXPECT_EQ(gone, 1);
    EXPECT_FALSE(held[0].isOpen());
    EXPECT_FALSE(held[0].respond(HttpResponse::text("late")));
    EXPECT_EQ(peer->collect(), "");
}

// The 101 went out with the 403's Content-Type, and the new layer began.
TEST_F(HttpUpgradeTest, AHookThatRefusesIsHeard) {
    router().use([](const HttpRequest&, HttpResponder responder, HttpNext next) {
        responder.onResponse([](HttpResponse& response) {
            if (response.status() == 101) response = HttpResponse::error(403);
        });
        next(std::move(responder));
    });
    const auto peer = connect();
    peer->feed(upgradeRequest() + getRequest("/hi"));
    const Replies replies = parseReplies(peer->collect());
    EXPECT_EQ(replies.statuses(), (std::vector<int>{403, 200}));
    EXPECT_EQ(replies[0].header("Upgrade"), "");
    EXPECT_EQ(alive, 0);
}

// The process ended.
TEST_F(HttpUpgradeTest, WhatATakeOverThrowsClosesTheConnection) {
    for (const bool isMemory : {false, true}) {
        startOver();
        router().upgrade("/throws", "echo", [&](const HttpRequest&, HttpResponder responder) {
            responder.upgrade(HttpResponse(101), [&](const ConnectionPtr_t& connection) {
                ShoutProtocol::takeOver(alive)(connection);
                if (isMemory) throw std::bad_alloc();
                throw std::runtime_error("no room for another");
            });
        });
        const auto peer = connect();
        peer->feed(upgradeRequest("/throws") + "hello").settle();
        EXPECT_TRUE(peer->isClosed());
        EXPECT_TRUE(log().contains(isMemory ? "bad_alloc" : "no room for another"));
        EXPECT_EQ(alive, 0);
    }
}

// Its new layer would never learn of the end.
TEST_F(HttpUpgradeTest, AClientThatHasEndedItsDirectionIsNotUpgraded) {
    int gone = 0;
    const auto peer = connect();
    peer->feed(upgradeRequest("/held")).feedEnd().settle();
    held[0].onClientGone([&] { ++gone; });
    EXPECT_FALSE(held[0].upgrade(HttpResponse(101), ShoutProtocol::takeOver(alive)));
    EXPECT_EQ(peer->collect(), "");
    EXPECT_TRUE(peer->isClosed());
    EXPECT_EQ(gone, 1);
    EXPECT_EQ(alive, 0);
}

// HTTP knows what to do with a client that ends its direction; the new layer has to say so itself.
TEST_F(HttpUpgradeTest, TheEndOfTheClientClosesAnUpgradedConnection) {
    const auto peer = connect();
    peer->feed(upgradeRequest()).settle();
    EXPECT_EQ(alive, 1);
    peer->feedEnd().settle();
    EXPECT_TRUE(peer->isClosed());
    EXPECT_EQ(alive, 0);
}

}  // namespace
}  // namespace tnet
