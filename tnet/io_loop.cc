#include "tnet/io_loop.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "tnet/fork_watch.h"
#include "tnet/log.h"

namespace tnet {
namespace {

constexpr uint64_t kTasksTag = ~uint64_t{0};
constexpr int kEndingRounds = 100;
// Of the lists whose growth must not fail: what a busy loop needs in a round, ahead of any shortage of memory.
constexpr size_t kReserved = 256;
constexpr TurnBudget kEverything{UINT32_MAX, SIZE_MAX};

class FunctionHandler final : public IOHandler {
public:
    explicit FunctionHandler(IOCallback_t callback) : m_callback(std::move(callback)) {}
    void handleEvents(uint32_t events) override { m_callback(events); }

private:
    IOCallback_t m_callback;
};

}  // namespace

Result<std::unique_ptr<IOLoop>> IOLoop::create(const Clock& clock) {
    auto poller = Poller::create();
    if (!poller) return poller.error();
    auto notifier = Notifier::create();
    if (!notifier) return notifier.error();
    auto tasks = std::make_shared<TaskQueue>(std::move(*notifier));
    if (const auto error = poller->add(tasks->fd(), TNET_READ, kTasksTag))
        return makeError(error, "epoll_ctl");
    return std::unique_ptr<IOLoop>(new IOLoop(clock, std::move(*poller), std::move(tasks)));
}

IOLoop::IOLoop(const Clock& clock, Poller poller, TaskQueuePtr_t tasks)
    : m_clock(clock),
      m_poller(std::move(poller)),
      m_tasks(std::move(tasks)),
      m_now(clock.now()),
      m_readBuffer(new char[kReadBufferBytes]) {
    for (auto* const list : {&m_deferred, &m_retiredHandlers}) list->reserve(kReserved);
    for (auto* const batch : {&m_deferredBatch, &m_releasedBatch}) batch->reserve(kReserved);
    m_replacements.reserve(4);
    m_moreQueues.reserve(kSpareQueues);
}

// All that may call back into the loop goes before any part of the loop does.
IOLoop::~IOLoop() {
    assert(!m_inRound && "a loop cannot be destroyed from its own callback");
    m_tasks->bindToThisThread();
    m_isEnding = true;
    for (size_t i = 0; i < m_handlers.slots(); ++i) {
        const IOHandlerPtr_t handler = m_handlers.handlerAt(i);
        if (!handler) continue;
        const int fd = m_handlers.fdAt(i);
        handler->handleLoopExit();
        if (m_handlers.handlerAt(i) == handler) removeHandler(fd);
    }
    dropWork();
    while (!m_kept.empty()) {
        const std::shared_ptr<void> last = std::move(m_kept.back());
        m_kept.pop_back();
    }
    dropWork();
}

// What is told of the end, and what is destroyed here, may close and defer more, and own what does. Something that
// goes on for ever must not keep the loop from ending.
void IOLoop::dropWork() {
    m_tasks->close();
    for (int i = 0; i < kEndingRounds && (i == 0 || hasLooseEnds()); ++i) {
        m_localBatch.clear();
        m_foreignBatch.clear();
        std::exchange(m_localTasks, {}).clear();
        m_timers.clear();
        runDeferred(Turn(kEverything));
        releaseRetired(Turn(kEverything));
    }
}

void IOLoop::start() {
    while (!m_tasks->isStopRequested()) {
        runRound(Duration(-1));
        m_isFollowed = true;
    }
    m_isFollowed = false;
    m_tasks->forgetStop();
}

void IOLoop::stop() {
    const TaskQueuePtr_t tasks = m_tasks;  // the loop may be gone as soon as it knows
    tasks->requestStop();
}

void IOLoop::runRound(Duration maxWait) {
    assert(!m_inRound && "a loop cannot be run from its own callback");
    m_tasks->bindToThisThread();
    m_inRound = true;
    m_waitBegan = TimePoint::max();
    const Duration wait = timeUntilNextWork(maxWait);
    const size_t ready = m_poller.wait(wait);
    const TimePoint now = m_clock.now();
    if (m_isFollowed) noteRound(wait == Duration::zero() ? now : m_waitBegan);
    m_now = now;
    ++m_round;
    dispatch(ready);
    if (const auto earliest = m_timers.earliest(); earliest && *earliest <= m_now)
        m_timers.run(m_now, Turn(kTimerTurn));
    runTasks();
    runDeferred(Turn(kDeferredTurn));
    releaseRetired(Turn(kReleaseTurn));
    m_inRound = false;
}

// Without a clock of its own: the wait that follows a round has looked at it, if there is a timer.
void IOLoop::noteRound(TimePoint end) {
    if (end != TimePoint::max() && end - m_now > kSlowRound) m_slowRound = {m_round, end - m_now};
}

Duration IOLoop::timeUntilNextWork(Duration maxWait) {
    const bool hasTasks = !m_localTasks.empty() || !m_localBatch.isDone() || !m_foreignBatch.isDone();
    if (hasTasks || hasLooseEnds()) return Duration::zero();
    const auto earliest = m_timers.earliest();
    if (!earliest) return maxWait;
    m_waitBegan = m_clock.now();
    const Duration untilTimer = std::max(timeUntil(m_waitBegan, *earliest), Duration::zero());
    return maxWait < Duration::zero() ? untilTimer : std::min(untilTimer, maxWait);
}

void IOLoop::dispatch(size_t readyCount) {
    for (size_t i = 0; i < readyCount; ++i) {
        const Poller::Ready ready = m_poller.ready(i);
        if (ready.tag == kTasksTag) {
            m_tasksReady = true;
            continue;
        }
        // The handler outlives this call even if it removes itself: removal retires, it does not destroy.
        if (IOHandler* const handler = m_handlers.find(ready.tag)) handler->handleEvents(ready.events);
    }
}

// Only what is there now: a task that posts a task must not starve the descriptors. The loop's own tasks and those of
// other threads have a turn each, so that neither wait for a mass of the others.
void IOLoop::runTasks() {
    const auto runTask = [](const Callback_t& task) { task(); };
    if (m_localBatch.isDone() && !m_localTasks.empty()) m_localBatch.take(m_localTasks);
    if (!m_localBatch.isDone()) m_localBatch.run(Turn(kTaskTurn), runTask);
    if (m_foreignBatch.isDone() && std::exchange(m_tasksReady, false)) {
        m_tasks->takeAll(m_foreignTasks);
        if (!m_foreignTasks.empty()) m_foreignBatch.take(m_foreignTasks);
    }
    if (!m_foreignBatch.isDone()) m_foreignBatch.run(Turn(kTaskTurn), runTask);
}

void IOLoop::runDeferred(Turn turn) {
    if (m_deferredBatch.isDone() && !m_deferred.empty()) m_deferredBatch.take(m_deferred);
    if (m_deferredBatch.isDone()) return;
    m_deferredBatch.run(turn, [](const IOHandlerPtr_t& handler) { handler->handleDeferred(); });
}

bool IOLoop::hasLooseEnds() const {
    return !m_deferred.empty() || !m_deferredBatch.isDone() || !m_retiredHandlers.empty() ||
           !m_releasedBatch.isDone();
}

void IOLoop::retire(IOHandlerPtr_t handler) {
    pushBackOrEnd(m_retiredHandlers, std::move(handler), "the loop's list of removed handlers");
}

// Destructors may call back into the loop and retire more, which the next round releases.
void IOLoop::releaseRetired(Turn turn) {
    if (m_releasedBatch.isDone() && !m_retiredHandlers.empty()) m_releasedBatch.take(m_retiredHandlers);
    if (m_releasedBatch.isDone()) return;
    m_releasedBatch.run(turn, [](const IOHandlerPtr_t&) {});  // destroys it
}

std::error_code IOLoop::addHandler(int fd, uint32_t events, IOHandlerPtr_t handler) {
    assert(isInLoopThread() && "handlers belong to the loop's thread");
    assert(fd >= 0 && handler);
    if (m_isEnding) return std::make_error_code(std::errc::operation_canceled);
    const HandlerTable::Place place = m_handlers.placeFor(fd);
    // The kernel knows whether `fd` is watched; a handler that is left may belong to a descriptor that was
    // closed since.
    if (const auto error = m_poller.add(fd, events, place.tag())) return error;
    if (IOHandlerPtr_t left = m_handlers.remove(fd)) retire(std::move(left));
    m_handlers.add(place, fd, std::move(handler));
    return {};
}

std::error_code IOLoop::addHandler(int fd, uint32_t events, IOCallback_t callback) {
    return addHandler(fd, events, std::make_shared<FunctionHandler>(std::move(callback)));
}

std::error_code IOLoop::updateHandler(int fd, uint32_t events) {
    assert(isInLoopThread() && "handlers belong to the loop's thread");
    const uint64_t tag = m_handlers.tagOf(fd);
    assert(tag != 0 && "updateHandler of a descriptor without handler");
    return m_poller.modify(fd, events, tag);
}

void IOLoop::removeHandler(int fd, Removal removal) {
    assert(isInLoopThread() && "handlers belong to the loop's thread");
    IOHandlerPtr_t handler = m_handlers.remove(fd);
    if (!handler) return;
    if (removal == Removal::DescriptorStays || hasForked()) m_poller.remove(fd);
    retire(std::move(handler));
}

void IOLoop::addCallback(Callback_t task) {
    if (!m_tasks->isInLoopThread()) {
        const TaskQueuePtr_t tasks = m_tasks;  // the task may end the loop before post() has returned
        tasks->post(std::move(task));
        return;
    }
    if (!m_isEnding) m_localTasks.push_back(std::move(task));
}

TimerId IOLoop::addTimer(Duration delay, Callback_t callback) {
    assert(isInLoopThread() && "timers belong to the loop's thread");
    if (m_isEnding) return {};
    // Not before now, or what is always overdue would have its turn before all others, always.
    const Duration wait = std::max(delay, Duration::zero());
    return m_timers.add(timeAfter(m_clock.now(), wait), std::move(callback));
}

TimerId IOLoop::addRepeating(Duration interval, Callback_t callback) {
    assert(isInLoopThread() && "timers belong to the loop's thread");
    if (interval <= Duration::zero()) {
        logger().error("IOLoop::runEvery: {} ns are no interval; nothing will run", interval.count());
        return {};
    }
    if (m_isEnding) return {};
    return m_timers.add(timeAfter(m_clock.now(), interval), std::move(callback), interval);
}

bool IOLoop::cancel(TimerId timer) {
    assert(isInLoopThread() && "timers belong to the loop's thread");
    return m_timers.cancel(timer);
}

bool IOLoop::isInLoopThread() const { return !m_tasks->isBound() || m_tasks->isInLoopThread(); }

void IOLoop::keepReplacement(const Connection* owner, ConnEventCallback_t callback) {
    for (Replacement& replacement : m_replacements) {
        if (replacement.owner == owner) return replacement.callback.swap(callback);
    }
    m_replacements.push_back({owner, std::move(callback)});
}

ConnEventCallback_t IOLoop::takeReplacement(const Connection* owner) {
    const auto found =
        std::find_if(m_replacements.begin(), m_replacements.end(),
                     [owner](const Replacement& replacement) { return replacement.owner == owner; });
    assert(found != m_replacements.end());
    ConnEventCallback_t callback = std::move(found->callback);
    m_replacements.erase(found);
    return callback;
}

void IOLoop::giveBackMore(std::unique_ptr<SendQueue> queue) {
    if (m_moreQueues.size() < kSpareQueues) m_moreQueues.push_back(std::move(queue));
}

std::unique_ptr<SendQueue> IOLoop::takeSendQueue() {
    if (m_spareQueue) return std::move(m_spareQueue);
    if (m_moreQueues.empty()) return std::make_unique<SendQueue>();
    std::unique_ptr<SendQueue> queue = std::move(m_moreQueues.back());
    m_moreQueues.pop_back();
    return queue;
}

}  // namespace tnet
