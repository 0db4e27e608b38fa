#include "tnet/tcp_server.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <climits>
#include <condition_variable>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/loop_fixture.h"
#include "tests/support/scripted_transport.h"
#include "tnet/address.h"
#include "tnet/connection.h"
#include "tnet/proxy_transport.h"
#include "tnet/socket.h"
#include "tnet/stack_buffer.h"
#include "tnet/tcp_service.h"

namespace tnet {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// What all the connections of a server were told. Any thread.
class Tally {
public:
    void record(ConnEvent event) {
        const std::lock_guard lock(m_mutex);
        ++m_counts[event];
    }
    int count(ConnEvent event) const {
        const std::lock_guard lock(m_mutex);
        const auto found = m_counts.find(event);
        return found == m_counts.end() ? 0 : found->second;
    }

private:
    mutable std::mutex m_mutex;
    std::map<ConnEvent, int> m_counts;
};

ConnEventCallback_t echo(Tally& tally) {
    return [&tally](const ConnectionPtr_t& c, ConnEvent event, const void* context) {
        EXPECT_TRUE(c->loop()->isInLoopThread());
        tally.record(event);
        if (event == Conn_ReadEvent) c->send(static_cast<const StackBuffer*>(context)->view());
    };
}

Address unixAddress(const std::string& name) {
    return *Address::parse("unix:@tnet-tcp-server-" + name + "-" + std::to_string(::getpid()));
}

Address mustListen(TcpServer& server, const Address& address = Address::loopback(0)) {
    const auto bound = server.listen(address);
    EXPECT_TRUE(bound.ok()) << (bound.ok() ? "" : bound.error().message);
    return bound.ok() ? *bound : Address();
}

void mustStart(TcpServer& server, size_t threads) {
    const Status started = server.start(threads);
    EXPECT_TRUE(started.ok()) << (started.ok() ? "" : started.error().message);
}

bool isEchoed(BlockingClient& client, const std::string& text) {
    return client.send(text) && client.receive(text.size()) == text;
}

class AttachedServerTest : public LoopTest {};

TEST(TcpServerTest, AllItsLoopsServe) {
    constexpr size_t kLoops = 3;
    Tally tally;
    std::mutex mutex;
    std::set<IOLoop*> loops;
    std::set<std::thread::id> threads;
    TcpServer server;
    server.setEventCallback(
        [&, callback = echo(tally)](const ConnectionPtr_t& c, ConnEvent event, const void* context) {
            {
                const std::lock_guard lock(mutex);
                loops.insert(c->loop());
                threads.insert(std::this_thread::get_id());
            }
            callback(c, event, context);
        });
    const Address address = mustListen(server);
    EXPECT_NE(address.port(), 0);
    EXPECT_TRUE(server.loops().empty());
    mustStart(server, kLoops);
    EXPECT_EQ(server.loops().size(), kLoops);

    // The kernel spreads them by a hash of their ports: with 100 no loop is left out.
    std::vector<BlockingClient> clients;
    for (int i = 0; i < 100; ++i) {
        clients.push_back(BlockingClient::connectTo(address));
        ASSERT_TRUE(isEchoed(clients.back(), "hello " + std::to_string(i)));
    }
    EXPECT_EQ(server.connections(), 100U);
    server.stop();
    EXPECT_EQ(loops.size(), kLoops);
    EXPECT_EQ(threads.size(), kLoops);
    EXPECT_EQ(threads.count(std::this_thread::get_id()), 0U);
    EXPECT_EQ(tally.count(Conn_EstablishedEvent), 100);
    EXPECT_EQ(tally.count(Conn_CloseEvent), 100);
}

TEST(TcpServerTest, EveryConnectionHasItsOwnCopyOfTheCallback) {
    TcpServer server;
    server.setEventCallback([requests = 0](const ConnectionPtr_t& c, ConnEvent event, const void*) mutable {
        if (event == Conn_ReadEvent) c->send(std::to_string(++requests));
    });
    const Address address = mustListen(server);
    mustStart(server, 1);
    BlockingClient a = BlockingClient::connectTo(address);
    BlockingClient b = BlockingClient::connectTo(address);
    a.send("x");
    EXPECT_EQ(a.receive(1), "1");
    a.send("x");
    EXPECT_EQ(a.receive(1), "2");
    b.send("x");
    EXPECT_EQ(b.receive(1), "1");
}

TEST(TcpServerTest, AConnectionKnowsItsPeerAndItsTransport) {
    std::atomic<int> transports{0};
    std::promise<Address> peer;
    TcpServer server;
    server.setEventCallback([&](const ConnectionPtr_t& c, ConnEvent event, const void*) {
        if (event == Conn_EstablishedEvent) peer.set_value(c->peer().toAddress());
    });
    const auto address = server.listen(Address::loopback(0), [&] {
        transports.fetch_add(1);
        return plainTransport();
    });
    ASSERT_TRUE(address.ok());
    mustStart(server, 1);
    const BlockingClient client = BlockingClient::connectTo(*address);
    EXPECT_EQ(peer.get_future().get(), localAddress(client.fd()));
    EXPECT_EQ(transports.load(), 1);
}

// --- Listening ---

TEST(TcpServerTest, APortInUseIsAnErrorThatNamesTheAddress) {
    Tally tally;
    TcpServer first;
    first.setEventCallback(echo(tally));
    const Address address = mustListen(first);
    for (const bool isStarted : {false, true}) {
        SCOPED_TRACE(isStarted);
        if (isStarted) mustStart(first, 2);
        TcpServer second;
        const auto bound = second.listen(address);
        ASSERT_FALSE(bound.ok()) << "two servers share a port by accident";
        EXPECT_EQ(bound.error().code, std::errc::address_in_use);
        EXPECT_NE(bound.error().message.find(address.toString()), std::string::npos) << bound.error().message;
    }
}

TEST(TcpServerTest, ServesSeveralAddressesOfDifferentKinds) {
    Tally tally;
    TcpServer server;
    server.setEventCallback(echo(tally));
    const Address addresses[] = {mustListen(server), mustListen(server),
                                 mustListen(server, unixAddress("several"))};
    EXPECT_NE(addresses[0], addresses[1]);
    EXPECT_EQ(addresses[2], unixAddress("several"));
    mustStart(server, 2);
    for (const Address& address : addresses) {
        BlockingClient client = BlockingClient::connectTo(address);
        EXPECT_TRUE(isEchoed(client, "hello")) << address.toString();
    }
}

// Unix sockets know no groups: the loops share one queue. While one loop is busy, the other serves.
TEST(TcpServerTest, AUnixListenerIsServedByAllLoops) {
    std::promise<void> release;
    const std::shared_future<void> released(release.get_future());
    std::atomic<int> calls{0};
    TcpServer server;
    server.setEventCallback([&](const ConnectionPtr_t& c, ConnEvent event, const void*) {
        if (event != Conn_ReadEvent) return;
        if (calls.fetch_add(1) == 0) released.wait();
        c->send("served");
    });
    const Address address = mustListen(server, unixAddress("shared"));
    mustStart(server, 2);
    BlockingClient first = BlockingClient::connectTo(address);
    ASSERT_TRUE(first.send("x"));
    ASSERT_TRUE(waitUntil([&] { return calls.load() == 1; }));  // one loop is stuck now
    for (int i = 0; i < 5; ++i) {
        BlockingClient next = BlockingClient::connectTo(address);
        ASSERT_TRUE(next.send("x"));
        EXPECT_EQ(next.receive(6), "served");
    }
    release.set_value();
    EXPECT_EQ(first.receive(6), "served");
}

// The listeners cannot be watched, and the server cannot start: the loops that were not started yet went
// away before what stood on them.
TEST(TcpServerTest, AStartThatFailsSaysSoAndLeavesNothingBehind) {
    Tally tally;
    TcpServer server;
    server.setServiceFactory([&](IOLoop* loop) -> std::unique_ptr<TcpService> {
        // Watches all listening sockets first, so that nobody else can.
        for (int fd = 0; fd < 256; ++fd) {
            int isListening = 0;
            socklen_t size = sizeof(isListening);
            ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &isListening, &size);
            if (isListening == 0) continue;
            EXPECT_FALSE(loop->addHandler(fd, 0, [](uint32_t) {}));
        }
        class NoService final : public TcpService {
            void onConnection(const ConnectionPtr_t&) override {}
        };
        return std::make_unique<NoService>();
    });
    const Address address = mustListen(server);
    const Status started = server.start(2);
    ASSERT_FALSE(started.ok());
    EXPECT_EQ(started.error().code, std::errc::file_exists);
    EXPECT_NE(started.error().message.find(address.toString()), std::string::npos) << started.error().message;
    EXPECT_FALSE(BlockingClient::connectTo(address).valid()) << "still listening";
}

// Three sockets of one group, which the kernel spreads connections over: with fewer loops some have several of them,
// with more some share one. All are served.
TEST(TcpServerTest, InheritedSocketsAreAllServedByHoweverManyLoops) {
    for (const size_t threads : {1U, 2U, 3U, 5U}) {
        SCOPED_TRACE(threads);
        Tally tally;
        TcpServer server;
        server.setEventCallback(echo(tally));
        auto first = listenOn(Address::loopback(0), {.reusePort = true});
        ASSERT_TRUE(first.ok());
        const Address address = localAddress(first->get());
        ASSERT_TRUE(server.listen(std::move(*first)).ok());
        for (int i = 0; i < 2; ++i) {
            auto next = listenOn(address, {.joinGroup = true});
            ASSERT_TRUE(next.ok());
            const auto bound = server.listen(std::move(*next));
            ASSERT_TRUE(bound.ok());
            EXPECT_EQ(*bound, address);
        }
        mustStart(server, threads);
        EXPECT_EQ(server.handOver().size(), 3U);
        std::vector<BlockingClient> clients;
        for (int i = 0; i < 60; ++i) {
            clients.push_back(BlockingClient::connectTo(address));
            ASSERT_TRUE(isEchoed(clients.back(), "hello " + std::to_string(i)));
        }
    }
}

TEST(TcpServerTest, ListensOnSocketsOnly) {
    TcpServer server;
    const auto bound = server.listen(FileDescriptor(::dup(STDERR_FILENO)));
    ASSERT_FALSE(bound.ok());
    EXPECT_EQ(bound.error().code, std::errc::not_a_socket);
}

// A blocking listener blocked its loop for ever; a connected socket was accepted from, in vain, without end.
TEST_F(AttachedServerTest, WhatIsHandedInMustListenAndNeedNotBeReady) {
    Tally tally;
    TcpServer server;
    server.setEventCallback(echo(tally));
    for (const auto& pair : {makeTcpPair, makeSocketPair}) {
        const auto bound = server.listen(std::move(pair().ours));
        ASSERT_FALSE(bound.ok());
        EXPECT_EQ(bound.error().code, std::errc::invalid_argument);
        EXPECT_NE(bound.error().message.find("listens"), std::string::npos) << bound.error().message;
    }
    auto listener = listenOn(Address::loopback(0));
    ASSERT_TRUE(listener.ok());
    ASSERT_EQ(::fcntl(listener->get(), F_SETFL, 0), 0);  // blocking
    const auto bound = server.listen(std::move(*listener));
    ASSERT_TRUE(bound.ok());
    ASSERT_TRUE(server.attach(loop()).ok());
    runRounds();
    BlockingClient client = BlockingClient::connectTo(*bound);
    ASSERT_TRUE(runUntil([&] { return server.connections() == 1; }));
}

TEST(TcpServerTest, AStartThatCannotServeSaysWhy) {
    Tally tally;
    const auto loop = IOLoop::create();
    TcpServer server;
    const auto failsWith = [](const Status& status, std::errc code, const std::string& why) {
        ASSERT_FALSE(status.ok()) << why;
        EXPECT_EQ(status.error().code, code);
        EXPECT_NE(status.error().message.find(why), std::string::npos) << status.error().message;
    };
    failsWith(server.start(1), std::errc::invalid_argument, "nothing listens");
    mustListen(server);
    failsWith(server.attach(loop->get()), std::errc::invalid_argument, "callback");
    server.setEventCallback(echo(tally));
    failsWith(server.start(0), std::errc::invalid_argument, "no threads");
    mustStart(server, 1);
    failsWith(server.start(1), std::errc::operation_not_permitted, "started already");
    EXPECT_FALSE(server.listen(Address::loopback(0)).ok());
    server.stop();
    failsWith(server.start(1), std::errc::operation_not_permitted, "stopped");
}

// The second address could not be opened for all loops; started again, the server said Done, and the first refused.
TEST(TcpServerTest, AfterAFailedStartNothingListensAndListeningAgainWorks) {
    Tally tally;
    TcpServer::Settings settings;
    settings.checker.batch = 0;
    TcpServer server(settings);
    server.setEventCallback(echo(tally));
    const Address addresses[] = {mustListen(server), mustListen(server)};
    EXPECT_FALSE(server.start(2).ok());
    for (const Address& address : addresses) EXPECT_FALSE(BlockingClient::connectTo(address).valid());
    EXPECT_FALSE(server.start(2).ok()) << "nothing listens any more";
    EXPECT_EQ(mustListen(server, addresses[0]), addresses[0]);
}

TEST(TcpServerTest, TheFileOfAUnixListenerGoesWithItUnlessItIsAnotherOneByThen) {
    const std::string path = "/tmp/tnet-tcp-server-test." + std::to_string(::getpid());
    const Address address = *Address::parse("unix:" + path);
    const auto exists = [&] { return ::access(path.c_str(), F_OK) == 0; };
    Tally tally;
    for (const bool drains : {false, true}) {
        TcpServer::Settings settings;
        settings.unixMode = 0610;
        TcpServer server(settings);
        server.setEventCallback(echo(tally));
        mustListen(server, address);
        struct stat status {};
        ASSERT_EQ(::stat(path.c_str(), &status), 0);
        EXPECT_EQ(status.st_mode & 0777, 0610U);
        mustStart(server, 2);
        drains ? static_cast<void>(server.drain(seconds(10))) : server.stop();
        EXPECT_FALSE(exists());
    }
    {
        TcpServer server;
        server.setEventCallback(echo(tally));
        mustListen(server, address);
        mustStart(server, 1);
        ASSERT_EQ(::unlink(path.c_str()), 0);
        TcpServer next;
        next.setEventCallback(echo(tally));
        mustListen(next, address);
        server.stop();
        EXPECT_TRUE(exists()) << "the next one's";
        mustStart(next, 1);
        next.handOver();
    }
    EXPECT_TRUE(exists()) << "handed over";
    ::unlink(path.c_str());
}

// The one that holds the sockets next goes on: neither is its peers' first packet dropped, nor are they reset.
TEST(TcpServerTest, WhatIsHandedOverStaysOpenForItsNextHolder) {
    Tally tally;
    auto old = std::make_unique<TcpServer>();
    old->setEventCallback(echo(tally));
    const Address address = mustListen(*old);
    mustStart(*old, 3);
    TcpServer next;
    next.setEventCallback(echo(tally));
    for (const int socket : old->handOver()) ASSERT_TRUE(next.listen(FileDescriptor(::dup(socket))).ok());
    EXPECT_EQ(old->drain(seconds(60)), 0U);
    old.reset();
    std::vector<BlockingClient> waiting;  // in the queues of all
    for (int i = 0; i < 60; ++i) waiting.push_back(BlockingClient::connectTo(address));
    mustStart(next, 2);
    for (BlockingClient& client : waiting) EXPECT_TRUE(isEchoed(client, "hello"));
}

// --- Limits ---

TEST_F(AttachedServerTest, OneAddressHasNoMoreConnectionsThanItMay) {
    Tally tally;
    TcpServer::Settings settings;
    settings.maxConnectionsPerAddress = 2;
    TcpServer server(settings);
    server.setEventCallback(echo(tally));
    const Address tcp = mustListen(server);
    const Address local = mustListen(server, unixAddress("per-address"));
    ASSERT_TRUE(server.attach(loop()).ok());
    std::vector<BlockingClient> clients;
    for (int i = 0; i < 2; ++i) clients.push_back(BlockingClient::connectTo(tcp));
    ASSERT_TRUE(runUntil([&] { return server.connections() == 2; }));
    BlockingClient third = BlockingClient::connectTo(tcp);
    runRounds();
    EXPECT_EQ(third.receiveAll(), "");
    EXPECT_EQ(server.connections(), 2U);
    EXPECT_EQ(tally.count(Conn_EstablishedEvent), 2) << "the third was shown to the service";
    // Peers without an address are not counted.
    for (int i = 0; i < 5; ++i) clients.push_back(BlockingClient::connectTo(local));
    ASSERT_TRUE(runUntil([&] { return server.connections() == 7; }));
    // One goes, one may come.
    clients.front().close();
    ASSERT_TRUE(runUntil([&] { return server.connections() == 6; }));
    clients.push_back(BlockingClient::connectTo(tcp));
    ASSERT_TRUE(runUntil([&] { return server.connections() == 7; }));
    server.stop();
}

// Behind a proxy the address is the one that it tells.
TEST_F(AttachedServerTest, TheLimitPerAddressIsAboutTheProxysClient) {
    Tally tally;
    TcpServer::Settings settings;
    settings.maxConnectionsPerAddress = 1;
    TcpServer server(settings);
    server.setEventCallback(echo(tally));
    const auto bound = server.listen(Address::loopback(0), proxyProtocol());
    ASSERT_TRUE(bound.ok());
    ASSERT_TRUE(server.attach(loop()).ok());
    std::vector<BlockingClient> clients;
    const auto connectFor = [&](const std::string& header) {
        clients.push_back(BlockingClient::connectTo(*bound));
        clients.back().send(header);
        runUntil([&, before = tally.count(Conn_EstablishedEvent) + tally.count(Conn_CloseEvent)] {
            return tally.count(Conn_EstablishedEvent) + tally.count(Conn_CloseEvent) > before;
        });
        return server.connections();
    };
    EXPECT_EQ(connectFor("PROXY TCP6 2001:db8::1 ::1 1 2\r\n"), 1U);
    EXPECT_EQ(connectFor("PROXY TCP6 2001:db8::2 ::1 1 2\r\n"), 1U) << "of the same /64";
    EXPECT_EQ(connectFor("PROXY TCP6 2001:db8:0:1::2 ::1 1 2\r\n"), 2U);
    EXPECT_EQ(connectFor("PROXY UNKNOWN\r\n"), 3U);
    EXPECT_EQ(connectFor("PROXY UNKNOWN\r\n"), 4U) << "the proxy's own are not counted";
    EXPECT_EQ(connectFor("no header"), 4U);
    clients.front().close();
    ASSERT_TRUE(runUntil([&] { return server.connections() == 3; }));
    EXPECT_EQ(connectFor("PROXY TCP6 2001:db8::3 ::1 1 2\r\n"), 4U);
    server.stop();
}

TEST(TcpServerTest, AcceptingPausesAtTheLimitAndResumesBelowIt) {
    constexpr size_t kLimit = 4;
    constexpr size_t kLoops = 2;
    Tally tally;
    TcpServer::Settings settings;
    settings.maxConnections = kLimit;
    TcpServer server(settings);
    server.setEventCallback(echo(tally));
    const Address address = mustListen(server);
    mustStart(server, kLoops);

    // More than fit. Those that are let in answer; the others wait in the backlog.
    std::vector<BlockingClient> waiting;
    for (int i = 0; i < 20; ++i) {
        waiting.push_back(BlockingClient::connectTo(address));
        ASSERT_TRUE(waiting.back().send("x"));
    }
    const auto isAnswered = [](const BlockingClient& client) {
        char byte = 0;
        return ::recv(client.fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
    };
    size_t served = 0;
    size_t most = 0;
    while (!waiting.empty()) {
        ASSERT_TRUE(waitUntil([&] { return std::any_of(waiting.begin(), waiting.end(), isAnswered); }))
            << "accepting did not resume; " << served << " served";
        most = std::max(most, server.connections());
        const auto answered = std::find_if(waiting.begin(), waiting.end(), isAnswered);
        answered->close();
        waiting.erase(answered);
        ++served;
    }
    EXPECT_EQ(served, 20U);
    EXPECT_GE(most, kLimit - 1);
    EXPECT_LE(most, kLimit + kLoops - 1);
    ASSERT_TRUE(waitUntil([&] { return server.connections() == 0; }));
    EXPECT_EQ(tally.count(Conn_CloseEvent), 20);
}

// A loop that was busy finds several requests to resume accepting, of which the others have long made use:
// it accepted beyond the limit once for each.
TEST(TcpServerTest, ARequestToResumeThatComesTooLateIsNotFollowed) {
    TcpServer::Settings settings;
    settings.maxConnections = 3;
    std::mutex mutex;
    std::condition_variable changed;
    bool isBusy = false;
    std::vector<IOLoop*> accepted;
    TcpServer server(settings);  // its threads end before what they use goes
    server.setEventCallback([&](const ConnectionPtr_t& c, ConnEvent event, const void*) {
        std::unique_lock lock(mutex);
        if (event == Conn_EstablishedEvent) accepted.push_back(c->loop());
        if (event == Conn_ReadEvent) isBusy = true;
        changed.notify_all();
        if (event == Conn_ReadEvent) changed.wait(lock, [&] { return !isBusy; });
    });
    const Address address = mustListen(server, unixAddress("resume"));
    mustStart(server, 2);
    const auto waitFor = [&](const std::function<bool()>& condition) {
        std::unique_lock lock(mutex);
        return changed.wait_for(lock, kTestDeadline, condition);
    };
    const auto setBusy = [&](BlockingClient& client) {
        client.send("x");
        return waitFor([&] { return isBusy; });
    };
    const auto setIdle = [&] {
        const std::lock_guard lock(mutex);
        isBusy = false;
        changed.notify_all();
    };
    const auto connectNext = [&] { return BlockingClient::connectTo(address); };
    const auto hasAccepted = [&](size_t count) { return waitFor([&] { return accepted.size() == count; }); };

    const auto awaitRound = [](IOLoop* loop) {
        std::promise<void> round;
        loop->addCallback([&] { round.set_value(); });
        round.get_future().wait();
    };

    // The one loop is busy, not with accepting; the other one fills the server, and pauses.
    BlockingClient x = connectNext();
    ASSERT_TRUE(hasAccepted(1));
    awaitRound(accepted[0]);
    ASSERT_TRUE(setBusy(x));
    BlockingClient a = connectNext();
    BlockingClient b = connectNext();
    ASSERT_TRUE(hasAccepted(3));
    // The one loop takes one more, since it was not paused yet, and pauses. Then it is busy again.
    setIdle();
    BlockingClient y = connectNext();
    ASSERT_TRUE(hasAccepted(4));
    EXPECT_EQ(accepted[0], accepted[3]);
    ASSERT_TRUE(setBusy(x));
    // Two close on the other loop, which resumes, and fills the server again.
    a.close();
    b.close();
    ASSERT_TRUE(waitUntil([&] { return server.connections() == 2; }));
    BlockingClient c = connectNext();
    ASSERT_TRUE(hasAccepted(5));
    BlockingClient d = connectNext();  // waits
    // The busy loop finds the request to resume now, and has time to follow it.
    IOLoop* const late = accepted[0];
    setIdle();
    for (int i = 0; i < 5; ++i) awaitRound(late);
    EXPECT_EQ(server.connections(), 3U);
    c.close();
    EXPECT_TRUE(hasAccepted(6)) << "nobody resumes any more";
}

TEST_F(AttachedServerTest, WithOneLoopTheLimitIsExact) {
    Tally tally;
    TcpServer::Settings settings;
    settings.maxConnections = 3;
    TcpServer server(settings);
    server.setEventCallback(echo(tally));
    const Address a = mustListen(server);
    const Address b = mustListen(server);
    ASSERT_TRUE(server.attach(loop()).ok());
    EXPECT_EQ(server.loops(), std::vector<IOLoop*>{loop()});
    std::vector<BlockingClient> clients;
    for (int i = 0; i < 10; ++i) clients.push_back(BlockingClient::connectTo(i % 2 == 0 ? a : b));
    size_t most = 0;
    ASSERT_TRUE(runUntil([&] {
        most = std::max(most, server.connections());
        return most == 3;
    }));
    for (int i = 0; i < 50; ++i) {
        loop()->runOnce(Duration::zero());
        most = std::max(most, server.connections());
    }
    EXPECT_EQ(most, 3U);
    clients.clear();
    ASSERT_TRUE(runUntil([&] { return tally.count(Conn_CloseEvent) == 10; }));
    EXPECT_EQ(server.connections(), 0U);
    server.stop();
}

TEST_F(AttachedServerTest, IdleConnectionsAreShutDown) {
    Tally tally;
    TcpServer::Settings settings;
    settings.checker.idleTimeout = seconds(5);
    TcpServer server(settings);
    server.setEventCallback(echo(tally));
    const Address address = mustListen(server);
    ASSERT_TRUE(server.attach(loop()).ok());
    BlockingClient client = BlockingClient::connectTo(address);
    ASSERT_TRUE(runUntil([&] { return server.connections() == 1; }));
    advance(seconds(5));
    EXPECT_EQ(server.connections(), 1U);
    advance(seconds(2));
    EXPECT_EQ(server.connections(), 0U);
    EXPECT_TRUE(client.isAtEnd());
}

TEST_F(AttachedServerTest, TheQueueLimitIsSetOnEveryConnection) {
    TcpServer::Settings settings;
    settings.maxQueuedBytes = 12345;
    size_t limit = 0;
    TcpServer server(settings);
    server.setEventCallback(
        [&](const ConnectionPtr_t& c, ConnEvent, const void*) { limit = c->maxQueuedBytes(); });
    const Address address = mustListen(server);
    ASSERT_TRUE(server.attach(loop()).ok());
    BlockingClient client = BlockingClient::connectTo(address);
    ASSERT_TRUE(runUntil([&] { return limit != 0; }));
    EXPECT_EQ(limit, 12345U);
}

TEST_F(AttachedServerTest, StopClosesEverythingAndTheLoopGoesOn) {
    Tally tally;
    TcpServer server;
    server.setEventCallback(echo(tally));
    const Address address = mustListen(server);
    ASSERT_TRUE(server.attach(loop()).ok());
    BlockingClient client = BlockingClient::connectTo(address);
    ASSERT_TRUE(runUntil([&] { return server.connections() == 1; }));
    server.stop();
    EXPECT_EQ(tally.count(Conn_CloseEvent), 1);
    EXPECT_TRUE(client.isAtEnd());
    EXPECT_FALSE(BlockingClient::connectTo(address).valid());
    bool ran = false;
    loop()->addCallback([&] { ran = true; });
    ASSERT_TRUE(runUntil([&] { return ran; }));
}

TEST_F(AttachedServerTest, BeginDrainLetsItsConnectionsFinish) {
    Tally tally;
    TcpServer server;
    server.setEventCallback(echo(tally));
    const Address address = mustListen(server);
    ASSERT_TRUE(server.attach(loop()).ok());
    BlockingClient client = BlockingClient::connectTo(address);
    ASSERT_TRUE(runUntil([&] { return server.connections() == 1; }));
    server.beginDrain();
    ASSERT_TRUE(runUntil([&] { return server.connections() == 0; }));
    EXPECT_TRUE(client.isAtEnd());
    EXPECT_FALSE(BlockingClient::connectTo(address).valid());
}

// Closed at once, a listener resets who connects between its last accept and its close.
TEST_F(AttachedServerTest, WhoComesAfterTheDrainBeganIsRefused) {
    for (const Address& where : {Address::loopback(0), *Address::parse("[::1]:0"), unixAddress("refused")}) {
        Tally tally;
        TcpServer server;
        server.setEventCallback(echo(tally));
        const Address address = mustListen(server, where);
        ASSERT_TRUE(server.attach(loop()).ok());
        BlockingClient early = BlockingClient::connectTo(address);  // in the backlog
        server.beginDrain();
        const auto late = openSocket(address.family());
        ASSERT_TRUE(late.ok());
        EXPECT_EQ(::connect(late->get(), address.data(), address.size()), -1) << address.toString();
        const std::error_code error =
            errno == EINPROGRESS ? socketError(late->get()) : std::error_code(errno, std::generic_category());
        EXPECT_EQ(error, std::errc::connection_refused) << address.toString();
        ASSERT_TRUE(runUntil([&] { return tally.count(Conn_EstablishedEvent) == 1; })) << address.toString();
        advance(TcpServer::Settings().handshakeTime);
        EXPECT_TRUE(early.isAtEnd());
        EXPECT_EQ(server.connections(), 0U);
        server.stop();
    }
}

// The drain's task came in the rounds that stop() runs, and armed a timer that outlived its worker.
TEST_F(AttachedServerTest, StopAfterBeginDrainLeavesNothingBehind) {
    Tally tally;
    {
        TcpServer server;
        server.setEventCallback(echo(tally));
        const Address address = mustListen(server);
        ASSERT_TRUE(server.attach(loop()).ok());
        BlockingClient client = BlockingClient::connectTo(address);
        ASSERT_TRUE(runUntil([&] { return server.connections() == 1; }));
        server.beginDrain();
        server.stop();
        EXPECT_EQ(tally.count(Conn_CloseEvent), 1);
    }
    for (int i = 0; i < 5; ++i) advance(seconds(1));
}

// stop() ran the loop from inside its own callback. Now it closes, and the loop does the rest.
TEST_F(AttachedServerTest, MayBeStoppedOrDestroyedInAnyCallback) {
    enum class Where { Event, CloseEvent, Timer, Task };
    enum class How { Stop, StopTwice, DrainAndStop, Destroy };
    for (const Where where : {Where::Event, Where::CloseEvent, Where::Timer, Where::Task}) {
        for (const How how : {How::Stop, How::StopTwice, How::DrainAndStop, How::Destroy}) {
            SCOPED_TRACE(static_cast<int>(where) * 10 + static_cast<int>(how));
            Tally tally;
            auto server = std::make_unique<TcpServer>();
            std::vector<ConnectionPtr_t> open;
            bool isEnded = false;
            const auto end = [&] {
                if (std::exchange(isEnded, true)) return;
                if (how == How::DrainAndStop) server->beginDrain();
                how == How::Destroy ? server.reset() : server->stop();
                if (how == How::StopTwice) server->stop();
            };
            server->setEventCallback([&](const ConnectionPtr_t& c, ConnEvent event, const void*) {
                tally.record(event);
                if (event == Conn_EstablishedEvent) open.push_back(c);
                if (event == Conn_ReadEvent && where == Where::Event) end();
                if (event != Conn_CloseEvent) return;
                for (const ConnectionPtr_t& other : open) other->close();
                if (where == Where::CloseEvent) end();
            });
            const Address address = mustListen(*server);
            ASSERT_TRUE(server->attach(loop()).ok());
            std::vector<BlockingClient> clients;
            for (int i = 0; i < 3; ++i) clients.push_back(BlockingClient::connectTo(address));
            ASSERT_TRUE(runUntil([&] { return tally.count(Conn_EstablishedEvent) == 3; }));
            if (where == Where::Event) clients[0].send("x");
            if (where == Where::CloseEvent) clients[0].close();
            if (where == Where::Timer) loop()->runAfter(Duration::zero(), end);
            if (where == Where::Task) loop()->addCallback(end);
            ASSERT_TRUE(runUntil([&] { return isEnded && tally.count(Conn_CloseEvent) == 3; }));
            EXPECT_FALSE(BlockingClient::connectTo(address).valid());
            if (server) {
                EXPECT_EQ(server->connections(), 0U);
                server->stop();
            }
            open.clear();
            for (int i = 0; i < 5; ++i) advance(seconds(1));
        }
    }
}

// What a call in a callback began, the next one outside finishes.
TEST_F(AttachedServerTest, StopOutsideFinishesWhatOneInACallbackBegan) {
    Tally tally;
    TcpServer server;
    server.setEventCallback(echo(tally));
    const Address address = mustListen(server);
    ASSERT_TRUE(server.attach(loop()).ok());
    BlockingClient client = BlockingClient::connectTo(address);
    ASSERT_TRUE(runUntil([&] { return server.connections() == 1; }));
    loop()->addCallback([&] { server.stop(); });
    loop()->runOnce(Duration::zero());
    server.stop();
    EXPECT_EQ(tally.count(Conn_CloseEvent), 1);
    EXPECT_EQ(server.connections(), 0U);
}

// All 200 were accepted at once.
TEST_F(AttachedServerTest, ADrainKeepsToTheLimitOfConnections) {
    Tally tally;
    TcpServer::Settings settings;
    settings.maxConnections = 2;
    TcpServer server(settings);
    server.setEventCallback(echo(tally));
    const Address address = mustListen(server);
    ASSERT_TRUE(server.attach(loop()).ok());
    std::vector<BlockingClient> clients;
    for (int i = 0; i < 200; ++i) clients.push_back(BlockingClient::connectTo(address));
    server.beginDrain();
    size_t most = 0;
    for (int i = 0; i < 50; ++i) {
        runRounds(1);
        most = std::max(most, server.connections());
    }
    EXPECT_LE(most, 2U);
    advance(settings.handshakeTime);
    ASSERT_TRUE(runUntil([&] { return server.connections() == 0; }));
    EXPECT_EQ(server.drain(milliseconds::max()), 0U);
}

TEST_F(AttachedServerTest, ADrainRunsTheLoopThatItIsAttachedTo) {
    Tally tally;
    TcpServer::Settings settings;
    settings.handshakeTime = milliseconds::min();
    TcpServer server(settings);
    server.setEventCallback(echo(tally));
    const Address address = mustListen(server);
    ASSERT_TRUE(server.attach(loop()).ok());
    BlockingClient client = BlockingClient::connectTo(address);
    ASSERT_TRUE(runUntil([&] { return server.connections() == 1; }));
    EXPECT_EQ(server.drain(milliseconds::max()), 0U);
    EXPECT_EQ(tally.count(Conn_CloseEvent), 1);
}

TEST_F(AttachedServerTest, AcceptedSocketsInheritTheAcknowledgeTimeout) {
    for (const auto& [time, expected] :
         {std::pair{milliseconds(1234), 1234}, std::pair{milliseconds(0), 0},
          std::pair{milliseconds::max(), 0}, std::pair{milliseconds::min(), 0}}) {
        TcpServer::Settings settings;
        EXPECT_EQ(settings.acknowledgeTimeout, seconds(60));
        settings.acknowledgeTimeout = time;
        TcpServer server(settings);
        int timeout = -1;
        server.setEventCallback([&](const ConnectionPtr_t& c, ConnEvent event, const void*) {
            if (event != Conn_EstablishedEvent) return;
            for (int fd = 3; fd < 256; ++fd) {
                if (peerAddress(fd) != c->peer().toAddress()) continue;
                socklen_t size = sizeof(timeout);
                ::getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, &size);
            }
        });
        const Address address = mustListen(server);
        ASSERT_TRUE(server.attach(loop()).ok());
        BlockingClient client = BlockingClient::connectTo(address);
        ASSERT_TRUE(runUntil([&] { return server.connections() == 1; }));
        EXPECT_EQ(timeout, expected);
    }
}

// --- Services ---

TEST(TcpServerTest, AServiceLivesOnItsLoopAndOutlivesItsConnections) {
    struct Counts {
        std::atomic<int> made{0};
        std::atomic<int> destroyed{0};
        std::atomic<int> connections{0};
        std::atomic<int> established{0};
        std::atomic<int> drains{0};
    } counts;

    class Service final : public TcpService {
    public:
        Service(IOLoop* loop, Counts& all) : m_loop(loop), m_counts(all) {
            EXPECT_TRUE(loop->isInLoopThread());
            ++m_counts.made;
        }
        ~Service() override {
            EXPECT_TRUE(m_loop->isInLoopThread());
            EXPECT_EQ(m_open, 0) << "connections outlive their service";
            ++m_counts.destroyed;
        }
        void onConnection(const ConnectionPtr_t& connection) override {
            EXPECT_EQ(connection->state(), ConnState::Connecting);
            ++m_counts.connections;
            ++m_open;
            connection->setEventCallback([this](const ConnectionPtr_t&, ConnEvent event, const void*) {
                if (event == Conn_EstablishedEvent) ++m_counts.established;
                if (event == Conn_CloseEvent) --m_open;
            });
        }
        void onDrain(ConnChecker& connections) override {
            ++m_counts.drains;
            TcpService::onDrain(connections);
        }

    private:
        IOLoop* m_loop;
        Counts& m_counts;
        int m_open = 0;
    };

    for (const bool drains : {false, true}) {
        TcpServer server;
        server.setServiceFactory([&](IOLoop* loop) { return std::make_unique<Service>(loop, counts); });
        const Address address = mustListen(server);
        mustStart(server, 2);
        std::vector<BlockingClient> clients;
        for (int i = 0; i < 20; ++i) clients.push_back(BlockingClient::connectTo(address));
        ASSERT_TRUE(waitUntil([&] { return server.connections() == 20; }));
        drains ? static_cast<void>(server.drain(seconds(10))) : server.stop();
    }
    EXPECT_EQ(counts.made.load(), 4);
    EXPECT_EQ(counts.destroyed.load(), 4);
    EXPECT_EQ(counts.connections.load(), 40);
    EXPECT_EQ(counts.established.load(), 40);
    EXPECT_EQ(counts.drains.load(), 2);
}

TEST(TcpServerTest, AServiceMayTurnAConnectionAway) {
    class Closed final : public TcpService {
        void onConnection(const ConnectionPtr_t& connection) override { connection->close(); }
    };
    TcpServer server;
    server.setServiceFactory([](IOLoop*) { return std::make_unique<Closed>(); });
    const Address address = mustListen(server);
    mustStart(server, 1);
    for (int i = 0; i < 10; ++i) EXPECT_TRUE(BlockingClient::connectTo(address).isAtEnd());
    ASSERT_TRUE(waitUntil([&] { return server.connections() == 0; }));
}

// --- The end ---

TEST(TcpServerTest, StopClosesEachConnectionExactlyOnce) {
    Tally tally;
    TcpServer server;
    server.setEventCallback(echo(tally));
    const Address address = mustListen(server);
    mustStart(server, 2);
    std::vector<BlockingClient> clients;
    for (int i = 0; i < 50; ++i) clients.push_back(BlockingClient::connectTo(address));
    ASSERT_TRUE(waitUntil([&] { return server.connections() == 50; }));
    for (int i = 0; i < 10; ++i) clients[static_cast<size_t>(i)].close();
    server.stop();
    EXPECT_EQ(server.connections(), 0U);
    EXPECT_EQ(tally.count(Conn_CloseEvent), tally.count(Conn_EstablishedEvent));
    EXPECT_EQ(tally.count(Conn_CloseEvent), 50);
    EXPECT_FALSE(BlockingClient::connectTo(address).valid());
    server.stop();  // nothing left to do
    EXPECT_EQ(tally.count(Conn_CloseEvent), 50);
}

TEST(TcpServerTest, ItsDestructorStopsIt) {
    Tally tally;
    BlockingClient client;
    {
        TcpServer server;
        server.setEventCallback(echo(tally));
        const Address address = mustListen(server);
        mustStart(server, 2);
        client = BlockingClient::connectTo(address);
        ASSERT_TRUE(isEchoed(client, "hello"));
    }
    EXPECT_EQ(tally.count(Conn_CloseEvent), 1);
    EXPECT_TRUE(client.isAtEnd());
}

TEST(TcpServerTest, ACloseEventMaySendAndCloseWhileTheServerStops) {
    std::atomic<int> closes{0};
    TcpServer server;
    server.setEventCallback([&](const ConnectionPtr_t& c, ConnEvent event, const void*) {
        if (event != Conn_CloseEvent) return;
        EXPECT_EQ(c->send("too late").status, SendStatus::Closed);
        c->close();
        c->loop()->addCallback([] {});
        ++closes;
    });
    const Address address = mustListen(server);
    mustStart(server, 2);
    std::vector<BlockingClient> clients;
    for (int i = 0; i < 10; ++i) clients.push_back(BlockingClient::connectTo(address));
    ASSERT_TRUE(waitUntil([&] { return server.connections() == 10; }));
    server.stop();
    EXPECT_EQ(closes.load(), 10);
}

TEST(TcpServerTest, DrainDeliversWhatIsInFlight) {
    constexpr size_t kAnswer = 8 << 20;
    std::atomic<int> requests{0};
    TcpServer server;
    server.setEventCallback([&](const ConnectionPtr_t& c, ConnEvent event, const void*) {
        if (event != Conn_ReadEvent) return;
        c->send(std::string(kAnswer, 'a'));
        ++requests;
    });
    const Address address = mustListen(server);
    mustStart(server, 2);
    std::vector<BlockingClient> clients;
    for (int i = 0; i < 4; ++i) {
        clients.push_back(BlockingClient::connectTo(address));
        ASSERT_TRUE(clients.back().send("request"));
    }
    ASSERT_TRUE(waitUntil([&] { return requests.load() == 4; }));
    std::thread readers([&] {
        for (BlockingClient& client : clients) EXPECT_EQ(client.receiveAll().size(), kAnswer);
    });
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_EQ(server.drain(seconds(60)), 0U);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(30)) << "waits although all are gone";
    readers.join();
    EXPECT_FALSE(BlockingClient::connectTo(address).valid());
}

TEST(TcpServerTest, DrainClosesByForceWhatIsNotFinishedInTime) {
    Tally tally;
    TcpServer server;
    server.setEventCallback([&](const ConnectionPtr_t& c, ConnEvent event, const void*) {
        tally.record(event);
        if (event == Conn_ReadEvent) c->send(std::string(20 << 20, 'a'));
    });
    const Address address = mustListen(server);
    mustStart(server, 2);
    BlockingClient stuck = BlockingClient::connectTo(address);  // asks, and never reads
    BlockingClient idle = BlockingClient::connectTo(address);
    ASSERT_TRUE(stuck.send("request"));
    ASSERT_TRUE(waitUntil([&] { return tally.count(Conn_ReadEvent) == 1 && server.connections() == 2; }));
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_EQ(server.drain(milliseconds(200)), 1U);
    EXPECT_GE(std::chrono::steady_clock::now() - begin, milliseconds(200));
    EXPECT_EQ(tally.count(Conn_CloseEvent), 2);
    EXPECT_TRUE(idle.isAtEnd());
}

TEST(TcpServerTest, DrainOfAServerWithoutConnectionsReturnsAtOnce) {
    Tally tally;
    TcpServer server;
    EXPECT_EQ(server.drain(seconds(60)), 0U);  // not even started
    server.setEventCallback(echo(tally));
    mustListen(server);
    mustStart(server, 2);
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_EQ(server.drain(seconds(60)), 0U);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(20));
}

// A program that begins to drain, does something else, and then drains: the count of loops that have yet
// to drain was set anew while the first round was under way, went below zero, and drain waited out its
// deadline although everything was gone.
TEST(TcpServerTest, BeginDrainMayPrecedeDrain) {
    for (int i = 0; i < 20; ++i) {
        Tally tally;
        TcpServer server;
        server.setEventCallback(echo(tally));
        const Address address = mustListen(server);
        mustStart(server, 2);
        BlockingClient client = BlockingClient::connectTo(address);
        ASSERT_TRUE(isEchoed(client, "hello"));
        const auto begin = std::chrono::steady_clock::now();
        server.beginDrain();
        server.beginDrain();
        EXPECT_EQ(server.drain(seconds(60)), 0U);
        ASSERT_LT(std::chrono::steady_clock::now() - begin, seconds(20)) << "in round " << i;
        EXPECT_EQ(tally.count(Conn_CloseEvent), 1);
    }
}

// Who is in the backlog has been told that it is connected; closing the listener would reset it.
TEST(TcpServerTest, DrainServesWhoeverIsInTheBacklog) {
    std::promise<void> release;
    const std::shared_future<void> released(release.get_future());
    Tally tally;
    TcpServer server;
    server.setEventCallback([&](const ConnectionPtr_t& c, ConnEvent event, const void*) {
        tally.record(event);
        if (event == Conn_ReadEvent) released.wait();
        if (event == Conn_EstablishedEvent) c->send("welcome");
    });
    const Address address = mustListen(server);
    mustStart(server, 1);
    BlockingClient busy = BlockingClient::connectTo(address);
    ASSERT_TRUE(busy.send("x"));
    ASSERT_TRUE(waitUntil([&] { return tally.count(Conn_ReadEvent) == 1; }));
    std::vector<BlockingClient> clients;  // the loop is stuck: they stay in the backlog
    for (int i = 0; i < 30; ++i) clients.push_back(BlockingClient::connectTo(address));
    server.beginDrain();
    release.set_value();
    EXPECT_EQ(server.drain(seconds(60)), 0U);
    for (BlockingClient& client : clients) EXPECT_EQ(client.receiveAll(), "welcome");
    EXPECT_EQ(tally.count(Conn_CloseEvent), 31);
}

// Clients come and go from several threads while the limit is reached again and again, and the server
// stops in the middle of it.
TEST(TcpServerTest, StopsUnderLoad) {
    for (int i = 0; i < 5; ++i) {
        Tally tally;
        TcpServer::Settings settings;
        settings.maxConnections = 3;
        TcpServer server(settings);
        server.setEventCallback(echo(tally));
        const Address address = mustListen(server);
        mustStart(server, 2);
        std::atomic<bool> isOver{false};
        std::atomic<int> echoes{0};
        std::vector<std::thread> threads;
        for (int t = 0; t < 4; ++t) {
            threads.emplace_back([&] {
                while (!isOver.load()) {
                    BlockingClient client = BlockingClient::connectTo(address);
                    if (client.valid() && isEchoed(client, "hello")) echoes.fetch_add(1);
                }
            });
        }
        EXPECT_TRUE(waitUntil([&] { return echoes.load() > 50; }));
        server.stop();
        isOver = true;
        for (std::thread& thread : threads) thread.join();
        EXPECT_EQ(server.connections(), 0U);
        EXPECT_EQ(tally.count(Conn_CloseEvent), tally.count(Conn_EstablishedEvent));
    }
}

}  // namespace
}  // namespace tnet
