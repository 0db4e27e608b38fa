#include "tnet/acceptor.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/loop_fixture.h"
#include "tnet/address.h"
#include "tnet/socket.h"

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

class AcceptorTest : public LoopTest {
protected:
    std::unique_ptr<Acceptor> listenAnd(Acceptor::AcceptCallback_t callback,
                                        const Address& address = Address::loopback(0)) {
        auto listener = listenOn(address);
        EXPECT_TRUE(listener.ok());
        m_address = localAddress(listener->get());
        auto acceptor = Acceptor::create(loop(), std::move(*listener), std::move(callback));
        EXPECT_TRUE(acceptor.ok());
        return std::move(*acceptor);
    }

    std::unique_ptr<Acceptor> listenAndKeep() {
        return listenAnd([this](FileDescriptor socket, const sockaddr*, socklen_t) {
            m_accepted.push_back(std::move(socket));
        });
    }

    // Clients whose connections are in the backlog.
    void connectClients(size_t count) {
        for (size_t i = 0; i < count; ++i) {
            m_clients.push_back(BlockingClient::connectTo(m_address));
            EXPECT_TRUE(m_clients.back().valid());
        }
    }

    Address m_address;
    std::vector<FileDescriptor> m_accepted;
    std::vector<BlockingClient> m_clients;
};

TEST_F(AcceptorTest, HandsOverNonBlockingSocketsWithTheirPeersAddress) {
    Address peer;
    FileDescriptor accepted;
    const auto acceptor = listenAnd([&](FileDescriptor socket, const sockaddr* address, socklen_t size) {
        accepted = std::move(socket);
        peer = Address::fromSockaddr(address, size);
    });
    connectClients(1);
    ASSERT_TRUE(runUntil([&] { return accepted.valid(); }));
    EXPECT_EQ(peer, localAddress(m_clients[0].fd()));
    EXPECT_NE(::fcntl(accepted.get(), F_GETFL) & O_NONBLOCK, 0);
    EXPECT_NE(::fcntl(accepted.get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(AcceptorTest, AcceptsOnUnixSockets) {
    Address peer;
    FileDescriptor accepted;
    const auto acceptor = listenAnd(
        [&](FileDescriptor socket, const sockaddr* address, socklen_t size) {
            accepted = std::move(socket);
            peer = Address::fromSockaddr(address, size);
        },
        *Address::parse("unix:@tnet-acceptor-" + std::to_string(::getpid())));
    connectClients(1);
    ASSERT_TRUE(runUntil([&] { return accepted.valid(); }));
    EXPECT_EQ(peer.toString(), "unix:");
}

TEST_F(AcceptorTest, TakesABurstInPortionsSoThatOthersAreServedInBetween) {
    const auto acceptor = listenAndKeep();
    connectClients(50);
    loop()->runOnce(Duration::zero());
    EXPECT_GT(m_accepted.size(), 1U);
    EXPECT_LT(m_accepted.size(), 50U);
    ASSERT_TRUE(runUntil([&] { return m_accepted.size() == 50; }));
}

TEST_F(AcceptorTest, PausedItLeavesConnectionsInTheBacklog) {
    const auto acceptor = listenAndKeep();
    acceptor->pause();
    EXPECT_TRUE(acceptor->isPaused());
    connectClients(3);
    runRounds(50);
    EXPECT_TRUE(m_accepted.empty());
    acceptor->resume();
    EXPECT_FALSE(acceptor->isPaused());
    ASSERT_TRUE(runUntil([&] { return m_accepted.size() == 3; }));
}

TEST_F(AcceptorTest, PausedInItsCallbackItTakesNoMore) {
    std::unique_ptr<Acceptor> acceptor;
    acceptor = listenAnd([&](FileDescriptor socket, const sockaddr*, socklen_t) {
        m_accepted.push_back(std::move(socket));
        if (m_accepted.size() == 2) acceptor->pause();
    });
    connectClients(5);
    runRounds(50);
    EXPECT_EQ(m_accepted.size(), 2U);
    acceptor->resume();
    ASSERT_TRUE(runUntil([&] { return m_accepted.size() == 5; }));
}

// Two listeners are ready in one batch; accepting on the first one reaches the limit and pauses both.
// The second one's event was fetched already, and it took one connection more than the limit.
TEST_F(AcceptorTest, PausedBeforeItsEventOfTheSameBatchItTakesNone) {
    std::vector<std::unique_ptr<Acceptor>> acceptors;
    for (int i = 0; i < 2; ++i) {
        acceptors.push_back(listenAnd([&](FileDescriptor socket, const sockaddr*, socklen_t) {
            m_accepted.push_back(std::move(socket));
            for (const auto& acceptor : acceptors) acceptor->pause();
        }));
        connectClients(1);
    }
    runRounds(50);
    EXPECT_EQ(m_accepted.size(), 1U);
}

TEST_F(AcceptorTest, AcceptPendingTakesATurnOfTheBacklogUnlessItIsPaused) {
    const auto acceptor = listenAndKeep();
    connectClients(Acceptor::kPendingTurn.steps + 6);
    acceptor->pause();
    EXPECT_EQ(acceptor->acceptPending(), Acceptor::Pending::Paused);
    EXPECT_TRUE(m_accepted.empty());
    acceptor->resume();
    EXPECT_EQ(acceptor->acceptPending(), Acceptor::Pending::More);
    EXPECT_EQ(m_accepted.size(), Acceptor::kPendingTurn.steps);
    EXPECT_EQ(acceptor->acceptPending(), Acceptor::Pending::None);
    EXPECT_EQ(m_accepted.size(), Acceptor::kPendingTurn.steps + 6);
}

// A filter (seccomp) that says EACCES, or a network that is down for ever: it was tried again without end, in
// one call of acceptPending, or in every round of the loop.
TEST_F(AcceptorTest, AnErrorThatStaysIsTriedAgainOnceInAWhile) {
    for (const int error : {EACCES, EPERM, EBADF, ENETDOWN, EPROTO, EINTR}) {
        SCOPED_TRACE(error);
        m_accepted.clear();
        const auto acceptor = listenAndKeep();
        connectClients(1);
        acceptError = error;
        runRounds(100);  // as many peers in a row may be gone
        acceptCalls = 0;
        runRounds(100);
        EXPECT_EQ(acceptCalls, 0) << "it spins";
        EXPECT_EQ(acceptor->acceptPending(), Acceptor::Pending::Failed);
        EXPECT_LE(acceptCalls, 64);
        acceptError = 0;
        advance(Acceptor::kRetryPause);
        EXPECT_EQ(m_accepted.size(), 1U);
    }
}

// Out of descriptors, a hang-up was told in between: a second timer was armed over the first, and outlived
// the acceptor.
TEST_F(AcceptorTest, AHangUpWhileItWaitsArmsNoSecondTimer) {
    auto acceptor = listenAndKeep();
    connectClients(1);
    int listener = -1;
    for (int fd = 3; fd < 256; ++fd) {
        if (localAddress(fd) == m_address && peerAddress(fd).family() == AF_UNSPEC) listener = fd;
    }
    const FileDescriptor other(::dup(listener));
    acceptError = EMFILE;
    runRounds();
    ASSERT_EQ(::shutdown(other.get(), SHUT_RD), 0);
    runRounds();
    acceptor.reset();
    acceptError = 0;
    advance(2 * Acceptor::kRetryPause);
    EXPECT_TRUE(m_accepted.empty());
}

// It said EINVAL in every round.
TEST_F(AcceptorTest, AListenerThatAnotherHolderShutsDownIsForgottenAndToldOnce) {
    auto listener = listenOn(Address::loopback(0));
    ASSERT_TRUE(listener.ok());
    const FileDescriptor other(::dup(listener->get()));
    int ends = 0;
    const auto acceptor = Acceptor::create(
        loop(), std::move(*listener), [](FileDescriptor, const sockaddr*, socklen_t) {}, [&] { ++ends; });
    ASSERT_TRUE(acceptor.ok());
    ASSERT_EQ(::shutdown(other.get(), SHUT_RD), 0);
    ASSERT_TRUE(runUntil([&] { return ends > 0; }));
    acceptCalls = 0;
    runRounds(50);
    EXPECT_EQ(acceptCalls, 0) << "it spins";
    EXPECT_EQ(ends, 1);
    (*acceptor)->pause();
    (*acceptor)->resume();
    EXPECT_EQ((*acceptor)->acceptPending(), Acceptor::Pending::None);
}

// The callback was destroyed with its acceptor while it ran, and went on with captures that were gone.
TEST_F(AcceptorTest, MayBeDestroyedInItsOwnCallback) {
    for (const bool isPending : {false, true}) {
        SCOPED_TRACE(isPending ? "acceptPending" : "event");
        std::unique_ptr<Acceptor> acceptor;
        int calls = 0;
        const auto captured = std::make_shared<std::string>("still here");
        acceptor = listenAnd([&, captured](FileDescriptor, const sockaddr*, socklen_t) {
            acceptor.reset();
            EXPECT_EQ(*captured, "still here");
            ++calls;
        });
        connectClients(3);
        if (isPending) acceptor->acceptPending();
        runRounds(20);
        EXPECT_EQ(calls, 1);
        EXPECT_EQ(captured.use_count(), 1);
        EXPECT_FALSE(BlockingClient::connectTo(m_address).valid()) << "still listening";
    }
}

TEST_F(AcceptorTest, APeerThatIsGoneBeforeItIsAcceptedDoesNoHarm) {
    const auto acceptor = listenAndKeep();
    acceptor->pause();
    connectClients(2);
    m_clients[0].reset();
    acceptor->resume();
    runRounds(50);
    // Linux hands out the aborted connection; its first read tells. Either way the next one comes.
    ASSERT_FALSE(m_accepted.empty());
    ASSERT_EQ(::send(m_accepted.back().get(), "hello", 5, MSG_NOSIGNAL), 5);
    EXPECT_EQ(m_clients[1].receive(5), "hello");
}

TEST_F(AcceptorTest, TheSecondAcceptorOnADescriptorIsAnErrorThatNamesTheAddress) {
    auto listener = listenOn(Address::loopback(0));
    ASSERT_TRUE(listener.ok());
    const std::string name = localAddress(listener->get()).toString();
    ASSERT_FALSE(loop()->addHandler(listener->get(), TNET_READ, [](uint32_t) {}));
    const auto acceptor =
        Acceptor::create(loop(), std::move(*listener), [](FileDescriptor, const sockaddr*, socklen_t) {});
    ASSERT_FALSE(acceptor.ok());
    EXPECT_EQ(acceptor.error().code, std::errc::file_exists);
    EXPECT_NE(acceptor.error().message.find(name), std::string::npos) << acceptor.error().message;
}

}  // namespace
}  // namespace tnet
