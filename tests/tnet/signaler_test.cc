#include "tnet/signaler.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/loop_fixture.h"

namespace tnet {
namespace {

class SignalerTest : public LoopTest {
protected:
    std::unique_ptr<Signaler> watch(std::initializer_list<int> signals) {
        auto signaler = Signaler::create(loop(), signals, [this](int signal) { received.push_back(signal); });
        EXPECT_TRUE(signaler.ok()) << (signaler.ok() ? "" : signaler.error().message);
        return signaler.ok() ? std::move(*signaler) : nullptr;
    }

    std::vector<int> received;
};

TEST_F(SignalerTest, CallsBackOnTheLoop) {
    const auto signaler = watch({SIGUSR1, SIGUSR2});
    ASSERT_EQ(::kill(::getpid(), SIGUSR1), 0);
    EXPECT_TRUE(received.empty());
    ASSERT_TRUE(runUntil([&] { return received.size() == 1; }));
    ASSERT_EQ(::kill(::getpid(), SIGUSR2), 0);
    ASSERT_TRUE(runUntil([&] { return received.size() == 2; }));
    EXPECT_EQ(received, (std::vector{SIGUSR1, SIGUSR2}));
    runRounds();
    EXPECT_EQ(received.size(), 2U);
}

TEST_F(SignalerTest, SeveralPendingSignalsAllArrive) {
    const auto signaler = watch({SIGUSR1, SIGUSR2, SIGTERM});
    for (const int signal : {SIGTERM, SIGUSR2, SIGUSR1, SIGTERM}) ASSERT_EQ(::raise(signal), 0);
    ASSERT_TRUE(runUntil([&] { return received.size() == 4; }));
    EXPECT_EQ(received, (std::vector{SIGUSR1, SIGUSR2, SIGTERM, SIGTERM}));
}

// SIGTERM killed the process without a drain, in silence, if any thread was started before the Signaler was made: the
// signal was blocked in the threads that came later alone, and the kernel chose one where it was not.
TEST_F(SignalerTest, ItDoesNotMatterWhichThreadsThereAre) {
    std::atomic<bool> mayEnd{false};
    std::thread before([&] { waitUntil([&] { return mayEnd.load(); }); });
    const auto signaler = watch({SIGTERM});
    std::thread after([&] { waitUntil([&] { return mayEnd.load(); }); });
    ASSERT_EQ(::pthread_kill(before.native_handle(), SIGTERM), 0);
    ASSERT_EQ(::pthread_kill(after.native_handle(), SIGTERM), 0);
    ASSERT_EQ(::kill(::getpid(), SIGTERM), 0);
    EXPECT_TRUE(runUntil([&] { return received.size() == 3; }));
    mayEnd = true;
    before.join();
    after.join();
}

TEST_F(SignalerTest, ASignalThatArrivesBeforeTheLoopRunsIsNotLost) {
    const auto real = IOLoop::create();
    ASSERT_TRUE(real.ok());
    const auto signaler = Signaler::create(real->get(), {SIGTERM}, [&](int) { (*real)->stop(); });
    ASSERT_TRUE(signaler.ok());
    ASSERT_EQ(::raise(SIGTERM), 0);
    (*real)->start();  // returns
}

// A program that was started with the signal blocked, as by a parent that had it so.
TEST_F(SignalerTest, UnblocksItsSignalsWhileItLives) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    ASSERT_EQ(::pthread_sigmask(SIG_BLOCK, &set, nullptr), 0);
    auto signaler = watch({SIGUSR1, SIGUSR2});
    ASSERT_EQ(::kill(::getpid(), SIGUSR1), 0);
    EXPECT_TRUE(runUntil([&] { return received.size() == 1; }));
    signaler.reset();
    sigset_t now;
    ASSERT_EQ(::pthread_sigmask(SIG_UNBLOCK, &set, &now), 0);
    EXPECT_EQ(sigismember(&now, SIGUSR1), 1) << "blocked again";
    EXPECT_EQ(sigismember(&now, SIGUSR2), 0);
}

TEST_F(SignalerTest, ASignalEndsTheLoopFromItsCallback) {
    auto signaler = Signaler::create(loop(), {SIGUSR1}, [this](int) { loop()->stop(); });
    ASSERT_TRUE(signaler.ok());
    ASSERT_EQ(::kill(::getpid(), SIGUSR1), 0);
    loop()->start();  // returns
}

TEST_F(SignalerTest, MayBeDestroyedInItsOwnCallback) {
    std::unique_ptr<Signaler> signaler;
    const std::vector<int> captured{1, 2, 3};
    int calls = 0;
    auto created = Signaler::create(loop(), {SIGUSR1, SIGUSR2}, [&signaler, &calls, captured](int) {
        signaler.reset();
        EXPECT_EQ(captured, (std::vector{1, 2, 3})) << "the callback was destroyed while it ran";
        ++calls;
    });
    ASSERT_TRUE(created.ok());
    signaler = std::move(*created);
    ASSERT_EQ(::raise(SIGUSR1), 0);
    ASSERT_EQ(::raise(SIGUSR2), 0);
    ASSERT_TRUE(runUntil([&] { return calls == 1; }));
    runRounds();
    EXPECT_EQ(calls, 1);
}

void oldHandler(int) {}

TEST_F(SignalerTest, RestoresWhatTheSignalsDidBefore) {
    struct sigaction old {};
    old.sa_handler = oldHandler;
    ASSERT_EQ(::sigaction(SIGUSR1, &old, nullptr), 0);
    auto signaler = watch({SIGUSR1, SIGUSR2});
    signaler.reset();
    struct sigaction now {};
    ASSERT_EQ(::sigaction(SIGUSR1, nullptr, &now), 0);
    EXPECT_EQ(now.sa_handler, oldHandler);
    ASSERT_EQ(::sigaction(SIGUSR2, nullptr, &now), 0);
    EXPECT_EQ(now.sa_handler, SIG_DFL);
    old.sa_handler = SIG_DFL;
    ::sigaction(SIGUSR1, &old, nullptr);
}

// `nohup server`: its terminal goes, and it stays.
TEST_F(SignalerTest, AHangUpThatIsIgnoredStaysSo) {
    struct sigaction ignored {};
    ignored.sa_handler = SIG_IGN;
    ASSERT_EQ(::sigaction(SIGHUP, &ignored, nullptr), 0);
    const auto signaler = watch({SIGHUP, SIGUSR1});
    ASSERT_EQ(::raise(SIGHUP), 0);
    ASSERT_EQ(::raise(SIGUSR1), 0);
    ASSERT_TRUE(runUntil([&] { return !received.empty(); }));
    runRounds();
    EXPECT_EQ(received, std::vector{SIGUSR1});
    ignored.sa_handler = SIG_DFL;
    ::sigaction(SIGHUP, &ignored, nullptr);
}

TEST_F(SignalerTest, SeveralHaveDifferentSignalsAndNoTwoTheSame) {
    auto first = watch({SIGUSR1});
    const auto second = watch({SIGUSR2});
    const auto third = Signaler::create(loop(), {SIGTERM, SIGUSR1}, [](int) { FAIL(); });
    ASSERT_FALSE(third.ok());
    EXPECT_EQ(third.error().code, std::errc::device_or_resource_busy);
    EXPECT_NE(third.error().message.find(std::to_string(SIGUSR1)), std::string::npos);
    ASSERT_EQ(::raise(SIGUSR2), 0);
    ASSERT_EQ(::raise(SIGUSR1), 0);
    ASSERT_TRUE(runUntil([&] { return received.size() == 2; }));
    first.reset();
    const auto fourth = watch({SIGUSR1, SIGTERM});  // free again, what the third had taken, too
    ASSERT_EQ(::raise(SIGTERM), 0);
    ASSERT_TRUE(runUntil([&] { return received.size() == 3; }));
}

// The child has a copy of the handler and the parent's descriptor: the parent is woken for nothing, and says nothing.
TEST_F(SignalerTest, AForkedChildsSignalIsNotTheParents) {
    const auto signaler = watch({SIGUSR1});
    const pid_t child = ::fork();
    if (child == 0) {
        ::raise(SIGUSR1);
        ::_exit(0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status));
    runRounds();
    EXPECT_TRUE(received.empty());
}

// Handlers run in other threads while Signalers come and go: none may write to a descriptor that is closed.
TEST_F(SignalerTest, MayBeDestroyedWhileItsSignalsArrive) {
    struct sigaction ignored {};
    ignored.sa_handler = SIG_IGN;
    ASSERT_EQ(::sigaction(SIGUSR2, &ignored, nullptr), 0);
    std::atomic<bool> isOver{false};
    std::thread sender([&] {
        while (!isOver) ::raise(SIGUSR2);
    });
    for (int i = 0; i < 200; ++i) {
        received.clear();
        const auto signaler = watch({SIGUSR2});
        runUntil([&] { return !received.empty(); });
    }
    isOver = true;
    sender.join();
    ignored.sa_handler = SIG_DFL;
    ::sigaction(SIGUSR2, &ignored, nullptr);
}

TEST_F(SignalerTest, AnImpossibleSignalIsAnErrorThatNamesIt) {
    for (const int number : {4711, -1, 0, SIGKILL}) {
        const auto signaler = Signaler::create(loop(), {number}, [](int) {});
        ASSERT_FALSE(signaler.ok());
        EXPECT_EQ(signaler.error().code, std::errc::invalid_argument);
        EXPECT_NE(signaler.error().message.find(std::to_string(number)), std::string::npos);
    }
}

}  // namespace
}  // namespace tnet
