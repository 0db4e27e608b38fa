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
// (with their Conn_CloseEvent). Then what handlers, tasks and timers own is destroyed, while the loop can
// still be called; it takes nothing more, though: a new handler is refused, a task or a timer is destroyed
// unrun. Other threads hold tasks(), which may outlive it.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "tnet/batch.h"
#include "tnet/clock.h"
#include "tnet/durations.h"
#include "tnet/handler_table.h"
#include "tnet/io_handler.h"
#include "tnet/out_of_memory.h"
#include "tnet/poller.h"
#include "tnet/result.h"
#include "tnet/send_queue.h"
#include "tnet/task_queue.h"
#include "tnet/timer_queue.h"
#include "tnet/turn.h"
#include "tnet/types.h"

namespace tnet {

class IOLoop {
public:
    static constexpr size_t kReadBufferBytes = 64 << 10;

    // What one round does of each kind before the descriptors have their turn; the rest waits for the next round.
    static constexpr TurnBudget kTimerTurn{256, SIZE_MAX};  // timers that are due
    static constexpr TurnBudget kTaskTurn{256, SIZE_MAX};   // tasks: of its own thread, and as many of others
    static constexpr TurnBudget kDeferredTurn{512, SIZE_MAX};  // handlers that asked for it (defer)
    static constexpr TurnBudget kReleaseTurn{512, SIZE_MAX};   // removed handlers that are destroyed

    // `clock` is borrowed and must outlive the loop. Errors: the process is out of descriptors.
    static Result<std::unique_ptr<IOLoop>> create(const Clock& clock = Clock::system());
    ~IOLoop();

    IOLoop(const IOLoop&) = delete;
    IOLoop& operator=(const IOLoop&) = delete;

    // Runs until stop(). May be called again afterwards.
    void start();

    // Any thread; also before start(), which then returns at once. The loop may be destroyed as soon as start() has
    // returned, though this has not yet.
    void stop();

    // Waits for events at most `maxWait` (negative: for as long as it takes), handles what is there, and returns:
    // for programs with a loop of their own, and for tests.
    template <class Rep, class Period>
    void runOnce(std::chrono::duration<Rep, Period> maxWait) {
        runRound(saturated(maxWait));
    }

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
    // first, it is destroyed unrun. `task` may lead to the end of the loop, though this has not returned yet.
    void addCallback(Callback_t task);

    // Runs `callback` once after `delay`, or every `interval`. Not before the time, and at most a
    // round of callbacks plus a millisecond late; of more than kTimerTurn that are due at once, the later ones
    // run in the rounds that follow.
    // A delay of zero or less: in the next round. One that is beyond the end of time, as max() is: never. An
    // interval of zero or less is refused: logged, and the TimerId is not valid.
    template <class Rep, class Period>
    TimerId runAfter(std::chrono::duration<Rep, Period> delay, Callback_t callback) {
        return addTimer(saturated(delay), std::move(callback));
    }
    template <class Rep, class Period>
    TimerId runEvery(std::chrono::duration<Rep, Period> interval, Callback_t callback) {
        return addRepeating(saturated(interval), std::move(callback));
    }

    // True if it was pending. Harmless for a timer that has run.
    bool cancel(TimerId timer);

    // The time at which this round of callbacks began.
    TimePoint now() const { return m_now; }
    const Clock& clock() const { return m_clock; }

    // Counts the rounds of callbacks: what happens while it stays the same, happens before others have their turn.
    uint64_t round() const { return m_round; }

    // The last round that took longer than kSlowRound, because something in it blocked the loop; round 0: there was
    // none. Known in the next round, while start() runs the loop.
    static constexpr std::chrono::milliseconds kSlowRound{100};
    struct SlowRound {
        uint64_t round = 0;
        Duration took{};
    };
    const SlowRound& lastSlowRound() const { return m_slowRound; }

    bool isInLoopThread() const;

    // Whether a callback of this loop is running, or the loop is being destroyed: then it cannot be run from here.
    bool isCallingBack() const { return m_inRound || m_isEnding; }

    // Keeps `what` until the loop is destroyed, as the last thing to go, when handlers, tasks and timers are
    // gone: for what a layer has once per loop.
    void keep(std::shared_ptr<void> what) { m_kept.push_back(std::move(what)); }

    // For other threads: a handle that stays valid when the loop is gone.
    const TaskQueuePtr_t& tasks() const { return m_tasks; }

    // --- For connections ---

    // Calls handler->handleDeferred() once: in this round or, behind others, in one of the next. The loop does not
    // wait in between.
    void defer(IOHandlerPtr_t handler) {
        pushBackOrEnd(m_deferred, std::move(handler), "the loop's list of deferred handlers");
    }

    // Keeps what replaces the callback of `owner` until the one that is running has returned.
    void keepReplacement(const Connection* owner, ConnEventCallback_t callback);
    ConnEventCallback_t takeReplacement(const Connection* owner);

    // One for all: only one connection reads at a time. kReadBufferBytes long.
    char* readBuffer() { return m_readBuffer.get(); }

    // An empty queue; given back when it is empty again, so that idle connections own none. The loop keeps a few: of
    // many connections that are sent something in a round, each needs one until its end.
    std::unique_ptr<SendQueue> takeSendQueue();
    void giveBack(std::unique_ptr<SendQueue>&& queue) {
        if (m_spareQueue) return giveBackMore(std::move(queue));
        m_spareQueue.reset(queue.release());
    }

private:
    struct Replacement {
        const Connection* owner;
        ConnEventCallback_t callback;
    };

    IOLoop(const Clock& clock, Poller poller, TaskQueuePtr_t tasks);

    Duration timeUntilNextWork(Duration maxWait);
    void noteRound(TimePoint end);
    TimerId addTimer(Duration delay, Callback_t callback);
    TimerId addRepeating(Duration interval, Callback_t callback);
    void runRound(Duration maxWait);
    void dispatch(size_t readyCount);
    void runTasks();
    void runDeferred(Turn turn);
    void dropWork();
    void retire(IOHandlerPtr_t handler);
    void releaseRetired(Turn turn);
    bool hasLooseEnds() const;
    void giveBackMore(std::unique_ptr<SendQueue> queue);

    std::vector<std::shared_ptr<void>> m_kept;
    const Clock& m_clock;
    Poller m_poller;
    TaskQueuePtr_t m_tasks;
    TimerQueue m_timers;
    TimePoint m_now;
    uint64_t m_round = 0;
    SlowRound m_slowRound{};
    TimePoint m_waitBegan = TimePoint::max();  // max: not known
    bool m_isFollowed = false;                 // by the next round at once: start() runs the loop

    HandlerTable m_handlers;
    bool m_tasksReady = false;

    std::vector<Callback_t> m_localTasks;    // posted by the loop's own thread: no lock, no wake
    std::vector<Callback_t> m_foreignTasks;  // empty but while they are taken from m_tasks
    Batch<Callback_t> m_localBatch;
    Batch<Callback_t> m_foreignBatch;
    std::vector<IOHandlerPtr_t> m_deferred;
    Batch<IOHandlerPtr_t> m_deferredBatch;
    std::vector<IOHandlerPtr_t> m_retiredHandlers;
    Batch<IOHandlerPtr_t> m_releasedBatch;
    std::vector<Replacement> m_replacements;  // rarely more than one

    std::unique_ptr<char[]> m_readBuffer;
    static constexpr size_t kSpareQueues = 16;
    std::unique_ptr<SendQueue> m_spareQueue;
    std::vector<std::unique_ptr<SendQueue>> m_moreQueues;  // with room for kSpareQueues

    bool m_inRound = false;
    bool m_isEnding = false;  // being destroyed
};

}  // namespace tnet
