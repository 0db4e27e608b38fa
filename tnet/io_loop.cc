#include "tnet/io_loop.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "tnet/fork_watch.h"

namespace tnet {
namespace {

constexpr uint64_t kTasksTag = ~uint64_t{0};
constexpr int kEndingRounds = 100;
// Of the lists whose growth must not fail: what a busy loop needs in a round, ahead of any shortage of memory.
constexpr size_t kReserved = 256;

uint64_t makeTag(int fd, uint32_t generation) {
    return (uint64_t{generation} << 32U) | static_cast<uint32_t>(fd);
}

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
    for (auto* const list : {&m_deferred, &m_runningDeferred, &m_retiredHandlers, &m_releasedHandlers})
        list->reserve(kReserved);
    m_replacements.reserve(4);
}

IOLoop::~IOLoop() {
    assert(!m_inRound && "a loop cannot be destroyed from its own callback");
    m_tasks->bindToThisThread();
    m_isEnding = true;
    for (size_t fd = 0; fd < m_slots.size(); ++fd) {
        const IOHandlerPtr_t handler = m_slots[fd].handler;
        if (!handler) continue;
        handler->handleLoopExit();
        if (m_slots[fd].handler) removeHandler(static_cast<int>(fd));
    }
    m_tasks->close();
    m_localTasks.clear();
    // Who is told of the end may open more, which fails and is told in turn, and what is released may
    // own what closes more. Somebody who always tries again must not keep the loop from ending.
    for (int i = 0; i < kEndingRounds && hasLooseEnds(); ++i) {
        runDeferred();
        releaseRetired();
    }
}

void IOLoop::start() {
    while (!m_stopRequested.load(std::memory_order_acquire)) runOnce(Duration(-1));
    m_stopRequested.store(false, std::memory_order_release);
}

void IOLoop::stop() {
    m_stopRequested.store(true, std::memory_order_release);
    m_tasks->wake();
}

void IOLoop::runOnce(Duration maxWait) {
    assert(!m_inRound && "a loop cannot be run from its own callback");
    m_tasks->bindToThisThread();
    m_inRound = true;
    const size_t ready = m_poller.wait(timeUntilNextWork(maxWait));
    m_now = m_clock.now();
    ++m_round;
    dispatch(ready);
    if (const auto earliest = m_timers.earliest(); earliest && *earliest <= m_now) m_timers.run(m_now);
    runTasks();
    runDeferred();
    releaseRetired();
    m_inRound = false;
}

Duration IOLoop::timeUntilNextWork(Duration maxWait) const {
    if (!m_localTasks.empty() || hasLooseEnds()) return Duration::zero();
    const auto earliest = m_timers.earliest();
    if (!earliest) return maxWait;
    const Duration untilTimer = std::max(*earliest - m_clock.now(), Duration::zero());
    return maxWait < Duration::zero() ? untilTimer : std::min(untilTimer, maxWait);
}

void IOLoop::dispatch(size_t readyCount) {
    for (size_t i = 0; i < readyCount; ++i) {
        const Poller::Ready ready = m_poller.ready(i);
        if (ready.tag == kTasksTag) {
            m_tasksReady = true;
            continue;
        }
        const auto fd = static_cast<uint32_t>(ready.tag);
        const Slot& slot = m_slots[fd];  // moves when the handler adds others
        if (!slot.handler || slot.generation != static_cast<uint32_t>(ready.tag >> 32U)) continue;
        // The handler outlives this call even if it removes itself: removal retires, it does not destroy.
        slot.handler->handleEvents(ready.events);
    }
}

// Only what is there now: a task that posts a task must not starve the descriptors.
void IOLoop::runTasks() {
    if (!m_localTasks.empty()) {
        m_runningTasks.swap(m_localTasks);
        runTaskBatch();
    }
    if (std::exchange(m_tasksReady, false)) {
        m_tasks->takeAll(m_runningTasks);
        runTaskBatch();
    }
}

void IOLoop::runTaskBatch() {
    for (Callback_t& task : m_runningTasks) {
        task();
        task = nullptr;  // what it owns goes before the next one runs
    }
    m_runningTasks.clear();
}

void IOLoop::runDeferred() {
    m_runningDeferred.swap(m_deferred);
    for (const IOHandlerPtr_t& handler : m_runningDeferred) handler->handleDeferred();
    m_runningDeferred.clear();
}

bool IOLoop::hasLooseEnds() const { return !m_deferred.empty() || !m_retiredHandlers.empty(); }

void IOLoop::retire(IOHandlerPtr_t handler) {
    pushBackOrEnd(m_retiredHandlers, std::move(handler), "the loop's list of removed handlers");
}

// Destructors may call back into the loop and retire more, which the next round releases.
void IOLoop::releaseRetired() {
    m_releasedHandlers.swap(m_retiredHandlers);
    m_releasedHandlers.clear();
}

std::error_code IOLoop::addHandler(int fd, uint32_t events, IOHandlerPtr_t handler) {
    assert(isInLoopThread() && "handlers belong to the loop's thread");
    assert(fd >= 0 && handler);
    if (m_isEnding) return std::make_error_code(std::errc::operation_canceled);
    const auto index = static_cast<size_t>(fd);
    if (index >= m_slots.size()) m_slots.resize(index + 1);
    const uint32_t generation = m_generation + 1;
    // The kernel knows whether `fd` is watched; a handler that is left in the slot may belong to a
    // descriptor that was closed since.
    if (const auto error = m_poller.add(fd, events, makeTag(fd, generation))) return error;
    Slot& slot = m_slots[index];
    if (slot.handler) retire(std::move(slot.handler));
    m_generation = generation;
    slot = {std::move(handler), generation};
    return {};
}

std::error_code IOLoop::addHandler(int fd, uint32_t events, IOCallback_t callback) {
    return addHandler(fd, events, std::make_shared<FunctionHandler>(std::move(callback)));
}

std::error_code IOLoop::updateHandler(int fd, uint32_t events) {
    assert(isInLoopThread() && "handlers belong to the loop's thread");
    const auto index = static_cast<size_t>(fd);
    assert(index < m_slots.size() && m_slots[index].handler &&
           "updateHandler of a descriptor without handler");
    return m_poller.modify(fd, events, makeTag(fd, m_slots[index].generation));
}

void IOLoop::removeHandler(int fd, Removal removal) {
    assert(isInLoopThread() && "handlers belong to the loop's thread");
    const auto index = static_cast<size_t>(fd);
    if (index >= m_slots.size() || !m_slots[index].handler) return;
    if (removal == Removal::DescriptorStays || hasForked()) m_poller.remove(fd);
    retire(std::move(m_slots[index].handler));
    m_slots[index].handler.reset();
}

void IOLoop::addCallback(Callback_t task) {
    if (m_tasks->isInLoopThread()) {
        m_localTasks.push_back(std::move(task));
    } else {
        m_tasks->post(std::move(task));
    }
}

TimerId IOLoop::runAfter(Duration delay, Callback_t callback) {
    assert(isInLoopThread() && "timers belong to the loop's thread");
    return m_timers.add(deadlineAfter(delay), std::move(callback));
}

TimerId IOLoop::runEvery(Duration interval, Callback_t callback) {
    assert(isInLoopThread() && "timers belong to the loop's thread");
    return m_timers.add(deadlineAfter(interval), std::move(callback), interval);
}

// The end of time for a delay that goes beyond it.
TimePoint IOLoop::deadlineAfter(Duration delay) const {
    const TimePoint now = m_clock.now();
    return delay > TimePoint::max() - now ? TimePoint::max() : now + delay;
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

std::unique_ptr<SendQueue> IOLoop::takeSendQueue() {
    if (m_spareQueue) return std::move(m_spareQueue);
    return std::make_unique<SendQueue>();
}

}  // namespace tnet
