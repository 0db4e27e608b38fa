#include "tnet/task_queue.h"

#include <cassert>
#include <utility>

namespace tnet {

bool TaskQueue::post(Callback_t task) {
    bool first = false;
    {
        const std::lock_guard lock(m_mutex);
        if (m_closed) return false;
        first = m_tasks.empty();
        m_tasks.push_back(std::move(task));
    }
    // A batch that is not taken yet has its wake under way.
    if (first) m_notifier.notify();
    return true;
}

void TaskQueue::takeAll(std::vector<Callback_t>& into) {
    assert(into.empty());
    // Drained first: a post between the two makes one wake too many, never one too few.
    m_notifier.drain();
    const std::lock_guard lock(m_mutex);
    m_tasks.swap(into);
}

void TaskQueue::close() {
    std::vector<Callback_t> dropped;  // destroyed outside the lock: a task's owner may post again
    const std::lock_guard lock(m_mutex);
    m_closed = true;
    m_thread.store(std::thread::id(), std::memory_order_relaxed);
    dropped.swap(m_tasks);
}

}  // namespace tnet
