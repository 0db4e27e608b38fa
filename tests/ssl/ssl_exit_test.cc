// What is left open when a process ends: a static IOLoop with a TLS connection, and a closed TLS connection
// that a static holds. Both are destroyed after what belongs to the main thread, and after what atexit() was
// given. It was a use after free in the thread's buffers and in ~TlsKey; the finding is AddressSanitizer's,
// or a crash.
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "tests/support/test_pki.h"
#include "tnet/connector.h"
#include "tnet/io_loop.h"
#include "tnet/ssl/ssl_context.h"
#include "tnet/stack_buffer.h"
#include "tnet/tcp_server.h"

namespace tnet {
namespace {

// As long as the process: constructed before OpenSSL is initialized, destroyed after it would be cleaned up.
struct Statics {
    std::unique_ptr<IOLoop> loop;
    std::optional<TcpServer> server;
    ConnectionPtr_t accepted;
    ConnectionPtr_t connected;
    ConnectionPtr_t closed;
};
Statics s_compact;
Statics s_ordinary;

// Answers what it gets; keeps the connection.
void leaveOpen(Statics& statics, bool isCompact) {
    auto made = IOLoop::create();
    ASSERT_TRUE(made);
    statics.loop = std::move(*made);
    IOLoop& loop = *statics.loop;
    SslServerSettings settings;
    settings.certificates = {TestPki::shared().files("localhost")};
    settings.compactConnections = isCompact;
    const auto serving = SslContext::createServer(settings);
    ASSERT_TRUE(serving) << serving.error().message;
    const auto trust = SslContext::createClient({.caFile = TestPki::shared().caFile()});
    ASSERT_TRUE(trust) << trust.error().message;

    TcpServer& server = statics.server.emplace();
    server.setEventCallback(
        [&statics](const ConnectionPtr_t& connection, ConnEvent event, const void* context) {
            if (event == Conn_EstablishedEvent) statics.accepted = connection;
            if (event == Conn_ReadEvent) connection->send(static_cast<const StackBuffer*>(context)->view());
        });
    const auto bound = server.listen(Address::loopback(0), (*serving)->accepting());
    ASSERT_TRUE(bound);
    ASSERT_TRUE(server.attach(&loop));
    const auto connect = [&](ConnectionPtr_t& into) {
        std::string received;
        Connector connector(&loop, {.transport = (*trust)->connectingTo("localhost")});
        into = connector.connect(
            *bound, [&received](const ConnectionPtr_t& connection, ConnEvent event, const void* context) {
                if (event == Conn_ConnectEvent) connection->send("ping");
                if (event == Conn_ReadEvent) received += static_cast<const StackBuffer*>(context)->view();
            });
        for (int i = 0; i < 10'000 && received != "ping"; ++i) loop.runOnce(std::chrono::milliseconds(10));
        EXPECT_EQ(received, "ping");
        into->setEventCallback([](const ConnectionPtr_t&, ConnEvent, const void*) {});
    };
    connect(statics.connected);
    statics.closed = statics.accepted;
    statics.closed->close();
    for (int i = 0; i < 10; ++i) loop.runOnce(std::chrono::milliseconds(0));
    connect(statics.connected);
    EXPECT_EQ((*serving)->stats().compact, isCompact ? 2u : 0u);
}

TEST(SslExitTest, StaticsMayHaveCompactConnectionsAtTheEnd) { leaveOpen(s_compact, true); }

TEST(SslExitTest, StaticsMayHaveOrdinaryConnectionsAtTheEnd) { leaveOpen(s_ordinary, false); }

}  // namespace
}  // namespace tnet
