// TaskQueue: how any thread hands work to a loop.
//
//     any thread: post(f)  ->  [ f f f ]  -- one eventfd wake per batch -->  the loop runs them in order
//
// Threads: post from any; drain and close by the loop alone.
// Lifetime: shared. It may outlive its loop; from then on post() refuses and destroys what it is given.
#pragma once

#include <mutex>
#include <vector>

#include "tnet/notifier.h"
#include "tnet/types.h"

namespace tnet {

class TaskQueue {
public:
    explicit TaskQueue(Notifier notifier) : m_notifier(std::move(notifier)) {}

    // Runs `task` on the loop's thread, never before post returns. False: the loop is gone.
    bool post(Callback_t task);

    // Makes the loop's wait return. Any thread.
    void wake() { m_notifier.notify(); }

    // For the loop.
    int fd() const { return m_notifier.fd(); }
    void takeAll(std::vector<Callback_t>& into);  // `into` must be empty; its capacity is recycled
    void close();                                 // what is queued is destroyed, not run

private:
    Notifier m_notifier;
    std::mutex m_mutex;
    std::vector<Callback_t> m_tasks;  // guarded by m_mutex
    bool m_closed = false;            // guarded by m_mutex
};

using TaskQueuePtr_t = std::shared_ptr<TaskQueue>;

}  // namespace tnet
