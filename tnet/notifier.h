// Notifier: wakes a loop that sleeps in epoll_wait, from any thread: an eventfd.
//
//     any thread: notify() ---> fd() becomes readable ---> the loop: drain(), then look for work
//
// Notifications that come before the drain merge into one, so the loop must look for work after
// it has drained, never before.
//
// Threads: notify() from any thread and from signal handlers; the rest from the loop's thread.
// Lifetime: nobody may be inside notify() when it is moved or destroyed.
#pragma once

#include "tnet/result.h"
#include "tnet/socket.h"

namespace tnet {

class Notifier {
public:
    // Errors: the process or the system is out of descriptors.
    static Result<Notifier> create();

    // Makes fd() readable until the next drain(). Async-signal-safe, never blocks, keeps errno.
    void notify();

    // Makes fd() unreadable again; does nothing if it is already.
    void drain();

    // To watch for TNET_READ.
    int fd() const { return m_fd.get(); }

private:
    explicit Notifier(FileDescriptor fd);

    FileDescriptor m_fd;
};

}  // namespace tnet
