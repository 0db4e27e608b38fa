// All that is legal from any thread (send, close, publish, subscribe, answer, stream), done by threads that belong to no
// loop, to connections and requests that come, go, and outlive their servers, while servers start, serve, drain and stop.
// What it is for shows under ThreadSanitizer and AddressSanitizer.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "http/responder.h"
#include "http/server.h"
#include "tests/support/loop_fixture.h"
#include "tests/websocket/ws_fixture.h"
#include "tnet/address.h"
#include "websocket/server.h"

namespace tnet {
namespace {

using namespace std::chrono_literals;
using Random = std::minstd_rand;

// What handlers leave to the other threads: the last few of each.
template <class T>
class Pool {
public:
    // One that is there already may go for it; outside of the lock.
    void put(T item, size_t at) {
        const std::lock_guard lock(m_mutex);
        std::swap(m_items[at % m_items.size()], item);
    }
    T take(size_t at) {
        const std::lock_guard lock(m_mutex);
        return std::exchange(m_items[at % m_items.size()], T{});
    }
    T copy(size_t at) {
        const std::lock_guard lock(m_mutex);
        return m_items[at % m_items.size()];
    }

private:
    std::mutex m_mutex;
    std::array<T, 16> m_items{};
};

class CrossThreadTest : public ::testing::Test {
protected:
    struct Serving {
        HttpServer http{settings()};
        std::optional<WsServer> ws{};
    };

    ~CrossThreadTest() override { joinAll(); }

    static HttpServer::Settings settings() {
        HttpServer::Settings settings;
        settings.limits.drainTime = 50ms;
        settings.tcp.handshakeTime = 20ms;
        return settings;
    }

    std::unique_ptr<Serving> serve() {
        auto serving = std::make_unique<Serving>();
        HttpRouter& router = serving->http.router();
        router.get("/", [this](const HttpRequest&, HttpResponder responder) {
            responder.onClientGone([this] { ++gone; });
            responders.put(std::make_shared<HttpResponder>(std::move(responder)), ++asked);
        });
        serving->ws.emplace(router, WsServer::Settings{.topics = topics, .drainSpread = 10ms});
        serving->ws->route("/ws", route());
        const auto bound = serving->http.listen(Address::loopback(0));
        EXPECT_TRUE(bound);
        EXPECT_TRUE(serving->http.start(2));
        const std::lock_guard lock(mutex);
        address = *bound;
        return serving;
    }

    WsRoute route() {
        WsRoute route;
        route.maxMessagesPerSecond = 0;
        route.maxQueuedBytes = 20'000;
        route.closeTimeout = 100ms;
        route.onOpen = [this](const WsConnectionPtr_t& c) {
            c->subscribe("t/#");
            connections.put(c, ++opened);
        };
        route.onMessage = [](const WsConnectionPtr_t& c, std::string_view m, WsOpcode) {
            c->publish("t/all", m);
        };
        route.onClose = [this](const WsConnectionPtr_t&, WsCloseCode, std::string_view) { ++closed; };
        return route;
    }

    // --- What other threads do ---

    void useConnection(Random& random) {
        const WsConnectionPtr_t c = connections.copy(random());
        if (!c) return;
        const std::string filter = "t/" + std::to_string(random() % 5);
        switch (random() % 12) {
            case 0: c->subscribe(filter); break;
            case 1: c->unsubscribe(filter); break;
            case 2: c->publish(filter, "published"); break;
            case 3: c->ping("are you there?"); break;
            case 4: c->sendLatest("key", "latest"); break;
            case 5:
                if (random() % 8 == 0) c->close(WsCloseCode::GoingAway, "enough");
                break;
            case 6:
                if (random() % 32 == 0) c->abort();
                break;
            case 7: EXPECT_LE(c->queuedBytes(), 1U << 20U); break;
            default:
                if (c->send("from another thread") == WsSendStatus::Accepted) ++sent;
                break;
        }
    }

    void answerOne(Random& random) {
        const auto responder = responders.take(random());
        if (!responder) return;
        switch (random() % 8) {
            case 0: break;  // dropped: 500
            case 1:
            case 2: {
                auto writer = std::make_shared<HttpBodyWriter>(responder->stream(HttpResponse(200)));
                writer->onDrain([this] { ++drained; });
                writer->write("begin;");
                writers.put(std::move(writer), random());
                break;
            }
            default:
                if (responder->respond(HttpResponse::text("answer"))) ++answered;
                break;
        }
    }

    void writeOne(Random& random) {
        const auto writer = writers.take(random());
        if (!writer) return;
        writer->write(std::string(random() % 5000, 'w'));
        if (random() % 8 != 0) writer->finish();  // otherwise it breaks off
    }

    void work(unsigned seed) {
        Random random(seed);
        while (!ends) {
            useConnection(random);
            answerOne(random);
            writeOne(random);
            if (random() % 4 == 0) topics->publish("t/all", "to all");
            if (random() % 16 == 0) topics->stats();
            std::this_thread::yield();
        }
    }

    // --- Clients ---

    BlockingClient connect() {
        const std::lock_guard lock(mutex);
        return BlockingClient::connectTo(address);
    }

    void ask(unsigned seed) {
        Random random(seed);
        while (!ends) {
            BlockingClient client = connect();
            if (!client.valid()) continue;
            client.send(
                "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            if (random() % 4 == 0) {
                client.reset();
            } else if (client.receiveAll().starts_with("HTTP/1.1 200 OK\r\n")) {
                ++received;
            }
        }
    }

    void talk(unsigned seed) {
        Random random(seed);
        std::array<BlockingClient, 4> kept{};  // until the server or another thread ends them
        while (!ends) {
            BlockingClient client = connect();
            if (!client.valid()) continue;
            client.send(upgradeRequest("/ws") + clientFrame(WsOpcode::Text, "hello"));
            if (client.receive(12) != "HTTP/1.1 101") continue;
            switch (random() % 3) {
                case 0: client.reset(); break;
                case 1: client.send(clientClose(1000)); break;
                default: kept[random() % kept.size()] = std::move(client); break;
            }
        }
    }

    void startThreads() {
        for (unsigned i = 0; i < 3; ++i) threads.emplace_back([this, i] { work(i + 1); });
        for (unsigned i = 0; i < 2; ++i) threads.emplace_back([this, i] { ask(i + 1); });
        for (unsigned i = 0; i < 2; ++i) threads.emplace_back([this, i] { talk(i + 1); });
    }

    void joinAll() {
        ends = true;
        for (std::thread& thread : threads) thread.join();
        threads.clear();
    }

    // Something of each kind has happened since `before`.
    struct Progress {
        int sent, answered, received, closed;
    };
    Progress progress() const { return {sent, answered, received, closed}; }
    bool hasProgressed(const Progress& before, int by) const {
        return sent > before.sent + by && answered > before.answered + by &&
               received > before.received + by && closed > before.closed + by;
    }

    const WsTopicsPtr_t topics = std::make_shared<WsTopics>();
    Pool<WsConnectionPtr_t> connections{};
    Pool<std::shared_ptr<HttpResponder>> responders{};
    Pool<std::shared_ptr<HttpBodyWriter>> writers{};
    std::atomic<int> opened{0}, closed{0}, sent{0}, asked{0}, answered{0}, received{0}, gone{0}, drained{0};
    std::atomic<bool> ends{false};
    std::mutex mutex{};
    Address address{};  // with mutex
    std::vector<std::thread> threads{};
};

using EndServing = void (*)(HttpServer& server);

TEST_F(CrossThreadTest, ServersStartServeAndEndInEveryWayWhileOtherThreadsUseThem) {
    constexpr std::array<EndServing, 5> kEnds{
        [](HttpServer& server) { server.drain(10s); },
        [](HttpServer& server) { server.stop(); },
        [](HttpServer& server) { server.drain(1ms); },
        [](HttpServer&) {},  // by its destructor
        [](HttpServer& server) {
            server.beginDrain();
            std::this_thread::yield();
            server.stop();
        },
    };
    std::unique_ptr<Serving> serving = serve();
    startThreads();
    for (const int round : {1, 2, 3}) {
        for (const EndServing end : kEnds) {
            const Progress before = progress();
            ASSERT_TRUE(waitUntil([&] { return hasProgressed(before, 10); })) << "round " << round;
            end(serving->http);
            serving.reset();
            EXPECT_EQ(opened, closed) << "each onOpen has its onClose";
            EXPECT_EQ(topics->connections(), 0U);
            EXPECT_EQ(topics->stats().subscriptions, 0U);
            serving = serve();
        }
    }
    serving.reset();
    joinAll();
    EXPECT_GT(gone, 0) << "no client went before its answer";
}

// Two servers share the topics, and end at different times.
TEST_F(CrossThreadTest, PublicationsGoOnWhileOneOfTwoServersEnds) {
    std::unique_ptr<Serving> first = serve();
    std::unique_ptr<Serving> second = serve();
    startThreads();
    for (int i = 0; i < 6; ++i) {
        const Progress before = progress();
        ASSERT_TRUE(waitUntil([&] { return hasProgressed(before, 5); }));
        first = std::exchange(second, serve());
    }
    EXPECT_GT(topics->stats().delivered, 0U);
}

}  // namespace
}  // namespace tnet
