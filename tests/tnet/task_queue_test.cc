#include "tnet/task_queue.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

namespace tnet {
namespace {

TaskQueuePtr_t makeQueue() {
    Result<Notifier> notifier = Notifier::create();
    EXPECT_TRUE(notifier.ok());
    return std::make_shared<TaskQueue>(std::move(*notifier));
}

bool isReadable(int fd) {
    pollfd request{fd, POLLIN, 0};
    return ::poll(&request, 1, 0) == 1;
}

// How often the queue has asked the loop to wake up since the last time: the eventfd's counter.
uint64_t takeWakes(const TaskQueue& queue) {
    uint64_t count = 0;
    return ::read(queue.fd(), &count, sizeof(count)) == sizeof(count) ? count : 0;
}

TEST(TaskQueueTest, HandsOverInOrder) {
    const TaskQueuePtr_t queue = makeQueue();
    std::vector<int> ran;
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(queue->post([&ran, i] { ran.push_back(i); }));
    EXPECT_TRUE(ran.empty()) << "run inside post";
    std::vector<Callback_t> tasks;
    queue->takeAll(tasks);
    for (const Callback_t& task : tasks) task();
    EXPECT_EQ(ran, (std::vector{0, 1, 2, 3, 4}));
    tasks.clear();
    queue->takeAll(tasks);
    EXPECT_TRUE(tasks.empty());
    EXPECT_FALSE(isReadable(queue->fd()));
}

TEST(TaskQueueTest, ABatchCostsOneWake) {
    const TaskQueuePtr_t queue = makeQueue();
    for (int i = 0; i < 1000; ++i) queue->post([] {});
    EXPECT_EQ(takeWakes(*queue), 1U);
    std::vector<Callback_t> tasks;
    queue->takeAll(tasks);
    EXPECT_EQ(tasks.size(), 1000U);
    EXPECT_EQ(takeWakes(*queue), 0U);
    queue->post([] {});
    EXPECT_EQ(takeWakes(*queue), 1U) << "the next batch needs a wake of its own";
}

TEST(TaskQueueTest, NothingPostedByManyThreadsIsLost) {
    const TaskQueuePtr_t queue = makeQueue();
    constexpr int kThreads = 4;
    constexpr int kTasks = 5000;
    std::atomic<int> finished{0};
    std::vector<std::thread> threads;
    std::vector<int> next(kThreads, 0);  // touched by the tasks alone, which run here
    for (int t = 0; t < kThreads; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < kTasks; ++i) {
                queue->post([&next, t, i] {
                    EXPECT_EQ(next[static_cast<size_t>(t)], i) << "out of order";
                    ++next[static_cast<size_t>(t)];
                });
            }
            finished.fetch_add(1);
        });
    }
    int ran = 0;
    std::vector<Callback_t> tasks;
    while (ran < kThreads * kTasks) {
        pollfd request{queue->fd(), POLLIN, 0};
        ASSERT_EQ(::poll(&request, 1, 20000), 1) << "a wake was lost";
        queue->takeAll(tasks);
        for (const Callback_t& task : tasks) task();
        ran += static_cast<int>(tasks.size());
        tasks.clear();
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(next, std::vector<int>(kThreads, kTasks));
}

TEST(TaskQueueTest, RunRunsAtOnceOnItsThreadAndPostsOnOthers) {
    const TaskQueuePtr_t queue = makeQueue();
    EXPECT_FALSE(queue->isBound());
    EXPECT_FALSE(queue->isInLoopThread());
    queue->bindToThisThread();
    EXPECT_TRUE(queue->isBound());
    bool ran = false;
    EXPECT_TRUE(queue->run([&ran] { ran = true; }));
    EXPECT_TRUE(ran);

    ran = false;
    std::thread([&] {
        EXPECT_FALSE(queue->isInLoopThread());
        EXPECT_TRUE(queue->run([&ran] { ran = true; }));
    }).join();
    EXPECT_FALSE(ran);
    std::vector<Callback_t> tasks;
    queue->takeAll(tasks);
    ASSERT_EQ(tasks.size(), 1U);
    tasks.front()();
    EXPECT_TRUE(ran);
}

TEST(TaskQueueTest, AfterCloseItRefusesAndDestroys) {
    const TaskQueuePtr_t queue = makeQueue();
    queue->bindToThisThread();
    auto before = std::make_shared<int>(1);
    const std::weak_ptr<int> droppedByClose = before;
    queue->post([before = std::move(before)] { FAIL() << "ran"; });
    queue->close();
    EXPECT_TRUE(droppedByClose.expired());

    auto after = std::make_shared<int>(2);
    const std::weak_ptr<int> droppedByPost = after;
    EXPECT_FALSE(queue->post([after = std::move(after)] { FAIL() << "ran"; }));
    EXPECT_TRUE(droppedByPost.expired());
    EXPECT_FALSE(queue->run([] { FAIL() << "ran"; })) << "no thread is the loop's any more";
    EXPECT_FALSE(queue->isInLoopThread());
    std::vector<Callback_t> tasks;
    queue->takeAll(tasks);
    EXPECT_TRUE(tasks.empty());
}

// What a dropped task owns may post again as it goes; with the lock held that would be a deadlock.
TEST(TaskQueueTest, ADroppedTaskMayPostFromItsDestructor) {
    const TaskQueuePtr_t queue = makeQueue();
    struct Poster {
        ~Poster() {
            EXPECT_FALSE(queue->post([] {}));
            ++destroyed;
        }
        TaskQueuePtr_t queue;
        int& destroyed;
    };
    int destroyed = 0;
    queue->post([poster = std::shared_ptr<Poster>(new Poster{queue, destroyed})] {});
    queue->close();
    EXPECT_EQ(destroyed, 1);
}

TEST(TaskQueueTest, WakeAloneBringsNoTask) {
    const TaskQueuePtr_t queue = makeQueue();
    std::thread([&] { queue->wake(); }).join();
    EXPECT_TRUE(isReadable(queue->fd()));
    std::vector<Callback_t> tasks;
    queue->takeAll(tasks);
    EXPECT_TRUE(tasks.empty());
    EXPECT_FALSE(isReadable(queue->fd()));
}

}  // namespace
}  // namespace tnet
