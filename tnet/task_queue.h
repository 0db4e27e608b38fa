// TaskQueue: how any thread hands work to a loop.
//
//     any thread: post(f)  ->  [ f f f ]  -- one eventfd wake per batch -->  the loop runs them in order
//
// Threads: post, wake and requestStop from any; drain and close by the loop alone.
// Lifetime: shared. It may outlive its loop; from then on post() refuses and destroys what it is given.
#pragma once

#include <atomic>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "tnet/notifier.h"
#include "tnet/types.h"

namespace tnet {

class TaskQueue {
public:
    explicit TaskQueue(Notifier notifier) : m_notifier(std::move(notifier)) {}

    // Runs `task` on the loop's thread, never before post returns. False: the loop is gone.
    bool post(Callback_t task);

    // Runs `task` now if this is the loop's thread, posts it otherwise. False: the loop is gone.
    template <class Task>
    bool run(Task task) {
        if (!isInLoopThread()) return post(Callback_t(std::move(task)));
        task();
        return true;
    }

    // True on the thread that runs the loop. Any thread.
    bool isInLoopThread() const {
        return m_thread.load(std::memory_order_relaxed) == std::this_thread::get_id();
    }
    // Whether any thread runs it yet.
    bool isBound() const { return m_thread.load(std::memory_order_relaxed) != std::thread::id(); }

    // Makes the loop's wait return. Any thread.
    void wake() { m_notifier.notify(); }

    // Makes the loop return from start(). Any thread; the loop may be gone before this returns.
    void requestStop() {
        m_stopRequested.store(true, std::memory_order_release);
        m_notifier.notify();
    }

    // For the loop.
    bool isStopRequested() const { return m_stopRequested.load(std::memory_order_acquire); }
    void forgetStop() { m_stopRequested.store(false, std::memory_order_release); }
    void bindToThisThread() { m_thread.store(std::this_thread::get_id(), std::memory_order_relaxed); }
    int fd() const { return m_notifier.fd(); }
    void takeAll(std::vector<Callback_t>& into);  // `into` must be empty; its capacity is recycled
    void close();                                 // what is queued is destroyed, not run

private:
    Notifier m_notifier;
    std::atomic<std::thread::id> m_thread{};
    std::atomic<bool> m_stopRequested{false};
    std::mutex m_mutex;
    std::vector<Callback_t> m_tasks;  // guarded by m_mutex
    bool m_closed = false;            // guarded by m_mutex
};

using TaskQueuePtr_t = std::shared_ptr<TaskQueue>;

}  // namespace tnet
