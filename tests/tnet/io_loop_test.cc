#include "tnet/io_loop.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
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
#include "tnet/signaler.h"
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

// milliseconds::max() is a million times more than the clock can hold: it wrapped to a time before now. The
// least delay made the loop sleep for ever, with all its timers.
TEST_F(IOLoopTest, DelaysSaturate) {
    int early = 0;
    loop()->runAfter(Duration::min(), [&] { ++early; });
    loop()->runAfter(milliseconds::min(), [&] { ++early; });
    loop()->runAfter(milliseconds::max(), [] { FAIL(); });
    loop()->runAfter(std::chrono::hours::max(), [] { FAIL(); });
    loop()->runEvery(milliseconds::max(), [] { FAIL(); });
    loop()->runOnce(milliseconds::max());  // does not wait: there is work
    EXPECT_EQ(early, 2);
    advance(std::chrono::hours(24 * 365));
    loop()->runOnce(milliseconds(1));
}

// It ran once, and said nothing.
TEST_F(IOLoopTest, AnIntervalThatIsNotPositiveIsRefused) {
    for (const Duration interval : {Duration::zero(), Duration(-1), Duration::min()}) {
        EXPECT_FALSE(loop()->runEvery(interval, [] { FAIL(); }).isValid());
    }
    EXPECT_FALSE(loop()->runEvery(milliseconds::min(), [] { FAIL(); }).isValid());
    advance(seconds(1));
}

// What is overdue by as much as can be must not run before all others again and again.
TEST_F(IOLoopTest, ATimerThatIsAlwaysOverdueStarvesNoOther) {
    std::function<void()> again = [&] { loop()->runAfter(Duration::min(), again); };
    for (uint32_t i = 0; i < IOLoop::kTimerTurn.steps; ++i) again();
    bool ran = false;
    loop()->runAfter(milliseconds(1), [&] { ran = true; });
    for (int i = 0; i < 4; ++i) advance(milliseconds(1));
    EXPECT_TRUE(ran);
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

// --- Turns ---

// Pings and idle closes of 100,000 connections that came in one burst are due at once. All of them ran before
// the next descriptor was looked at.
TEST_F(IOLoopTest, AMassOfTimersThatAreDueAtOnceKeepsNoDescriptorWaiting) {
    constexpr int kTimers = 100'000;
    int ran = 0;
    int inOrder = 0;
    for (int i = 0; i < kTimers; ++i) {
        loop()->runAfter(milliseconds(1), [&ran, &inOrder, i] { inOrder += ran++ == i ? 1 : 0; });
    }
    SocketPair pair = readablePair();
    int lastSeen = 0;
    int longest = 0;
    watch(pair, TNET_READ, [&](uint32_t) {
        longest = std::max(longest, ran - lastSeen);
        lastSeen = ran;
    });
    clock().advance(milliseconds(1));
    for (int rounds = 0; ran < kTimers && rounds < kTimers; ++rounds) loop()->runOnce(seconds(10));
    EXPECT_EQ(ran, kTimers);
    EXPECT_EQ(inOrder, kTimers);
    EXPECT_GT(longest, 0);
    EXPECT_LE(longest, static_cast<int>(IOLoop::kTimerTurn.steps));
    loop()->removeHandler(pair.ours.get());
}

// Tasks of other threads came in one batch, whatever its size, and so did those of the loop's own.
TEST_F(IOLoopTest, AMassOfTasksKeepsNoDescriptorAndNoOtherTaskWaiting) {
    constexpr int kTasks = 10'000;
    loop()->runOnce(Duration::zero());
    int foreign = 0;
    int local = 0;
    std::thread([&] {
        for (int i = 0; i < kTasks; ++i) loop()->addCallback([&] { ++foreign; });
    }).join();
    for (int i = 0; i < kTasks; ++i) loop()->addCallback([&] { ++local; });
    SocketPair pair = readablePair();
    int seenForeign = 0;
    int seenLocal = 0;
    int longest = 0;
    watch(pair, TNET_READ, [&](uint32_t) {
        longest = std::max({longest, foreign - seenForeign, local - seenLocal});
        seenForeign = foreign;
        seenLocal = local;
    });
    for (int rounds = 0; foreign + local < 2 * kTasks && rounds < kTasks; ++rounds) {
        loop()->runOnce(seconds(10));
        EXPECT_EQ(foreign, local) << "both have their turns";
    }
    EXPECT_EQ(foreign, kTasks);
    EXPECT_GT(longest, 0);
    EXPECT_LE(longest, static_cast<int>(IOLoop::kTaskTurn.steps));
    loop()->removeHandler(pair.ours.get());
}

struct Deferring final : IOHandler {
    void handleEvents(uint32_t) override {}
    void handleDeferred() override { ++calls; }
    int calls = 0;
};

TEST_F(IOLoopTest, AMassOfDeferredHandlersKeepsNoDescriptorWaiting) {
    constexpr int kHandlers = 10'000;
    const auto handler = std::make_shared<Deferring>();
    for (int i = 0; i < kHandlers; ++i) loop()->defer(handler);
    SocketPair pair = readablePair();
    int seen = 0;
    int longest = 0;
    watch(pair, TNET_READ, [&](uint32_t) {
        longest = std::max(longest, handler->calls - seen);
        seen = handler->calls;
    });
    for (int rounds = 0; handler->calls < kHandlers && rounds < kHandlers; ++rounds)
        loop()->runOnce(seconds(10));
    EXPECT_EQ(handler->calls, kHandlers);
    EXPECT_LE(longest, static_cast<int>(IOLoop::kDeferredTurn.steps));
    loop()->removeHandler(pair.ours.get());
}

TEST_F(IOLoopTest, ItsEndTellsAllThatIsDeferredWhateverTheTurn) {
    const auto handler = std::make_shared<Deferring>();
    for (int i = 0; i < 100'000; ++i) loop()->defer(handler);
    destroyLoop();
    EXPECT_EQ(handler->calls, 100'000);
}

// --- Its end ---

// Timers died after the slots that they referred to: a timer that owned a Signaler, an hour before it was due, was a
// use after free when its loop went.
TEST_F(IOLoopTest, WhatTimersTasksAndHandlersOwnIsDestroyedWhileTheLoopWorks) {
    // Calls back into all parts of the loop as it goes.
    struct Owner {
        Owner(IOLoop* theLoop, int& counter) : loop(theLoop), pair(makeSocketPair()), gone(counter) {
            EXPECT_FALSE(loop->addHandler(pair.ours.get(), TNET_READ, [](uint32_t) {}));
            timer = loop->runAfter(std::chrono::hours(1), [] { FAIL(); });
            other = makeSocketPair();
            connection = std::make_shared<Connection>(loop, std::move(other.ours), plainTransport(),
                                                      Connection::Origin::Connected);
            connection->start();
            signaler = std::move(*Signaler::create(loop, {SIGUSR2}, [](int) {}));
        }
        ~Owner() {
            loop->cancel(timer);
            loop->removeHandler(pair.ours.get());
            connection->close();
            EXPECT_FALSE(loop->runAfter(seconds(1), [] { FAIL(); }).isValid());
            EXPECT_FALSE(loop->runEvery(seconds(1), [] { FAIL(); }).isValid());
            loop->addCallback([] { FAIL(); });
            EXPECT_TRUE(loop->addHandler(other.peers.get(), TNET_READ, [](uint32_t) { FAIL(); }));
            ++gone;
        }
        IOLoop* loop;
        SocketPair pair;
        SocketPair other;
        TimerId timer;
        ConnectionPtr_t connection;
        std::unique_ptr<Signaler> signaler;
        int& gone;
    };
    for (const std::string place : {"timer", "repeating timer", "task", "another thread's task", "handler",
                                    "connection", "replaced handler", "kept"}) {
        SCOPED_TRACE(place);
        auto real = makeRealLoop();
        real->runOnce(Duration::zero());
        int gone = 0;
        SocketPair pair = makeSocketPair();
        auto owner = std::make_shared<Owner>(real.get(), gone);
        if (place == "timer") real->runAfter(std::chrono::hours(1), [owner] {});
        if (place == "repeating timer") real->runEvery(std::chrono::hours(1), [owner] {});
        if (place == "task") real->addCallback([owner] {});
        if (place == "another thread's task") std::thread([&] { real->addCallback([owner] {}); }).join();
        if (place == "handler") {
            EXPECT_FALSE(real->addHandler(pair.ours.get(), 0, [owner](uint32_t) {}));
        }
        if (place == "replaced handler") {
            EXPECT_FALSE(real->addHandler(pair.ours.get(), 0, [owner](uint32_t) {}));
            real->removeHandler(pair.ours.get());
        }
        if (place == "connection") {
            const auto connection = std::make_shared<Connection>(
                real.get(), std::move(pair.ours), plainTransport(), Connection::Origin::Connected);
            connection->setEventCallback([owner](const ConnectionPtr_t&, ConnEvent, const void*) {});
            connection->start();
        }
        if (place == "kept") real->keep(owner);
        owner.reset();
        EXPECT_EQ(gone, 0);
        real.reset();
        EXPECT_EQ(gone, 1);
    }
}

// --- Start and stop ---

// stop() and addCallback() touched the loop after it could know, and be gone: a descriptor that was closed, and used
// again by then, was written to.
TEST_F(IOLoopTest, ItMayBeDestroyedAsSoonAsItHasStopped) {
    for (int i = 0; i < 300; ++i) {
        auto real = makeRealLoop();
        IOLoop* const borrowed = real.get();
        std::atomic<bool> isRunning{false};
        real->addCallback([&] { isRunning = true; });
        std::thread other([&, i] {
            waitUntil([&] { return isRunning.load(); });
            if (i % 2 == 0) return borrowed->stop();
            borrowed->addCallback([borrowed] { borrowed->stop(); });
        });
        real->start();
        real.reset();
        other.join();
    }
}

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
