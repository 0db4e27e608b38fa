// Topics across loops, and what other threads may do to connections that come and go.
#include "websocket/topics.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "http/server.h"
#include "tests/websocket/ws_life_fixture.h"
#include "websocket/publication.h"

namespace tnet {
namespace {

using std::chrono::seconds;

// A server with threads; connections are kept by name, which is what they were opened with: "/name".
class WsThreadsTest : public ::testing::Test {
protected:
    void start(size_t threads, WsRoute route = {}) {
        route.maxMessagesPerSecond = 0;
        route.onOpen = [this, then = std::move(route.onOpen)](const WsConnectionPtr_t& c) {
            if (then) then(c);
            const std::lock_guard lock(mutex);
            connections[std::string(c->request().path().substr(1))] = c;
        };
        route.onClose = [this](const WsConnectionPtr_t&, WsCloseCode, std::string_view) { ++closed; };
        ASSERT_TRUE(ws.route("/:name", std::move(route)));
        const auto bound = server.listen(Address::loopback(0));
        ASSERT_TRUE(bound);
        address = *bound;
        ASSERT_TRUE(server.start(threads));
    }

    WsConnectionPtr_t connection(const std::string& name) {
        WsConnectionPtr_t found;
        waitUntil([&] {
            const std::lock_guard lock(mutex);
            return (found = connections[name]) != nullptr;
        });
        return found;
    }

    HttpServer server{};
    WsServer ws{server.router()};
    Address address{};
    std::mutex mutex{};
    std::map<std::string, WsConnectionPtr_t> connections{};
    std::atomic<size_t> closed{0};
};

// --- On one loop ---

class WsTopicsTest : public WsLifeTest {};

TEST_F(WsTopicsTest, OneCopyHoweverManyFiltersMatch) {
    serve(WsRoute{});
    const auto peer = open();
    for (const char* const filter : {"a/b", "a/+", "a/#", "#", "+/b"}) EXPECT_TRUE(last().subscribe(filter));
    EXPECT_TRUE(last().subscribe("a/b"));
    EXPECT_FALSE(last().subscribe("a/#/b"));
    EXPECT_EQ(ws().topics()->publish("a/b", "once"), WsPublishStatus::Accepted);
    EXPECT_EQ(ws().topics()->publish("c", "by # alone"), WsPublishStatus::Accepted);
    EXPECT_EQ(ws().topics()->publish("a/+", "no topic"), WsPublishStatus::Invalid);
    EXPECT_EQ(ws().topics()->publish("", "no topic"), WsPublishStatus::Invalid);
    EXPECT_EQ(peer->shown(), "text(once) text(by # alone)");
    EXPECT_EQ(ws().topics()->stats().published, 2U);
    EXPECT_EQ(ws().topics()->stats().delivered, 2U);
}

// A publication that was on its way to the last subscriber of a loop reached one who came in the same moment, and the
// next, published while there was nobody, did not: he saw a gap.
TEST_F(WsTopicsTest, WhoGetsAPublicationGetsThoseBehindIt) {
    WsRoute route;
    route.onOpen = [](const WsConnectionPtr_t& connection) { connection->subscribe("t"); };
    route.onClose = [this](const WsConnectionPtr_t&, WsCloseCode, std::string_view) {
        EXPECT_EQ(ws().connections(), 0U);
        ws().topics()->publish("t", "second");
    };
    serve(std::move(route));
    const auto first = open();
    const auto next = connect();
    next->settle();
    // All in one round of the loop: what is published is delivered at its end.
    ws().topics()->publish("t", "first");
    first->peer().feedReset();
    next->feed(openingRequest("/", ""));
    std::string bytes = next->collect();
    ws().topics()->publish("t", "third");
    bytes += next->collect();
    bytes.erase(0, bytes.find("\r\n\r\n") + 4);
    EXPECT_EQ(show(takeFrames(bytes)), "text(first) text(second) text(third)");
}

TEST_F(WsTopicsTest, CountsAreRightWhenConnectionsDie) {
    WsRoute route;
    size_t whenClosed = 99;
    route.onClose = [&, this](const WsConnectionPtr_t&, WsCloseCode, std::string_view) {
        whenClosed = ws().topics()->subscribers("a/b");
    };
    serve(std::move(route));
    const auto first = open();
    last().subscribe("a/b");
    last().subscribe("a/#");
    const auto second = open();
    last().subscribe("a/b");
    EXPECT_EQ(ws().topics()->subscribers("a/b"), 2U);
    EXPECT_EQ(ws().topics()->stats().subscriptions, 3U);
    EXPECT_EQ(ws().connections(), 2U);
    first->peer().feedReset().settle();
    EXPECT_EQ(whenClosed, 1U);
    EXPECT_EQ(ws().topics()->subscribers("a/b"), 1U);
    EXPECT_EQ(ws().topics()->subscribers("a/#"), 0U);
    EXPECT_EQ(ws().topics()->stats().subscriptions, 1U);
    EXPECT_EQ(ws().connections(), 1U);
    last().unsubscribe("a/b");
    last().unsubscribe("a/b");
    EXPECT_EQ(ws().topics()->stats().subscriptions, 0U);
}

TEST_F(WsTopicsTest, ACompressedFrameIsSharedByAllWithTheSameWindow) {
    const WsPublication publication("t", std::string(10'000, 'x'), WsOpcode::Text);
    const SharedBytesPtr_t frame = publication.compressedFrame(15);
    EXPECT_EQ(frame, publication.compressedFrame(15));
    EXPECT_NE(frame, publication.compressedFrame(9));
    EXPECT_LT(frame->size(), publication.frame()->size());
    EXPECT_EQ(frame.use_count(), 2);
    const WsPublication small("t", "x", WsOpcode::Text);
    EXPECT_EQ(small.compressedFrame(15), small.frame());
}

TEST_F(WsTopicsTest, ABatchOfOtherThreadsWakesTheLoopOnce) {
    serve(WsRoute{});
    const auto peer = open();
    last().subscribe("t");
    const auto connection = opened.back();
    std::thread([&] {
        for (int i = 0; i < 50; ++i) {
            connection->send("s");
            ws().topics()->publish("t", "p");
        }
    }).join();
    // The loop is woken for the first task of its queue alone; all of it is one.
    std::vector<Callback_t> tasks;
    loop()->tasks()->takeAll(tasks);
    ASSERT_EQ(tasks.size(), 1U);
    tasks[0]();
    EXPECT_EQ(peer->frames().size(), 100U);
}

// --- The inbox's limits ---

WsServer::Settings smallInbox(size_t items, size_t bytes) {
    return {.topics =
                std::make_shared<WsTopics>(WsTopics::Settings{.inboxItems = items, .inboxBytes = bytes})};
}

TEST_F(WsTopicsTest, APublicationThatDoesNotFitIsRefused) {
    struct Row {
        size_t items;
        size_t bytes;
        size_t payloadBytes;
        size_t most;
    };
    const Row rows[] = {
        {10, 1 << 20, 0, 10}, {1000, 10'000, 0, 28}, {1000, 10'000, 2000, 4}, {10, 100, 5000, 1}};
    for (const Row& row : rows) {
        destroyServer();
        serve(WsRoute{}, smallInbox(row.items, row.bytes));
        const auto peer = open();
        last().subscribe("t");
        for (int round = 0; round < 2; ++round) {  // there is room again when they are delivered
            size_t accepted = 0;
            while (last().publish("t", std::string(row.payloadBytes, 'p')) == WsPublishStatus::Accepted)
                ASSERT_LE(++accepted, row.most);
            EXPECT_GE(accepted, row.most / 2);
            EXPECT_EQ(ws().topics()->publish("t", ""), WsPublishStatus::Full);
            EXPECT_EQ(peer->frames().size(), accepted);
        }
        EXPECT_EQ(ws().topics()->stats().refused, 4U);
    }
}

TEST_F(WsTopicsTest, WhatOtherThreadsAskOfConnectionsCountsToo) {
    WsRoute route;
    route.overflow = WsOverflow::DropNewest;
    serve(std::move(route), smallInbox(10, 1 << 20));
    const auto peer = open();
    const auto connection = opened.back();
    connection->subscribe("old");
    std::thread([&] {
        for (int i = 0; i < 4; ++i) EXPECT_EQ(connection->send(""), WsSendStatus::Accepted);
        for (int i = 0; i < 3; ++i) EXPECT_EQ(connection->ping(), WsSendStatus::Accepted);
        for (int i = 0; i < 3; ++i) EXPECT_TRUE(connection->subscribe("new"));
        EXPECT_EQ(connection->send(""), WsSendStatus::Dropped);
        EXPECT_EQ(connection->ping(), WsSendStatus::Dropped);
        EXPECT_FALSE(connection->subscribe("another"));
        EXPECT_EQ(connection->publish("new", "p"), WsPublishStatus::Full);
        // What ends something is never lost, and asked for once.
        connection->unsubscribe("old");
        EXPECT_TRUE(connection->isOpen());
        for (int i = 0; i < 100; ++i) connection->close(WsCloseCode::GoingAway, "enough");
        EXPECT_FALSE(connection->isOpen());
        EXPECT_EQ(connection->send("late"), WsSendStatus::Closed);
        EXPECT_LT(connection->queuedBytes(), 12 * 300U);
    }).join();
    EXPECT_EQ(peer->shown(), "text() text() text() text() ping() ping() ping() close(1001 enough)");
    EXPECT_EQ(ws().topics()->stats().subscriptions, 1U);
    peer->close(1001).settle();
    EXPECT_TRUE(peer->isClosed());
}

// An inbox that is full holds as much as it may, of the items that cost most beside what they say.
TEST_F(WsTopicsTest, AnInboxTakesTheMemoryThatItCounts) {
    if (mallinfo2().uordblks == 0) GTEST_SKIP() << "this heap does not count";
    constexpr size_t kBytes = 2 << 20;
    using Fill = std::function<bool(WsConnection&)>;
    const auto isTaken = [](WsSendStatus status) {
        return status == WsSendStatus::Accepted || status == WsSendStatus::Queued;
    };
    const auto publish = [](size_t topic, size_t payload) {
        return [=](WsConnection& c) {
            return c.publish(std::string(topic, 't'), std::string(payload, 'p')) == WsPublishStatus::Accepted;
        };
    };
    const Fill fills[] = {
        publish(1, 0),
        publish(100, 20),
        publish(1, 1000),
        [=](WsConnection& c) { return isTaken(c.send("")); },
        [=](WsConnection& c) { return isTaken(c.sendLatest(std::string(20, 'k'), std::string(100, 'm'))); },
        [=](WsConnection& c) { return isTaken(c.ping()); },
        [=](WsConnection& c) { return c.subscribe(std::string(40, 'f')); },
    };
    for (const Fill& fill : fills) {
        SCOPED_TRACE(&fill - fills);
        destroyServer();
        WsRoute route;
        route.overflow = WsOverflow::DropNewest;
        route.maxQueuedBytes = SIZE_MAX / 2;
        serve(std::move(route), smallInbox(SIZE_MAX, kBytes));
        const auto peer = open();
        const auto connection = opened.back();
        size_t taken = 0;
        std::thread([&] {
            const size_t before = mallinfo2().uordblks;  // of all arenas
            while (fill(*connection)) continue;
            taken = mallinfo2().uordblks - before;
        }).join();
        EXPECT_LE(taken, kBytes);
        EXPECT_GE(taken + kBytes / 10, kBytes);
        runRounds(100);
    }
}

// An empty message counted nothing, and a thread could post them without end while the loop was busy.
TEST_F(WsTopicsTest, EmptyMessagesOfOtherThreadsAreBoundedForEachConnection) {
    for (const WsOverflow overflow : {WsOverflow::DropNewest, WsOverflow::Close}) {
        destroyServer();
        WsRoute route;
        route.overflow = overflow;
        route.maxQueuedBytes = 10'000;
        serve(std::move(route));
        const auto peer = open();
        const auto connection = opened.back();
        size_t accepted = 0;
        std::thread([&] {
            for (int i = 0; i < 10'000; ++i) {
                const WsSendStatus status = connection->send("");
                accepted += status == WsSendStatus::Accepted || status == WsSendStatus::Queued ? 1 : 0;
            }
        }).join();
        EXPECT_GE(accepted, 30U);
        EXPECT_LE(accepted, 100U);
        const bool isClosed = overflow == WsOverflow::Close;
        EXPECT_EQ(connection->isOpen(), !isClosed);
        EXPECT_EQ(peer->frames().size(), accepted + (isClosed ? 1 : 0));
    }
}

// --- Across loops ---

// Two loops and one that stands still: what its inbox has no room for reaches nobody, so all see the same.
TEST_F(WsThreadsTest, APublicationReachesAllLoopsOrNone) {
    std::atomic<bool> isHeld{false};
    std::atomic<bool> isReleased{false};
    WsRoute route;
    route.maxQueuedBytes = 64 << 20;
    route.onMessage = [&](const WsConnectionPtr_t&, std::string_view, WsOpcode) {
        isHeld = true;
        waitUntil([&] { return isReleased.load(); });
    };
    start(2, std::move(route));
    std::vector<std::unique_ptr<WsClient>> clients;
    for (int i = 0; i < 16; ++i) {
        const std::string name = std::to_string(i);
        clients.push_back(std::make_unique<WsClient>(address, "/" + name));
        ASSERT_TRUE(connection(name)->subscribe("t"));
    }
    ASSERT_TRUE(waitUntil([&] { return ws.topics()->subscribers("t") == 16; }));
    ASSERT_TRUE(clients[0]->send("hold"));
    ASSERT_TRUE(waitUntil([&] { return isHeld.load(); }));
    uint64_t accepted = 0;
    uint64_t refused = 0;
    const size_t most = ws.topics()->settings().inboxItems;
    while (refused < 1000) {
        const WsPublishStatus status = ws.topics()->publish("t", std::to_string(accepted));
        ++(status == WsPublishStatus::Accepted ? accepted : refused);
        ASSERT_LE(accepted, most);
    }
    isReleased = true;
    EXPECT_EQ(accepted, most);
    EXPECT_EQ(ws.topics()->stats().refused, refused);
    for (uint64_t i = 0; i < accepted; ++i) {
        for (const auto& client : clients) ASSERT_EQ(client->receive().payload, std::to_string(i));
    }
    EXPECT_EQ(ws.topics()->stats().delivered, accepted * 16);
}

TEST_F(WsThreadsTest, PublicationsReachTheSubscribersOfAllLoopsInOrder) {
    start(3);
    constexpr int kClients = 9;
    constexpr int kMessages = 200;
    std::vector<std::unique_ptr<WsClient>> clients;
    for (int i = 0; i < kClients; ++i) {
        clients.push_back(std::make_unique<WsClient>(address, "/" + std::to_string(i)));
        ASSERT_TRUE(clients.back()->isOpen());
        ASSERT_TRUE(connection(std::to_string(i))->subscribe(i % 2 == 0 ? "t/+" : "t/#"));
    }
    const auto publish = [&](const std::string& name) {
        for (int i = 0; i < kMessages; ++i) ws.topics()->publish("t/x", name + std::to_string(i));
    };
    std::thread one(publish, "a");
    std::thread other(publish, "b");
    for (const auto& client : clients) {
        std::map<char, int> next;
        for (int i = 0; i < 2 * kMessages; ++i) {
            const std::string text = client->receive().payload;
            ASSERT_FALSE(text.empty());
            EXPECT_EQ(std::stoi(text.substr(1)), next[text[0]]++);
        }
    }
    one.join();
    other.join();
    EXPECT_EQ(ws.topics()->stats().delivered, uint64_t{2} * kMessages * kClients);
}

TEST_F(WsThreadsTest, WhatOneThreadSendsArrivesInItsOrder) {
    start(2);
    WsClient client(address, "/c");
    const auto c = connection("c");
    const auto send = [&](const std::string& name) {
        for (int i = 0; i < 500; ++i) c->send(name + std::to_string(i));
    };
    std::thread one(send, "a");
    std::thread other(send, "b");
    std::map<char, int> next;
    for (int i = 0; i < 1000; ++i) {
        const std::string text = client.receive().payload;
        ASSERT_FALSE(text.empty());
        EXPECT_EQ(std::stoi(text.substr(1)), next[text[0]]++);
    }
    one.join();
    other.join();
}

TEST_F(WsThreadsTest, WhoSubscribesAndThenPublishesReceivesIt) {
    start(2);
    WsClient client(address, "/c");
    const auto c = connection("c");
    for (int i = 0; i < 200; ++i) {
        const std::string topic = "t/" + std::to_string(i);
        ASSERT_TRUE(c->subscribe(topic));
        ASSERT_EQ(c->publish(topic, topic), WsPublishStatus::Accepted);
        ASSERT_EQ(client.receive().payload, topic);
        c->unsubscribe(topic);
    }
}

// Everything at once, while connections come and go, and then the server drains or stops.
TEST_F(WsThreadsTest, ManyThreadsOnConnectionsThatComeAndGo) {
    WsRoute route;
    route.maxQueuedBytes = 20'000;
    route.closeTimeout = std::chrono::milliseconds(200);
    route.onMessage = [](const WsConnectionPtr_t& c, std::string_view m, WsOpcode) {
        c->publish("t/all", m);
    };
    start(3, std::move(route));
    std::atomic<bool> ends{false};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; !ends; ++i) {
                WsClient client(address, "/" + std::to_string(t));
                if (!client.isOpen()) break;
                client.send("hello");
                if (i % 3 == 0) client.socket().send(clientClose(1000));
                if (i % 3 == 1) client.socket().reset();
            }
        });
    }
    for (int t = 0; t < 3; ++t) {
        threads.emplace_back([&, t] {
            for (int i = t; !ends; ++i) {
                WsConnectionPtr_t c;
                {
                    const std::lock_guard lock(mutex);
                    c = connections[std::to_string(i % 3)];
                }
                if (!c) continue;
                c->subscribe("t/" + std::to_string(i % 7));
                c->subscribe("t/#");
                c->send("from another thread");
                c->publish("t/" + std::to_string(i % 7), "published");
                c->unsubscribe("t/" + std::to_string(i % 7));
                ws.topics()->subscribers("t/#");
                ws.topics()->stats();
                if (i % 11 == 0) c->close(WsCloseCode::GoingAway, "enough");
                if (i % 97 == 0) c->abort();
                if (i % 50 == 0) std::this_thread::yield();
            }
        });
    }
    EXPECT_TRUE(waitUntil([&] { return closed > 60; }));
    server.beginDrain();
    std::this_thread::yield();
    server.drain(std::chrono::milliseconds(300));
    ends = true;
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(ws.connections(), 0U);
    EXPECT_EQ(ws.topics()->stats().subscriptions, 0U);
}

// --- Draining ---

TEST_F(WsThreadsTest, ADrainClosesAllWith1001AndIsDoneWhenTheyHaveGone) {
    start(2);
    std::vector<std::unique_ptr<WsClient>> clients;
    for (int i = 0; i < 6; ++i) {
        clients.push_back(std::make_unique<WsClient>(address, "/" + std::to_string(i)));
        connection(std::to_string(i));
    }
    std::thread answering([&] {
        for (const auto& client : clients) {
            EXPECT_EQ(show({client->receive()}), "close(1001 the server is shutting down)");
            client->socket().send(clientClose(1001));
            EXPECT_EQ(client->receive().opcode, WsOpcode::Continuation);  // the server ends TCP
        }
    });
    EXPECT_EQ(server.drain(kTestDeadline), 0U);
    answering.join();
    EXPECT_EQ(closed, 6U);
}

}  // namespace
}  // namespace tnet
