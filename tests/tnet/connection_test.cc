#include "tnet/connection.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/loop_fixture.h"
#include "tests/support/scripted_peer.h"
#include "tests/support/scripted_transport.h"
#include "tnet/stack_buffer.h"

namespace tnet {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr size_t kFragments[] = {1, 2, 3, 4, 5, 6, 7, 8, 16, 31};

// A scripted peer whose connection's events are logged.
struct Watched {
    explicit Watched(IOLoop* loop, Connection::Origin origin = Connection::Origin::Accepted)
        : peer(loop, origin) {
        peer.connection()->setEventCallback(log.callback());
    }

    // Not Connected before finishHandshake.
    void startHandshake() {
        transport().onHandshake(ScriptedTransport::wantsRead());
        connection().start();
    }
    void finishHandshake() { ScriptedPeer::isSecure() ? peer.shakeHands() : transport().becomeReadable(); }

    Connection& connection() { return *peer.connection(); }
    ScriptedTransport& transport() { return peer.transport(); }

    EventLog log{};  // outlives the peer, whose connection writes to it
    ScriptedPeer peer;
};

using Events = std::vector<ConnEvent>;

SharedBytesPtr_t share(std::string bytes) { return std::make_shared<const std::string>(std::move(bytes)); }

SharedFilePtr_t makeFile(std::string_view content) {
    FileDescriptor file(::memfd_create("connection_test", MFD_CLOEXEC));
    EXPECT_EQ(::write(file.get(), content.data(), content.size()), static_cast<ssize_t>(content.size()));
    return std::make_shared<const FileDescriptor>(std::move(file));
}

std::string pattern(size_t size) {
    std::string bytes(size, '\0');
    for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>('a' + i % 23);
    return bytes;
}

class ConnectionTest : public LoopTest {};

// What a transport may answer, and TLS does not or not when it is told to.
class ConnectionSeamTest : public LoopTest {
protected:
    void SetUp() override {
        if (ScriptedPeer::isSecure()) GTEST_SKIP() << "the answers of TLS are its own";
    }
};

// --- Reading ---

TEST_F(ConnectionTest, EstablishedComesFirstAndCloseLast) {
    Watched w(loop());
    EXPECT_EQ(w.connection().state(), ConnState::Connecting);
    w.peer.start();
    EXPECT_EQ(w.log.events, Events{Conn_EstablishedEvent});
    EXPECT_TRUE(w.connection().isConnected());
    w.peer.feed("hello").feedEnd().settle();
    EXPECT_EQ(w.log.events, (Events{Conn_EstablishedEvent, Conn_ReadEvent, Conn_CloseEvent}));
    EXPECT_EQ(w.connection().state(), ConnState::Disconnected);
    EXPECT_EQ(w.connection().fd(), -1);
}

// --- FirstRead::AtOnce ---

class FirstReadTest : public LoopTest {
protected:
    ~FirstReadTest() override { destroyLoop(); }  // what is still open tells m_log

    ConnectionPtr_t start(FileDescriptor socket, ConnEventCallback_t callback) {
        const auto connection = std::make_shared<Connection>(loop(), std::move(socket), plainTransport(),
                                                             Connection::Origin::Accepted);
        connection->setEventCallback(std::move(callback));
        connection->start(Connection::FirstRead::AtOnce);
        return connection;
    }

    SocketPair m_sockets = makeTcpPair();
    EventLog m_log;
};

TEST_F(FirstReadTest, WhatIsThereIsReadBeforeTheLoopWaits) {
    BlockingClient client(std::move(m_sockets.peers));
    client.send("request");
    ASSERT_TRUE(waitUntil([&] {
        char byte = 0;
        return ::recv(m_sockets.ours.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
    }));
    const auto connection = start(std::move(m_sockets.ours), m_log.callback());
    EXPECT_EQ(m_log.events, (Events{Conn_EstablishedEvent, Conn_ReadEvent}));
    EXPECT_EQ(m_log.bytes, "request");
    // And the loop has it from here on.
    client.send(" more");
    EXPECT_TRUE(runUntil([&] { return m_log.bytes == "request more"; }));
}

TEST_F(FirstReadTest, WhatComesLaterIsReadThen) {
    BlockingClient client(std::move(m_sockets.peers));
    const auto connection = start(std::move(m_sockets.ours), m_log.callback());
    EXPECT_EQ(m_log.events, (Events{Conn_EstablishedEvent}));
    client.send("late");
    EXPECT_TRUE(runUntil([&] { return m_log.bytes == "late"; }));
}

TEST_F(FirstReadTest, TheLoopHoldsWhatNobodyElseHolds) {
    BlockingClient client(std::move(m_sockets.peers));
    const WeakConnectionPtr_t weak = start(std::move(m_sockets.ours), m_log.callback());
    EXPECT_FALSE(weak.expired());
    client.close();
    EXPECT_TRUE(runUntil([&] { return weak.expired(); }));
    EXPECT_EQ(m_log.events, (Events{Conn_EstablishedEvent, Conn_CloseEvent}));
}

// What epoll does not take (a file, which is always ready) is known only when the first event is settled: what that
// one sent has left, and the failure is told behind it.
TEST_F(FirstReadTest, ARegistrationThatFailsIsOneErrorAndOneCloseBehindTheFirstEvent) {
    const auto transport = ScriptedTransport::create();
    transport->feed("request");
    FileDescriptor file(::memfd_create("file", MFD_CLOEXEC));
    const auto connection = std::make_shared<Connection>(loop(), std::move(file), transport->handOut(),
                                                         Connection::Origin::Accepted);
    connection->setEventCallback([this](const ConnectionPtr_t& c, ConnEvent event, const void* context) {
        m_log.record(event, context);
        if (event == Conn_ReadEvent) c->send("answer");
    });
    connection->start(Connection::FirstRead::AtOnce);
    runRounds();
    EXPECT_EQ(m_log.events,
              (Events{Conn_EstablishedEvent, Conn_ReadEvent, Conn_ErrorEvent, Conn_CloseEvent}));
    EXPECT_EQ(m_log.error, std::errc::operation_not_permitted);
    EXPECT_EQ(connection->state(), ConnState::Disconnected);
    EXPECT_EQ(connection->fd(), -1);
    EXPECT_EQ(transport->written(), "answer");
}

TEST_F(FirstReadTest, AnAnswerAndACloseNeedNoLoop) {
    BlockingClient client(std::move(m_sockets.peers));
    client.send("request");
    const WeakConnectionPtr_t weak = start(
        std::move(m_sockets.ours), [this](const ConnectionPtr_t& c, ConnEvent event, const void* context) {
            m_log.record(event, context);
            if (event != Conn_ReadEvent) return;
            c->send("answer");
            c->shutDown();
        });
    ASSERT_TRUE(runUntil([&] { return weak.expired(); }));
    EXPECT_EQ(client.receiveAll(), "answer");
    EXPECT_EQ(m_log.events.back(), Conn_CloseEvent);
    EXPECT_EQ(m_log.count(Conn_CloseEvent), 1U);
}

TEST_F(FirstReadTest, PausedInEstablishedItReadsNothing) {
    BlockingClient client(std::move(m_sockets.peers));
    client.send("request");
    const auto connection = start(std::move(m_sockets.ours),
                                  [this](const ConnectionPtr_t& c, ConnEvent event, const void* context) {
                                      m_log.record(event, context);
                                      if (event == Conn_EstablishedEvent) c->pauseReading();
                                  });
    runRounds();
    EXPECT_EQ(m_log.events, (Events{Conn_EstablishedEvent}));
    connection->resumeReading();
    EXPECT_TRUE(runUntil([&] { return m_log.bytes == "request"; }));
}

TEST_F(FirstReadTest, ClosedInEstablishedItIsOver) {
    const WeakConnectionPtr_t weak = start(
        std::move(m_sockets.ours), [this](const ConnectionPtr_t& c, ConnEvent event, const void* context) {
            m_log.record(event, context);
            if (event == Conn_EstablishedEvent) c->close();
        });
    EXPECT_TRUE(runUntil([&] { return weak.expired(); }));
    EXPECT_EQ(m_log.events, (Events{Conn_EstablishedEvent, Conn_CloseEvent}));
}

TEST_F(FirstReadTest, ClosedInTheFirstReadItIsOver) {
    BlockingClient client(std::move(m_sockets.peers));
    client.send("request");
    const WeakConnectionPtr_t weak = start(
        std::move(m_sockets.ours), [this](const ConnectionPtr_t& c, ConnEvent event, const void* context) {
            m_log.record(event, context);
            if (event == Conn_ReadEvent) c->close();
        });
    EXPECT_TRUE(runUntil([&] { return weak.expired(); }));
    EXPECT_EQ(m_log.events, (Events{Conn_EstablishedEvent, Conn_ReadEvent, Conn_CloseEvent}));
}

TEST_F(FirstReadTest, ReplacedInTheFirstReadTheNewCallbackHasTheRest) {
    BlockingClient client(std::move(m_sockets.peers));
    client.send("request");
    EventLog later;
    const auto captured = std::make_shared<int>(0);
    const WeakConnectionPtr_t weak =
        start(std::move(m_sockets.ours),
              [this, captured, &later](const ConnectionPtr_t& c, ConnEvent event, const void* context) {
                  m_log.record(event, context);
                  if (event == Conn_ReadEvent) c->setEventCallback(later.callback());
              });
    EXPECT_EQ(captured.use_count(), 1) << "the replaced callback is still there";
    client.send("more");
    client.close();
    EXPECT_TRUE(runUntil([&] { return weak.expired(); }));
    EXPECT_EQ(m_log.events, (Events{Conn_EstablishedEvent, Conn_ReadEvent}));
    EXPECT_EQ(later.bytes, "more");
    EXPECT_EQ(later.events.back(), Conn_CloseEvent);
}

TEST_F(FirstReadTest, ResetBeforeItIsOneErrorAndOneClose) {
    BlockingClient client(std::move(m_sockets.peers));
    client.reset();
    const WeakConnectionPtr_t weak = start(std::move(m_sockets.ours), m_log.callback());
    EXPECT_TRUE(runUntil([&] { return weak.expired(); }));
    EXPECT_EQ(m_log.events, (Events{Conn_EstablishedEvent, Conn_ErrorEvent, Conn_CloseEvent}));
}

TEST_F(FirstReadTest, AnAnswerThatTheKernelDoesNotTakeGoesOnInTheLoop) {
    BlockingClient client(std::move(m_sockets.peers));
    client.send("request");
    const std::string answer = pattern(8 << 20);
    const WeakConnectionPtr_t weak =
        start(std::move(m_sockets.ours), [&answer](const ConnectionPtr_t& c, ConnEvent event, const void*) {
            if (event != Conn_ReadEvent) return;
            c->send(answer);
            c->shutDown(seconds(60));
        });
    std::string received;
    std::thread reader([&] { received = client.receiveAll(); });
    EXPECT_TRUE(runUntil([&] { return weak.expired(); }));
    reader.join();
    EXPECT_EQ(received, answer);
}

// --- Reading ---

TEST_F(ConnectionTest, ReadHandsUpWhatArrivedAtEveryFragmentSize) {
    const std::string bytes = pattern(100);
    for (const size_t fragment : kFragments) {
        for (const auto arrival : {ScriptedPeer::Arrival::OnSocket, ScriptedPeer::Arrival::Buffered}) {
            SCOPED_TRACE(fragment);
            Watched w(loop());
            w.peer.start();
            w.peer.feed(bytes, fragment, arrival).settle();
            EXPECT_EQ(w.log.bytes, bytes);
            EXPECT_EQ(w.log.count(Conn_ReadEvent), (bytes.size() + fragment - 1) / fragment);
        }
    }
}

TEST_F(ConnectionTest, ReadsThatFindNothingAreNoEvent) {
    Watched w(loop());
    w.peer.start();
    w.transport().feedWantRead();
    w.transport().feedWantRead();
    w.peer.feed("x").settle();
    EXPECT_EQ(w.log.events, (Events{Conn_EstablishedEvent, Conn_ReadEvent}));
    EXPECT_EQ(w.transport().readCalls(), 3U);
}

TEST_F(ConnectionTest, AnIdleConnectionIsNotCalled) {
    Watched w(loop());
    w.peer.start();
    w.peer.settle();
    const size_t before = w.transport().calls();
    runRounds(100);
    EXPECT_EQ(w.transport().calls(), before);
}

TEST_F(ConnectionTest, ResetWhileReadingIsOneErrorAndOneClose) {
    Watched w(loop());
    w.peer.start();
    w.peer.feed("half a req").feedReset().settle();
    EXPECT_EQ(w.log.events,
              (Events{Conn_EstablishedEvent, Conn_ReadEvent, Conn_ErrorEvent, Conn_CloseEvent}));
    EXPECT_EQ(w.log.error, std::errc::connection_reset);
    EXPECT_EQ(w.log.bytes, "half a req");
}

TEST_F(ConnectionTest, ResetByARealPeerIsOneErrorAndOneClose) {
    SocketPair pair = makeTcpPair();
    EventLog log;
    startConnection(std::move(pair.ours), log.callback());
    BlockingClient(std::move(pair.peers)).reset();
    ASSERT_TRUE(runUntil([&] { return log.has(Conn_CloseEvent); }));
    EXPECT_EQ(log.events, (Events{Conn_EstablishedEvent, Conn_ErrorEvent, Conn_CloseEvent}));
    EXPECT_EQ(log.error, std::errc::connection_reset);
}

TEST_F(ConnectionTest, ResetIsNoticedWhileReadingIsPaused) {
    SocketPair pair = makeTcpPair();
    EventLog log;
    const auto connection = startConnection(std::move(pair.ours), log.callback());
    connection->pauseReading();
    BlockingClient(std::move(pair.peers)).reset();
    ASSERT_TRUE(runUntil([&] { return log.has(Conn_CloseEvent); }));
    EXPECT_EQ(log.error, std::errc::connection_reset);
}

// --- Pausing ---

TEST_F(ConnectionTest, PausedReadingLeavesInputInTheSocketWithoutSpinning) {
    Watched w(loop());
    w.peer.start();
    w.connection().pauseReading();
    EXPECT_TRUE(w.connection().isReadingPaused());
    w.peer.feed("later").settle();
    runRounds(100);
    EXPECT_EQ(w.transport().readCalls(), 0U);
    w.connection().resumeReading();
    w.peer.settle();
    EXPECT_EQ(w.log.bytes, "later");
}

// Input that the transport has decrypted already is forgotten by epoll: the socket never becomes
// readable for it again.
// An idle connection is not closed over input that the next round reads. This one would never have been closed.
TEST_F(ConnectionSeamTest, InputThatCannotBeReadIsNotWaitedFor) {
    Watched w(loop());
    w.peer.start();
    w.peer.transport().blockWrites();
    w.peer.transport().feedWantWrite();
    w.peer.feed("behind").settle();
    EXPECT_FALSE(w.connection().hasInput());
    w.peer.transport().unblockWrites();
    w.peer.settle();
    EXPECT_EQ(w.log.bytes, "behind");
    w.connection().pauseReading();
    w.peer.feed("more");
    EXPECT_TRUE(w.connection().hasInput());
}

TEST_F(ConnectionTest, ResumingFindsInputThatIsAlreadyDecrypted) {
    for (const size_t fragment : kFragments) {
        SCOPED_TRACE(fragment);
        EventLog log;
        ScriptedPeer peer(loop());
        peer.connection()->setEventCallback(
            [&](const ConnectionPtr_t& c, ConnEvent event, const void* context) {
                log.record(event, context);
                if (event == Conn_ReadEvent) c->pauseReading();
            });
        peer.start();
        const std::string bytes = pattern(70);
        peer.feed(bytes, fragment, ScriptedPeer::Arrival::Buffered).settle();
        for (size_t reads = 1; log.bytes.size() < bytes.size(); ++reads) {
            ASSERT_EQ(log.count(Conn_ReadEvent), reads);
            runRounds(4);
            ASSERT_EQ(log.count(Conn_ReadEvent), reads) << "read while paused";
            peer.connection()->resumeReading();
            peer.settle();
            ASSERT_EQ(log.count(Conn_ReadEvent), reads + 1);
        }
        EXPECT_EQ(log.bytes, bytes);
    }
}

TEST_F(ConnectionTest, PausingAndResumingInOneEventChangesNothing) {
    EventLog log;
    ScriptedPeer peer(loop());
    peer.connection()->setEventCallback([&](const ConnectionPtr_t& c, ConnEvent event, const void* context) {
        log.record(event, context);
        c->pauseReading();
        c->resumeReading();
    });
    peer.start();
    peer.feed("abcdef", 1, ScriptedPeer::Arrival::Buffered).feed("ghi", 1).settle();
    EXPECT_EQ(log.bytes, "abcdefghi");
    EXPECT_EQ(log.count(Conn_ReadEvent), 9U);
}

TEST_F(ConnectionTest, PendingInputIsReadInTurnsWithOtherConnections) {
    std::string order;
    const auto record = [&order](char name) {
        return [&order, name](const ConnectionPtr_t&, ConnEvent event, const void*) {
            if (event == Conn_ReadEvent) order += name;
        };
    };
    ScriptedPeer a(loop());
    ScriptedPeer b(loop());
    a.connection()->setEventCallback(record('a'));
    b.connection()->setEventCallback(record('b'));
    a.start();
    b.start();
    a.feed(std::string(50, '.'), 1, ScriptedPeer::Arrival::Buffered);
    b.feed(std::string(50, '.'), 1, ScriptedPeer::Arrival::OnSocket);
    a.settle();
    EXPECT_EQ(order.size(), 100U);
    EXPECT_EQ(order.find("aaaaa"), std::string::npos) << order;
    EXPECT_EQ(order.find("bbbbb"), std::string::npos) << order;
}

// A paused connection watched for nothing; a Unix peer that sent and closed makes the socket EPOLLHUP,
// which cannot be masked. It was taken for a reset, and what the peer had sent was lost.
TEST_F(ConnectionTest, WhatAUnixPeerSentBeforeClosingSurvivesAPause) {
    SocketPair pair = makeSocketPair();
    EventLog log;
    const auto connection = startConnection(std::move(pair.ours), log.callback());
    connection->pauseReading();
    BlockingClient peer(std::move(pair.peers));
    peer.send("last words");
    peer.close();
    runRounds(100);
    EXPECT_EQ(log.events, Events{Conn_EstablishedEvent});
    connection->resumeReading();
    ASSERT_TRUE(runUntil([&] { return log.has(Conn_CloseEvent); }));
    EXPECT_EQ(log.events, (Events{Conn_EstablishedEvent, Conn_ReadEvent, Conn_CloseEvent}));
    EXPECT_EQ(log.bytes, "last words");
}

// The same with TCP, where EPOLLHUP comes once both directions have ended: we half-closed, then the
// peer sent its answer and closed.
TEST_F(ConnectionTest, WhatAHalfClosedPeerSentBeforeClosingSurvivesAPause) {
    SocketPair pair = makeTcpPair();
    EventLog log;
    const auto connection = startConnection(std::move(pair.ours), log.callback());
    connection->shutDownWrite();
    connection->pauseReading();
    BlockingClient peer(std::move(pair.peers));
    ASSERT_TRUE(peer.isAtEnd());
    peer.send("the answer");
    peer.close();
    runRounds(100);
    EXPECT_EQ(log.events, Events{Conn_EstablishedEvent});
    connection->resumeReading();
    ASSERT_TRUE(runUntil([&] { return log.has(Conn_CloseEvent); }));
    EXPECT_EQ(log.events, (Events{Conn_EstablishedEvent, Conn_ReadEvent, Conn_CloseEvent}));
    EXPECT_EQ(log.bytes, "the answer");
}

// The hang-up that a paused connection may not act on must not be told in every round either.
TEST_F(ConnectionTest, AHungUpPeerDoesNotSpinAPausedConnection) {
    SocketPair pair = makeSocketPair();
    EventLog log;
    const auto connection = startConnection(std::move(pair.ours), log.callback());
    connection->pauseReading();
    BlockingClient(std::move(pair.peers)).close();
    runRounds(4);
    int rounds = 0;
    const auto begin = std::chrono::steady_clock::now();
    while (std::chrono::steady_clock::now() - begin < milliseconds(60)) {
        loop()->runOnce(milliseconds(20));
        ++rounds;
    }
    EXPECT_LE(rounds, 6);
    connection->resumeReading();
    ASSERT_TRUE(runUntil([&] { return log.has(Conn_CloseEvent); }));
}

// --- Handing on what was read too far ---

TEST_F(ConnectionTest, RedeliveredBytesReachTheNewCallbackAtOnce) {
    EventLog later;
    ScriptedPeer peer(loop());
    peer.connection()->setEventCallback([&](const ConnectionPtr_t& c, ConnEvent event, const void*) {
        if (event != Conn_ReadEvent) return;
        c->setEventCallback(later.callback());
        c->redeliver("rest");
        EXPECT_EQ(later.bytes, "rest");
        c->redeliver(" and more");
        EXPECT_EQ(later.bytes, "rest and more");
    });
    peer.start();
    peer.feed("upgrade").feed(", then this").settle();
    EXPECT_EQ(later.bytes, "rest and more, then this");
}

TEST_F(ConnectionTest, RedeliveringOutsideAnEventIsAnEventLikeAnyOther) {
    EventLog log;
    ScriptedPeer peer(loop());
    peer.connection()->setEventCallback([&](const ConnectionPtr_t& c, ConnEvent event, const void* context) {
        log.record(event, context);
        if (event != Conn_ReadEvent) return;
        c->send("gathered ");
        c->send("answer");
        EXPECT_EQ(peer.transport().writeCalls(), 0U);
    });
    peer.start();
    peer.connection()->redeliver("kept");
    EXPECT_EQ(log.bytes, "kept");
    EXPECT_EQ(peer.collect(), "gathered answer");
    EXPECT_EQ(peer.transport().writeCalls(), 1U);
    peer.connection()->close();
    peer.connection()->redeliver("too late");
    peer.settle();
    EXPECT_EQ(log.bytes, "kept");
}

TEST_F(ConnectionTest, ARedeliveryMayBeReplacedAndClosedInItsTurn) {
    EventLog last;
    int firstCalls = 0;
    int secondCalls = 0;
    const auto captured = std::make_shared<std::string>("still here");
    ScriptedPeer peer(loop());
    peer.connection()->setEventCallback(
        [&, captured](const ConnectionPtr_t& c, ConnEvent event, const void*) {
            if (event != Conn_ReadEvent) return;
            ++firstCalls;
            c->setEventCallback([&, captured](const ConnectionPtr_t& second, ConnEvent, const void*) {
                ++secondCalls;
                second->setEventCallback(last.callback());
                second->redeliver("for the third");
                EXPECT_EQ(*captured, "still here");
                second->close();
            });
            c->redeliver("for the second");
            EXPECT_EQ(*captured, "still here");
        });
    peer.start();
    peer.feed("for the first").settle();
    EXPECT_EQ(firstCalls, 1);
    EXPECT_EQ(secondCalls, 1);
    EXPECT_EQ(last.bytes, "for the third");
    EXPECT_EQ(last.events, (Events{Conn_ReadEvent, Conn_CloseEvent}));
    EXPECT_EQ(captured.use_count(), 1);
}

// A layer that redelivers to itself is running twice. When the inner call had returned, the outer one was
// taken to have returned, too, and a replacement destroyed it while it ran.
TEST_F(ConnectionTest, ACallbackThatRedeliversToItselfIsNotReplacedBeforeItReturns) {
    for (const bool innerReplaces : {false, true}) {
        SCOPED_TRACE(innerReplaces);
        EventLog later;
        const auto captured = std::make_shared<std::string>("still here");
        ScriptedPeer peer(loop());
        peer.connection()->setEventCallback(
            [&, captured](const ConnectionPtr_t& c, ConnEvent event, const void* context) {
                if (event != Conn_ReadEvent) return;
                const bool isInner = static_cast<const StackBuffer*>(context)->view() == "inner";
                if (!isInner) c->redeliver("inner");
                if (isInner == innerReplaces) c->setEventCallback(later.callback());
                EXPECT_EQ(*captured, "still here") << "destroyed while it ran";
            });
        peer.start();
        peer.feed("outer").feed("later").settle();
        EXPECT_EQ(later.bytes, "later");
        EXPECT_EQ(captured.use_count(), 1);
    }
}

// --- Sending ---

TEST_F(ConnectionTest, SendOutsideAnEventLeavesWithTheRound) {
    Watched w(loop());
    w.peer.start();
    const SendResult result = w.connection().send("direct");
    EXPECT_EQ(result.status, SendStatus::Accepted);
    EXPECT_EQ(result.queuedBytes, 6U);
    EXPECT_EQ(w.transport().writeCalls(), 0U);
    EXPECT_FALSE(w.log.has(Conn_WriteCompleteEvent)) << "told before send returned";
    runRounds(1);
    EXPECT_EQ(w.peer.takeWritten(), "direct");
    EXPECT_EQ(w.connection().queuedBytes(), 0U);
    EXPECT_EQ(w.log.count(Conn_WriteCompleteEvent), 1U);
}

// Each piece was a system call, and a fast reader took each at once: a handler that wrote until it was told that
// much is queued was never told, and everybody else on the loop waited for it.
TEST_F(ConnectionTest, SendsOfARoundLeaveInOneWriteWhereverTheyAreMade) {
    Watched w(loop());
    w.peer.start();
    const SharedFilePtr_t file = makeFile("file;");
    loop()->runAfter(Duration::zero(), [&] {
        for (size_t i = 1; i <= 10'000; ++i)
            ASSERT_EQ(w.connection().send("from a timer;").queuedBytes, 13 * i)
                << "or nobody is told to wait";
    });
    loop()->addCallback([&] {
        w.connection().send(std::string(2000, 'o'));
        w.connection().send(share("from a task;"));
        EXPECT_EQ(w.transport().writeCalls(), 0U);
    });
    runRounds(1);
    EXPECT_EQ(w.peer.takeWritten().size(), 10'000 * 13 + 2000 + 12U);
    EXPECT_LE(w.transport().writeCalls(), ScriptedPeer::isSecure() ? 4U : 1U);
    EXPECT_EQ(w.log.count(Conn_WriteCompleteEvent), 1U);
}

// It is the end of this round, not that of the next one.
TEST_F(ConnectionTest, AnAnswerFromATaskLeavesInTheRoundOfTheTask) {
    Watched w(loop());
    w.peer.start();
    bool isSent = false;
    loop()->addCallback([&] { isSent = w.connection().send("answer").status == SendStatus::Accepted; });
    while (!isSent) loop()->runOnce(Duration::zero());
    EXPECT_EQ(w.peer.takeWritten(), "answer");
}

TEST_F(ConnectionTest, FlushOutsideAnEventWritesWhatIsGatheredAtOnce) {
    Watched w(loop());
    w.peer.start();
    const std::string big = pattern(5000);
    w.connection().send(std::string(big));
    EXPECT_TRUE(w.connection().flush());
    EXPECT_EQ(w.peer.takeWritten(), big);
    w.connection().send(share(big));
    EXPECT_TRUE(w.connection().flush());
    EXPECT_EQ(w.peer.takeWritten(), big);
    w.connection().sendFile(makeFile(big), 10, 100);
    EXPECT_TRUE(w.connection().flush());
    EXPECT_EQ(w.peer.takeWritten(), big.substr(10, 100));
    const size_t writes = w.transport().writeCalls();
    w.peer.settle();
    EXPECT_EQ(w.transport().writeCalls(), writes);
}

// A large file, a large string or a hundred thousand pieces, for a peer that takes whatever it is offered:
// the loop did nothing else until all was written.
TEST_F(ConnectionTest, AFastReaderHasATurnOfEachRound) {
    const FileDescriptor sparse(::memfd_create("connection_test", MFD_CLOEXEC));
    ASSERT_EQ(::ftruncate(sparse.get(), off_t{64} << 20), 0);
    const auto file = std::make_shared<const FileDescriptor>(::dup(sparse.get()));
    const SharedBytesPtr_t large = share(std::string(8 << 20, 'm'));
    const SharedBytesPtr_t small = share("s");
    for (const int kind : {0, 1, 2, 3}) {
        SCOPED_TRACE(kind);
        Watched fast(loop());
        ScriptedPeer other(loop());
        other.connection()->setEventCallback(
            [](const ConnectionPtr_t& c, ConnEvent event, const void* context) {
                if (event == Conn_ReadEvent) c->send(static_cast<const StackBuffer*>(context)->view());
            });
        fast.peer.start();
        other.start();
        fast.transport().restartCounts();
        switch (kind) {
            case 0: fast.connection().sendFile(file, 0, size_t{64} << 20); break;
            case 1: fast.connection().send(large); break;
            case 2: fast.connection().send(std::string_view(*large)); break;
            case 3:
                for (int i = 0; i < 100'000; ++i) fast.connection().send(small);
                break;
        }
        size_t total = 0;
        for (int round = 1; round <= 6; ++round) {
            const size_t calls = fast.transport().writeCalls() + fast.transport().sendFileCalls();
            other.feed("ping");
            runRounds(1);
            const size_t size = fast.transport().takeWritten().size();
            EXPECT_GT(size, 0U);
            EXPECT_LE(size, Connection::kWriteTurn.bytes * 11 / 10);  // records have their cost
            if (!ScriptedPeer::isSecure()) {
                EXPECT_LE(fast.transport().writeCalls() + fast.transport().sendFileCalls() - calls,
                          Connection::kWriteTurn.steps);
            }
            total += size;
            EXPECT_EQ(other.takeWritten(), "ping") << "in the same round";
        }
        EXPECT_TRUE(fast.connection().isSending());
        EXPECT_FALSE(fast.log.has(Conn_WriteCompleteEvent));
        EXPECT_GE(total, kind == 3 ? 6U : 6 * Connection::kWriteTurn.bytes);
        EXPECT_FALSE(fast.connection().flush()) << "its turn is over";
        EXPECT_EQ(fast.transport().takeWritten(), "");
    }
}

TEST_F(ConnectionTest, WhatIsLeftAfterATurnArrivesInOrder) {
    Watched w(loop());
    w.peer.start();
    std::string expected;
    const std::string large = pattern(700'001);
    const SharedFilePtr_t file = makeFile(large);
    for (int i = 0; i < 4; ++i) {
        w.connection().send(std::string_view(large));
        w.connection().sendFile(file, 1, large.size() - 1);
        w.connection().send(share(large));
        w.connection().send("between");
        expected += large + large.substr(1) + large + "between";
    }
    w.connection().shutDown();
    EXPECT_EQ(w.peer.collectUntilClosed(), expected);
}

TEST_F(ConnectionTest, CloseLosesWhatIsGatheredAndShutDownDeliversIt) {
    for (const bool isClosed : {true, false}) {
        SCOPED_TRACE(isClosed);
        Watched w(loop());
        w.peer.start();
        w.connection().send("last words");
        isClosed ? w.connection().close() : w.connection().shutDown();
        EXPECT_EQ(w.peer.collectUntilClosed(), isClosed ? "" : "last words");
    }
}

TEST_F(ConnectionTest, WhatIsGatheredLeavesBeforeItsLoopIsGone) {
    SocketPair pair = makeTcpPair();
    EventLog log;
    startConnection(std::move(pair.ours), log.callback())->send("goodbye");
    destroyLoop();
    EXPECT_EQ(BlockingClient(std::move(pair.peers)).receiveAll(), "goodbye");
    EXPECT_TRUE(log.has(Conn_CloseEvent));
}

TEST_F(ConnectionTest, EmptySendsAreAcceptedAndWriteNothing) {
    Watched w(loop());
    w.peer.start();
    EXPECT_EQ(w.connection().send("").status, SendStatus::Accepted);
    EXPECT_EQ(w.connection().send(std::string()).status, SendStatus::Accepted);
    EXPECT_EQ(w.connection().send(share("")).status, SendStatus::Accepted);
    EXPECT_EQ(w.connection().sendFile(makeFile("x"), 0, 0).status, SendStatus::Accepted);
    w.peer.settle();
    EXPECT_EQ(w.transport().writeCalls() + w.transport().sendFileCalls(), 0U);
    EXPECT_FALSE(w.log.has(Conn_WriteCompleteEvent));
}

TEST_F(ConnectionTest, SendsInsideAReadEventLeaveInOneWrite) {
    ScriptedPeer peer(loop());
    peer.connection()->setEventCallback([&](const ConnectionPtr_t& c, ConnEvent event, const void*) {
        if (event != Conn_ReadEvent) return;
        size_t queued = 0;
        for (int i = 0; i < 30; ++i) {
            const SendResult result = c->send("answer;");
            queued += 7;
            EXPECT_EQ(result.queuedBytes, queued);
        }
        c->send(share("shared;"));
        c->send(std::string(2000, 'o'));
        c->send("end");
        EXPECT_EQ(peer.transport().writeCalls(), 0U);
    });
    peer.start();
    peer.feed("30 requests");
    const std::string written = peer.collect();
    EXPECT_EQ(written.size(), 30 * 7 + 7 + 2000 + 3U);
    EXPECT_EQ(peer.transport().writeCalls(), 1U);
}

TEST_F(ConnectionTest, WhatIsWrittenInPlaceIsSentInOrder) {
    const auto put = [](Connection& connection, std::string_view text, size_t room) {
        char* const place = connection.reserveSend(room);
        ASSERT_NE(place, nullptr);
        std::copy(text.begin(), text.end(), place);
        EXPECT_EQ(connection.commitSend(text.size()).status, SendStatus::Accepted);
    };
    ScriptedPeer peer(loop());
    peer.connection()->setEventCallback([&](const ConnectionPtr_t& c, ConnEvent event, const void*) {
        if (event != Conn_ReadEvent) return;
        put(*c, "head;", 500);
        c->send("copied;");
        put(*c, "again;", 5000);
        c->send(share("shared;"));
        put(*c, "tail", 4);
        EXPECT_EQ(c->queuedBytes(), 29U);
    });
    peer.start();
    peer.feed("x");
    EXPECT_EQ(peer.collect(), "head;copied;again;shared;tail");
    EXPECT_EQ(peer.transport().writeCalls(), 1U);

    put(*peer.connection(), "outside", 100);
    EXPECT_EQ(peer.collect(), "outside");
    peer.connection()->close();
    EXPECT_EQ(peer.connection()->reserveSend(10), nullptr);
}

TEST_F(ConnectionTest, FlushInsideAnEventWritesWhatIsGatheredSoFar) {
    ScriptedPeer peer(loop());
    peer.connection()->setEventCallback([&](const ConnectionPtr_t& c, ConnEvent event, const void*) {
        if (event != Conn_ReadEvent) return;
        c->send("early");
        EXPECT_TRUE(c->flush());
        EXPECT_EQ(peer.takeWritten(), "early");
        c->send("late");
        peer.transport().blockWrites();
        EXPECT_FALSE(c->flush());
    });
    peer.start();
    peer.feed("x");
    EXPECT_EQ(peer.collect(), "");
    peer.transport().unblockWrites();
    EXPECT_EQ(peer.collect(), "late");
}

TEST_F(ConnectionTest, PartialWriteKeepsOrder) {
    for (const size_t limit : kFragments) {
        SCOPED_TRACE(limit);
        Watched w(loop());
        w.peer.start();
        w.transport().limitWrites(limit);
        std::string expected;
        for (int i = 0; i < 10; ++i) {
            const std::string part = "part " + std::to_string(i) + ";";
            expected += part;
            w.connection().send(part);
        }
        EXPECT_EQ(w.peer.collect(), expected);
        EXPECT_EQ(w.connection().queuedBytes(), 0U);
        EXPECT_EQ(w.log.events.back(), Conn_WriteCompleteEvent);
    }
}

// Every kind of segment, in random order, inside and outside of events, against random short writes.
TEST_F(ConnectionTest, MixedSegmentsKeepOrderOverShortWrites) {
    std::mt19937 random(7);  // a fixed seed: the same story in every run
    const std::string source = pattern(20000);
    const SharedFilePtr_t file = makeFile(source);
    for (int story = 0; story < 40; ++story) {
        SCOPED_TRACE(story);
        std::string expected;
        const auto sendSome = [&](Connection& connection) {
            for (int i = 0; i < 6; ++i) {
                const size_t from = random() % 10000;
                const size_t size = random() % 4 == 0 ? random() % 5000 : random() % 40;
                const std::string bytes = source.substr(from, size);
                expected += bytes;
                SendResult result{};
                switch (random() % 4) {
                    case 0: result = connection.send(bytes); break;
                    case 1: result = connection.send(std::string(bytes)); break;
                    case 2: result = connection.send(share(bytes)); break;
                    case 3: result = connection.sendFile(file, static_cast<off_t>(from), size); break;
                }
                ASSERT_EQ(result.status, SendStatus::Accepted);
            }
        };
        ScriptedPeer peer(loop());
        peer.connection()->setEventCallback([&](const ConnectionPtr_t& c, ConnEvent event, const void*) {
            if (event == Conn_ReadEvent) sendSome(*c);
        });
        peer.start();
        for (int step = 0; step < 60; ++step) {
            switch (random() % 5) {
                case 0: peer.transport().onWrite(ScriptedTransport::takes(1 + random() % 700)); break;
                case 1: peer.transport().onWrite(ScriptedTransport::wantsWrite()); break;
                case 2: peer.feed("x"); break;
                case 3: sendSome(*peer.connection()); break;
                case 4: loop()->runOnce(Duration::zero()); break;
            }
        }
        EXPECT_EQ(peer.collect(), expected);
        EXPECT_EQ(peer.connection()->queuedBytes(), 0U);
    }
}

TEST_F(ConnectionTest, QueuedBytesCountWhatTheKernelHasNotTaken) {
    Watched w(loop());
    w.peer.start();
    w.transport().onWrite(ScriptedTransport::takes(4));
    w.transport().blockWrites();
    w.transport().unblockWrites();
    EXPECT_EQ(w.connection().send("0123456789").queuedBytes, 10U);
    EXPECT_FALSE(w.connection().flush());
    EXPECT_EQ(w.connection().queuedBytes(), 6U);
    EXPECT_EQ(w.connection().send("abc").queuedBytes, 9U);
    EXPECT_EQ(w.connection().queuedBytes(), 9U);
    w.peer.settle();
    EXPECT_EQ(w.connection().queuedBytes(), 0U);
}

TEST_F(ConnectionTest, ABlockedWriteWaitsWithoutSpinning) {
    Watched w(loop());
    w.peer.start();
    w.transport().blockWrites();
    w.connection().send("waits");
    w.peer.settle();
    const size_t before = w.transport().writeCalls();
    runRounds(100);
    EXPECT_EQ(w.transport().writeCalls(), before);
    w.transport().unblockWrites();
    EXPECT_EQ(w.peer.collect(), "waits");
    EXPECT_EQ(w.log.count(Conn_WriteCompleteEvent), 1U);
    // And the interest is gone again, although the socket stays writable.
    const size_t after = w.transport().calls();
    runRounds(100);
    EXPECT_EQ(w.transport().calls(), after);
}

TEST_F(ConnectionTest, SharedBytesAreReleasedAsSoonAsTheyAreWritten) {
    Watched w(loop());
    w.peer.start();
    const SharedBytesPtr_t first = share(pattern(3000));
    const SharedBytesPtr_t second = share(pattern(3000));
    w.transport().onWrite(ScriptedTransport::takes(SIZE_MAX));
    w.transport().blockWrites();
    w.transport().unblockWrites();
    w.transport().onWrite(ScriptedTransport::wantsWrite());
    w.transport().onWrite(ScriptedTransport::wantsWrite());
    w.peer.connection()->send(first);
    w.peer.connection()->flush();
    EXPECT_EQ(first.use_count(), 1);
    w.peer.connection()->send(second);
    w.peer.connection()->send(first);
    EXPECT_EQ(second.use_count(), 2);
    EXPECT_EQ(first.use_count(), 2);
    w.peer.settle();
    EXPECT_EQ(w.peer.takeWritten().size(), 9000U);
    EXPECT_EQ(second.use_count(), 1);
    EXPECT_EQ(first.use_count(), 1);
}

TEST_F(ConnectionTest, ClosingReleasesWhatIsQueued) {
    Watched w(loop());
    w.peer.start();
    w.transport().blockWrites();
    const SharedBytesPtr_t bytes = share("never sent");
    w.connection().send(bytes);
    EXPECT_EQ(bytes.use_count(), 2);
    w.connection().close();
    EXPECT_EQ(bytes.use_count(), 1);
    EXPECT_EQ(w.connection().queuedBytes(), 0U);
}

TEST_F(ConnectionTest, TooMuchQueuedFailsTheConnectionOnce) {
    Watched w(loop());
    w.connection().setMaxQueuedBytes(100);
    w.peer.start();
    w.transport().blockWrites();
    EXPECT_EQ(w.connection().send(std::string(100, 'x')).status, SendStatus::Accepted);
    EXPECT_EQ(w.connection().send("y").status, SendStatus::Overflow);
    EXPECT_EQ(w.connection().state(), ConnState::Disconnected);
    EXPECT_EQ(w.connection().send("z").status, SendStatus::Closed);
    EXPECT_FALSE(w.log.has(Conn_ErrorEvent)) << "told before send returned";
    w.peer.settle();
    EXPECT_EQ(w.log.events, (Events{Conn_EstablishedEvent, Conn_ErrorEvent, Conn_CloseEvent}));
    EXPECT_EQ(w.log.error, std::errc::no_buffer_space);
}

TEST_F(ConnectionTest, TooMuchQueuedInsideAnEventFailsTheConnectionOnce) {
    EventLog log;
    std::vector<SendStatus> statuses;
    ScriptedPeer peer(loop());
    peer.connection()->setMaxQueuedBytes(100);
    peer.connection()->setEventCallback([&](const ConnectionPtr_t& c, ConnEvent event, const void* context) {
        log.record(event, context);
        if (event != Conn_ReadEvent) return;
        for (int i = 0; i < 4; ++i) statuses.push_back(c->send(std::string(60, 'x')).status);
    });
    peer.start();
    peer.transport().blockWrites();
    peer.feed("x").settle();
    EXPECT_EQ(statuses, (std::vector{SendStatus::Accepted, SendStatus::Overflow, SendStatus::Closed,
                                     SendStatus::Closed}));
    EXPECT_EQ(log.events, (Events{Conn_EstablishedEvent, Conn_ReadEvent, Conn_ErrorEvent, Conn_CloseEvent}));
    EXPECT_EQ(log.error, std::errc::no_buffer_space);
}

// A layer had to raise the limit for a message that its user may send, and nobody lowered it again.
TEST_F(ConnectionTest, OneMessageMayBeLargerThanTheLimit) {
    for (const size_t size : {200U, 2000U, 200'000U}) {
        SCOPED_TRACE(size);
        Watched w(loop());
        w.connection().setMaxQueuedBytes(100);
        w.peer.start();
        w.transport().blockWrites();
        EXPECT_EQ(w.connection().send("its head").status, SendStatus::Accepted);
        EXPECT_EQ(w.connection().send(share(pattern(size))).status, SendStatus::Accepted);
        EXPECT_EQ(w.connection().send("its end").status, SendStatus::Accepted);
        EXPECT_EQ(w.connection().send(pattern(100)).status, SendStatus::Overflow) << "the limit is as it was";
    }
    Watched copied(loop());
    copied.connection().setMaxQueuedBytes(100);
    copied.peer.start();
    EXPECT_EQ(copied.connection().send(std::string_view(pattern(200))).status, SendStatus::Accepted);
    EXPECT_EQ(copied.peer.collect(), pattern(200));
}

TEST_F(ConnectionTest, TheBytesOfAFileAreNoMemory) {
    Watched w(loop());
    w.connection().setMaxQueuedBytes(1000);
    w.peer.start();
    w.transport().blockWrites();
    EXPECT_EQ(w.connection().send("head").status, SendStatus::Accepted);
    const SendResult sent = w.connection().sendFile(makeFile(pattern(100'000)), 0, 100'000);
    EXPECT_EQ(sent.status, SendStatus::Accepted);
    EXPECT_EQ(sent.queuedBytes, 4U);
    EXPECT_LT(w.connection().queuedMemory(), 200U);
    EXPECT_EQ(w.connection().send("behind it").status, SendStatus::Accepted);
    w.peer.settle();
    w.transport().unblockWrites();
    w.transport().onWrite(ScriptedTransport::takes(SIZE_MAX));
    w.transport().onWrite(ScriptedTransport::takes(1000));
    w.transport().onWrite(ScriptedTransport::wantsWrite());
    runRounds(1);
    EXPECT_TRUE(w.connection().isSending());
    EXPECT_EQ(w.connection().queuedBytes(), 9U);
    EXPECT_EQ(w.peer.collect(), "head" + pattern(100'000) + "behind it");
    EXPECT_FALSE(w.connection().isSending());
}

// The limit counted the bytes that were sent: a queue of 1-byte frames held a hundred times as much.
TEST_F(ConnectionTest, TheLimitCountsWhatSmallPiecesCost) {
    Watched w(loop());
    w.connection().setMaxQueuedBytes(1 << 20);
    w.peer.start();
    w.transport().blockWrites();
    size_t sent = 0;
    while (w.connection().send(share("x")).status == SendStatus::Accepted) ++sent;
    EXPECT_GT(sent, 4000U);
    EXPECT_LT(sent, 20'000U);
}

// Gathering must not make a burst fail that the kernel would have taken.
TEST_F(ConnectionTest, ABurstBeyondTheLimitIsWrittenRatherThanRefused) {
    EventLog log;
    ScriptedPeer peer(loop());
    peer.connection()->setMaxQueuedBytes(100);
    peer.connection()->setEventCallback([&](const ConnectionPtr_t& c, ConnEvent event, const void* context) {
        log.record(event, context);
        if (event != Conn_ReadEvent) return;
        for (int i = 0; i < 50; ++i) EXPECT_EQ(c->send(std::string(60, 'x')).status, SendStatus::Accepted);
    });
    peer.start();
    peer.feed("x");
    EXPECT_EQ(peer.collect().size(), 3000U);
    EXPECT_FALSE(log.has(Conn_ErrorEvent));
}

TEST_F(ConnectionTest, ResetWhileWritingIsOneErrorAndOneClose) {
    Watched w(loop());
    w.peer.start();
    w.transport().limitWrites(10);
    w.transport().resetAfterWritten(25);
    EXPECT_EQ(w.connection().send(pattern(100)).status, SendStatus::Accepted);
    w.peer.settle();
    EXPECT_EQ(w.peer.takeWritten(), ScriptedPeer::isSecure() ? "" : pattern(25));
    EXPECT_EQ(w.log.events, (Events{Conn_EstablishedEvent, Conn_ErrorEvent, Conn_CloseEvent}));
    EXPECT_EQ(w.log.error, std::errc::connection_reset);
}

TEST_F(ConnectionTest, AFlushThatFailsSaysSoAndTellsLater) {
    Watched w(loop());
    w.peer.start();
    w.transport().onWrite(ScriptedTransport::fails(std::errc::broken_pipe));
    EXPECT_EQ(w.connection().send("x").status, SendStatus::Accepted);
    EXPECT_FALSE(w.connection().flush());
    EXPECT_EQ(w.connection().send("y").status, SendStatus::Closed);
    EXPECT_EQ(w.log.events, Events{Conn_EstablishedEvent});
    w.peer.settle();
    EXPECT_EQ(w.log.events, (Events{Conn_EstablishedEvent, Conn_ErrorEvent, Conn_CloseEvent}));
    EXPECT_EQ(w.log.error, std::errc::broken_pipe);
}

// 20 MB against a peer that reads slowly, then not at all, then resets.
TEST_F(ConnectionTest, AVanishedSlowReaderIsOneErrorAndOneClose) {
    SocketPair pair = makeTcpPair();
    EventLog log;
    const auto connection = startConnection(std::move(pair.ours), log.callback());
    EXPECT_GT(connection->send(std::string(20 << 20, 'x')).queuedBytes, 0U);
    runRounds(1);
    BlockingClient peer(std::move(pair.peers));
    EXPECT_EQ(peer.receive(100000).size(), 100000U);
    runRounds(20);
    peer.reset();
    ASSERT_TRUE(runUntil([&] { return log.has(Conn_CloseEvent); }));
    EXPECT_EQ(log.count(Conn_ErrorEvent), 1U);
    EXPECT_EQ(log.count(Conn_CloseEvent), 1U);
    EXPECT_FALSE(log.has(Conn_WriteCompleteEvent));
}

// --- WriteComplete ---

// A short send was written and its Conn_WriteCompleteEvent was due; a long one that followed before
// the loop ran did not fit. The event was told although most of it was still queued, so a layer that
// sends its next piece on that event would have piled up its pieces.
TEST_F(ConnectionTest, WriteCompleteIsNotToldWhileSomethingIsQueued) {
    Watched w(loop());
    w.peer.start();
    w.connection().send("short");
    EXPECT_TRUE(w.connection().flush());
    w.transport().blockWrites();
    EXPECT_EQ(w.connection().send("waits").queuedBytes, 5U);
    w.peer.settle();
    EXPECT_FALSE(w.log.has(Conn_WriteCompleteEvent));
    w.transport().unblockWrites();
    w.peer.settle();
    EXPECT_EQ(w.log.count(Conn_WriteCompleteEvent), 1U);
}

TEST_F(ConnectionTest, OneWriteCompletePerDrainedQueue) {
    Watched w(loop());
    w.peer.start();
    w.connection().send("a");
    w.connection().send("b");
    w.connection().send("c");
    w.peer.settle();
    EXPECT_EQ(w.log.count(Conn_WriteCompleteEvent), 1U);
    w.connection().send("d");
    w.peer.settle();
    EXPECT_EQ(w.log.count(Conn_WriteCompleteEvent), 2U);
}

TEST_F(ConnectionTest, ClosingInsideWriteCompleteIsTheEnd) {
    EventLog log;
    ScriptedPeer peer(loop());
    peer.connection()->setEventCallback([&](const ConnectionPtr_t& c, ConnEvent event, const void* context) {
        log.record(event, context);
        if (event == Conn_WriteCompleteEvent) c->close();
    });
    peer.start();
    peer.connection()->send("bye");
    peer.settle();
    EXPECT_EQ(log.events, (Events{Conn_EstablishedEvent, Conn_WriteCompleteEvent, Conn_CloseEvent}));
}

// Ending our direction inside Conn_WriteCompleteEvent left nothing to write and no other interest, so it
// was put off until the peer said something.
TEST_F(ConnectionTest, HalfClosingInsideWriteCompleteEndsOurDirection) {
    ScriptedPeer peer(loop());
    peer.connection()->setEventCallback([&](const ConnectionPtr_t& c, ConnEvent event, const void*) {
        if (event == Conn_WriteCompleteEvent) c->shutDownWrite();
    });
    peer.start();
    peer.withholdEnd();
    peer.connection()->send("all of it");
    peer.settle();
    EXPECT_TRUE(peer.transport().isWriteEnded());
    EXPECT_TRUE(peer.connection()->isConnected());
}

TEST_F(ConnectionTest, ShuttingDownInsideWriteCompleteCloses) {
    ScriptedPeer peer(loop());
    peer.connection()->setEventCallback([&](const ConnectionPtr_t& c, ConnEvent event, const void*) {
        if (event == Conn_WriteCompleteEvent) c->shutDown();
    });
    peer.start();
    peer.connection()->send("all of it");
    peer.settle();
    EXPECT_TRUE(peer.isClosed());
}

TEST_F(ConnectionTest, PausingInsideWriteCompleteTakesEffect) {
    EventLog log;
    ScriptedPeer peer(loop());
    peer.connection()->setEventCallback([&](const ConnectionPtr_t& c, ConnEvent event, const void* context) {
        log.record(event, context);
        if (event == Conn_WriteCompleteEvent) c->pauseReading();
    });
    peer.start();
    peer.connection()->send("x");
    peer.settle();
    peer.feed("not read").settle();
    EXPECT_FALSE(log.has(Conn_ReadEvent));
    EXPECT_EQ(peer.transport().readCalls(), 0U);
    peer.connection()->resumeReading();
    peer.settle();
    EXPECT_EQ(log.bytes, "not read");
}

TEST_F(ConnectionTest, WriteCompleteCanBeUnwanted) {
    Watched w(loop());
    w.connection().setWriteCompleteWanted(false);
    w.peer.start();
    w.connection().send("direct");
    w.peer.settle();
    w.transport().blockWrites();
    w.connection().send("queued");
    w.peer.settle();
    w.transport().unblockWrites();
    EXPECT_EQ(w.peer.collect(), "directqueued");
    EXPECT_EQ(w.log.events, Events{Conn_EstablishedEvent});
    w.connection().send("bye");
    w.connection().shutDown();
    w.peer.settle();
    EXPECT_EQ(w.log.events, (Events{Conn_EstablishedEvent, Conn_CloseEvent}));
}

TEST_F(ConnectionTest, CloseBetweenTheWriteAndItsEventCancelsTheEvent) {
    Watched w(loop());
    w.peer.start();
    w.connection().send("x");
    w.connection().close();
    w.peer.settle();
    EXPECT_EQ(w.log.events, (Events{Conn_EstablishedEvent, Conn_CloseEvent}));
}

// --- Files ---

TEST_F(ConnectionTest, SendFileOverARealSocket) {
    const std::string content = pattern(3 << 20);
    SocketPair pair = makeTcpPair();
    EventLog log;
    const auto connection = startConnection(std::move(pair.ours), log.callback());
    connection->send("head;");
    connection->sendFile(makeFile(content), 1000, content.size() - 2000);
    connection->send(";tail");
    connection->shutDown();
    std::string received;
    std::thread reader([&, client = std::make_shared<BlockingClient>(std::move(pair.peers))] {
        received = client->receiveAll();
    });
    EXPECT_TRUE(runUntil([&] { return log.has(Conn_CloseEvent); }));
    reader.join();
    EXPECT_EQ(received.size(), content.size() - 2000 + 10);
    EXPECT_EQ(received, "head;" + content.substr(1000, content.size() - 2000) + ";tail");
}

TEST_F(ConnectionTest, AFileThatIsShorterThanPromisedFailsTheConnection) {
    SocketPair pair = makeTcpPair();
    EventLog log;
    const auto connection = startConnection(std::move(pair.ours), log.callback());
    const SharedFilePtr_t file = makeFile(pattern(5000));
    ASSERT_EQ(::ftruncate(file->get(), 3000), 0);
    connection->sendFile(file, 0, 5000);
    connection->send("never seen as if it were the file's last bytes");
    ASSERT_TRUE(runUntil([&] { return log.has(Conn_CloseEvent); }));
    EXPECT_EQ(log.events, (Events{Conn_EstablishedEvent, Conn_ErrorEvent, Conn_CloseEvent}));
    EXPECT_EQ(log.error, std::errc::io_error);
    EXPECT_EQ(BlockingClient(std::move(pair.peers)).receiveAll(), pattern(3000));
    EXPECT_EQ(file.use_count(), 1);
}

TEST_F(ConnectionTest, AFileCannotBeSentToAVanishedPeer) {
    SocketPair pair = makeTcpPair();
    EventLog log;
    const auto connection = startConnection(std::move(pair.ours), log.callback());
    const std::string content = pattern(8 << 20);
    connection->sendFile(makeFile(content), 0, content.size());
    BlockingClient(std::move(pair.peers)).reset();
    ASSERT_TRUE(runUntil([&] { return log.has(Conn_CloseEvent); }));
    EXPECT_EQ(log.count(Conn_ErrorEvent), 1U);
}

// --- Waiting for the other direction, as TLS does ---

TEST_F(ConnectionTest, AReadThatWantsWriteWaitsForAWritableSocket) {
    Watched w(loop());
    w.peer.start();
    w.transport().blockWrites();
    w.transport().feedWantWrite();
    w.peer.feed("after").settle();
    EXPECT_EQ(w.transport().readCalls(), 1U);
    runRounds(100);
    EXPECT_EQ(w.transport().readCalls(), 1U) << "spins on a readable socket";
    w.transport().unblockWrites();
    w.peer.settle();
    EXPECT_EQ(w.log.bytes, "after");
}

TEST_F(ConnectionSeamTest, AWriteThatWantsReadWaitsForAReadableSocket) {
    Watched w(loop());
    w.peer.start();
    w.transport().onWrite(ScriptedTransport::wantsRead());
    w.connection().send("later");
    w.peer.settle();
    EXPECT_EQ(w.transport().writeCalls(), 1U);
    runRounds(100);
    EXPECT_EQ(w.transport().writeCalls(), 1U) << "spins on a writable socket";
    w.transport().becomeReadable();
    EXPECT_EQ(w.peer.collect(), "later");
    EXPECT_EQ(w.log.count(Conn_WriteCompleteEvent), 1U);
}

TEST_F(ConnectionSeamTest, AQueuedWriteThatWantsReadWaitsForAReadableSocket) {
    Watched w(loop());
    w.peer.start();
    w.transport().onWrite(ScriptedTransport::takes(2));
    w.transport().onWrite(ScriptedTransport::wantsRead());
    w.connection().send("later");
    w.peer.settle();
    EXPECT_EQ(w.transport().writeCalls(), 2U);
    runRounds(100);
    EXPECT_EQ(w.transport().writeCalls(), 2U) << "spins on a writable socket";
    w.transport().becomeReadable();
    EXPECT_EQ(w.peer.collect(), "later");
}

TEST_F(ConnectionSeamTest, AWriteThatWantsReadGoesOnWhileReadingIsPaused) {
    Watched w(loop());
    w.peer.start();
    w.connection().pauseReading();
    w.transport().onWrite(ScriptedTransport::wantsRead());
    w.connection().send("later");
    w.peer.settle();
    w.transport().becomeReadable();
    EXPECT_EQ(w.peer.collect(), "later");
    EXPECT_EQ(w.transport().readCalls(), 0U);
}

// --- Handshake ---

TEST_F(ConnectionSeamTest, AHandshakeInPiecesIsEstablishedOnce) {
    Watched w(loop());
    for (int i = 0; i < 3; ++i) w.transport().onHandshake(ScriptedTransport::wantsRead());
    w.transport().onHandshake(ScriptedTransport::wantsWrite());
    w.transport().onHandshake(ScriptedTransport::wantsRead());
    w.peer.start();
    EXPECT_EQ(w.transport().calls(), 1U);
    w.peer.settle();
    EXPECT_EQ(w.transport().calls(), 1U) << "called again before the socket was readable";
    w.transport().becomeReadable();
    w.peer.settle();
    w.transport().becomeReadable();
    w.peer.settle();
    EXPECT_TRUE(w.log.events.empty());
    EXPECT_EQ(w.connection().state(), ConnState::Connecting);
    w.transport().becomeReadable();  // wants write: the socket is writable, so the next call follows
    w.peer.settle();
    EXPECT_EQ(w.transport().calls(), 5U);
    w.transport().becomeReadable();
    w.peer.settle();
    EXPECT_EQ(w.log.events, Events{Conn_EstablishedEvent});
    w.peer.feed("data").settle();
    EXPECT_EQ(w.log.bytes, "data");
}

TEST_F(ConnectionSeamTest, AHandshakeThatFailsIsOneErrorAndOneClose) {
    Watched w(loop());
    w.transport().onHandshake(ScriptedTransport::wantsRead());
    w.transport().onHandshake(ScriptedTransport::fails(std::errc::protocol_error));
    w.peer.start();
    w.transport().becomeReadable();
    w.peer.settle();
    EXPECT_EQ(w.log.events, (Events{Conn_ErrorEvent, Conn_CloseEvent}));
    EXPECT_EQ(w.log.error, std::errc::protocol_error);
}

TEST_F(ConnectionSeamTest, AHandshakeThatFailsAtOnceIsOneErrorAndOneClose) {
    Watched w(loop());
    w.transport().onHandshake(ScriptedTransport::fails(std::errc::protocol_error));
    w.peer.start();
    w.peer.settle();
    EXPECT_EQ(w.log.events, (Events{Conn_ErrorEvent, Conn_CloseEvent}));
}

TEST_F(ConnectionSeamTest, AnEndDuringTheHandshakeIsAReset) {
    Watched w(loop());
    w.transport().onHandshake({IoStatus::End, 0, {}});
    w.peer.start();
    w.peer.settle();
    EXPECT_EQ(w.log.events, (Events{Conn_ErrorEvent, Conn_CloseEvent}));
    EXPECT_EQ(w.log.error, std::errc::connection_reset);
}

TEST_F(ConnectionTest, ShutDownDuringTheHandshakeClosesAtOnce) {
    Watched w(loop());
    w.startHandshake();
    w.connection().send("never");
    w.connection().shutDown();
    EXPECT_EQ(w.connection().state(), ConnState::Disconnected);
    w.peer.settle();
    EXPECT_EQ(w.log.events, Events{Conn_CloseEvent});
    EXPECT_EQ(w.peer.takeWritten(), "");
}

TEST_F(ConnectionTest, SendsDuringTheHandshakeLeaveWhenItIsComplete) {
    Watched w(loop());
    w.startHandshake();
    EXPECT_EQ(w.connection().send("early ").queuedBytes, 6U);
    EXPECT_EQ(w.connection().send("birds").queuedBytes, 11U);
    w.peer.settle();
    EXPECT_EQ(w.peer.takeWritten(), "");
    w.finishHandshake();
    EXPECT_EQ(w.peer.collect(), "early birds");
    EXPECT_EQ(w.log.events, (Events{Conn_EstablishedEvent, Conn_WriteCompleteEvent}));
    EXPECT_EQ(w.transport().writes().size(), ScriptedPeer::isSecure() ? 0U : 1U)
        << "counted after the handshake";
}

// The client's first request may come in the same segment as the last bytes of its handshake.
TEST_F(ConnectionSeamTest, InputThatCameWithTheHandshakeIsRead) {
    Watched w(loop());
    w.transport().onHandshake(ScriptedTransport::wantsRead());
    w.peer.start();
    w.transport().becomeReadable();
    w.transport().feed("?", 1);  // one byte on the socket, taken by the handshake below
    w.peer.settle();
    EXPECT_EQ(w.log.bytes, "?");
}

TEST_F(ConnectionTest, FailConnectingIsForConnectingOnesOnly) {
    Watched w(loop());
    w.startHandshake();
    w.connection().failConnecting(std::make_error_code(std::errc::timed_out));
    w.peer.settle();
    EXPECT_EQ(w.log.events, (Events{Conn_ErrorEvent, Conn_CloseEvent}));
    EXPECT_EQ(w.log.error, std::errc::timed_out);

    Watched other(loop());
    other.peer.start();
    other.connection().failConnecting(std::make_error_code(std::errc::timed_out));
    other.peer.settle();
    EXPECT_TRUE(other.connection().isConnected());
}

// --- Ending ---

TEST_F(ConnectionTest, ThePeersEndDeliversWhatIsQueuedAndCloses) {
    Watched w(loop());
    w.peer.start();
    w.transport().blockWrites();
    w.connection().send("answer");
    w.peer.feedEnd().settle();
    EXPECT_EQ(w.connection().state(), ConnState::Disconnecting);
    w.transport().unblockWrites();
    EXPECT_EQ(w.peer.collect(), "answer");
    EXPECT_EQ(w.log.events, (Events{Conn_EstablishedEvent, Conn_CloseEvent}));
}

TEST_F(ConnectionTest, HalfCloseByThePeerIsOneEmptyReadAndSendingGoesOn) {
    Watched w(loop());
    w.connection().setHalfCloseAllowed(true);
    w.peer.start();
    w.peer.feed("request").feedEnd().settle();
    EXPECT_EQ(w.log.count(Conn_ReadEvent), 2U);
    EXPECT_TRUE(w.connection().isConnected());
    const size_t before = w.transport().calls();
    runRounds(100);
    EXPECT_EQ(w.transport().calls(), before) << "spins on the end of the stream";
    w.connection().send("answer");
    EXPECT_EQ(w.peer.collect(), "answer");
    w.connection().shutDownWrite();
    w.peer.settle();
    EXPECT_TRUE(w.transport().isWriteEnded());
    EXPECT_EQ(w.log.events.back(), Conn_CloseEvent) << "both directions have ended";
    EXPECT_EQ(w.log.count(Conn_CloseEvent), 1U);
}

TEST_F(ConnectionTest, HalfCloseByUsDeliversFirstAndReadingGoesOn) {
    Watched w(loop());
    w.peer.start();
    w.peer.withholdEnd();
    w.transport().blockWrites();
    w.connection().send("request");
    w.connection().shutDownWrite();
    EXPECT_EQ(w.connection().send("more").status, SendStatus::Closed);
    w.peer.settle();
    EXPECT_FALSE(w.transport().isWriteEnded());
    w.transport().unblockWrites();
    EXPECT_EQ(w.peer.collect(), "request");
    EXPECT_TRUE(w.transport().isWriteEnded());
    EXPECT_TRUE(w.connection().isConnected());
    w.peer.feed("answer").settle();
    EXPECT_EQ(w.log.bytes, "answer");
    w.peer.feedEnd().settle();
    EXPECT_EQ(w.log.events.back(), Conn_CloseEvent);
    EXPECT_FALSE(w.log.has(Conn_ErrorEvent));
}

TEST_F(ConnectionTest, HalfCloseOverARealSocketBothWays) {
    SocketPair pair = makeTcpPair();
    BlockingClient peer(std::move(pair.peers));
    EventLog log;
    auto connection = std::make_shared<Connection>(loop(), std::move(pair.ours), plainTransport(),
                                                   Connection::Origin::Accepted);
    connection->setHalfCloseAllowed(true);
    connection->setEventCallback(log.callback());
    connection->start();
    peer.send("in");
    peer.shutDownWrite();
    ASSERT_TRUE(runUntil([&] { return log.count(Conn_ReadEvent) == 2; }));
    runRounds(20);
    EXPECT_TRUE(connection->isConnected());
    connection->send("out");
    connection->shutDownWrite();
    EXPECT_EQ(peer.receiveAll(), "out");
    ASSERT_TRUE(runUntil([&] { return log.has(Conn_CloseEvent); }));
    EXPECT_FALSE(log.has(Conn_ErrorEvent));
}

TEST_F(ConnectionSeamTest, EndWriteThatWantsWriteIsTriedAgain) {
    Watched w(loop());
    w.peer.start();
    w.transport().blockWrites();
    w.transport().onEndWrite(ScriptedTransport::wantsWrite());
    w.connection().shutDownWrite();
    w.peer.settle();
    EXPECT_FALSE(w.transport().isWriteEnded());
    const size_t before = w.transport().calls();
    runRounds(50);
    EXPECT_EQ(w.transport().calls(), before);
    w.transport().unblockWrites();
    w.peer.settle();
    EXPECT_TRUE(w.transport().isWriteEnded());
}

TEST_F(ConnectionSeamTest, ATransportMayWantAGracefulEnd) {
    Watched w(loop());
    w.transport().setGracefulEnd(true);
    w.peer.start();
    w.connection().send("bye");
    w.connection().shutDown();
    w.peer.settle();
    EXPECT_TRUE(w.transport().isWriteEnded());
    EXPECT_EQ(w.connection().state(), ConnState::Disconnecting);
    w.peer.feed("dropped").feedEnd().settle();
    EXPECT_EQ(w.connection().state(), ConnState::Disconnected);
    EXPECT_EQ(w.log.bytes, "");
    EXPECT_FALSE(w.log.has(Conn_ErrorEvent));
}

// While the peer's end is awaited, a record that carries several pieces of input was left in the
// transport after its first piece: nobody asked for pending input any more, the socket stayed silent,
// and the connection hung until its time was over.
TEST_F(ConnectionSeamTest, ThePeersEndIsFoundBehindInputThatIsAlreadyDecrypted) {
    Watched w(loop());
    w.transport().setGracefulEnd(true);
    w.peer.start();
    w.connection().shutDown();
    w.peer.settle();
    w.peer.feed("abcdef", 1, ScriptedPeer::Arrival::Buffered).feedEnd().settle();
    EXPECT_EQ(w.connection().state(), ConnState::Disconnected);
    EXPECT_EQ(w.log.events, (Events{Conn_EstablishedEvent, Conn_CloseEvent}));
}

TEST_F(ConnectionTest, ShutDownDropsInputAndRefusesSends) {
    Watched w(loop());
    w.peer.start();
    w.transport().blockWrites();
    w.connection().send("queued");
    w.connection().shutDown(seconds(3));
    EXPECT_EQ(w.connection().state(), ConnState::Disconnecting);
    EXPECT_FALSE(w.connection().isConnected());
    EXPECT_EQ(w.connection().send("more").status, SendStatus::Closed);
    w.peer.feed("dropped").settle();
    EXPECT_EQ(w.transport().readCalls(), 0U);
    EXPECT_FALSE(w.log.has(Conn_ReadEvent));
    advance(milliseconds(2999));
    EXPECT_EQ(w.connection().state(), ConnState::Disconnecting);
    advance(milliseconds(1));
    EXPECT_EQ(w.connection().state(), ConnState::Disconnected);
    EXPECT_EQ(w.log.events, (Events{Conn_EstablishedEvent, Conn_CloseEvent}));
}

TEST_F(ConnectionTest, ShutDownInsideAReadEventDeliversItsAnswer) {
    EventLog log;
    ScriptedPeer peer(loop());
    peer.connection()->setEventCallback([&](const ConnectionPtr_t& c, ConnEvent event, const void* context) {
        log.record(event, context);
        if (event != Conn_ReadEvent) return;
        c->send("one ");
        c->send("two");
        c->shutDown();
        EXPECT_EQ(c->state(), ConnState::Disconnecting);
    });
    peer.start();
    peer.feed("request").feed("dropped");
    EXPECT_EQ(peer.collectUntilClosed(), "one two");
    EXPECT_EQ(log.bytes, "request");
    EXPECT_EQ(log.events.back(), Conn_CloseEvent);
    EXPECT_FALSE(log.has(Conn_ErrorEvent));
}

TEST_F(ConnectionTest, TheSecondShutDownChangesNothing) {
    Watched w(loop());
    w.peer.start();
    w.transport().blockWrites();
    w.connection().send("queued");
    w.connection().shutDown(seconds(3));
    w.connection().shutDown(seconds(100));
    w.peer.settle();
    advance(seconds(3));
    EXPECT_EQ(w.log.count(Conn_CloseEvent), 1U);
}

// Every byte that the peer took was taken for a reason to wait as long again: a peer that takes one byte at a time
// held the connection, and what was queued, for ever.
TEST_F(ConnectionTest, APeerThatTakesNextToNothingAfterShutDownIsReset) {
    Watched w(loop());
    w.peer.start();
    w.transport().blockWrites();
    w.connection().send(std::string(100'000, 'x'));
    w.connection().shutDown(seconds(3));
    for (int i = 0; i < 2; ++i) {
        advance(seconds(1));
        EXPECT_EQ(w.connection().state(), ConnState::Disconnecting);
        w.transport().onWrite(ScriptedTransport::takes(300));
        w.transport().unblockWrites();
        runRounds(1);
        w.transport().blockWrites();
    }
    advance(seconds(1));
    EXPECT_EQ(w.connection().state(), ConnState::Disconnected);
    EXPECT_EQ(w.log.events.back(), Conn_CloseEvent);
}

TEST_F(ConnectionTest, APeerThatTakesSomeAfterShutDownGetsAll) {
    Watched w(loop());
    w.peer.start();
    w.transport().blockWrites();
    w.connection().send(std::string(10'000, 'x'));
    w.connection().shutDown(seconds(3));
    for (int i = 0; i < 9; ++i) {
        advance(seconds(2));
        ASSERT_EQ(w.connection().state(), ConnState::Disconnecting) << i;
        w.transport().onWrite(ScriptedTransport::takes(1'000));
        w.transport().unblockWrites();
        runRounds(1);
        w.transport().blockWrites();
    }
    w.transport().unblockWrites();
    EXPECT_EQ(w.peer.collectUntilClosed().size(), 10'000U);
}

TEST_F(ConnectionTest, TheSendTimeoutBeginsWhenSomethingIsQueued) {
    Watched w(loop());
    w.peer.start();
    w.connection().setSendTimeout(seconds(3));
    advance(seconds(100));
    w.connection().send("taken");
    advance(seconds(100));
    w.transport().blockWrites();
    w.connection().send("queued");
    runRounds(1);
    advance(milliseconds(2999));
    EXPECT_TRUE(w.connection().isConnected());
    w.transport().unblockWrites();
    runRounds(1);
    w.transport().blockWrites();
    w.connection().send("queued anew");
    runRounds(1);
    advance(milliseconds(2999));
    EXPECT_TRUE(w.connection().isConnected());
    advance(seconds(3));
    EXPECT_FALSE(w.connection().isConnected());
}

// As an upgrade does while an answer is still queued: the timer that was running took the zero for the time
// that was over.
TEST_F(ConnectionTest, ASendTimeoutThatIsSwitchedOffResetsNobody) {
    Watched w(loop());
    w.peer.start();
    w.connection().setSendTimeout(seconds(3));
    w.transport().blockWrites();
    w.connection().send("queued");
    w.connection().setSendTimeout(milliseconds::zero());
    advance(seconds(100));
    EXPECT_TRUE(w.connection().isConnected());
    // And on again: it counts from then on.
    w.connection().setSendTimeout(seconds(3));
    w.connection().send("more");
    advance(milliseconds(2999));
    EXPECT_TRUE(w.connection().isConnected());
    advance(seconds(4));
    EXPECT_FALSE(w.connection().isConnected());
}

// Milliseconds become nanoseconds, and max() of them is a million times more than the clock can count.
TEST_F(ConnectionTest, DurationsSaturate) {
    constexpr auto kYear = std::chrono::hours(24 * 365);
    for (const milliseconds never :
         {milliseconds::max(), milliseconds::zero(), milliseconds(-1), milliseconds::min()}) {
        SCOPED_TRACE(never.count());
        Watched connecting(loop());
        connecting.startHandshake();
        connecting.connection().limitConnecting(never);
        Watched sending(loop());
        sending.peer.start();
        sending.connection().setSendTimeout(never);
        sending.transport().blockWrites();
        sending.connection().send("queued");
        runRounds();
        advance(kYear);
        advance(kYear);
        EXPECT_EQ(connecting.connection().state(), ConnState::Connecting);
        EXPECT_TRUE(sending.connection().isConnected());
        sending.connection().shutDown(never);
        runRounds();
        advance(kYear);
        EXPECT_EQ(sending.connection().state() == ConnState::Disconnected, never != milliseconds::max());
    }
}

// --- Gone is what the peer acknowledges ---

// A client whose link is down: the kernel takes what little it is sent, so nothing is ever queued, and gives
// up after a quarter of an hour.
TEST_F(ConnectionSeamTest, APeerThatAcknowledgesNothingIsFoundThoughNothingIsQueued) {
    for (const bool isInherited : {true, false}) {
        SCOPED_TRACE(isInherited);
        const auto listener = listenOn(*Address::parse("127.0.0.1:0"));
        ASSERT_TRUE(listener);
        if (isInherited) {
            EXPECT_TRUE(setAcknowledgeTimeout(listener->get(), milliseconds(300)));
        }
        const BlockingClient peer = BlockingClient::connectTo(localAddress(listener->get()));
        FileDescriptor ours;
        ASSERT_TRUE(runUntil([&] {
            ours = FileDescriptor(::accept4(listener->get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
            return ours.valid();
        }));
        EventLog log;
        const auto connection = startConnection(std::move(ours), log.callback());
        if (!isInherited) {
            EXPECT_TRUE(connection->setAcknowledgeTimeout(milliseconds(300)));
        }
        // As good as a link that is down: not a packet more is taken by the peer's kernel.
        const int little = 4096;
        ::setsockopt(peer.fd(), SOL_SOCKET, SO_RCVBUF, &little, sizeof(little));
        const int enough = 400'000;
        ::setsockopt(connection->fd(), SOL_SOCKET, SO_SNDBUF, &enough, sizeof(enough));
        connection->send(std::string(100'000, 'x'));
        EXPECT_TRUE(connection->flush());
        EXPECT_FALSE(connection->isSending());
        ASSERT_TRUE(runUntil([&] { return log.has(Conn_CloseEvent); }));
        EXPECT_EQ(log.error, std::errc::timed_out);
    }
}

TEST_F(ConnectionTest, TheAcknowledgeTimeoutIsTcps) {
    SocketPair pair = makeTcpPair();
    const auto timeoutOf = [](int fd) {
        unsigned int millis = 0;
        socklen_t size = sizeof(millis);
        EXPECT_EQ(::getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &millis, &size), 0);
        return millis;
    };
    EXPECT_TRUE(setAcknowledgeTimeout(pair.ours.get(), seconds(60)));
    EXPECT_EQ(timeoutOf(pair.ours.get()), 60'000U);
    for (const milliseconds never : {milliseconds::max(), milliseconds::zero(), milliseconds::min()}) {
        EXPECT_TRUE(setAcknowledgeTimeout(pair.ours.get(), seconds(1)));
        EXPECT_TRUE(setAcknowledgeTimeout(pair.ours.get(), never));
        EXPECT_EQ(timeoutOf(pair.ours.get()), 0U);
    }
    Watched w(loop());  // on a Unix socket
    w.peer.start();
    EXPECT_FALSE(w.connection().setAcknowledgeTimeout(seconds(1)));
}

// --- Closed ---

// A connection that was closed and is still referred to held TLS's keys and buffers; in a static, until after the
// thread's caches, which they belong to, were gone.
TEST_F(ConnectionTest, AClosedConnectionGivesItsTransportUp) {
    struct Observer final : ConnectionObserver {
        void onConnectionClosed(const Connection& connection) override {
            EXPECT_NE(connection.transport(), nullptr);
            ++calls;
        }
        int calls = 0;
    };
    Observer observer;
    ScriptedPeer peer(loop());
    peer.connection()->setObserver(&observer);
    bool isToldToCallback = false;
    peer.connection()->setEventCallback([&](const ConnectionPtr_t& c, ConnEvent event, const void*) {
        if (event == Conn_CloseEvent) isToldToCallback = c->transport() != nullptr;
    });
    peer.start();
    peer.connection()->close();
    EXPECT_FALSE(peer.transport().isReleased());
    peer.settle();
    EXPECT_TRUE(isToldToCallback);
    EXPECT_EQ(observer.calls, 1);
    EXPECT_TRUE(peer.transport().isReleased());
    EXPECT_EQ(peer.connection()->transport(), nullptr);
    EXPECT_FALSE(peer.connection()->hasInput());
    peer.connection()->resumeReading();
    peer.connection()->redeliver("late");
    peer.connection()->shutDown();
    peer.settle();
}

TEST_F(ConnectionTest, AClosedConnectionIsInert) {
    Watched w(loop());
    w.peer.start();
    w.connection().close();
    w.connection().close();
    w.peer.settle();
    EXPECT_EQ(w.connection().send("x").status, SendStatus::Closed);
    EXPECT_EQ(w.connection().send(std::string("x")).status, SendStatus::Closed);
    EXPECT_EQ(w.connection().send(share("x")).status, SendStatus::Closed);
    EXPECT_EQ(w.connection().sendFile(makeFile("x"), 0, 1).status, SendStatus::Closed);
    EXPECT_FALSE(w.connection().flush());
    w.connection().shutDown();
    w.connection().shutDownWrite();
    w.connection().pauseReading();
    w.connection().resumeReading();
    w.connection().failConnecting(std::make_error_code(std::errc::timed_out));
    w.connection().start();
    w.peer.settle();
    EXPECT_EQ(w.log.events, (Events{Conn_EstablishedEvent, Conn_CloseEvent}));
    EXPECT_EQ(w.connection().localAddress().family(), AF_UNSPEC);
    EXPECT_EQ(w.peer.takeWritten(), "");
}

TEST_F(ConnectionTest, AbortResetsThePeer) {
    SocketPair pair = makeTcpPair();
    EventLog log;
    const auto connection = startConnection(std::move(pair.ours), log.callback());
    connection->send("half an ans");
    connection->flush();
    BlockingClient peer(std::move(pair.peers));
    EXPECT_EQ(peer.receive(11), "half an ans");
    connection->abort();
    connection->abort();
    EXPECT_TRUE(peer.isReset());
    runRounds();
    EXPECT_EQ(log.events, (Events{Conn_EstablishedEvent, Conn_CloseEvent}));
}

TEST_F(ConnectionTest, ClosedBeforeItStarted) {
    Watched w(loop());
    w.connection().close();
    w.peer.start();
    w.peer.settle();
    EXPECT_EQ(w.log.events, Events{Conn_CloseEvent});
}

TEST_F(ConnectionTest, TheCallbackAndWhatItOwnsGoAfterTheClose) {
    auto owned = std::make_shared<int>(1);
    const std::weak_ptr<int> watched = owned;
    ScriptedPeer peer(loop());
    peer.connection()->setEventCallback(
        [owned = std::move(owned)](const ConnectionPtr_t&, ConnEvent, const void*) { EXPECT_EQ(*owned, 1); });
    peer.start();
    EXPECT_FALSE(watched.expired());
    peer.connection()->close();
    peer.settle();
    EXPECT_TRUE(watched.expired());
}

// A callback that holds its own connection is a cycle; closing breaks it.
TEST_F(ConnectionTest, ACallbackThatHoldsItsConnectionIsNoLeak) {
    WeakConnectionPtr_t watched;
    {
        SocketPair pair = makeSocketPair();
        auto connection = std::make_shared<Connection>(loop(), std::move(pair.ours), plainTransport(),
                                                       Connection::Origin::Accepted);
        connection->setEventCallback([connection](const ConnectionPtr_t&, ConnEvent, const void*) {});
        connection->start();
        watched = connection;
    }
    EXPECT_FALSE(watched.expired());
    runRounds();  // the peer has closed
    EXPECT_TRUE(watched.expired());
}

class CountingObserver final : public ConnectionObserver {
public:
    explicit CountingObserver(const EventLog& log) : m_log(log) {}
    void onConnectionClosed(const Connection&) override {
        ++calls;
        EXPECT_TRUE(m_log.has(Conn_CloseEvent)) << "told before the callback";
    }
    int calls = 0;

private:
    const EventLog& m_log;
};

TEST_F(ConnectionTest, TheObserverIsToldOnceAfterTheClose) {
    Watched w(loop());
    CountingObserver observer(w.log);
    w.connection().setObserver(&observer);
    w.peer.start();
    EXPECT_EQ(observer.calls, 0);
    w.connection().close();
    w.peer.settle();
    EXPECT_EQ(observer.calls, 1);
}

TEST_F(ConnectionTest, TheLoopsEndClosesWhatIsOpen) {
    EventLog plain;
    EventLog shutting;
    EventLog connecting;
    SocketPair a = makeSocketPair();
    SocketPair b = makeSocketPair();
    SocketPair c = makeSocketPair();
    startConnection(std::move(a.ours), plain.callback());
    const auto second = startConnection(std::move(b.ours), shutting.callback());
    second->send(std::string(10 << 20, 'x'));
    second->shutDown();
    const auto transport = ScriptedTransport::create();
    transport->onHandshake(ScriptedTransport::wantsRead());
    auto third = std::make_shared<Connection>(loop(), transport->takeSocket(), transport->handOut(),
                                              Connection::Origin::Accepted);
    third->setEventCallback(connecting.callback());
    third->start();
    runRounds();
    destroyLoop();
    EXPECT_EQ(plain.events, (Events{Conn_EstablishedEvent, Conn_CloseEvent}));
    EXPECT_EQ(shutting.events, (Events{Conn_EstablishedEvent, Conn_CloseEvent}));
    EXPECT_EQ(connecting.events, Events{Conn_CloseEvent});
    EXPECT_EQ(second->state(), ConnState::Disconnected);
}

// --- Observing ---

TEST_F(ConnectionTest, LastActivityIsTheLastByteEitherWay) {
    Watched w(loop());
    w.peer.start();
    const TimePoint start = clock().now();
    advance(seconds(1));
    EXPECT_EQ(w.connection().lastActivity(), start);
    w.peer.feed("in").settle();
    EXPECT_EQ(w.connection().lastActivity(), start + seconds(1));
    advance(seconds(1));
    w.connection().send("out");
    w.peer.settle();
    EXPECT_EQ(w.connection().lastActivity(), start + seconds(2));
    advance(seconds(1));
    w.transport().feedWantRead();
    w.transport().blockWrites();
    w.connection().send("stuck");
    w.peer.settle();
    EXPECT_EQ(w.connection().lastActivity(), start + seconds(2)) << "nothing moved";
    advance(seconds(1));
    w.transport().unblockWrites();
    w.peer.settle();
    EXPECT_EQ(w.connection().lastActivity(), start + seconds(4));
}

TEST_F(ConnectionTest, KnowsBothAddresses) {
    SocketPair pair = makeTcpPair();
    const Address ours = localAddress(pair.ours.get());
    const Address theirs = localAddress(pair.peers.get());
    EventLog log;
    const auto connection = startConnection(std::move(pair.ours), log.callback());
    connection->setPeer(PeerAddress(theirs.data(), theirs.size()));
    EXPECT_EQ(connection->localAddress(), ours);
    EXPECT_EQ(connection->peer().toAddress(), theirs);
    EXPECT_EQ(PeerAddress().toAddress().toString(), "unix:");
    const Address v6 = *Address::parse("[::1]:80");
    EXPECT_EQ(PeerAddress(v6.data(), v6.size()).toAddress(), v6);
}

}  // namespace
}  // namespace tnet
