#include "tnet/timer_queue.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <utility>
#include <vector>

// Bytes that are allocated now, so that a test can say what a timer costs.
namespace {
size_t g_liveBytes = 0;
}

void* operator new(size_t size) {
    void* const memory = std::malloc(size);
    if (memory == nullptr) throw std::bad_alloc();
    g_liveBytes += malloc_usable_size(memory);
    return memory;
}
void operator delete(void* memory) noexcept {
    g_liveBytes -= malloc_usable_size(memory);
    std::free(memory);
}
void operator delete(void* memory, size_t) noexcept { operator delete(memory); }

namespace tnet {
namespace {

using std::chrono::milliseconds;

constexpr TimePoint kStart{std::chrono::hours(1000)};

constexpr Turn kAll({UINT32_MAX, SIZE_MAX});

TimePoint at(int64_t ms) { return kStart + milliseconds(ms); }

class TimerQueueTest : public testing::Test {
protected:
    // Adds a timer that writes `name` into m_log.
    TimerId addNamed(int64_t ms, const std::string& name, Duration interval = Duration::zero()) {
        return m_queue.add(
            at(ms), [this, name] { m_log += name; }, interval);
    }

    std::string m_log;
    TimerQueue m_queue;
};

TEST_F(TimerQueueTest, EmptyQueueHasNothingToDo) {
    EXPECT_TRUE(m_queue.empty());
    EXPECT_EQ(m_queue.size(), 0U);
    EXPECT_FALSE(m_queue.earliest().has_value());
    EXPECT_EQ(m_queue.run(TimePoint::max(), kAll), 0U);
}

TEST_F(TimerQueueTest, RunsWhatIsDueByDeadline) {
    addNamed(30, "c");
    addNamed(10, "a");
    addNamed(40, "d");
    addNamed(20, "b");
    EXPECT_EQ(m_queue.earliest(), at(10));
    EXPECT_EQ(m_queue.run(at(9), kAll), 0U);
    EXPECT_EQ(m_queue.run(at(30), kAll), 3U);
    EXPECT_EQ(m_log, "abc");
    EXPECT_EQ(m_queue.size(), 1U);
    EXPECT_EQ(m_queue.earliest(), at(40));
    EXPECT_EQ(m_queue.run(at(1000), kAll), 1U);
    EXPECT_EQ(m_log, "abcd");
    EXPECT_TRUE(m_queue.empty());
}

TEST_F(TimerQueueTest, EqualDeadlinesRunInOrderOfInsertion) {
    std::string expected;
    for (char name = 'a'; name <= 'z'; ++name) {
        addNamed(10, std::string(1, name));
        expected += name;
    }
    m_queue.run(at(10), kAll);
    EXPECT_EQ(m_log, expected);
}

// Removal from the middle moves the last entry about; order among equals must survive that, and
// reused slots must not inherit the order of their predecessors.
TEST_F(TimerQueueTest, EqualDeadlinesKeepTheirOrderAcrossCancels) {
    std::vector<TimerId> doomed;
    std::string expected;
    for (int i = 0; i < 50; ++i) {
        doomed.push_back(addNamed(10, "x"));
        addNamed(10, std::to_string(i) + " ");
        expected += std::to_string(i) + " ";
    }
    for (const TimerId id : doomed) EXPECT_TRUE(m_queue.cancel(id));
    for (int i = 50; i < 100; ++i) {
        addNamed(10, std::to_string(i) + " ");
        expected += std::to_string(i) + " ";
    }
    m_queue.run(at(10), kAll);
    EXPECT_EQ(m_log, expected);
}

TEST_F(TimerQueueTest, CancelledTimerDoesNotRun) {
    const TimerId a = addNamed(10, "a");
    addNamed(20, "b");
    EXPECT_TRUE(m_queue.cancel(a));
    EXPECT_EQ(m_queue.size(), 1U);
    EXPECT_EQ(m_queue.earliest(), at(20));
    EXPECT_FALSE(m_queue.cancel(a));
    EXPECT_EQ(m_queue.run(at(20), kAll), 1U);
    EXPECT_EQ(m_log, "b");
}

TEST_F(TimerQueueTest, CancelDestroysTheCallback) {
    const auto captured = std::make_shared<int>();
    const TimerId id = m_queue.add(at(10), [captured] {});
    EXPECT_EQ(captured.use_count(), 2);
    m_queue.cancel(id);
    EXPECT_EQ(captured.use_count(), 1);
}

TEST_F(TimerQueueTest, TheNameOfAGoneTimerNamesNoOther) {
    const TimerId ran = addNamed(10, "a");
    m_queue.run(at(10), kAll);
    EXPECT_FALSE(m_queue.cancel(ran));
    const TimerId next = addNamed(20, "b");
    EXPECT_EQ(next.index, ran.index);  // the slot is used again, which is what makes this a test
    EXPECT_NE(next, ran);
    EXPECT_FALSE(m_queue.cancel(ran));
    EXPECT_TRUE(m_queue.cancel(next));
}

TEST_F(TimerQueueTest, NoTimerHasNoName) {
    EXPECT_FALSE(TimerId().isValid());
    EXPECT_FALSE(m_queue.cancel(TimerId()));
    addNamed(10, "a");
    EXPECT_FALSE(m_queue.cancel(TimerId()));
    EXPECT_FALSE(m_queue.cancel(TimerId{4000000, 1}));
    EXPECT_EQ(m_queue.size(), 1U);
    m_queue.run(at(10), kAll);
    EXPECT_FALSE(m_queue.cancel(TimerId()));  // the slot it seems to name is free
}

// A hundred thousand connections that came at once time out at once: whoever is ready to be read then would
// have waited for all of them.
TEST_F(TimerQueueTest, ATurnBoundsHowManyRunAndTheRestStaysDueInOrder) {
    std::vector<int> ran;
    for (int i = 0; i < 10; ++i) m_queue.add(at(10 + i % 2), [&ran, i] { ran.push_back(i); });
    EXPECT_EQ(m_queue.run(at(20), Turn({.steps = 3, .bytes = SIZE_MAX})), 3U);
    EXPECT_EQ(ran, (std::vector{0, 2, 4}));
    EXPECT_EQ(m_queue.earliest(), at(10));
    m_queue.add(at(10),
                [&ran] { ran.push_back(10); });  // has a place behind its equals, before what is due later
    EXPECT_EQ(m_queue.run(at(20), Turn({.steps = 4, .bytes = SIZE_MAX})), 4U);
    EXPECT_EQ(ran, (std::vector{0, 2, 4, 6, 8, 10, 1}));
    EXPECT_EQ(m_queue.run(at(20), kAll), 4U);
    EXPECT_EQ(ran, (std::vector{0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9}));
    EXPECT_TRUE(m_queue.empty());
}

// In-callback behaviour -----------------------------------------------------------------------------

TEST_F(TimerQueueTest, ACallbackMayCancelATimerThatIsDueInTheSameRun) {
    TimerId later;
    m_queue.add(at(10), [&] {
        EXPECT_EQ(m_queue.size(), 2U);  // b and c are still pending
        EXPECT_TRUE(m_queue.cancel(later));
    });
    later = addNamed(20, "b");
    addNamed(30, "c");
    EXPECT_EQ(m_queue.run(at(30), kAll), 2U);
    EXPECT_EQ(m_log, "c");
    EXPECT_TRUE(m_queue.empty());
}

// The slot of the cancelled one is taken by a new timer at once; it must not run in its place.
TEST_F(TimerQueueTest, ATimerThatTakesACancelledOnesSlotDoesNotRunForIt) {
    TimerId later;
    TimerId replacement;
    m_queue.add(at(10), [&] {
        m_queue.cancel(later);
        addNamed(5, "a");  // takes the slot of the timer that runs
        replacement = addNamed(5, "b");
    });
    later = addNamed(20, "old");
    EXPECT_EQ(m_queue.run(at(30), kAll), 1U);
    EXPECT_EQ(replacement.index, later.index);  // or this test shows nothing
    EXPECT_EQ(m_log, "");
    EXPECT_EQ(m_queue.run(at(30), kAll), 2U);
    EXPECT_EQ(m_log, "ab");
}

TEST_F(TimerQueueTest, ATimerAddedByACallbackWaitsForTheNextRun) {
    int count = 0;
    std::function<void()> again = [&] {
        ++count;
        m_queue.add(at(0), again);  // overdue already
    };
    m_queue.add(at(10), again);
    EXPECT_EQ(m_queue.run(at(10), kAll), 1U);
    EXPECT_EQ(count, 1);
    EXPECT_EQ(m_queue.earliest(), at(0));
    EXPECT_EQ(m_queue.run(at(10), kAll), 1U);
    EXPECT_EQ(count, 2);
    EXPECT_EQ(m_queue.size(), 1U);
}

TEST_F(TimerQueueTest, AnOverdueAddDoesNotHoldUpTheRestOfTheRun) {
    m_queue.add(at(10), [this] { addNamed(1, "late"); });
    addNamed(20, "b");
    EXPECT_EQ(m_queue.run(at(20), kAll), 2U);
    EXPECT_EQ(m_log, "b");
    EXPECT_EQ(m_queue.run(at(20), kAll), 1U);
    EXPECT_EQ(m_log, "blate");
}

TEST_F(TimerQueueTest, AOneShotTimerIsGoneWhenItRuns) {
    TimerId self;
    bool cancelled = true;
    self = m_queue.add(at(10), [&] {
        EXPECT_TRUE(m_queue.empty());
        cancelled = m_queue.cancel(self);
    });
    m_queue.run(at(10), kAll);
    EXPECT_FALSE(cancelled);
}

TEST_F(TimerQueueTest, ACallbackLivesUntilItReturned) {
    for (const Duration interval : {Duration::zero(), Duration(milliseconds(10))}) {
        TimerId self;
        auto held = std::make_shared<std::string>("alive");
        const std::weak_ptr<std::string> watched = held;
        self = m_queue.add(
            at(10),
            [this, &self, held = std::move(held)] {
                m_queue.cancel(self);
                addNamed(100, "");  // takes the slot
                m_log += *held;
            },
            interval);
        EXPECT_EQ(m_queue.run(at(10), kAll), 1U);
        EXPECT_EQ(m_log, "alive");
        EXPECT_TRUE(watched.expired());
        m_log.clear();
        m_queue.run(at(100), kAll);
    }
}

// Repeating timers ----------------------------------------------------------------------------------

TEST_F(TimerQueueTest, ARepeatingTimerKeepsItsRhythm) {
    addNamed(10, "x", milliseconds(10));
    EXPECT_EQ(m_queue.run(at(10), kAll), 1U);
    EXPECT_EQ(m_queue.earliest(), at(20));
    EXPECT_EQ(m_queue.run(at(23), kAll), 1U);
    EXPECT_EQ(m_queue.earliest(), at(30));
    EXPECT_EQ(m_queue.size(), 1U);
}

TEST_F(TimerQueueTest, MissedTicksAreSkipped) {
    addNamed(10, "x", milliseconds(10));
    EXPECT_EQ(m_queue.run(at(57), kAll), 1U);
    EXPECT_EQ(m_queue.earliest(), at(60));
    EXPECT_EQ(m_queue.run(at(90), kAll), 1U);  // on a tick: that tick runs now, the next is one interval away
    EXPECT_EQ(m_queue.earliest(), at(100));
    EXPECT_EQ(m_log, "xx");
}

TEST_F(TimerQueueTest, ARearmedTimerQueuesBehindItsEquals) {
    addNamed(10, "r", milliseconds(10));
    addNamed(20, "a");
    m_queue.run(at(10), kAll);
    addNamed(20, "b");
    m_queue.run(at(20), kAll);
    EXPECT_EQ(m_log, "rarb");
}

TEST_F(TimerQueueTest, ARepeatingTimerMayCancelItself) {
    TimerId self;
    int count = 0;
    self = m_queue.add(
        at(10),
        [&] {
            EXPECT_EQ(m_queue.size(), 1U);
            if (++count == 3) {
                EXPECT_TRUE(m_queue.cancel(self));
                EXPECT_FALSE(m_queue.cancel(self));
                EXPECT_TRUE(m_queue.empty());
            }
        },
        milliseconds(10));
    for (int ms = 10; ms <= 100; ms += 10) m_queue.run(at(ms), kAll);
    EXPECT_EQ(count, 3);
    EXPECT_TRUE(m_queue.empty());
}

TEST_F(TimerQueueTest, ARepeatingTimerIsCancelledBetweenTicks) {
    const TimerId id = addNamed(10, "x", milliseconds(10));
    m_queue.run(at(10), kAll);
    EXPECT_TRUE(m_queue.cancel(id));
    EXPECT_EQ(m_queue.run(at(100), kAll), 0U);
}

TEST_F(TimerQueueTest, ARepeatingTimerMayAddSoManyThatTheQueueGrows) {
    int count = 0;
    m_queue.add(
        at(10),
        [&] {
            ++count;
            for (int i = 0; i < 10000; ++i) addNamed(15, "");
        },
        milliseconds(10));
    m_queue.run(at(10), kAll);
    EXPECT_EQ(m_queue.run(at(15), kAll), 10000U);
    m_queue.run(at(20), kAll);
    EXPECT_EQ(count, 2);
}

TEST_F(TimerQueueTest, AnEndlessIntervalDoesNotOverflow) {
    addNamed(10, "x", Duration::max());
    EXPECT_EQ(m_queue.run(at(10), kAll), 1U);
    EXPECT_EQ(m_queue.earliest(), TimePoint::max());
}

// Destructors of captured objects -------------------------------------------------------------------

class AtEnd {
public:
    explicit AtEnd(std::function<void()> action) : m_action(std::move(action)) {}
    ~AtEnd() { m_action(); }

private:
    std::function<void()> m_action;
};

TEST_F(TimerQueueTest, CapturedObjectsMayCancelAndAddAsTheyGo) {
    const TimerId victim = addNamed(20, "victim");
    TimerId self;
    auto captured = std::make_shared<AtEnd>([&] {
        EXPECT_FALSE(m_queue.cancel(self));
        EXPECT_TRUE(m_queue.cancel(victim));
        addNamed(30, "added");
    });
    self = m_queue.add(at(10), [captured = std::move(captured)] {});
    EXPECT_TRUE(m_queue.cancel(self));
    EXPECT_EQ(m_queue.size(), 1U);
    m_queue.run(at(30), kAll);
    EXPECT_EQ(m_log, "added");
}

TEST_F(TimerQueueTest, CapturedObjectsMayCancelADueTimerAfterTheirCallbackRan) {
    TimerId victim;
    auto captured = std::make_shared<AtEnd>([&] { EXPECT_TRUE(m_queue.cancel(victim)); });
    m_queue.add(at(10), [captured = std::move(captured)] {});
    victim = addNamed(20, "victim");
    EXPECT_EQ(m_queue.run(at(20), kAll), 1U);
    EXPECT_EQ(m_log, "");
}

// A connection's timers captured in each other's callbacks: one cancel takes the whole chain down.
TEST_F(TimerQueueTest, AChainOfCapturedTimersIsTakenDownAtOnce) {
    TimerId previous = addNamed(1000, "x");
    for (int i = 0; i < 200; ++i) {
        auto captured = std::make_shared<AtEnd>([this, previous] { EXPECT_TRUE(m_queue.cancel(previous)); });
        previous = m_queue.add(at(1000 - i), [captured = std::move(captured)] {});
    }
    EXPECT_TRUE(m_queue.cancel(previous));
    EXPECT_TRUE(m_queue.empty());
}

TEST(TimerQueueLifeTest, TheQueueDestroysPendingCallbacksUnrun) {
    auto captured = std::make_shared<int>();
    bool hasRun = false;
    {
        TimerQueue queue;
        for (int i = 0; i < 100; ++i) queue.add(at(i), [captured, &hasRun] { hasRun = true; });
        EXPECT_EQ(captured.use_count(), 101);
    }
    EXPECT_EQ(captured.use_count(), 1);
    EXPECT_FALSE(hasRun);
}

TEST(TimerQueueLifeTest, CapturedObjectsMayCancelAndAddWhileTheQueueGoes) {
    int destroyed = 0;
    {
        std::vector<TimerId> ids;
        TimerQueue queue;
        for (int i = 0; i < 300; ++i) {
            auto captured = std::make_shared<AtEnd>([&queue, &ids, &destroyed, i] {
                ++destroyed;
                queue.cancel(ids[static_cast<size_t>(299 - i)]);
                if (i % 3 == 0) queue.add(at(i), [] {});
            });
            ids.push_back(queue.add(at((i * 37) % 300), [captured = std::move(captured)] {}));
        }
    }
    EXPECT_EQ(destroyed, 300);
}

// Against a model -----------------------------------------------------------------------------------

struct Model {
    // Ordered by deadline; equal keys stay in order of insertion.
    std::multimap<TimePoint, int> timers;
    std::map<int, std::multimap<TimePoint, int>::iterator> byNumber;

    void add(TimePoint deadline, int number) { byNumber[number] = timers.emplace(deadline, number); }
    bool cancel(int number) {
        const auto found = byNumber.find(number);
        if (found == byNumber.end()) return false;
        timers.erase(found->second);
        byNumber.erase(found);
        return true;
    }
    std::vector<int> run(TimePoint now) {
        std::vector<int> ran;
        while (!timers.empty() && timers.begin()->first <= now) {
            ran.push_back(timers.begin()->second);
            cancel(ran.back());
        }
        return ran;
    }
};

TEST(TimerQueueModelTest, AgreesWithAMultimap) {
    for (const uint32_t seed : {1U, 2U, 3U, 4U, 5U}) {
        std::mt19937 random(seed);
        TimerQueue queue;
        Model model;
        std::vector<TimerId> ids;
        std::vector<int> ran;
        int64_t now = 0;
        for (int step = 0; step < 40000; ++step) {
            // Phases that grow and phases that shrink the queue.
            const uint32_t addShare = (step / 5000) % 2 == 0 ? 65 : 30;
            const uint32_t choice = random() % 100;
            if (choice < addShare) {
                const int number = static_cast<int>(ids.size());
                const TimePoint deadline = at(now + static_cast<int64_t>(random() % 500));  // many equals
                ids.push_back(queue.add(deadline, [&ran, number] { ran.push_back(number); }));
                model.add(deadline, number);
            } else if (choice < 97 && !ids.empty()) {
                const auto number = static_cast<int>(random() % ids.size());
                ASSERT_EQ(queue.cancel(ids[static_cast<size_t>(number)]), model.cancel(number));
            } else {
                now += static_cast<int64_t>(random() % 20);
                ran.clear();
                const std::vector<int> expected = model.run(at(now));
                ASSERT_EQ(queue.run(at(now), kAll), expected.size());
                ASSERT_EQ(ran, expected) << "seed " << seed << " step " << step;
            }
            ASSERT_EQ(queue.size(), model.timers.size());
            if (model.timers.empty()) {
                ASSERT_FALSE(queue.earliest().has_value());
            } else {
                ASSERT_EQ(queue.earliest(), model.timers.begin()->first);
            }
        }
        ran.clear();
        const std::vector<int> expected = model.run(at(now + 500));
        queue.run(at(now + 500), kAll);
        ASSERT_EQ(ran, expected);
        ASSERT_TRUE(queue.empty());
    }
}

// A mass of timers ----------------------------------------------------------------------------------
//
// What is claimed is memory and order. The cost of an operation is claimed only by the size: with a
// linear cancel or insert, a million of them would be 10^12 steps and end in the test's timeout.

constexpr size_t kMass = 1'000'000;

TEST(TimerQueueMassTest, APendingTimerCostsAtMost89Bytes) {
    for (const size_t mass :
         {kMass, (size_t{1} << 20U) + 1}) {  // the second: the heap's array has just doubled
        const size_t before = g_liveBytes;
        TimerQueue queue;
        for (size_t i = 0; i < mass; ++i) queue.add(kStart + Duration(i * 7919 % mass), [] {});
        EXPECT_LE(g_liveBytes - before, mass * 89) << mass;
    }
}

TEST(TimerQueueMassTest, CancellingAMassLeavesNothingBehind) {
    const size_t before = g_liveBytes;
    TimerQueue queue;
    std::vector<TimerId> ids;
    ids.reserve(kMass);
    for (size_t i = 0; i < kMass; ++i) ids.push_back(queue.add(kStart + Duration(i), [] {}));
    const size_t idBytes = ids.capacity() * sizeof(TimerId);
    std::shuffle(ids.begin() + 1, ids.end(), std::mt19937(7));
    // All but the first: a server always has some timer, so memory must not wait for an empty queue.
    for (size_t i = 1; i < kMass; ++i) ASSERT_TRUE(queue.cancel(ids[i]));
    EXPECT_EQ(queue.size(), 1U);
    EXPECT_EQ(queue.earliest(), kStart);
    EXPECT_LE(g_liveBytes - before - idBytes, 512U * 1024U);
    EXPECT_EQ(queue.run(TimePoint::max(), kAll), 1U);
}

TEST(TimerQueueMassTest, RunningAMassIsInOrderAndLeavesNothingBehind) {
    const size_t before = g_liveBytes;
    TimerQueue queue;
    TimePoint last{};
    size_t outOfOrder = 0;
    for (size_t i = 0; i < kMass; ++i) {
        const TimePoint deadline = kStart + Duration(i * 7919 % kMass);
        queue.add(deadline, [&last, &outOfOrder, deadline] {
            if (deadline < last) ++outOfOrder;
            last = deadline;
        });
    }
    EXPECT_EQ(queue.run(kStart + Duration(kMass / 2 - 1), kAll), kMass / 2);
    EXPECT_EQ(queue.size(), kMass / 2);
    EXPECT_EQ(queue.run(TimePoint::max(), kAll), kMass / 2);
    EXPECT_EQ(outOfOrder, 0U);
    EXPECT_LE(g_liveBytes - before, 512U * 1024U);
}

TEST(TimerQueueMassTest, AMassThatComesAgainTakesTheSamePlaces) {
    TimerQueue queue;
    uint32_t highest = 0;
    for (int round = 0; round < 20; ++round) {
        for (int i = 0; i < 10000; ++i) highest = std::max(highest, queue.add(at(i), [] {}).index);
        EXPECT_EQ(queue.run(at(10000), kAll), 10000U);
    }
    EXPECT_LT(highest, 10000U + 64U);
}

// An idle deadline that is moved on at each request: add and cancel in turns must not allocate.
TEST(TimerQueueMassTest, ATimerThatComesAndGoesAllocatesNothing) {
    TimerQueue queue;
    for (int i = 0; i < 64; ++i) queue.add(at(1000), [] {});  // a full block: the next one opens another
    queue.cancel(queue.add(at(10), [] {}));
    const size_t before = g_liveBytes;
    for (int i = 0; i < 1000; ++i) {
        const TimerId id = queue.add(at(10), [] {});
        EXPECT_EQ(g_liveBytes, before);
        queue.cancel(id);
        EXPECT_EQ(g_liveBytes, before);
    }
}

}  // namespace
}  // namespace tnet
