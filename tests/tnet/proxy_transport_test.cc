// Connections behind a PROXY header, on real sockets: the header's bytes, and no others, are taken from them.
#include "tnet/proxy_transport.h"

#include <gtest/gtest.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "tests/support/hex.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/scripted_transport.h"
#include "tnet/connection.h"

namespace tnet {
namespace {

const std::string kText = "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n";
const std::string kBinary = fromHex("0d0a0d0a000d0a515549540a 21 11 0026 c0000201 c6336407 dc04 01bb") +
                            std::string(26, 't');  // with TLVs, which end in the middle of a fragment
const std::string kLocal = fromHex("0d0a0d0a000d0a515549540a 20 00 0000");
constexpr size_t kSizes[] = {1, 2, 3, 4, 5, 6, 7, 8, 16, 31, 1000};

class ProxyTransportTest : public LoopTest {
protected:
    ~ProxyTransportTest() override {
        if (connection) connection->close();
        runRounds();
    }

    void connect(const TransportFactory_t& transport = proxyProtocol()) {
        if (connection) connection->close();
        log = std::make_unique<EventLog>();
        SocketPair pair = makeTcpPair();
        client = BlockingClient(std::move(pair.peers));
        connection = std::make_shared<Connection>(loop(), std::move(pair.ours), transport(),
                                                  Connection::Origin::Accepted);
        connection->setPeer(PeerAddress(kProxy.data(), kProxy.size()));
        connection->setEventCallback(log->callback());
        connection->start();
    }

    // Fragment by fragment: each is read before the next is sent.
    void send(std::string_view bytes, size_t fragment) {
        while (!bytes.empty()) {
            const std::string_view next = bytes.substr(0, fragment);
            bytes.remove_prefix(next.size());
            ASSERT_TRUE(client.send(next));
            ASSERT_TRUE(runUntil(
                [this] { return !connection->isConnected() || log->has(Conn_ReadEvent) || isRead(); }));
            runRounds(2);
        }
    }
    bool isRead() const {
        int bytes = 1;
        return ::ioctl(connection->fd(), FIONREAD, &bytes) != 0 || bytes == 0;
    }

    const Address kProxy = *Address::parse("198.51.100.99:1");
    std::unique_ptr<EventLog> log{};
    BlockingClient client{};
    ConnectionPtr_t connection{};
};

TEST_F(ProxyTransportTest, TheHeaderIsStrippedHoweverItIsCut) {
    struct Row {
        std::string header;
        std::string peer;
    };
    const Row rows[] = {{kText, "192.0.2.1:56324"},
                        {kBinary, "192.0.2.1:56324"},
                        {kLocal, kProxy.toString()},
                        {"PROXY UNKNOWN\r\n", kProxy.toString()}};
    for (const Row& row : rows) {
        for (const size_t fragment : kSizes) {
            SCOPED_TRACE(row.header + " in pieces of " + std::to_string(fragment));
            connect();
            runRounds();
            EXPECT_TRUE(log->events.empty());
            send(row.header + "PROXY is not looked at behind it", fragment);
            ASSERT_TRUE(runUntil([this] { return log->bytes.size() == 32; }));
            EXPECT_EQ(log->bytes, "PROXY is not looked at behind it");
            EXPECT_EQ(log->events.front(), Conn_EstablishedEvent);
            EXPECT_EQ(connection->peer().toAddress().toString(), row.peer);
            connection->send("answer");
            EXPECT_TRUE(connection->flush());
            EXPECT_EQ(client.receive(6), "answer");
        }
    }
}

TEST_F(ProxyTransportTest, WithoutAValidHeaderTheConnectionFails) {
    for (const std::string& bytes : {std::string("GET / HTTP/1.1\r\n\r\n"), kText.substr(0, 20) + "\r\n",
                                     std::string("PROXY UNKNOWN ") + std::string(200, 'x')}) {
        for (const size_t fragment : kSizes) {
            SCOPED_TRACE(bytes + " in pieces of " + std::to_string(fragment));
            connect();
            size_t sent = 0;
            ASSERT_TRUE(runUntil([&] {
                if (sent < bytes.size() && connection->state() != ConnState::Disconnected) {
                    client.send(std::string_view(bytes).substr(sent, fragment));
                    sent += fragment;
                }
                return log->has(Conn_CloseEvent);
            }));
            EXPECT_EQ(log->error, std::errc::bad_message);
            EXPECT_FALSE(log->has(Conn_EstablishedEvent));
        }
    }
}

// The socket stays silent after half a header: it was left there, readable, and the loop span.
TEST_F(ProxyTransportTest, HalfAHeaderDoesNotMakeTheLoopSpin) {
    for (const std::string& header : {kText, kBinary}) {
        connect();
        ASSERT_TRUE(client.send(std::string_view(header).substr(0, 20)));
        ASSERT_TRUE(runUntil([this] { return isRead(); }));
        EXPECT_EQ(connection->state(), ConnState::Connecting);
    }
}

TEST_F(ProxyTransportTest, AnEndInsideTheHeaderFailsTheConnection) {
    connect();
    client.send(std::string_view(kText).substr(0, 20));
    client.shutDownWrite();
    ASSERT_TRUE(runUntil([this] { return log->has(Conn_CloseEvent); }));
    EXPECT_EQ(log->error, std::errc::connection_reset);
}

// As with TLS, which comes behind the header.
TEST_F(ProxyTransportTest, TheTransportBehindHasItsOwnHandshake) {
    const std::shared_ptr<ScriptedTransport> behind = ScriptedTransport::create();
    behind->onHandshake(ScriptedTransport::wantsRead());
    connect(proxyProtocol([&behind] { return behind->handOut(); }));
    ASSERT_TRUE(client.send(kText));
    ASSERT_TRUE(runUntil([&] { return behind->calls() == 1; }));
    EXPECT_EQ(connection->state(), ConnState::Connecting);
    EXPECT_EQ(connection->peer().toAddress(), kProxy) << "not before the handshake is complete";
    ASSERT_TRUE(client.send("h"));
    ASSERT_TRUE(runUntil([this] { return log->has(Conn_EstablishedEvent); }));
    EXPECT_EQ(connection->peer().toAddress().toString(), "192.0.2.1:56324");
}

}  // namespace
}  // namespace tnet
