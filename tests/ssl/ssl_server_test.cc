// TLS between a TcpServer with two loops and this library's own clients, over real sockets.
#include <gtest/gtest.h>
#include <openssl/x509_vfy.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/loop_fixture.h"
#include "tests/support/test_pki.h"
#include "tnet/connector.h"
#include "tnet/socket.h"
#include "tnet/ssl/ssl_context.h"
#include "tnet/ssl/ssl_error.h"
#include "tnet/stack_buffer.h"
#include "tnet/tcp_server.h"

namespace tnet {
namespace {

using std::chrono::milliseconds;
using Events = std::vector<ConnEvent>;

const TestPki& pki() { return TestPki::shared(); }

SslContextPtr_t serverContext(SslServerSettings settings) {
    const auto context = SslContext::createServer(std::move(settings));
    EXPECT_TRUE(context.ok()) << (context.ok() ? "" : context.error().message);
    return context.ok() ? *context : nullptr;
}

SslContextPtr_t serverContext(const std::string& certificate = "localhost") {
    SslServerSettings settings;
    settings.certificates = {pki().files(certificate)};
    return serverContext(std::move(settings));
}

SslContextPtr_t clientContext(const std::string& certificate = {}) {
    SslClientSettings settings;
    settings.caFile = pki().caFile();
    if (!certificate.empty()) settings.certificate = pki().files(certificate);
    const auto context = SslContext::createClient(settings);
    EXPECT_TRUE(context.ok()) << (context.ok() ? "" : context.error().message);
    return context.ok() ? *context : nullptr;
}

// Echoes; to "who" it answers who the client proved to be.
void serve(const ConnectionPtr_t& connection, ConnEvent event, const void* context) {
    if (event != Conn_ReadEvent) return;
    const std::string_view bytes = static_cast<const StackBuffer*>(context)->view();
    if (bytes != "who") return void(connection->send(bytes));
    const SecurityInfoPtr_t security = connection->transport()->security();
    connection->send(security->peer ? security->peer->commonName : "nobody");
}

class SslServerTest : public LoopTest {
protected:
    void startServer(SslContextPtr_t context, TcpServer::Settings settings = {}) {
        m_context = std::move(context);
        m_server = std::make_unique<TcpServer>(settings);
        m_server->setEventCallback(serve);
        const auto bound = m_server->listen(Address::loopback(0), m_context->accepting());
        ASSERT_TRUE(bound.ok());
        m_address = *bound;
        ASSERT_TRUE(m_server->start(2).ok());
    }

    struct Client {
        EventLog log;
        ConnectionPtr_t connection;
    };

    std::unique_ptr<Client> connect(const SslContextPtr_t& context, const std::string& host = "localhost") {
        auto client = std::make_unique<Client>();
        Connector connector(loop(), {.transport = context->connectingTo(host)});
        client->connection = connector.connect(m_address, client->log.callback());
        return client;
    }

    // Its answer; the error's text if there is none.
    std::string ask(Client& client, const std::string& text) {
        client.log.bytes.clear();
        client.connection->send(text);
        EXPECT_TRUE(runUntil([&] { return !client.log.bytes.empty() || client.log.has(Conn_CloseEvent); }));
        return client.log.bytes.empty() ? client.log.error.message() : client.log.bytes;
    }

    SslContextPtr_t m_context;
    std::unique_ptr<TcpServer> m_server;
    Address m_address;
};

TEST_F(SslServerTest, EventsComeAfterTheHandshakeAndBothSidesKnowWhatWasAgreedOn) {
    startServer(serverContext());
    const auto client = connect(clientContext());
    EXPECT_EQ(ask(*client, "hello"), "hello");
    EXPECT_EQ(client->log.events,
              (Events{Conn_ConnectingEvent, Conn_ConnectEvent, Conn_WriteCompleteEvent, Conn_ReadEvent}));
    const SecurityInfoPtr_t security = client->connection->transport()->security();
    ASSERT_NE(security, nullptr);
    EXPECT_EQ(security->version, "TLSv1.3");
    EXPECT_EQ(security->serverName, "localhost");
    ASSERT_NE(security->peer, nullptr);
    EXPECT_EQ(security->peer->dnsNames, std::vector<std::string>{"localhost"});
    client->connection->shutDown();
    EXPECT_TRUE(runUntil([&] { return client->log.has(Conn_CloseEvent); }));
    EXPECT_FALSE(client->log.has(Conn_ErrorEvent)) << client->log.error.message();
    EXPECT_TRUE(waitUntil([&] { return m_server->connections() == 0; }));
    EXPECT_EQ(m_context->stats().truncated, 0u);
}

TEST_F(SslServerTest, LargeAmountsGoBothWays) {
    startServer(serverContext());
    const auto client = connect(clientContext());
    const std::string sent(3 << 20, 'x');
    client->connection->send(sent);
    EXPECT_TRUE(runUntil(
        [&] { return client->log.bytes.size() == sent.size() || client->log.has(Conn_CloseEvent); }));
    EXPECT_EQ(client->log.bytes.size(), sent.size());
}

struct Refusal {
    const char* certificate;
    const char* host;
    int reason;
};

class SslRefusalTest : public SslServerTest, public testing::WithParamInterface<Refusal> {};

TEST_P(SslRefusalTest, OurClientRefusesTheServer) {
    startServer(serverContext(GetParam().certificate));
    const auto client = connect(clientContext(), GetParam().host);
    client->connection->send("a secret");
    ASSERT_TRUE(runUntil([&] { return client->log.has(Conn_CloseEvent); }));
    EXPECT_EQ(client->log.events, (Events{Conn_ConnectingEvent, Conn_ErrorEvent, Conn_CloseEvent}));
    EXPECT_EQ(client->log.error, std::error_code(GetParam().reason, certificateCategory()));
    EXPECT_TRUE(waitUntil([&] { return m_server->connections() == 0; }));
    EXPECT_EQ(m_context->stats().handshakes, 0u);
}

INSTANTIATE_TEST_SUITE_P(
    Certificates, SslRefusalTest,
    testing::Values(Refusal{"localhost", "other.test", X509_V_ERR_HOSTNAME_MISMATCH},
                    Refusal{"localhost", "127.0.0.2", X509_V_ERR_IP_ADDRESS_MISMATCH},
                    Refusal{"example", "localhost", X509_V_ERR_HOSTNAME_MISMATCH},
                    Refusal{"other", ".test", X509_V_ERR_HOSTNAME_MISMATCH},
                    Refusal{"expired", "localhost", X509_V_ERR_CERT_HAS_EXPIRED},
                    Refusal{"not-yet-valid", "localhost", X509_V_ERR_CERT_NOT_YET_VALID},
                    Refusal{"self-signed", "localhost", X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT},
                    Refusal{"other-ca", "localhost", X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY}),
    [](const auto& each) { return "Case" + std::to_string(each.index); });

TEST_F(SslServerTest, ClientsProveWhoTheyAre) {
    SslServerSettings settings;
    settings.certificates = {pki().files("localhost")};
    settings.clientCertificate = ClientCertificate::Require;
    settings.clientCaFile = pki().caFile();
    startServer(serverContext(std::move(settings)));
    const auto alice = connect(clientContext("client"));
    EXPECT_EQ(ask(*alice, "who"), "alice");
    const auto stranger = connect(clientContext());
    EXPECT_EQ(ask(*stranger, "who"), "tlsv13 alert certificate required");
    const auto impostor = connect(clientContext("client-other-ca"));
    EXPECT_EQ(ask(*impostor, "who"), "tlsv1 alert unknown ca");
}

TEST_F(SslServerTest, SessionsGoOnWhicheverLoopTakesTheConnection) {
    startServer(serverContext());
    const SslContextPtr_t context = clientContext();
    constexpr uint64_t kConnections = 12;
    for (uint64_t i = 0; i < kConnections; ++i) {
        const auto client = connect(context);
        EXPECT_EQ(ask(*client, "hello"), "hello");
        EXPECT_EQ(client->connection->transport()->security()->isResumed, i > 0);
        client->connection->shutDown();
        ASSERT_TRUE(runUntil([&] { return client->log.has(Conn_CloseEvent); }));
    }
    EXPECT_EQ(m_context->stats().resumed, kConnections - 1);
}

// --- Hostile peers ---

TEST_F(SslServerTest, AHandshakeHasADeadlineAndDisturbsNobody) {
    TcpServer::Settings settings;
    settings.checker.interval = milliseconds(20);
    settings.checker.connectTimeout = milliseconds(300);
    startServer(serverContext(), settings);
    const auto good = connect(clientContext());
    EXPECT_EQ(ask(*good, "before"), "before");

    std::vector<BlockingClient> stalled;
    for (const std::string_view begun :
         {std::string_view(), std::string_view("\x16"), std::string_view("\x16\x03\x01\x01\x00\x01", 6)}) {
        stalled.push_back(BlockingClient::connectTo(m_address));
        if (!begun.empty()) {
            stalled.back().send(begun);
        }
    }
    for (BlockingClient& each : stalled) EXPECT_TRUE(each.isAtEnd());
    EXPECT_EQ(ask(*good, "still here"), "still here");
    EXPECT_TRUE(waitUntil([&] { return m_context->stats().abandoned == 3; }));
    EXPECT_EQ(m_context->stats().failed, 0u);
}

TEST_F(SslServerTest, PlainHttpIsAnsweredWithAPlain400) {
    startServer(serverContext());
    BlockingClient client = BlockingClient::connectTo(m_address);
    client.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    const std::string answer = client.receiveAll();
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 400 Bad Request\r\n")) << answer;
    EXPECT_NE(answer.find("HTTPS"), std::string::npos);
    client.close();
    EXPECT_TRUE(
        waitUntil([&] { return m_context->stats().plainRequests == 1 && m_server->connections() == 0; }));
}

TEST_F(SslServerTest, GarbageEndsTheConnectionAndIsCounted) {
    startServer(serverContext());
    const auto good = connect(clientContext());
    EXPECT_EQ(ask(*good, "before"), "before");
    for (int i = 0; i < 5; ++i) {
        BlockingClient client = BlockingClient::connectTo(m_address);
        client.send(std::string(4096, static_cast<char>(0x10 + i)));
        client.receiveAll();
    }
    EXPECT_TRUE(waitUntil([&] { return m_context->stats().failed == 5 && m_server->connections() == 1; }));
    EXPECT_EQ(ask(*good, "still here"), "still here");
}

TEST_F(SslServerTest, ThePeerThatStopsInsideARecordIsEndedByTheIdleTimeout) {
    TcpServer::Settings settings;
    settings.checker.interval = milliseconds(20);
    settings.checker.idleTimeout = milliseconds(200);
    startServer(serverContext(), settings);
    const auto client = connect(clientContext());
    EXPECT_EQ(ask(*client, "hello"), "hello");
    // Behind the client's TLS: the beginning of a record that never ends.
    ASSERT_EQ(::send(client->connection->fd(), "\x17\x03\x03\x01\x00xyz", 8, MSG_NOSIGNAL), 8);
    EXPECT_TRUE(runUntil([&] { return client->log.has(Conn_CloseEvent); }));
    EXPECT_TRUE(waitUntil([&] { return m_server->connections() == 0; }));
}

TEST_F(SslServerTest, AConnectorsTimeoutCoversTheHandshake) {
    auto listener = listenOn(Address::loopback(0));  // never speaks
    ASSERT_TRUE(listener.ok());
    EventLog log;
    Connector connector(
        loop(), {.timeout = milliseconds(500), .transport = clientContext()->connectingTo("localhost")});
    const auto connection = connector.connect(localAddress(listener->get()), log.callback());
    runRounds();
    EXPECT_FALSE(log.has(Conn_CloseEvent));
    advance(milliseconds(501));
    EXPECT_EQ(log.events, (Events{Conn_ConnectingEvent, Conn_ErrorEvent, Conn_CloseEvent}));
    EXPECT_EQ(log.error, std::errc::timed_out);
}

// --- Reloading and stopping ---

TEST_F(SslServerTest, AReloadDropsNoConnection) {
    SslServerSettings settings;
    settings.certificates = {pki().issue("reloaded", {.altNames = {"DNS:localhost"}})};
    startServer(serverContext(settings));
    const auto before = connect(clientContext());
    EXPECT_EQ(ask(*before, "hello"), "hello");
    pki().issue("reloaded", {.altNames = {"DNS:localhost"}});
    ASSERT_TRUE(m_context->reload().ok());
    const auto behind = connect(clientContext());
    EXPECT_EQ(ask(*behind, "hello"), "hello");
    EXPECT_EQ(ask(*before, "still here"), "still here");
    EXPECT_NE(behind->connection->transport()->security()->peer->serialNumber,
              before->connection->transport()->security()->peer->serialNumber);
}

// Connecting, reloading and stopping from several threads; for ThreadSanitizer.
TEST_F(SslServerTest, ItStopsAndReloadsWhileHandshakesAreUnderWay) {
    startServer(serverContext());
    std::atomic<bool> isOver{false};
    std::atomic<int> answered{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
        threads.emplace_back([&] {
            const auto own = IOLoop::create();
            const SslContextPtr_t context = clientContext();
            while (!isOver.load()) {
                EventLog log;
                Connector connector(own->get(), {.transport = context->connectingTo("localhost")});
                const auto connection = connector.connect(m_address, log.callback());
                connection->send("hello");
                runLoopUntil(own->get(), [&] {
                    return log.bytes == "hello" || log.has(Conn_CloseEvent) || isOver.load();
                });
                if (log.bytes == "hello") ++answered;
                connection->close();
                (*own)->runOnce(Duration::zero());
            }
        });
    }
    threads.emplace_back([&] {
        while (!isOver.load()) {
            EXPECT_TRUE(m_context->reload().ok());
        }
    });
    EXPECT_TRUE(waitUntil([&] { return answered.load() > 20; }));
    m_server->stop();
    isOver.store(true);
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(m_server->connections(), 0u);
}

}  // namespace
}  // namespace tnet
