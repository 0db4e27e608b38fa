// Who may outlive whom, and what handlers may do: everything, at any time.
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/loop_fixture.h"
#include "tests/websocket/ws_life_fixture.h"
#include "tnet/connection.h"
#include "tnet/io_loop.h"
#include "tnet/transport.h"
#include "websocket/loop.h"
#include "websocket/topics.h"

namespace tnet {
namespace {

class WsLifetimeTest : public WsLifeTest {
protected:
    using Act = std::function<void(const WsConnectionPtr_t&)>;

    // A route whose `handler` acts, the first time only.
    WsRoute routeThat(const std::string& handler, Act act) {
        const auto once = [this, handler, act = std::move(act), done = false](
                              const char* which, const WsConnectionPtr_t& connection) mutable {
            if (done || handler != which) return;
            done = true;
            ++acted;
            act(connection);
        };
        const auto shared =
            std::make_shared<std::function<void(const char*, const WsConnectionPtr_t&)>>(once);
        WsRoute route;
        route.highWaterBytes = 10;
        route.closeTimeout = std::chrono::seconds(2);
        route.onOpen = [shared](const WsConnectionPtr_t& c) { (*shared)("onOpen", c); };
        route.onPong = [shared](const WsConnectionPtr_t& c, std::string_view) { (*shared)("onPong", c); };
        route.onDrain = [shared](const WsConnectionPtr_t& c) { (*shared)("onDrain", c); };
        route.onClose = [shared](const WsConnectionPtr_t& c, WsCloseCode, std::string_view) {
            (*shared)("onClose", c);
        };
        if (handler == "onPiece") {
            route.onPiece = [shared](const WsConnectionPtr_t& c, std::string_view, WsOpcode, bool) {
                (*shared)("onPiece", c);
            };
        } else {
            route.onMessage = [shared](const WsConnectionPtr_t& c, std::string_view, WsOpcode) {
                (*shared)("onMessage", c);
            };
        }
        return route;
    }

    // Everything happens that calls a handler; the end is a reset or an orderly one.
    void live(WsPeer& peer, bool resets) {
        peer.text("one").text("two").frame(WsOpcode::Pong, "").settle();
        if (!peer.isClosed()) {
            peer.block();
            if (!opened.empty()) opened.front()->send("more than the mark is high");
            if (!peer.isClosed()) peer.unblock();
        }
        peer.text("three").settle();
        if (resets) {
            peer.peer().feedReset();
        } else {
            peer.close(1000).settle();
            peer.peer().feedEnd();
        }
        peer.settle();
        for (int i = 0; i < 10; ++i) advance(std::chrono::seconds(1));
    }

    int acted = 0;
};

constexpr const char* kHandlers[] = {"onOpen", "onMessage", "onPiece", "onPong", "onDrain", "onClose"};

TEST_F(WsLifetimeTest, HandlersMayDoAnything) {
    struct Row {
        const char* name;
        Act act;
    };
    const Row rows[] = {
        {"close", [](const WsConnectionPtr_t& c) { c->close(); }},
        {"close without a code", [](const WsConnectionPtr_t& c) { c->close(WsCloseCode::NoStatus); }},
        {"abort", [](const WsConnectionPtr_t& c) { c->abort(); }},
        {"close and abort",
         [](const WsConnectionPtr_t& c) {
             c->close();
             c->abort();
             c->send("x");
         }},
        {"send", [](const WsConnectionPtr_t& c) { c->send(std::string(1000, 'x')); }},
        {"ping", [](const WsConnectionPtr_t& c) { c->ping(std::string(200, 'x')); }},
        {"send in pieces",
         [](const WsConnectionPtr_t& c) {
             if (!c->beginMessage()) return;
             c->sendPiece("x", false);
             c->close();
             c->sendPiece("y", true);
         }},
        {"publish to itself",
         [](const WsConnectionPtr_t& c) {
             c->subscribe("a/b");
             c->subscribe("a/#");
             c->publish("a/b", "x");
             c->unsubscribe("a/#");
         }},
        {"publish and close",
         [](const WsConnectionPtr_t& c) {
             c->subscribe("a");
             c->publish("a", "x");
             c->close();
         }},
        {"drop the last pointer", [this](const WsConnectionPtr_t&) { opened.clear(); }},
        {"drop it and abort",
         [this](const WsConnectionPtr_t& c) {
             opened.clear();
             c->abort();
         }},
        {"pause", [](const WsConnectionPtr_t& c) { c->pauseReading(); }},
        {"pause and close",
         [](const WsConnectionPtr_t& c) {
             c->pauseReading();
             c->close();
         }},
        {"pause and resume",
         [](const WsConnectionPtr_t& c) {
             c->pauseReading();
             c->resumeReading();
         }},
        {"stop the loop", [this](const WsConnectionPtr_t&) { loop()->stop(); }},
        {"throw", [](const WsConnectionPtr_t&) { throw std::runtime_error("thrown"); }},
        {"close and throw",
         [](const WsConnectionPtr_t& c) {
             c->close();
             throw 1;
         }},
        {"abort and throw",
         [](const WsConnectionPtr_t& c) {
             c->abort();
             throw 1;
         }},
    };
    for (const Row& row : rows) {
        for (const char* const handler : kHandlers) {
            for (const bool resets : {false, true}) {
                destroyServer();
                opened.clear();
                closes.clear();
                acted = 0;
                serve(routeThat(handler, row.act));
                const auto peer = begin();
                live(*peer, resets);
                if (!peer->isClosed()) peer->peer().connection()->close();  // paused for ever
                peer->settle();
                EXPECT_EQ(acted, 1) << row.name << " in " << handler;
                EXPECT_EQ(closes.size(), 1U) << row.name << " in " << handler;
                EXPECT_EQ(ws().connections(), 0U) << row.name << " in " << handler;
                EXPECT_EQ(ws().topics()->stats().subscriptions, 0U) << row.name << " in " << handler;
                for (const WsConnectionPtr_t& connection : opened) {
                    EXPECT_EQ(connection.use_count(), 1) << row.name << " in " << handler;
                    EXPECT_EQ(connection->send("x"), WsSendStatus::Closed);
                }
            }
        }
    }
}

TEST_F(WsLifetimeTest, AHandlerThatThrowsCostsItsConnectionAlone) {
    for (const char* const handler : {"onOpen", "onMessage", "onPiece", "onPong", "onDrain"}) {
        destroyServer();
        opened.clear();
        closes.clear();
        const std::string text = std::string("thrown in ") + handler;
        serve(routeThat(handler, [text](const WsConnectionPtr_t&) { throw std::runtime_error(text); }));
        const auto peer = open();
        const auto other = open();
        live(*peer, false);
        EXPECT_TRUE(peer->shown().find("close(1011)") != std::string::npos) << handler;
        const std::string log = this->log().text();
        const size_t at = log.find(text);
        ASSERT_NE(at, std::string::npos) << handler;
        EXPECT_EQ(log.find(text, at + 1), std::string::npos) << handler;
        ASSERT_EQ(closes.size(), 1U) << handler;
        EXPECT_EQ(closes[0].code, WsCloseCode::InternalError) << handler;
        EXPECT_TRUE(opened.back()->isOpen()) << handler;
    }
}

void expectInert(WsConnection& connection) {
    EXPECT_FALSE(connection.isOpen());
    EXPECT_EQ(connection.send("x"), WsSendStatus::Closed);
    EXPECT_EQ(connection.sendLatest("k", "x"), WsSendStatus::Closed);
    EXPECT_EQ(connection.ping(), WsSendStatus::Closed);
    EXPECT_FALSE(connection.beginMessage());
    EXPECT_EQ(connection.sendPiece("x", true), WsSendStatus::Closed);
    EXPECT_FALSE(connection.subscribe("a"));
    EXPECT_EQ(connection.publish("a", "x"), WsPublishStatus::Closed);
    connection.unsubscribe("a");
    connection.close();
    connection.abort();
    connection.pauseReading();
    connection.resumeReading();
    EXPECT_EQ(connection.queuedBytes(), 0U);
    EXPECT_EQ(connection.route().maxFragments, WsRoute().maxFragments);
    EXPECT_EQ(connection.request().path(), "/");
}

TEST_F(WsLifetimeTest, AHandleThatOutlivesEverythingIsInert) {
    serve(WsRoute{});
    auto peer = open();
    const WsConnectionPtr_t kept = opened.back();
    kept->subscribe("a");
    opened.clear();
    peer->peer().feedReset().settle();
    expectInert(*kept);
    std::thread([&] { expectInert(*kept); }).join();
    peer.reset();
    destroyServer();
    expectInert(*kept);
    std::thread([&] { expectInert(*kept); }).join();
    destroyLoop();
    expectInert(*kept);
    std::thread([&] { expectInert(*kept); }).join();
}

// What other threads had sent lay in the loop's inbox and held the connection, which held the inbox: neither was
// ever destroyed.
TEST_F(WsLifetimeTest, WhatOtherThreadsSentLastDoesNotKeepTheConnection) {
    serve(WsRoute{});
    SocketPair sockets = makeSocketPair();
    const auto connection = std::make_shared<Connection>(loop(), std::move(sockets.ours), plainTransport(),
                                                         Connection::Origin::Accepted);
    service().onConnection(connection);
    connection->start();
    BlockingClient client(std::move(sockets.peers));
    client.send(openingRequest());
    ASSERT_TRUE(runUntil([this] { return opened.size() == 1; }));
    const WeakWsConnectionPtr_t weak = opened.back();
    std::thread([kept = std::exchange(opened, {})] {
        kept[0]->send("late");
        kept[0]->subscribe("late");
        kept[0]->close();
    }).join();
    destroyServer();
    destroyLoop();
    EXPECT_EQ(closes.size(), 1U);
    EXPECT_TRUE(weak.expired());
}

// Topics that outlived their servers kept what each loop had shared, compressors included.
TEST_F(WsLifetimeTest, TopicsForgetLoopsThatAreGone) {
    const auto topics = std::make_shared<WsTopics>();
    std::weak_ptr<WsLoop> former;
    for (int i = 0; i < 3; ++i) {
        const auto loop = IOLoop::create();
        ASSERT_TRUE(loop);
        const auto home = topics->loopFor(**loop);
        EXPECT_EQ(topics->loopFor(**loop), home);
        EXPECT_TRUE(former.expired()) << i;
        former = home;
    }
}

TEST_F(WsLifetimeTest, TheServerMayGoBeforeItsConnections) {
    WsRoute route;
    route.onMessage = [](const WsConnectionPtr_t& c, std::string_view m, WsOpcode) {
        c->subscribe("a");
        EXPECT_EQ(c->publish("a", "nobody's"), WsPublishStatus::Closed);
        c->send(m);
    };
    serve(std::move(route));
    const auto peer = open();
    destroyServer();
    peer->text("hi");
    EXPECT_EQ(peer->shown(), "text(hi)");
    peer->close(1000);
    EXPECT_EQ(peer->shown(), "close(1000)");
}

TEST_F(WsLifetimeTest, DataGoesWithTheConnectionWhateverItsDestructorDoes) {
    struct Rude {
        Rude(WsConnection& its, WsTopicsPtr_t topics, int& gone) : c(its), t(std::move(topics)), g(gone) {}
        ~Rude() {
            c.send("x");
            c.close();
            c.abort();
            c.publish("a", "x");
            t->publish("a", "x");
            ++g;
        }
        WsConnection& c;
        WsTopicsPtr_t t;
        int& g;
    };
    int gone = 0;
    WsRoute route;
    route.onOpen = [&](const WsConnectionPtr_t& c) {
        c->subscribe("a");
        c->setData<Rude>(*c, ws().topics(), gone);
    };
    serve(std::move(route));
    for (const bool elsewhere : {false, true}) {
        const auto peer = open();
        EXPECT_NE(last().data<Rude>(), nullptr);
        EXPECT_EQ(last().data<int>(), nullptr);
        peer->close(1000).settle();
        EXPECT_TRUE(peer->isClosed());
        EXPECT_EQ(gone, elsewhere ? 1 : 0);
        if (elsewhere) {
            std::thread([this] { opened.clear(); }).join();
        } else {
            opened.clear();
        }
        EXPECT_EQ(gone, elsewhere ? 2 : 1);
    }
}

TEST_F(WsLifetimeTest, WhatAConnectionTakes) {
    // docs/websocket-guide.md says what a connection takes: this is its part that grows with every member.
    EXPECT_LE(sizeof(WsConnection), 256U);
}

}  // namespace
}  // namespace tnet
