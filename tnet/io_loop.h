// IOLoop: waits for descriptors, timers and other threads' work, and calls back; one per thread.
//
//     epoll (level-triggered) ─┐
//     timers (one heap)        ├─> callbacks, one after the other, on the loop's thread
//     tasks of any thread      ┘
//
// A callback may add, change or remove any handler (its own too), close any descriptor, or stop the
// loop. An event that was already fetched for a removed handler is dropped, and a descriptor number
// that was reused in between never receives it.
//
// Threads: the thread that runs the loop, but for addCallback, stop, tasks and isInLoopThread. Before
// the first run, any one thread. Callbacks must not throw: what leaves a timer or a task ends the process. What
// takes a callback or a handler throws std::bad_alloc, and then has done nothing.
// Lifetime: outlives what uses it on its thread; connections still open when it is destroyed are closed
// (with their Conn_CloseEvent). Other threads hold tasks(), which may outlive it.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <utility>
#include <vector>

#include "tnet/clock.h"
#include "tnet/io_handler.h"
#include "tnet/out_of_memory.h"
#include "tnet/poller.h"
#include "tnet/result.h"
#include "tnet/send_queue.h"
#include "tnet/task_queue.h"
#include "tnet/timer_queue.h"
#include "tnet/types.h"

namespace tnet {

class IOLoop {
public:
    static constexpr size_t kReadBufferBytes = 64 << 10;

    // `clock` is borrowed and must outlive the loop. Errors: the process is out of descriptors.
    static Result<std::unique_ptr<IOLoop>> create(const Clock& clock = Clock::system());
    ~IOLoop();

    IOLoop(const IOLoop&) = delete;
    IOLoop& operator=(const IOLoop&) = delete;

    // Runs until stop(). May be called again afterwards.
    void start();

    // Any thread; also before start(), which then returns at once.
    void stop();

    // Waits for events at most `maxWait`, handles what is there, and returns: for programs with a loop
    // of their own, and for tests.
    void runOnce(Duration maxWait);

    // Watches `fd` for `events` (TNET_READ | TNET_WRITE, or 0: errors alone, each told once). The loop
    // does not own the descriptor, but shares the handler until it is removed. Errors: what epoll_ctl
    // says (file_exists: an fd can have one handler); operation_canceled while the loop is destroyed.
    [[nodiscard]] std::error_code addHandler(int fd, uint32_t events, IOHandlerPtr_t handler);
    [[nodiscard]] std::error_code addHandler(int fd, uint32_t events, IOCallback_t callback);
    [[nodiscard]] std::error_code updateHandler(int fd, uint32_t events);

    // The handler is not called again; it is destroyed at the end of this round at the earliest.
    // CloseFollows saves a system call when the caller closes the descriptor at once and has not
    // duplicated it.
    enum class Removal : uint8_t { DescriptorStays, CloseFollows };
    void removeHandler(int fd, Removal removal = Removal::DescriptorStays);

    // Any thread. `task` runs on the loop's thread, never inside this call; if the loop is destroyed
    // first, it is destroyed unrun.
    void addCallback(Callback_t task);

    // Runs `callback` once after `delay`, or every `interval`. Not before the time, and at most a
    // round of callbacks plus a millisecond late.
    TimerId runAfter(Duration delay, Callback_t callback);
    TimerId runEvery(Duration interval, Callback_t callback);

    // True if it was pending. Harmless for a timer that has run.
    bool cancel(TimerId timer);

    // The time at which this round of callbacks began.
    TimePoint now() const { return m_now; }
    const Clock& clock() const { return m_clock; }

    bool isInLoopThread() const;

    // Whether a callback of this loop is running, or the loop is being destroyed: then it cannot be run from here.
    bool isCallingBack() const { return m_inRound || m_isEnding; }

    // Keeps `what` until the loop is destroyed, as the last thing to go: for what a layer has once per loop.
    void keep(std::shared_ptr<void> what) { m_kept.push_back(std::move(what)); }

    // For other threads: a handle that stays valid when the loop is gone.
    const TaskQueuePtr_t& tasks() const { return m_tasks; }

    // --- For connections ---

    // Calls handler->handleDeferred() once before the loop waits again.
    void defer(IOHandlerPtr_t handler) {
        pushBackOrEnd(m_deferred, std::move(handler), "the loop's list of deferred handlers");
    }

    // Keeps what replaces the callback of `owner` until the one that is running has returned.
    void keepReplacement(const Connection* owner, ConnEventCallback_t callback);
    ConnEventCallback_t takeReplacement(const Connection* owner);

    // One for all: only one connection reads at a time. kReadBufferBytes long.
    char* readBuffer() { return m_readBuffer.get(); }

    // An empty queue; given back when it is empty again, so that idle connections own none.
    std::unique_ptr<SendQueue> takeSendQueue();
    void giveBack(std::unique_ptr<SendQueue> queue) { m_spareQueue = std::move(queue); }

private:
    struct Slot {
        IOHandlerPtr_t handler{};
        uint32_t generation = 0;  // of the registration; tells stale events
    };

    struct Replacement {
        const Connection* owner;
        ConnEventCallback_t callback;
    };

    IOLoop(const Clock& clock, Poller poller, TaskQueuePtr_t tasks);

    Duration timeUntilNextWork(Duration maxWait) const;
    TimePoint deadlineAfter(Duration delay) const;
    void dispatch(size_t readyCount);
    void runTasks();
    void runTaskBatch();
    void runDeferred();
    void retire(IOHandlerPtr_t handler);
    void releaseRetired();
    bool hasLooseEnds() const;

    std::vector<std::shared_ptr<void>> m_kept;  // first, so that it goes last
    const Clock& m_clock;
    Poller m_poller;
    TaskQueuePtr_t m_tasks;
    TimerQueue m_timers;
    TimePoint m_now;

    std::vector<Slot> m_slots;  // by descriptor
    uint32_t m_generation = 0;
    bool m_tasksReady = false;

    std::vector<Callback_t> m_localTasks;  // posted by the loop's own thread: no lock, no wake
    std::vector<Callback_t> m_runningTasks;
    std::vector<IOHandlerPtr_t> m_deferred;
    std::vector<IOHandlerPtr_t> m_runningDeferred;
    std::vector<IOHandlerPtr_t> m_retiredHandlers;
    std::vector<IOHandlerPtr_t> m_releasedHandlers;
    std::vector<Replacement> m_replacements;  // rarely more than one

    std::unique_ptr<char[]> m_readBuffer;
    std::unique_ptr<SendQueue> m_spareQueue;

    std::atomic<bool> m_stopRequested{false};
    bool m_inRound = false;
    bool m_isEnding = false;  // being destroyed
};

}  // namespace tnet
