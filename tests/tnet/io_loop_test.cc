#include "tnet/io_loop.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/loop_fixture.h"
#include "tnet/connection.h"
#include "tnet/io_handler.h"
#include "tnet/transport.h"

namespace tnet {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

std::unique_ptr<IOLoop> makeRealLoop() {
    auto loop = IOLoop::create();
    EXPECT_TRUE(loop.ok());
    return std::move(*loop);
}

class IOLoopTest : public LoopTest {
protected:
    // Watches a socket that is readable from the start.
    SocketPair readablePair() {
        SocketPair pair = makeSocketPair();
        EXPECT_EQ(::send(pair.peers.get(), "x", 1, 0), 1);
        return pair;
    }

    void watch(const SocketPair& pair, uint32_t events, IOCallback_t callback) {
        EXPECT_FALSE(loop()->addHandler(pair.ours.get(), events, std::move(callback)));
    }
};

// --- Handlers ---

TEST_F(IOLoopTest, TellsWhatAHandlerWatchesFor) {
    SocketPair pair = makeSocketPair();
    std::vector<uint32_t> seen;
    watch(pair, TNET_READ, [&](uint32_t events) { seen.push_back(events); });
    runRounds();
    EXPECT_TRUE(seen.empty());
    ASSERT_EQ(::send(pair.peers.get(), "x", 1, 0), 1);
    loop()->runOnce(seconds(1));
    EXPECT_EQ(seen, std::vector<uint32_t>{TNET_READ});
    loop()->runOnce(seconds(1));
    EXPECT_EQ(seen.size(), 2U) << "level-triggered: told until it is read";

    seen.clear();
    EXPECT_FALSE(loop()->updateHandler(pair.ours.get(), TNET_WRITE));
    loop()->runOnce(seconds(1));
    EXPECT_EQ(seen, std::vector<uint32_t>{TNET_WRITE});

    seen.clear();
    EXPECT_FALSE(loop()->updateHandler(pair.ours.get(), TNET_READ | TNET_WRITE));
    loop()->runOnce(seconds(1));
    EXPECT_EQ(seen, std::vector<uint32_t>{TNET_READ | TNET_WRITE});

    seen.clear();
    EXPECT_FALSE(loop()->updateHandler(pair.ours.get(), 0));
    runRounds();
    EXPECT_TRUE(seen.empty());
    loop()->removeHandler(pair.ours.get());
}

TEST_F(IOLoopTest, AHandlerThatWatchesForNothingIsToldOfAHangUpOnce) {
    SocketPair pair = makeSocketPair();
    std::vector<uint32_t> seen;
    watch(pair, 0, [&](uint32_t events) { seen.push_back(events); });
    pair.peers.reset();
    runRounds(20);
    EXPECT_EQ(seen, std::vector<uint32_t>{TNET_ERROR});
    // Still told when it watches for something again.
    EXPECT_FALSE(loop()->updateHandler(pair.ours.get(), TNET_READ));
    loop()->runOnce(Duration::zero());
    ASSERT_EQ(seen.size(), 2U);
    EXPECT_EQ(seen.back(), TNET_READ | TNET_ERROR);
    loop()->removeHandler(pair.ours.get());
}

TEST_F(IOLoopTest, ADescriptorHasOneHandler) {
    SocketPair pair = readablePair();
    int first = 0;
    watch(pair, TNET_READ, [&](uint32_t) { ++first; });
    EXPECT_EQ(loop()->addHandler(pair.ours.get(), TNET_READ, [](uint32_t) { FAIL(); }),
              std::errc::file_exists);
    loop()->runOnce(Duration::zero());
    EXPECT_EQ(first, 1);
    loop()->removeHandler(pair.ours.get());
}

TEST_F(IOLoopTest, AddingWhatCannotBeWatchedIsAnError) {
    SocketPair pair = makeSocketPair();
    const int number = pair.ours.get();
    pair.ours.reset();
    EXPECT_EQ(loop()->addHandler(number, TNET_READ, [](uint32_t) {}), std::errc::bad_file_descriptor);
    const FileDescriptor file(::open("/proc/self/status", O_RDONLY | O_CLOEXEC));
    EXPECT_EQ(loop()->addHandler(number, TNET_READ, [](uint32_t) {}) == std::error_code(), false);
    const FileDescriptor directory(::open("/", O_RDONLY | O_CLOEXEC));
    EXPECT_EQ(loop()->addHandler(directory.get(), TNET_READ, [](uint32_t) {}),
              std::errc::operation_not_permitted);
    loop()->removeHandler(number);  // harmless
}

TEST_F(IOLoopTest, ManyDescriptors) {
    std::vector<SocketPair> pairs;
    int calls = 0;
    for (int i = 0; i < 300; ++i) {
        pairs.push_back(readablePair());
        watch(pairs.back(), TNET_READ, [&](uint32_t) { ++calls; });
    }
    loop()->runOnce(Duration::zero());
    EXPECT_EQ(calls, 300);
    for (const SocketPair& pair : pairs) loop()->removeHandler(pair.ours.get());
}

TEST_F(IOLoopTest, AHandlerMayRemoveItself) {
    SocketPair pair = readablePair();
    auto owned = std::make_shared<std::string>("owned");
    const std::weak_ptr<std::string> watched = owned;
    int calls = 0;
    watch(pair, TNET_READ, [&, owned = std::move(owned)](uint32_t) {
        loop()->removeHandler(pair.ours.get());
        EXPECT_EQ(*owned, "owned") << "destroyed while it ran";
        ++calls;
    });
    runRounds();
    EXPECT_EQ(calls, 1);
    EXPECT_TRUE(watched.expired());
}

TEST_F(IOLoopTest, AHandlerMayReplaceItself) {
    SocketPair pair = readablePair();
    std::string order;
    watch(pair, TNET_READ, [&](uint32_t) {
        order += 'a';
        loop()->removeHandler(pair.ours.get());
        EXPECT_FALSE(loop()->addHandler(pair.ours.get(), TNET_READ, [&](uint32_t) { order += 'b'; }));
    });
    loop()->runOnce(Duration::zero());
    loop()->runOnce(Duration::zero());
    EXPECT_EQ(order, "ab");
    loop()->removeHandler(pair.ours.get());
}

TEST_F(IOLoopTest, AHandlerMayRemoveAnotherOfTheSameBatch) {
    SocketPair a = readablePair();
    SocketPair b = readablePair();
    int calls = 0;
    const auto removeBoth = [&](uint32_t) {
        ++calls;
        loop()->removeHandler(a.ours.get());
        loop()->removeHandler(b.ours.get());
    };
    watch(a, TNET_READ, removeBoth);
    watch(b, TNET_READ, removeBoth);
    runRounds();
    EXPECT_EQ(calls, 1) << "a removed handler was called";
}

TEST_F(IOLoopTest, AHandlerMayStopTheLoop) {
    SocketPair pair = readablePair();
    watch(pair, TNET_READ, [&](uint32_t) { loop()->stop(); });
    loop()->start();  // returns
    loop()->start();  // and can be started again
    loop()->removeHandler(pair.ours.get());
}

TEST_F(IOLoopTest, AHandlerMayCloseAnyDescriptor) {
    SocketPair a = readablePair();
    SocketPair b = readablePair();
    int calls = 0;
    const int numberA = a.ours.get();
    const int numberB = b.ours.get();
    const auto closeBoth = [&](uint32_t) {
        ++calls;
        a.ours.reset();
        b.ours.reset();
    };
    watch(a, TNET_READ, closeBoth);
    watch(b, TNET_READ, closeBoth);
    runRounds();
    EXPECT_LE(calls, 2) << "a closed descriptor goes on reporting";
    loop()->removeHandler(numberA);
    loop()->removeHandler(numberB);
}

// A descriptor was closed, its handler forgotten. The kernel forgets with it, the loop did not: it
// refused the next descriptor of that number (file_exists), and killed an innocent connection.
TEST_F(IOLoopTest, AForgottenHandlerDoesNotBlockItsDescriptorsNumber) {
    SocketPair next = readablePair();
    SocketPair old = makeSocketPair();
    auto owned = std::make_shared<int>(0);
    const std::weak_ptr<int> watched = owned;
    watch(old, TNET_READ,
          [owned = std::move(owned)](uint32_t) { FAIL() << "called for another's descriptor"; });
    const int number = old.ours.get();
    old.ours.reset();
    const FileDescriptor reused(::fcntl(next.ours.get(), F_DUPFD_CLOEXEC, number));
    ASSERT_EQ(reused.get(), number);
    int calls = 0;
    EXPECT_FALSE(loop()->addHandler(number, TNET_READ, [&](uint32_t) { ++calls; }));
    loop()->runOnce(Duration::zero());
    EXPECT_EQ(calls, 1);
    EXPECT_TRUE(watched.expired());
    loop()->removeHandler(number);
}

TEST_F(IOLoopTest, AHandlerIsDestroyedAtTheEndOfTheRoundAtTheEarliest) {
    SocketPair a = readablePair();
    SocketPair b = readablePair();
    struct Handler final : IOHandler {
        explicit Handler(bool& flag) : destroyed(flag) {}
        ~Handler() override { destroyed = true; }
        void handleEvents(uint32_t) override {}
        bool& destroyed;
    };
    bool destroyed = false;
    ASSERT_FALSE(loop()->addHandler(a.ours.get(), 0, std::make_shared<Handler>(destroyed)));
    watch(b, TNET_READ, [&](uint32_t) {
        loop()->removeHandler(a.ours.get());
        EXPECT_FALSE(destroyed);
        loop()->removeHandler(b.ours.get());
    });
    loop()->runOnce(Duration::zero());
    EXPECT_TRUE(destroyed);
}

TEST_F(IOLoopTest, ItsEndTellsEachHandlerAndClosesNoDescriptor) {
    struct Handler final : IOHandler {
        explicit Handler(int& counter) : exits(counter) {}
        void handleEvents(uint32_t) override {}
        void handleLoopExit() override { ++exits; }
        int& exits;
    };
    SocketPair a = makeSocketPair();
    SocketPair b = makeSocketPair();
    int exits = 0;
    ASSERT_FALSE(loop()->addHandler(a.ours.get(), TNET_READ, std::make_shared<Handler>(exits)));
    ASSERT_FALSE(loop()->addHandler(b.ours.get(), TNET_READ, std::make_shared<Handler>(exits)));
    loop()->removeHandler(b.ours.get());
    destroyLoop();
    EXPECT_EQ(exits, 1);
    EXPECT_NE(::fcntl(a.ours.get(), F_GETFD), -1);
}

// A client that reconnects whenever it loses its connection does so when the loop ends, too. The new
// connection was registered with a loop that had already visited its handlers: it was never closed,
// and went down with an assertion.
TEST_F(IOLoopTest, AConnectionOpenedWhileTheLoopEndsIsClosedToo) {
    for (const bool isLowerNumber : {false, true}) {
        SCOPED_TRACE(isLowerNumber);
        auto real = makeRealLoop();
        IOLoop* const dying = real.get();
        SocketPair low = makeSocketPair();
        SocketPair first = makeSocketPair();
        SocketPair high = makeSocketPair();
        SocketPair& second = isLowerNumber ? low : high;
        EventLog log;
        const auto open = [&](FileDescriptor socket, ConnEventCallback_t callback) {
            const auto connection = std::make_shared<Connection>(dying, std::move(socket), plainTransport(),
                                                                 Connection::Origin::Connected);
            connection->setEventCallback(std::move(callback));
            connection->start();
        };
        open(std::move(first.ours), [&](const ConnectionPtr_t&, ConnEvent event, const void*) {
            if (event == Conn_CloseEvent) open(std::move(second.ours), log.callback());
        });
        real.reset();
        ASSERT_FALSE(log.events.empty());
        EXPECT_EQ(log.count(Conn_CloseEvent), 1U);
        EXPECT_EQ(log.events.back(), Conn_CloseEvent);
    }
}

// --- Tasks ---

TEST_F(IOLoopTest, ATaskNeverRunsInsideAddCallback) {
    loop()->runOnce(Duration::zero());
    std::string order;
    loop()->addCallback([&] { order += 'b'; });
    order += 'a';
    loop()->runOnce(Duration::zero());
    EXPECT_EQ(order, "ab");
}

TEST_F(IOLoopTest, TasksRunInOrderAndOnTheLoopsThread) {
    std::vector<int> order;
    for (int i = 0; i < 3; ++i) {
        loop()->addCallback([&, i] {
            EXPECT_TRUE(loop()->isInLoopThread());
            order.push_back(i);
        });
    }
    loop()->runOnce(Duration::zero());
    EXPECT_EQ(order, (std::vector{0, 1, 2}));
}

TEST_F(IOLoopTest, ATaskThatPostsItselfStarvesNobody) {
    SocketPair pair = readablePair();
    int tasks = 0;
    int reads = 0;
    int ticks = 0;
    watch(pair, TNET_READ, [&](uint32_t) { ++reads; });
    loop()->runEvery(milliseconds(1), [&] { ++ticks; });
    Callback_t again = [&] {
        ++tasks;
        loop()->addCallback(again);
    };
    loop()->addCallback(again);
    for (int i = 0; i < 10; ++i) {
        clock().advance(milliseconds(1));
        loop()->runOnce(seconds(10));  // does not wait, since there is work
    }
    EXPECT_EQ(reads, 10);
    EXPECT_EQ(ticks, 10);
    EXPECT_GE(tasks, 9);
    EXPECT_LE(tasks, 11);
    loop()->removeHandler(pair.ours.get());
}

TEST_F(IOLoopTest, NothingThatIsDueWaitsForADescriptor) {
    const auto isPrompt = [&](const std::function<bool()>& condition) {
        const auto begin = std::chrono::steady_clock::now();
        while (!condition() && std::chrono::steady_clock::now() - begin < kTestDeadline)
            loop()->runOnce(kTestDeadline);
        return std::chrono::steady_clock::now() - begin < kTestDeadline / 2;
    };
    bool ran = false;
    loop()->addCallback([&] { loop()->addCallback([&] { ran = true; }); });
    EXPECT_TRUE(isPrompt([&] { return ran; })) << "a task posted by a task";

    SocketPair pair = makeSocketPair();
    EventLog log;
    const auto connection = startConnection(std::move(pair.ours), log.callback());
    connection->send("x");
    EXPECT_TRUE(isPrompt([&] { return log.has(Conn_WriteCompleteEvent); })) << "an event that is due";
    connection->close();
    EXPECT_TRUE(isPrompt([&] { return log.has(Conn_CloseEvent); })) << "an event that is due";
}

TEST_F(IOLoopTest, ATaskIsDestroyedBeforeTheNextOneRuns) {
    loop()->runOnce(Duration::zero());
    auto owned = std::make_shared<int>(0);
    const std::weak_ptr<int> watched = owned;
    bool checked = false;
    loop()->addCallback([owned = std::move(owned)] {});
    loop()->addCallback([&] {
        EXPECT_TRUE(watched.expired());
        checked = true;
    });
    loop()->runOnce(Duration::zero());
    EXPECT_TRUE(checked);
}

TEST_F(IOLoopTest, TasksOfManyThreadsAllRun) {
    constexpr int kThreads = 4;
    constexpr int kTasks = 2000;
    const auto real = makeRealLoop();
    int ran = 0;  // on the loop's thread alone
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
        threads.emplace_back([&] {
            for (int i = 0; i < kTasks; ++i) {
                real->addCallback([&] {
                    EXPECT_TRUE(real->isInLoopThread());
                    if (++ran == kThreads * kTasks) real->stop();
                });
            }
        });
    }
    real->start();
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(ran, kThreads * kTasks);
}

TEST_F(IOLoopTest, ABatchOfAnotherThreadCostsOneRound) {
    loop()->runOnce(Duration::zero());
    int ran = 0;
    std::thread([&] {
        for (int i = 0; i < 100; ++i) loop()->addCallback([&] { ++ran; });
    }).join();
    loop()->runOnce(Duration::zero());
    EXPECT_EQ(ran, 100);
}

TEST_F(IOLoopTest, AnotherThreadsTaskWakesASleepingLoop) {
    loop()->runOnce(Duration::zero());
    bool ran = false;
    std::thread other([&] { loop()->addCallback([&] { ran = true; }); });
    const auto begin = std::chrono::steady_clock::now();
    while (!ran && std::chrono::steady_clock::now() - begin < kTestDeadline) loop()->runOnce(kTestDeadline);
    EXPECT_TRUE(ran);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, kTestDeadline / 2);
    other.join();
}

TEST_F(IOLoopTest, AfterItsEndTasksAreRefusedAndDestroyed) {
    auto unrun = std::make_shared<int>(0);
    auto late = std::make_shared<int>(0);
    auto timed = std::make_shared<int>(0);
    const std::weak_ptr<int> watched[] = {unrun, late, timed};
    const TaskQueuePtr_t tasks = loop()->tasks();
    loop()->runOnce(Duration::zero());
    loop()->addCallback([unrun = std::move(unrun)] { FAIL(); });
    loop()->runAfter(seconds(1), [timed = std::move(timed)] { FAIL(); });
    destroyLoop();
    EXPECT_FALSE(tasks->post([late = std::move(late)] { FAIL(); }));
    for (const auto& each : watched) EXPECT_TRUE(each.expired());
}

// --- Timers ---

TEST_F(IOLoopTest, ATimerRunsNotBeforeItsTime) {
    int ran = 0;
    loop()->runAfter(milliseconds(100), [&] { ++ran; });
    advance(milliseconds(100) - nanoseconds(1));
    EXPECT_EQ(ran, 0);
    advance(nanoseconds(1));
    EXPECT_EQ(ran, 1);
    advance(seconds(10));
    EXPECT_EQ(ran, 1);
}

TEST_F(IOLoopTest, TimersRunByDeadlineThenInOrder) {
    std::string order;
    loop()->runAfter(milliseconds(3), [&] { order += 'c'; });
    loop()->runAfter(milliseconds(1), [&] { order += 'a'; });
    loop()->runAfter(milliseconds(3), [&] { order += 'd'; });
    loop()->runAfter(milliseconds(2), [&] { order += 'b'; });
    advance(milliseconds(5));
    EXPECT_EQ(order, "abcd");
}

TEST_F(IOLoopTest, ARepeatingTimerKeepsItsRhythm) {
    int ran = 0;
    const TimerId timer = loop()->runEvery(milliseconds(10), [&] { ++ran; });
    for (int i = 0; i < 5; ++i) advance(milliseconds(10));
    EXPECT_EQ(ran, 5);
    advance(milliseconds(35));  // ticks that were missed are not made up for
    EXPECT_EQ(ran, 6);
    advance(milliseconds(5));
    EXPECT_EQ(ran, 7);
    EXPECT_TRUE(loop()->cancel(timer));
    advance(seconds(1));
    EXPECT_EQ(ran, 7);
    EXPECT_FALSE(loop()->cancel(timer));
}

TEST_F(IOLoopTest, CancelTellsWhetherItWasPending) {
    const TimerId run = loop()->runAfter(milliseconds(1), [] {});
    const TimerId cancelled = loop()->runAfter(milliseconds(1), [] { FAIL(); });
    EXPECT_TRUE(loop()->cancel(cancelled));
    EXPECT_FALSE(loop()->cancel(cancelled));
    advance(milliseconds(1));
    EXPECT_FALSE(loop()->cancel(run));
    EXPECT_FALSE(loop()->cancel(TimerId{}));
}

TEST_F(IOLoopTest, ATimerWithoutDelayRunsInTheNextRound) {
    int ran = 0;
    loop()->runAfter(Duration::zero(), [&] { ++ran; });
    loop()->runAfter(seconds(-1), [&] { ++ran; });
    EXPECT_EQ(ran, 0);
    loop()->runOnce(seconds(10));
    EXPECT_EQ(ran, 2);
}

// "Never" is a natural thing to say. The sum of now and the longest delay wrapped into the past, and
// the timer ran at once.
TEST_F(IOLoopTest, TheLongestDelayIsNever) {
    loop()->runAfter(Duration::max(), [] { FAIL(); });
    loop()->runEvery(Duration::max(), [] { FAIL(); });
    advance(std::chrono::hours(24 * 365));
}

// With the real clock: never early, and the wait is rounded up, so that a loop does not spin through
// the last millisecond before a deadline.
TEST_F(IOLoopTest, TheWaitForATimerEndsAfterItsDeadlineAndDoesNotSpin) {
    const auto real = makeRealLoop();
    for (const Duration delay :
         {Duration(microseconds(300)), Duration(microseconds(1500)), Duration(milliseconds(7))}) {
        const TimePoint begin = Clock::system().now();
        TimePoint ran{};
        real->runAfter(delay, [&] { ran = Clock::system().now(); });
        int rounds = 0;
        while (ran == TimePoint{}) {
            real->runOnce(seconds(10));
            ++rounds;
        }
        EXPECT_GE(ran - begin, delay);
        EXPECT_LT(ran - begin, delay + seconds(5)) << "generous: the machine may be busy";
        EXPECT_LE(rounds, 2);
    }
}

TEST_F(IOLoopTest, RunOnceWaitsNoLongerThanAsked) {
    const auto begin = std::chrono::steady_clock::now();
    loop()->runAfter(std::chrono::hours(1), [] {});
    loop()->runOnce(milliseconds(5));
    EXPECT_GE(std::chrono::steady_clock::now() - begin, milliseconds(5));
    loop()->runOnce(Duration::zero());
    EXPECT_LT(std::chrono::steady_clock::now() - begin, kTestDeadline);
}

TEST_F(IOLoopTest, NowIsWhenTheRoundBegan) {
    const TimePoint begin = clock().now();
    EXPECT_EQ(loop()->now(), begin);
    clock().advance(seconds(1));
    EXPECT_EQ(loop()->now(), begin);
    loop()->runAfter(Duration::zero(), [&] {
        EXPECT_EQ(loop()->now(), begin + seconds(1));
        clock().advance(seconds(1));
        EXPECT_EQ(loop()->now(), begin + seconds(1));
    });
    loop()->runOnce(Duration::zero());
    EXPECT_EQ(&loop()->clock(), &clock());
}

// --- Start and stop ---

TEST_F(IOLoopTest, StopBeforeStartMakesItReturnAtOnce) {
    loop()->stop();
    loop()->start();
    bool ran = false;
    loop()->addCallback([&] {
        ran = true;
        loop()->stop();
    });
    loop()->start();
    EXPECT_TRUE(ran);
}

TEST_F(IOLoopTest, AnotherThreadMayStopIt) {
    std::atomic<bool> isRunning{false};
    loop()->addCallback([&] { isRunning = true; });
    std::thread other([&] {
        waitUntil([&] { return isRunning.load(); });
        EXPECT_FALSE(loop()->isInLoopThread());
        loop()->stop();
    });
    loop()->start();  // returns
    other.join();
}

void ignoreSignal(int) {}

TEST_F(IOLoopTest, ASignalDoesNotEndIt) {
    struct sigaction action {};
    action.sa_handler = ignoreSignal;  // without SA_RESTART
    struct sigaction previous {};
    ASSERT_EQ(::sigaction(SIGUSR1, &action, &previous), 0);
    const pthread_t self = ::pthread_self();
    std::atomic<bool> isRunning{false};
    int ticks = 0;
    const auto real = makeRealLoop();
    real->addCallback([&] { isRunning = true; });
    std::thread other([&] {
        waitUntil([&] { return isRunning.load(); });
        for (int i = 0; i < 20; ++i) {
            ::pthread_kill(self, SIGUSR1);
            std::this_thread::sleep_for(milliseconds(1));
        }
        real->addCallback([&] {
            ++ticks;
            real->stop();
        });
    });
    real->start();
    other.join();
    EXPECT_EQ(ticks, 1);
    ::sigaction(SIGUSR1, &previous, nullptr);
}

}  // namespace
}  // namespace tnet
