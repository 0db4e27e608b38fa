// Memory that runs out at any one allocation costs the connection that needed it, and nothing else.
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <system_error>
#include <utility>

#include "http/response_head.h"
#include "tests/faults/fault_server.h"
#include "tests/faults/injector.h"
#include "tests/faults/talk.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/manual_clock.h"
#include "tests/support/test_pki.h"
#include "tnet/byte_buffer.h"
#include "tnet/connector.h"
#include "tnet/io_handler.h"
#include "tnet/io_loop.h"
#include "tnet/log.h"
#include "tnet/ssl/ssl_context.h"

namespace tnet {
namespace {

class FaultMemoryTest : public ::testing::Test {
protected:
    FaultMemoryTest() { logger().set_level(spdlog::level::off); }
    ~FaultMemoryTest() override { logger().set_level(spdlog::level::info); }

    // Talks again and again, until no allocation is left that has not failed once: each of the first, and then, as
    // they repeat themselves, some of the others.
    static void failEach(FaultServer& server, const TalkRules& rules,
                         const std::function<TalkResult(const TalkRules&, uint32_t)>& talk) {
        std::minstd_rand random(1);
        TalkRules strict = rules;
        strict.mayBreak = strict.mayRefuse = strict.mayMiss = false;
        uint64_t failed = 0;
        uint64_t made = 0;
        {
            const FaultInjection counting({.memoryAt = UINT64_MAX});
            ASSERT_EQ(talk(strict, 0).problem, "");
            made = FaultInjection::allocations();
        }
        for (uint64_t at = 1; at <= made; at += at < 150 ? 1 : 1 + random() % (at / 4)) {
            {
                const FaultInjection faults({.memoryAt = at});
                const TalkResult result = talk(rules, static_cast<uint32_t>(at));
                ASSERT_EQ(result.problem, "") << "allocation " << at;
                failed += FaultInjection::count(Fault::Memory);
            }
            const TalkResult result = talk(strict, 0);
            ASSERT_EQ(result.problem, "") << "after allocation " << at;
        }
        EXPECT_GT(failed, 20U);
        EXPECT_TRUE(waitUntil([&] { return server.server().connections() == 0; }));
        EXPECT_EQ(server.topics().connections(), 0U);
    }

    static TalkRules rulesFor(const FaultServer& server, SSL_CTX* tls = nullptr) {
        return {server.address(), tls, true, true, true};
    }
};

TEST_F(FaultMemoryTest, EachAllocationOfHttp) {
    FaultServer server;
    server.start();
    failEach(server, rulesFor(server), [](const TalkRules& rules, uint32_t connection) {
        std::minstd_rand random(5);
        return talkHttp(rules, connection, random, 5);
    });
}

TEST_F(FaultMemoryTest, EachAllocationOfWebSocket) {
    for (const char* const route : {"/ws", "/ws/dedicated"}) {
        SCOPED_TRACE(route);
        FaultServer server;
        server.start();
        uint64_t news = 0;
        failEach(server, rulesFor(server), [&](const TalkRules& rules, uint32_t connection) {
            std::minstd_rand random(5);
            const std::string text = "news " + std::to_string(news++) + " " + std::string(300, 'n');
            server.topics().publish("news", text, WsOpcode::Text);
            return talkWs(rules, route, connection, random, 2);
        });
    }
}

TEST_F(FaultMemoryTest, EachAllocationOfTls) {
    SslServerSettings settings;
    settings.certificates = {TestPki::shared().files("localhost")};
    const auto context = SslContext::createServer(settings);
    ASSERT_TRUE(context.ok());
    const SslCtxPtr_t client(SSL_CTX_new(TLS_client_method()));
    FaultServer server((*context)->accepting());
    server.start();
    failEach(server, rulesFor(server, client.get()), [](const TalkRules& rules, uint32_t connection) {
        std::minstd_rand random(5);
        return talkHttp(rules, connection, random, 1);
    });
}

TEST_F(FaultMemoryTest, EachAllocationOfAClient) {
    const auto listener = listenOn(Address::loopback(0));
    ASSERT_TRUE(listener.ok());
    const Address address = localAddress(listener->get());
    auto loop = IOLoop::create();
    ASSERT_TRUE(loop.ok());
    uint64_t made = 20;
    for (uint64_t at = 1; at <= made && at < 200; ++at) {
        EventLog log;
        ConnectionPtr_t connection;
        {
            ConnEventCallback_t callback = [&log](const ConnectionPtr_t& c, ConnEvent event,
                                                  const void* context) {
                const FaultPause pause;
                log.record(event, context);
                if (event == Conn_ConnectEvent) c->shutDown();
            };
            const FaultInjection faults({.memoryAt = at});
            sufferFaults(0);
            try {
                connection = Connector(loop->get()).connect(address, std::move(callback));
                connection->send("hello");
            } catch (const std::bad_alloc&) {
                // Said to the caller: nothing has begun.
            }
            for (int i = 0; connection && i < 1000 && !log.has(Conn_CloseEvent); ++i)
                (*loop)->runOnce(std::chrono::milliseconds(1));
            sufferNoFaults();
            made = std::max(made, FaultInjection::allocations() + 1);
        }
        if (!connection) continue;
        EXPECT_EQ(log.count(Conn_CloseEvent), 1U) << "allocation " << at;
        EXPECT_EQ(log.events.back(), Conn_CloseEvent);
        EXPECT_LE(log.count(Conn_ErrorEvent), 1U);
        FileDescriptor(::accept4(listener->get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    }
}

// It noted its new capacity before it had it. Buffers go from one connection to the next, which then wrote behind the
// end of what there was.
TEST_F(FaultMemoryTest, ABufferThatCannotGrowStaysWhatItIs) {
    ByteBuffer buffer;
    buffer.append("hello");
    const size_t before = buffer.capacity();
    {
        const FaultInjection faults({.chance = {{Fault::Memory, 1.0}}});
        sufferFaults(0);
        EXPECT_THROW(buffer.reserve(100'000), std::bad_alloc);
        sufferNoFaults();
    }
    EXPECT_EQ(buffer.capacity(), before);
    EXPECT_EQ(buffer.view(), "hello");
    buffer.append(std::string(2 * before, 'x'));
    EXPECT_EQ(buffer.size(), 5 + 2 * before);
}

// It was valid before it was there: for the rest of that second answers had no Date, and an assertion failed.
TEST_F(FaultMemoryTest, ADateThatCannotBeWrittenIsWrittenNextTime) {
    const ManualClock clock;
    HttpDate date(clock);
    {
        const FaultInjection faults({.chance = {{Fault::Memory, 1.0}}});
        sufferFaults(0);
        EXPECT_THROW(date.line(clock.now()), std::bad_alloc);
        sufferNoFaults();
    }
    EXPECT_EQ(date.line(clock.now()), "Date: Sun, 13 Sep 2020 12:26:40 GMT\r\n");
}

// A transport's factory that threw ended the process, with all its connections.
TEST_F(FaultMemoryTest, WhatAFactoryThrowsCostsItsConnectionAlone) {
    std::atomic<int> calls{0};
    FaultServer server([&calls]() -> TransportPtr_t {
        switch (calls++) {
            case 1: throw std::bad_alloc();
            case 2: throw std::runtime_error("no key today");
            default: return plainTransport();
        }
    });
    server.start();
    const auto ask = [&] {
        BlockingClient client = BlockingClient::connectTo(server.address());
        client.send("GET /loop HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        return client.receiveAll().substr(0, 12);
    };
    EXPECT_EQ(ask(), "HTTP/1.1 200");
    EXPECT_EQ(ask(), "");
    EXPECT_EQ(ask(), "");
    EXPECT_EQ(ask(), "HTTP/1.1 200");
    EXPECT_TRUE(waitUntil([&] { return server.server().connections() == 0; }));
}

// The other side of the promise: where going on would lose an event, the process ends and says why.
TEST_F(FaultMemoryTest, TheLoopsOwnListsEndTheProcess) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    class Handler final : public IOHandler {
        void handleEvents(uint32_t) override {}
    };
    EXPECT_DEATH(
        {
            const auto loop = IOLoop::create();
            const auto handler = std::make_shared<Handler>();
            const FaultInjection faults({.seed = 1, .chance = {{Fault::Memory, 1.0}}});
            sufferFaults(0);
            for (int i = 0; i < 100'000; ++i) (*loop)->defer(handler);
        },
        "out of memory: the loop's list of deferred handlers cannot grow; the process ends");
}

}  // namespace
}  // namespace tnet
