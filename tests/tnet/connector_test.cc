#include "tnet/connector.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/loop_fixture.h"
#include "tests/support/scripted_transport.h"
#include "tnet/address.h"
#include "tnet/socket.h"
#include "tnet/stack_buffer.h"

namespace tnet {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Events = std::vector<ConnEvent>;

class ConnectorTest : public LoopTest {
protected:
    ConnectorTest() {
        auto listener = listenOn(Address::loopback(0));
        EXPECT_TRUE(listener.ok());
        m_listener = std::move(*listener);
    }

    Address address() const { return localAddress(m_listener.get()); }
    FileDescriptor accept() const {
        return FileDescriptor(::accept4(m_listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    }

    static Address unixAddress() {
        return *Address::parse("unix:@tnet-connector-" + std::to_string(::getpid()));
    }

    FileDescriptor m_listener;
};

TEST_F(ConnectorTest, SendsMadeBeforeTheConnectLeaveWithIt) {
    EventLog log;
    Connector connector(loop());
    const auto connection = connector.connect(address(), log.callback());
    EXPECT_EQ(connection->state(), ConnState::Connecting);
    EXPECT_EQ(connection->send("early").status, SendStatus::Accepted);
    ASSERT_TRUE(runUntil([&] { return log.has(Conn_WriteCompleteEvent); }));
    EXPECT_EQ(log.events, (Events{Conn_ConnectingEvent, Conn_ConnectEvent, Conn_WriteCompleteEvent}));
    BlockingClient server(accept());
    EXPECT_EQ(server.receive(5), "early");
    server.send("reply");
    ASSERT_TRUE(runUntil([&] { return log.bytes == "reply"; }));
}

TEST_F(ConnectorTest, TheConnectorMayGoBeforeItsConnections) {
    EventLog log;
    const auto connection = Connector(loop()).connect(address(), log.callback());
    ASSERT_TRUE(runUntil([&] { return log.has(Conn_ConnectEvent); }));
}

TEST_F(ConnectorTest, TheConnectionLivesWithoutAReferenceOfTheUser) {
    EventLog log;
    Connector connector(loop());
    connector.connect(address(), log.callback());
    ASSERT_TRUE(runUntil([&] { return log.has(Conn_ConnectEvent); }));
    BlockingClient(accept()).close();
    ASSERT_TRUE(runUntil([&] { return log.has(Conn_CloseEvent); }));
}

TEST_F(ConnectorTest, KnowsItsPeer) {
    EventLog log;
    Connector connector(loop());
    const auto connection = connector.connect(address(), log.callback());
    EXPECT_EQ(connection->peer().toAddress(), address());
}

TEST_F(ConnectorTest, ASocketThatCannotBeOpenedIsOneErrorAndOneClose) {
    EventLog log;
    Connector connector(loop());
    const auto connection = connector.connect(Address(), log.callback());
    EXPECT_EQ(connection->state(), ConnState::Connecting);
    EXPECT_TRUE(log.events.empty());
    runRounds();
    EXPECT_EQ(log.events, (Events{Conn_ErrorEvent, Conn_CloseEvent}));
    EXPECT_EQ(log.error, std::errc::address_family_not_supported);
}

TEST_F(ConnectorTest, AUnixPathThatDoesNotExistIsOneErrorAndOneClose) {
    EventLog log;
    Connector connector(loop());
    connector.connect(unixAddress(), log.callback());
    EXPECT_TRUE(log.events.empty());
    runRounds();
    EXPECT_EQ(log.events, (Events{Conn_ErrorEvent, Conn_CloseEvent}));
    EXPECT_EQ(log.error, std::errc::connection_refused);
}

TEST_F(ConnectorTest, AFullBacklogTimesOut) {
    ASSERT_EQ(::listen(m_listener.get(), 0), 0);
    // The kernel takes one or two more than the backlog, then answers no SYN.
    EventLog logs[4];
    Connector connector(loop(), {seconds(3)});
    std::vector<ConnectionPtr_t> connections;
    for (EventLog& log : logs) connections.push_back(connector.connect(address(), log.callback()));
    runRounds(50);
    ASSERT_EQ(connections.back()->state(), ConnState::Connecting) << "the backlog is not full";
    advance(milliseconds(2999));
    EXPECT_EQ(connections.back()->state(), ConnState::Connecting);
    advance(milliseconds(1));
    EXPECT_EQ(logs[3].events, (Events{Conn_ConnectingEvent, Conn_ErrorEvent, Conn_CloseEvent}));
    EXPECT_EQ(logs[3].error, std::errc::timed_out);
    EXPECT_TRUE(connections.front()->isConnected()) << "the others are left alone";
}

TEST_F(ConnectorTest, ZeroIsNoTimeout) {
    const auto transport = ScriptedTransport::create();
    transport->onHandshake(ScriptedTransport::wantsRead());
    EventLog log;
    Connector connector(loop(), {milliseconds(0), [&] { return transport->handOut(); }});
    const auto connection = connector.connect(address(), log.callback());
    ASSERT_TRUE(runUntil([&] { return transport->calls() > 0; }));
    advance(std::chrono::hours(100));
    EXPECT_EQ(connection->state(), ConnState::Connecting);
    connection->close();
    runRounds();
}

// In nanoseconds it overflowed, and the connect timed out before it began.
TEST_F(ConnectorTest, TheLongestTimeoutThereIsIsNoTimeoutInPractice) {
    const auto transport = ScriptedTransport::create();
    transport->onHandshake(ScriptedTransport::wantsRead());
    EventLog log;
    Connector connector(loop(), {milliseconds::max(), [&] { return transport->handOut(); }});
    const auto connection = connector.connect(address(), log.callback());
    ASSERT_TRUE(runUntil([&] { return transport->calls() > 0; }));
    advance(std::chrono::hours(1'000'000));
    EXPECT_EQ(connection->state(), ConnState::Connecting);
    connection->close();
    runRounds();
}

// A loop with many short-lived connections kept a timer of each for the whole timeout.
TEST_F(ConnectorTest, TheTimerGoesWhenTheOutcomeIsThere) {
    constexpr auto kTimeout = milliseconds(20);
    constexpr auto kWait = milliseconds(400);
    for (const bool succeeds : {true, false}) {
        SCOPED_TRACE(succeeds);
        EventLog log;
        Connector connector(loop(), {kTimeout});
        const auto connection = connector.connect(succeeds ? address() : unixAddress(), log.callback());
        ASSERT_TRUE(runUntil([&] { return log.has(succeeds ? Conn_ConnectEvent : Conn_CloseEvent); }));
        runRounds();
        // With a timer the loop would wait for that, of which the clock that stands still lets nothing pass.
        const auto begin = std::chrono::steady_clock::now();
        loop()->runOnce(kWait);
        EXPECT_GE(std::chrono::steady_clock::now() - begin, kWait);
    }
}

TEST_F(ConnectorTest, AHandshakeThatFailsIsOneErrorAndOneClose) {
    const auto transport = ScriptedTransport::create();
    transport->onHandshake(ScriptedTransport::fails(std::errc::protocol_error));
    EventLog log;
    Connector connector(loop(), {seconds(3), [&] { return transport->handOut(); }});
    connector.connect(address(), log.callback());
    ASSERT_TRUE(runUntil([&] { return log.has(Conn_CloseEvent); }));
    advance(seconds(60));
    EXPECT_EQ(log.events, (Events{Conn_ConnectingEvent, Conn_ErrorEvent, Conn_CloseEvent}));
    EXPECT_EQ(log.error, std::errc::protocol_error);
}

// Cancelled at every moment there is, by close and by shutDown.
TEST_F(ConnectorTest, CancelIsOneCloseWheneverItComes) {
    const auto cancel = [](Connection& connection, bool shutsDown) {
        shutsDown ? connection.shutDown() : connection.close();
    };
    for (const bool shutsDown : {false, true}) {
        for (const int rounds : {0, 1, 2, 3, 50}) {
            SCOPED_TRACE(rounds);
            const auto transport = ScriptedTransport::create();
            transport->onHandshake(ScriptedTransport::wantsRead());
            EventLog log;
            Connector connector(loop(), {seconds(3), [&] { return transport->handOut(); }});
            const auto connection = connector.connect(address(), log.callback());
            runRounds(rounds);
            cancel(*connection, shutsDown);
            runRounds();
            advance(seconds(60));
            EXPECT_EQ(log.events.back(), Conn_CloseEvent);
            EXPECT_EQ(log.count(Conn_CloseEvent), 1U);
            EXPECT_FALSE(log.has(Conn_ErrorEvent));
            EXPECT_FALSE(log.has(Conn_ConnectEvent));
        }
    }
}

TEST_F(ConnectorTest, CancelOfARefusedOneIsOneClose) {
    EventLog log;
    Connector connector(loop());
    const auto connection = connector.connect(unixAddress(), log.callback());
    connection->close();
    runRounds();
    EXPECT_EQ(log.events, Events{Conn_CloseEvent});
}

// A connect that had been asked for, and a loop that ended before its next round: the connection was
// dropped without a word, and whoever waited for its outcome waited for ever.
TEST_F(ConnectorTest, TheLoopsEndIsAnOutcome) {
    for (const bool isRefused : {false, true}) {
        for (const int rounds : {0, 1, 2}) {
            SCOPED_TRACE(rounds);
            auto real = IOLoop::create(clock());
            ASSERT_TRUE(real.ok());
            EventLog log;
            const auto connection =
                Connector(real->get()).connect(isRefused ? unixAddress() : address(), log.callback());
            for (int i = 0; i < rounds; ++i) (*real)->runOnce(Duration::zero());
            real->reset();
            ASSERT_FALSE(log.events.empty());
            EXPECT_EQ(log.events.back(), Conn_CloseEvent);
            EXPECT_EQ(log.count(Conn_CloseEvent), 1U);
            EXPECT_EQ(connection->state(), ConnState::Disconnected);
        }
    }
}

// A client that connects again as soon as it is closed, for ever, must not keep the loop from ending.
TEST_F(ConnectorTest, SomebodyWhoAlwaysReconnectsDoesNotKeepTheLoopFromEnding) {
    auto real = IOLoop::create(clock());
    ASSERT_TRUE(real.ok());
    Connector connector(real->get());
    int closes = 0;
    ConnEventCallback_t reconnect = [&](const ConnectionPtr_t&, ConnEvent event, const void*) {
        if (event != Conn_CloseEvent) return;
        ++closes;
        connector.connect(address(), reconnect);
    };
    connector.connect(address(), reconnect);
    (*real)->runOnce(Duration::zero());
    real->reset();
    EXPECT_GE(closes, 1);
}

TEST_F(ConnectorTest, ManyAtOnceEachHaveTheirOutcome) {
    constexpr size_t kMany = 100;
    std::vector<std::unique_ptr<EventLog>> logs;
    Connector connector(loop());
    for (size_t i = 0; i < kMany; ++i) {
        logs.push_back(std::make_unique<EventLog>());
        connector.connect(i % 2 == 0 ? address() : unixAddress(), logs.back()->callback());
    }
    ASSERT_TRUE(runUntil([&] {
        for (size_t i = 0; i < kMany; ++i) {
            if (!logs[i]->has(i % 2 == 0 ? Conn_ConnectEvent : Conn_CloseEvent)) return false;
        }
        return true;
    }));
    advance(seconds(60));
    for (size_t i = 0; i < kMany; ++i) {
        EXPECT_EQ(logs[i]->count(Conn_ConnectEvent), i % 2 == 0 ? 1U : 0U);
        EXPECT_EQ(logs[i]->count(Conn_ErrorEvent), i % 2 == 0 ? 0U : 1U);
    }
}

TEST_F(ConnectorTest, ConnectsOverIPv6) {
    const Address any = *Address::parse("[::1]:0");
    auto listener = listenOn(any);
    if (!listener) GTEST_SKIP() << "no IPv6 here: " << listener.error().message;
    EventLog log;
    Connector connector(loop());
    const auto connection = connector.connect(localAddress(listener->get()), log.callback());
    ASSERT_TRUE(runUntil([&] { return log.has(Conn_ConnectEvent); }));
    EXPECT_EQ(connection->peer().toAddress(), localAddress(listener->get()));
}

}  // namespace
}  // namespace tnet
