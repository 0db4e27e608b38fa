// The eight hazards that designs of this kind have bitten others with, each a test (and more than one
// where there is more than one way to be bitten). H7 is HTTP's; what a connection owes to it is here.
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/loop_fixture.h"
#include "tests/support/peer_security.h"
#include "tests/support/sanitizers.h"
#include "tests/support/scripted_peer.h"
#include "tests/support/scripted_transport.h"
#include "tnet/acceptor.h"
#include "tnet/connection.h"
#include "tnet/connector.h"
#include "tnet/log.h"
#include "tnet/stack_buffer.h"

namespace {

// What accept4 fails with instead of accepting; zero: it accepts. And how often it was called.
int acceptError = 0;
int acceptCalls = 0;

}  // namespace

// In place of the C library's.
int accept4(int fd, sockaddr* address, socklen_t* size, int flags) {
    ++acceptCalls;
    if (acceptError == 0) return static_cast<int>(::syscall(SYS_accept4, fd, address, size, flags));
    errno = acceptError;
    return -1;
}

namespace tnet {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Events = std::vector<ConnEvent>;

class HazardTest : public LoopTest {
protected:
    // Rounds that the loop makes in `time` of real time when it sleeps whenever it can. A loop that
    // spins makes thousands.
    int countRounds(milliseconds time) {
        int rounds = 0;
        const auto end = std::chrono::steady_clock::now() + time;
        while (std::chrono::steady_clock::now() < end) {
            loop()->runOnce(milliseconds(10));
            ++rounds;
        }
        return rounds;
    }
};

constexpr milliseconds kWatchTime{200};
constexpr int kRestfulRounds = 40;  // kWatchTime / 10 ms, and some

// --- H1 and H2: what a callback may do to its connection, in each of the seven events ---

std::string nameOf(ConnEvent event) {
    std::ostringstream out;
    PrintTo(event, &out);
    return out.str();
}

// A connection on a scripted transport whose life shows all seven events but those of other origins:
// Established, or Connecting and Connect; then Read, WriteComplete, Error, Close.
class EventHazardTest : public LoopTest, public ::testing::WithParamInterface<ConnEvent> {
protected:
    // Keeps no reference to the connection but what `callback` may keep.
    void open(ConnEventCallback_t callback, ConnectionPtr_t* keeper = nullptr) {
        const auto origin = GetParam() == Conn_ConnectingEvent ? Connection::Origin::Connecting
                            : GetParam() == Conn_ConnectEvent  ? Connection::Origin::Connected
                                                               : Connection::Origin::Accepted;
        m_security = PeerSecurity::create(origin);
        TransportPtr_t transport = m_transport->handOut();
        if (m_security) transport = m_security->over(std::move(transport));
        const auto connection =
            std::make_shared<Connection>(loop(), m_transport->takeSocket(), std::move(transport), origin);
        connection->setEventCallback(std::move(callback));
        m_weak = connection;
        if (keeper != nullptr) *keeper = connection;
        connection->start();
    }

    // Makes everything else happen.
    void live() {
        runRounds();
        if (m_security) shakeHands();
        if (const ConnectionPtr_t connection = m_weak.lock()) connection->send("out");
        feed("in");
        runRounds();
        m_transport->feedError();
        runRounds();
    }

    bool isGone() const { return m_weak.expired(); }

    void shakeHands() {
        for (int round = 0; round < 10; ++round) {
            m_security->receive(m_transport->takeWritten());
            m_transport->feed(m_security->takeOutput());
            runRounds(1);
        }
    }

    void feed(std::string_view bytes) {
        if (!m_security) return m_transport->feed(bytes);
        if (!m_security->isEstablished()) return;  // closed before it was
        m_security->send(bytes);
        m_transport->feed(m_security->takeOutput());
    }

    std::unique_ptr<PeerSecurity> m_security{};  // null: none
    std::shared_ptr<ScriptedTransport> m_transport = ScriptedTransport::create();
    WeakConnectionPtr_t m_weak;
};

INSTANTIATE_TEST_SUITE_P(Each, EventHazardTest,
                         ::testing::Values(Conn_EstablishedEvent, Conn_ConnectEvent, Conn_ConnectingEvent,
                                           Conn_ReadEvent, Conn_WriteCompleteEvent, Conn_ErrorEvent,
                                           Conn_CloseEvent),
                         [](const auto& instance) { return nameOf(instance.param); });

TEST_P(EventHazardTest, H1_ReplacesItsCallbackFromInsideItself) {
    const auto captured = std::make_shared<std::string>("still here");
    EventLog before;
    EventLog after;
    open([&, captured](const ConnectionPtr_t& c, ConnEvent event, const void* context) {
        before.record(event, context);
        if (event != GetParam()) return;
        c->setEventCallback(after.callback());
        EXPECT_EQ(*captured, "still here") << "destroyed while it ran";
        c->setEventCallback(after.callback());  // once more: the second one replaced does not run
    });
    live();
    ASSERT_FALSE(before.events.empty());
    EXPECT_EQ(before.events.back(), GetParam()) << "called after it was replaced";
    EXPECT_EQ(before.count(GetParam()), 1U);
    if (GetParam() != Conn_CloseEvent) {
        ASSERT_FALSE(after.events.empty());
        EXPECT_EQ(after.events.back(), Conn_CloseEvent);
        EXPECT_EQ(after.count(Conn_CloseEvent), 1U);
    } else {
        EXPECT_TRUE(after.events.empty());
    }
    EXPECT_EQ(captured.use_count(), 1) << "the replaced callback was never destroyed";
    EXPECT_TRUE(isGone());
}

// A lambda with two captures lies inside the std::function itself, not on the heap. Replacing the
// callback swapped the new one's captures into the place of the running one's, which went on with them.
TEST_P(EventHazardTest, H1_ASmallCallbackKeepsItsCapturesWhenItIsReplaced) {
    struct State {
        ConnEvent when;
        EventLog log{};
        EventLog later{};
    } state{GetParam()};
    int calls = 0;
    open([&state, &calls](const ConnectionPtr_t& c, ConnEvent event, const void* context) {
        if (event != state.when) return;
        c->setEventCallback(state.later.callback());
        ++calls;
        state.log.record(event, context);
    });
    live();
    EXPECT_EQ(calls, 1);
    EXPECT_EQ(state.log.events, Events{GetParam()});
    EXPECT_EQ(state.later.has(Conn_CloseEvent), GetParam() != Conn_CloseEvent);
}

// The destructor of what the old callback owned runs when the new one is in place already.
TEST_P(EventHazardTest, H1_WhatTheOldCallbackOwnedMayReplaceTheNewOneAsItGoes) {
    struct Layer {
        ~Layer() {
            if (const ConnectionPtr_t connection = weak.lock()) connection->setEventCallback(std::move(last));
        }
        WeakConnectionPtr_t weak{};
        ConnEventCallback_t last{};
    };
    EventLog last;
    auto layer = std::make_shared<Layer>();
    layer->last = last.callback();
    open([layer = std::move(layer)](const ConnectionPtr_t& c, ConnEvent event, const void*) {
        layer->weak = c;
        if (event == GetParam())
            c->setEventCallback([](const ConnectionPtr_t&, ConnEvent, const void*) { FAIL(); });
    });
    live();
    EXPECT_EQ(last.has(Conn_CloseEvent), GetParam() != Conn_CloseEvent);
    EXPECT_TRUE(isGone());
}

TEST_P(EventHazardTest, H1_ClearsItsCallbackFromInsideItself) {
    const auto captured = std::make_shared<std::string>("still here");
    EventLog log;
    open([&, captured](const ConnectionPtr_t& c, ConnEvent event, const void* context) {
        log.record(event, context);
        if (event != GetParam()) return;
        c->setEventCallback({});
        EXPECT_EQ(*captured, "still here") << "destroyed while it ran";
    });
    live();
    ASSERT_FALSE(log.events.empty());
    EXPECT_EQ(log.events.back(), GetParam());
    EXPECT_EQ(captured.use_count(), 1);
    EXPECT_TRUE(isGone());
}

TEST_P(EventHazardTest, H2_ClosesInside) {
    EventLog log;
    open([&](const ConnectionPtr_t& c, ConnEvent event, const void* context) {
        log.record(event, context);
        if (event != GetParam()) return;
        c->close();
        EXPECT_EQ(c->state(), ConnState::Disconnected);
        EXPECT_EQ(c->send("x").status, SendStatus::Closed);
        c->close();
    });
    live();
    EXPECT_EQ(log.count(GetParam()), 1U);
    EXPECT_EQ(log.events.back(), Conn_CloseEvent);
    EXPECT_EQ(log.count(Conn_CloseEvent), 1U);
    EXPECT_TRUE(isGone());
}

TEST_P(EventHazardTest, H2_ShutsDownInside) {
    EventLog log;
    open([&](const ConnectionPtr_t& c, ConnEvent event, const void* context) {
        log.record(event, context);
        if (event == GetParam()) c->shutDown();
    });
    live();
    EXPECT_EQ(log.count(GetParam()), 1U);
    EXPECT_EQ(log.events.back(), Conn_CloseEvent);
    EXPECT_EQ(log.count(Conn_CloseEvent), 1U);
    EXPECT_TRUE(isGone());
}

// The only reference outside the loop goes, with or without a close.
TEST_P(EventHazardTest, H2_DropsTheLastReferenceInside) {
    for (const bool closesFirst : {false, true}) {
        SCOPED_TRACE(closesFirst);
        m_transport = ScriptedTransport::create();
        EventLog log;
        ConnectionPtr_t keeper;
        open(
            [&](const ConnectionPtr_t& c, ConnEvent event, const void* context) {
                log.record(event, context);
                if (event != GetParam() || !keeper) return;
                if (closesFirst) c->close();
                keeper.reset();
                EXPECT_EQ(c->loop(), loop());
                c->send("x");
            },
            &keeper);
        live();
        EXPECT_GE(log.count(GetParam()), 1U);
        EXPECT_EQ(log.count(Conn_CloseEvent), 1U);
        EXPECT_TRUE(isGone());
    }
}

// The callback, its captures and the connection's last reference all go in one stroke.
TEST_P(EventHazardTest, H2_ClosesAndClearsAndDropsInside) {
    ConnectionPtr_t keeper;
    const auto captured = std::make_shared<std::string>("still here");
    int calls = 0;
    open(
        [&, captured](const ConnectionPtr_t& c, ConnEvent event, const void*) {
            if (event != GetParam()) return;
            ++calls;
            c->close();
            c->setEventCallback({});
            keeper.reset();
            EXPECT_EQ(*captured, "still here");
        },
        &keeper);
    live();
    EXPECT_EQ(calls, 1);
    EXPECT_EQ(captured.use_count(), 1);
    EXPECT_TRUE(isGone());
}

// One connection's callback closes another that has an event in the same batch.
TEST_F(HazardTest, H2_ClosesAnotherConnectionOfTheSameBatch) {
    ScriptedPeer a(loop());
    ScriptedPeer b(loop());
    int reads = 0;
    std::vector<ConnEvent> events;
    const auto closeBoth = [&](const ConnectionPtr_t&, ConnEvent event, const void*) {
        events.push_back(event);
        if (event != Conn_ReadEvent) return;
        ++reads;
        a.connection()->close();
        b.connection()->close();
    };
    a.connection()->setEventCallback(closeBoth);
    b.connection()->setEventCallback(closeBoth);
    a.start();
    b.start();
    a.feed("x");
    b.feed("x");
    a.settle();
    EXPECT_EQ(reads, 1);
    EXPECT_EQ(std::count(events.begin(), events.end(), Conn_CloseEvent), 2);
}

// --- H3: a descriptor's number is reused within one batch ---

// The same socket under the given number, which is free.
FileDescriptor renumbered(const FileDescriptor& socket, int number) {
    return FileDescriptor(::fcntl(socket.get(), F_DUPFD_CLOEXEC, number));
}

TEST_F(HazardTest, H3_AReusedDescriptorDoesNotGetTheOldOnesEvent) {
    for (const bool removesFirst : {true, false}) {
        SCOPED_TRACE(removesFirst ? "removeHandler, close" : "close, removeHandler");
        SocketPair pairs[2] = {makeSocketPair(), makeSocketPair()};
        SocketPair silent = makeSocketPair();
        FileDescriptor reused;
        int calls = 0;
        for (int self = 0; self < 2; ++self) {
            ASSERT_EQ(::send(pairs[self].peers.get(), "x", 1, 0), 1);
            ASSERT_FALSE(loop()->addHandler(pairs[self].ours.get(), TNET_READ, [&, self](uint32_t) {
                ++calls;
                loop()->removeHandler(pairs[self].ours.get());
                FileDescriptor& other = pairs[1 - self].ours;
                const int number = other.get();
                if (removesFirst) loop()->removeHandler(number);
                other.reset();
                if (!removesFirst) loop()->removeHandler(number);
                reused = renumbered(silent.ours, number);
                ASSERT_EQ(reused.get(), number);
                ASSERT_FALSE(loop()->addHandler(number, TNET_READ, [](uint32_t) {
                    FAIL() << "got the event of the descriptor that had its number before";
                }));
            }));
        }
        runRounds();
        EXPECT_EQ(calls, 1);
        loop()->removeHandler(reused.get());
    }
}

TEST_F(HazardTest, H3_ANewConnectionWithAnOldNumberDoesNotGetTheOldOnesEvent) {
    SocketPair pairs[2] = {makeSocketPair(), makeSocketPair()};
    ConnectionPtr_t connections[2];
    EventLog newLog;
    SocketPair silent = makeSocketPair();
    int reads = 0;
    for (int self = 0; self < 2; ++self) {
        const auto callback = [&, self](const ConnectionPtr_t&, ConnEvent event, const void*) {
            if (event != Conn_ReadEvent) return;
            ++reads;
            const int number = connections[1 - self]->fd();
            connections[1 - self]->close();
            FileDescriptor reused = renumbered(silent.ours, number);
            ASSERT_EQ(reused.get(), number);
            startConnection(std::move(reused), newLog.callback());
        };
        connections[self] = startConnection(std::move(pairs[self].ours), callback);
    }
    // Hung up: a stale event would read an end of stream, and close the new connection.
    for (SocketPair& pair : pairs) {
        ASSERT_EQ(::send(pair.peers.get(), "x", 1, 0), 1);
        pair.peers.reset();
    }
    runRounds();
    EXPECT_EQ(reads, 1);
    EXPECT_EQ(newLog.events, Events{Conn_EstablishedEvent});
    ASSERT_EQ(::send(silent.peers.get(), "mine", 4, MSG_NOSIGNAL), 4);
    ASSERT_TRUE(runUntil([&] { return newLog.bytes == "mine"; }));
}

// --- H4: Conn_WriteCompleteEvent ---

// What the kernel is asked to watch `fd` for: EPOLLIN and so on, read from /proc; nothing if no epoll
// descriptor of this process watches it.
std::optional<uint32_t> watchedEvents(int fd) {
    DIR* const directory = ::opendir("/proc/self/fdinfo");
    if (directory == nullptr) return std::nullopt;
    std::optional<uint32_t> events;
    while (const dirent* const entry = ::readdir(directory)) {
        std::ifstream info(std::string("/proc/self/fdinfo/") + entry->d_name);
        std::string word;
        while (info >> word) {
            int target = -1;
            std::string label;
            std::string mask;
            if (word != "tfd:" || !(info >> target >> label >> mask) || target != fd) continue;
            events = static_cast<uint32_t>(std::stoul(mask, nullptr, 16));
        }
    }
    ::closedir(directory);
    return events;
}

TEST_F(HazardTest, H4_WriteCompleteComesAfterTheInterestIsRight) {
    ScriptedPeer peer(loop());
    int completed = 0;
    const auto isWatchedForWrite = [&] {
        return (watchedEvents(peer.connection()->fd()).value() & EPOLLOUT) != 0;
    };
    peer.connection()->setEventCallback([&](const ConnectionPtr_t& c, ConnEvent event, const void*) {
        if (event != Conn_WriteCompleteEvent) return;
        EXPECT_FALSE(isWatchedForWrite()) << "TNET_WRITE is still registered";
        EXPECT_EQ(c->queuedBytes(), 0U);
        if (++completed > 1) return;
        // And a send that blocks from inside registers it again.
        peer.transport().blockWrites();
        c->send("again");
    });
    peer.start();
    peer.transport().blockWrites();
    peer.connection()->send("blocked");
    peer.settle();
    EXPECT_TRUE(isWatchedForWrite());
    peer.transport().unblockWrites();
    peer.settle();
    EXPECT_EQ(completed, 1);
    EXPECT_TRUE(isWatchedForWrite());
    peer.transport().unblockWrites();
    peer.settle();
    EXPECT_EQ(completed, 2);
    EXPECT_FALSE(isWatchedForWrite());
    EXPECT_EQ(peer.collect(), "blockedagain");
}

TEST_F(HazardTest, H4_ASendFromInsideDoesNotRecurse) {
    constexpr int kSends = 20'000;
    int depth = 0;
    int sends = 0;
    uintptr_t lowest = UINTPTR_MAX;
    uintptr_t highest = 0;
    ScriptedPeer peer(loop());  // whose end is told, too
    peer.connection()->setEventCallback([&](const ConnectionPtr_t& c, ConnEvent event, const void*) {
        EXPECT_EQ(++depth, 1) << "events nest";
        // Not the address of a local: AddressSanitizer may keep those on the heap.
        const auto frame = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
        lowest = std::min(lowest, frame);
        highest = std::max(highest, frame);
        if (event == Conn_WriteCompleteEvent && ++sends < kSends) c->send("x");
        --depth;
    });
    peer.start();
    peer.connection()->send("x");
    EXPECT_EQ(peer.collect().size(), size_t{kSends});
    EXPECT_LT(highest - lowest, 64U * 1024) << "the stack grows";
}

TEST_F(HazardTest, H4_ASendOnEveryWriteCompleteStarvesNobody) {
    SocketPair greedyPair = makeTcpPair();
    SocketPair echoPair = makeTcpPair();
    int completions = 0;
    const auto greedy = startConnection(std::move(greedyPair.ours),
                                        [&](const ConnectionPtr_t& c, ConnEvent event, const void*) {
                                            if (event != Conn_WriteCompleteEvent) return;
                                            ++completions;
                                            c->send("x");
                                        });
    startConnection(std::move(echoPair.ours),
                    [](const ConnectionPtr_t& c, ConnEvent event, const void* context) {
                        if (event == Conn_ReadEvent)
                            c->send(static_cast<const StackBuffer*>(context)->view());
                    });
    greedy->send("x");
    BlockingClient client(std::move(echoPair.peers));
    ASSERT_TRUE(client.send("ping"));
    int rounds = 0;
    bool ticked = false;
    loop()->runAfter(Duration::zero(), [&] { ticked = true; });
    char echoed[4];
    while (::recv(client.fd(), echoed, sizeof(echoed), MSG_DONTWAIT) < 4 && rounds < 1000) {
        loop()->runOnce(Duration::zero());
        ++rounds;
    }
    EXPECT_LT(rounds, 50);
    EXPECT_TRUE(ticked);
    EXPECT_GT(completions, 0);
    EXPECT_LE(completions, rounds + 1);
}

// --- H5: shutDown ---

TEST_F(HazardTest, H5_ShutDownDeliversWhatIsQueuedToASlowReader) {
    constexpr size_t kBytes = 20 << 20;
    SocketPair pair = makeTcpPair();
    EventLog log;
    const auto connection = startConnection(std::move(pair.ours), log.callback());
    EXPECT_GT(connection->send(std::string(kBytes, 'q')).queuedBytes, kBytes / 4);
    connection->shutDown(std::chrono::hours(1));
    EXPECT_EQ(connection->state(), ConnState::Disconnecting);
    size_t received = 0;
    std::vector<char> buffer(100'000);
    // The reader takes a little each time the loop comes to rest.
    ASSERT_TRUE(runUntil([&] {
        const ssize_t n = ::recv(pair.peers.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (n > 0) received += static_cast<size_t>(n);
        return n == 0;
    }));
    EXPECT_EQ(received, kBytes);
    EXPECT_EQ(log.events, (Events{Conn_EstablishedEvent, Conn_CloseEvent}));
}

TEST_F(HazardTest, H5_ShutDownDoesNotSpinOnInputThatNobodyReads) {
    SocketPair pair = makeTcpPair();
    EventLog log;
    const auto connection = startConnection(std::move(pair.ours), log.callback());
    connection->send(std::string(20 << 20, 'q'));
    connection->shutDown(seconds(5));
    BlockingClient client(std::move(pair.peers));
    ASSERT_TRUE(client.send(std::string(20'000, 'i')));
    EXPECT_LE(countRounds(kWatchTime), kRestfulRounds);
    EXPECT_EQ(connection->state(), ConnState::Disconnecting);
    EXPECT_FALSE(log.has(Conn_ReadEvent));
    advance(milliseconds(4999));
    EXPECT_EQ(connection->state(), ConnState::Disconnecting);
    advance(milliseconds(1));
    EXPECT_EQ(log.events, (Events{Conn_EstablishedEvent, Conn_CloseEvent})) << "its time is over";
}

TEST_F(HazardTest, H5_AReaderThatIsSlowButReadsIsGivenTime) {
    SocketPair pair = makeTcpPair();
    EventLog log;
    const auto connection = startConnection(std::move(pair.ours), log.callback());
    connection->send(std::string(20 << 20, 'q'));
    connection->shutDown(seconds(5));
    std::vector<char> buffer(100'000);
    for (int i = 0; i < 4; ++i) {
        size_t received = 0;
        ASSERT_TRUE(runUntil([&] {
            const ssize_t n = ::recv(pair.peers.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
            if (n > 0) received += static_cast<size_t>(n);
            return received > (3 << 20);
        }));
        advance(milliseconds(4000));
        ASSERT_EQ(connection->state(), ConnState::Disconnecting) << "given up after " << 4 * (i + 1) << " s";
    }
    ASSERT_GT(connection->queuedBytes(), 0U);
    advance(milliseconds(5000));
    EXPECT_EQ(connection->state(), ConnState::Disconnected) << "it has taken nothing for the whole time";
    EXPECT_FALSE(log.has(Conn_ErrorEvent));
}

// A server that answers without having read the whole request and closes makes the kernel answer the
// rest of the request with RST, which can destroy the answer before the client has read it.
TEST_F(HazardTest, H5_AwaitingThePeersEndSavesTheAnswerFromItsUnreadRequest) {
    const std::string answer(300'000, 'a');
    SocketPair pair = makeTcpPair();
    EventLog log;
    const auto connection = startConnection(
        std::move(pair.ours), [&](const ConnectionPtr_t& c, ConnEvent event, const void* context) {
            log.record(event, context);
            if (event != Conn_ReadEvent) return;
            c->send(answer);
            c->shutDown(seconds(5), Connection::PeerEnd::Await);
        });
    std::string received;
    bool endedCleanly = false;
    std::thread client([&, peer = BlockingClient(std::move(pair.peers))]() mutable {
        peer.send(std::string(2'000'000, 'r'));  // blocks until the server drops it
        received = peer.receive(answer.size());
        endedCleanly = peer.isAtEnd();
        peer.close();
    });
    EXPECT_TRUE(runUntil([&] { return log.has(Conn_CloseEvent); }));
    client.join();
    EXPECT_EQ(received.size(), answer.size());
    EXPECT_TRUE(endedCleanly) << "reset";
    EXPECT_FALSE(log.has(Conn_ErrorEvent));
    EXPECT_EQ(log.count(Conn_ReadEvent), 1U) << "input goes on after shutDown";
}

TEST_F(HazardTest, H5_AwaitingThePeersEndIsOverInTime) {
    SocketPair pair = makeTcpPair();
    EventLog log;
    const auto connection = startConnection(std::move(pair.ours), log.callback());
    connection->send("answer");
    connection->shutDown(seconds(5), Connection::PeerEnd::Await);
    BlockingClient client(std::move(pair.peers));
    EXPECT_EQ(client.receiveAll(), "answer");
    // The peer dribbles on and never ends.
    for (int i = 0; i < 49; ++i) {
        ASSERT_TRUE(client.send("more"));
        advance(milliseconds(100));
    }
    EXPECT_EQ(connection->state(), ConnState::Disconnecting);
    advance(milliseconds(100));
    EXPECT_EQ(log.count(Conn_CloseEvent), 1U);
    EXPECT_FALSE(log.has(Conn_ErrorEvent));
    EXPECT_FALSE(log.has(Conn_ReadEvent));
}

TEST_F(HazardTest, H5_AwaitingThePeersEndDoesNotSpin) {
    SocketPair pair = makeTcpPair();
    EventLog log;
    const auto connection = startConnection(std::move(pair.ours), log.callback());
    connection->shutDown(seconds(5), Connection::PeerEnd::Await);
    EXPECT_LE(countRounds(kWatchTime), kRestfulRounds);
    EXPECT_EQ(connection->state(), ConnState::Disconnecting);
}

// --- H6: connect ends in exactly one outcome ---

TEST_F(HazardTest, H6_ConnectInProgressSucceedsOnce) {
    auto listener = listenOn(Address::loopback(0));
    ASSERT_TRUE(listener.ok());
    EventLog log;
    Connector connector(loop());
    const auto connection = connector.connect(localAddress(listener->get()), log.callback());
    EXPECT_TRUE(log.events.empty()) << "told before connect returned";
    ASSERT_TRUE(runUntil([&] { return connection->isConnected(); }));
    advance(seconds(60));  // the timeout has nothing to say any more
    EXPECT_EQ(log.events, (Events{Conn_ConnectingEvent, Conn_ConnectEvent}));
}

TEST_F(HazardTest, H6_ConnectThatSucceedsAtOnceIsToldLater) {
    const Address address = *Address::parse("unix:@tnet-hazards-" + std::to_string(::getpid()));
    auto listener = listenOn(address);
    ASSERT_TRUE(listener.ok());
    EventLog log;
    Connector connector(loop());
    const auto connection = connector.connect(address, log.callback());
    EXPECT_TRUE(log.events.empty()) << "told before connect returned";
    runRounds();
    advance(seconds(60));
    EXPECT_EQ(log.events, Events{Conn_ConnectEvent});
    EXPECT_TRUE(connection->isConnected());
}

TEST_F(HazardTest, H6_RefusalIsOneErrorAndOneClose) {
    Address nobody;
    {
        auto listener = listenOn(Address::loopback(0));
        ASSERT_TRUE(listener.ok());
        nobody = localAddress(listener->get());
    }
    EventLog log;
    Connector connector(loop());
    connector.connect(nobody, log.callback());
    EXPECT_TRUE(log.events.empty());
    ASSERT_TRUE(runUntil([&] { return log.has(Conn_CloseEvent); }));
    advance(seconds(60));
    EXPECT_EQ(log.error, std::errc::connection_refused);
    EXPECT_EQ(log.count(Conn_ErrorEvent), 1U);
    EXPECT_EQ(log.count(Conn_CloseEvent), 1U);
    EXPECT_FALSE(log.has(Conn_ConnectEvent));
}

TEST_F(HazardTest, H6_TimeoutIsOneErrorAndOneClose) {
    const auto transport = ScriptedTransport::create();
    transport->onHandshake(ScriptedTransport::wantsRead());  // and nothing more ever comes
    auto listener = listenOn(Address::loopback(0));
    ASSERT_TRUE(listener.ok());
    EventLog log;
    Connector connector(loop(), {seconds(3), [&] { return transport->handOut(); }});
    const auto connection = connector.connect(localAddress(listener->get()), log.callback());
    ASSERT_TRUE(runUntil([&] { return transport->calls() > 0; }));
    advance(milliseconds(2999));
    EXPECT_EQ(log.events, Events{Conn_ConnectingEvent});
    advance(milliseconds(1));
    advance(seconds(60));
    EXPECT_EQ(log.events, (Events{Conn_ConnectingEvent, Conn_ErrorEvent, Conn_CloseEvent}));
    EXPECT_EQ(log.error, std::errc::timed_out);
}

TEST_F(HazardTest, H6_CancelIsOneClose) {
    auto listener = listenOn(Address::loopback(0));
    ASSERT_TRUE(listener.ok());
    EventLog log;
    Connector connector(loop());
    const auto connection = connector.connect(localAddress(listener->get()), log.callback());
    connection->close();
    runRounds();
    advance(seconds(60));
    EXPECT_EQ(log.events, Events{Conn_CloseEvent});
}

// --- H7: what follows an upgrade in the same packet (HTTP's tests have the whole story) ---

TEST_F(HazardTest, H7_LaterBytesGoToTheNewOwnerInOrder) {
    const std::string bytes = "upgrade!then other things";
    for (const size_t fragment : {1, 2, 3, 4, 5, 6, 7, 8, 16, 31}) {
        for (const auto arrival : {ScriptedPeer::Arrival::OnSocket, ScriptedPeer::Arrival::Buffered}) {
            SCOPED_TRACE(fragment);
            std::string before;
            EventLog after;
            ScriptedPeer peer(loop());
            peer.connection()->setEventCallback(
                [&](const ConnectionPtr_t& c, ConnEvent event, const void* context) {
                    if (event != Conn_ReadEvent) return;
                    before += static_cast<const StackBuffer*>(context)->view();
                    const size_t end = before.find('!');
                    if (end == std::string::npos) return;
                    // The new layer gets the rest of this read by hand, and all later ones by itself.
                    const std::string rest = before.substr(end + 1);
                    before.resize(end + 1);
                    c->setEventCallback(after.callback());
                    after.bytes += rest;
                });
            peer.start();
            peer.feed(bytes, fragment, arrival).settle();
            EXPECT_EQ(before, "upgrade!");
            EXPECT_EQ(after.bytes, "then other things");
        }
    }
}

// --- H8: out of descriptors ---

// Takes all descriptors of the process, up to a low limit, until destroyed.
class NoDescriptorsLeft {
public:
    NoDescriptorsLeft() {
        ::getrlimit(RLIMIT_NOFILE, &m_previous);
        rlimit low = m_previous;
        low.rlim_cur = 256;
        EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
        for (;;) {
            FileDescriptor taken(::open("/dev/null", O_RDONLY | O_CLOEXEC));
            if (!taken.valid()) break;
            m_taken.push_back(std::move(taken));
        }
    }
    ~NoDescriptorsLeft() {
        m_taken.clear();
        ::setrlimit(RLIMIT_NOFILE, &m_previous);
    }

    void giveOneBack() { m_taken.pop_back(); }

private:
    rlimit m_previous{};
    std::vector<FileDescriptor> m_taken;
};

class AcceptHazardTest : public HazardTest {
protected:
    AcceptHazardTest() {
        auto listener = listenOn(Address::loopback(0));
        EXPECT_TRUE(listener.ok());
        m_address = localAddress(listener->get());
        auto acceptor = Acceptor::create(loop(), std::move(*listener),
                                         [this](FileDescriptor socket, const sockaddr*, socklen_t) {
                                             m_accepted.push_back(std::move(socket));
                                         });
        EXPECT_TRUE(acceptor.ok());
        m_acceptor = std::move(*acceptor);
        m_logLevel = logger().level();
        logger().set_level(spdlog::level::off);  // it warns, rightly
    }
    ~AcceptHazardTest() override { logger().set_level(m_logLevel); }

    // The listener is as good as new.
    void expectThatItAccepts() {
        const size_t before = m_accepted.size();
        BlockingClient client = BlockingClient::connectTo(m_address);
        ASSERT_TRUE(runUntil([&] { return m_accepted.size() > before; })) << "the listener is lost";
        ASSERT_EQ(::send(m_accepted.back().get(), "served", 6, MSG_NOSIGNAL), 6);
        EXPECT_EQ(client.receive(6), "served");
    }

    Address m_address;
    std::unique_ptr<Acceptor> m_acceptor;
    std::vector<FileDescriptor> m_accepted;
    spdlog::level::level_enum m_logLevel;
};

TEST_F(AcceptHazardTest, H8_OutOfDescriptorsItNeitherSpinsNorGivesUp) {
    if (kHasAddressSanitizer)
        GTEST_SKIP() << "the sanitizers need descriptors themselves; the next test does without";
    BlockingClient first = BlockingClient::connectTo(m_address);
    BlockingClient second = BlockingClient::connectTo(m_address);
    ASSERT_TRUE(second.valid());
    {
        NoDescriptorsLeft noneLeft;
        EXPECT_LE(countRounds(kWatchTime), kRestfulRounds);
        for (int i = 0; i < 3; ++i) advance(Acceptor::kRetryPause);  // tries again, in vain
        EXPECT_LE(countRounds(kWatchTime), kRestfulRounds);
        EXPECT_TRUE(m_accepted.empty());
        noneLeft.giveOneBack();
        advance(Acceptor::kRetryPause);
        EXPECT_EQ(m_accepted.size(), 1U) << "one descriptor, one connection";
    }
    advance(Acceptor::kRetryPause);
    ASSERT_TRUE(runUntil([&] { return m_accepted.size() == 2; }));
    expectThatItAccepts();
}

TEST_F(AcceptHazardTest, H8_WhateverIsExhaustedItNeitherSpinsNorGivesUp) {
    for (const int error : {EMFILE, ENFILE, ENOBUFS, ENOMEM}) {
        SCOPED_TRACE(error);
        m_accepted.clear();
        BlockingClient client = BlockingClient::connectTo(m_address);
        acceptError = error;
        acceptCalls = 0;
        EXPECT_LE(countRounds(kWatchTime), kRestfulRounds);
        EXPECT_EQ(acceptCalls, 1) << "tries again at once";
        for (int i = 0; i < 3; ++i) advance(Acceptor::kRetryPause);
        EXPECT_EQ(acceptCalls, 4) << "tries again once per pause";
        EXPECT_TRUE(m_accepted.empty());
        acceptError = 0;
        advance(Acceptor::kRetryPause);
        EXPECT_EQ(m_accepted.size(), 1U);
        expectThatItAccepts();
    }
}

TEST_F(AcceptHazardTest, H8_PausedAndResumedMeanwhileItStillWaits) {
    BlockingClient client = BlockingClient::connectTo(m_address);
    acceptError = EMFILE;
    acceptCalls = 0;
    runRounds();
    m_acceptor->pause();
    m_acceptor->resume();
    runRounds();
    EXPECT_EQ(acceptCalls, 1) << "resumed before its time";
    m_acceptor->pause();
    advance(Acceptor::kRetryPause);
    EXPECT_EQ(acceptCalls, 1) << "accepts while it is paused";
    acceptError = 0;
    m_acceptor->resume();
    ASSERT_TRUE(runUntil([&] { return m_accepted.size() == 1; }));
}

TEST_F(AcceptHazardTest, H8_DestroyedMeanwhileItLeavesNothingBehind) {
    BlockingClient client = BlockingClient::connectTo(m_address);
    acceptError = EMFILE;
    runRounds();
    m_acceptor.reset();
    acceptError = 0;
    advance(Acceptor::kRetryPause);
    EXPECT_TRUE(m_accepted.empty());
}

// --- A child that does not exec ---

// A child that goes on holds every socket. To close one in the parent then neither ended it nor took it out of epoll,
// which reported it in every round: a hundred thousand rounds a second for a descriptor that nobody could remove.
TEST_F(HazardTest, ASocketThatAChildHoldsEndsAndIsNotReportedAnyMore) {
    for (const bool isAborted : {false, true}) {
        SCOPED_TRACE(isAborted);
        SocketPair pair = makeTcpPair();
        EventLog log;
        const auto connection = startConnection(std::move(pair.ours), log.callback());
        std::array<int, 2> ends{-1, -1};
        ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
        FileDescriptor childsEnd(ends[0]);
        FileDescriptor ours(ends[1]);
        const pid_t child = ::fork();
        if (child == 0) {
            ::close(ends[1]);
            ::close(pair.peers.get());
            char byte = 0;
            while (::read(ends[0], &byte, 1) == -1) {
            }
            ::_exit(0);
        }
        ASSERT_GT(child, 0);
        isAborted ? connection->abort() : connection->close();
        runRounds();
        EXPECT_TRUE(log.has(Conn_CloseEvent));
        BlockingClient peer(std::move(pair.peers));
        EXPECT_TRUE(isAborted ? peer.isReset() : peer.isAtEnd());
        peer.close();
        constexpr std::chrono::milliseconds kWait{50};
        const auto begin = std::chrono::steady_clock::now();
        loop()->runOnce(kWait);
        EXPECT_GE(std::chrono::steady_clock::now() - begin, kWait) << "the descriptor is still reported";
        ours.reset();
        EXPECT_EQ(::waitpid(child, nullptr, 0), child);
    }
}

}  // namespace
}  // namespace tnet
