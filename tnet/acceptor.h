// Acceptor: takes connections off a listening socket, on one loop.
//
// Out of descriptors or memory it neither spins nor gives up: it looks away for kExhaustedPause and
// tries again; the peers wait in the backlog. The same happens for as long as it is paused.
//
// Threads: the loop's only. Lifetime: stops when destroyed; may be destroyed in its own callback.
#pragma once

#include <sys/socket.h>

#include <chrono>
#include <functional>
#include <memory>

#include "tnet/io_loop.h"
#include "tnet/result.h"
#include "tnet/socket.h"

namespace tnet {

class Acceptor {
public:
    static constexpr std::chrono::milliseconds kExhaustedPause{100};

    // Takes a non-blocking, close-on-exec socket and the peer's address, which is valid during the call.
    using AcceptCallback_t = std::function<void(FileDescriptor socket, const sockaddr* peer, socklen_t size)>;

    // Accepts from now on. Errors: what registering with the loop says.
    static Result<std::unique_ptr<Acceptor>> create(IOLoop* loop, FileDescriptor listener,
                                                    AcceptCallback_t callback);
    ~Acceptor();

    Acceptor(const Acceptor&) = delete;
    Acceptor& operator=(const Acceptor&) = delete;

    void pause();
    void resume();
    bool isPaused() const { return m_paused; }

    // Takes what is in the backlog now, paused or not; calls back before it returns. False: out of descriptors or
    // memory, somebody may be left.
    bool acceptPending();

private:
    Acceptor(IOLoop* loop, FileDescriptor listener, AcceptCallback_t callback);

    // Held while it is called, so that the callback may destroy the acceptor.
    struct Callee {
        AcceptCallback_t callback;
        bool isAlive = true;  // the acceptor
    };

    enum class Outcome : uint8_t { Accepted, Retry, Empty, Exhausted };
    Outcome acceptOne();
    void acceptSome();
    void waitForResources();
    void updateInterest();

    IOLoop* m_loop;
    FileDescriptor m_listener;
    std::shared_ptr<Callee> m_callee;
    TimerId m_exhaustedTimer{};  // valid while it looks away
    size_t m_portion = 4;        // accepts per readiness at most; follows what comes
    size_t m_fullPortions = 0;   // in a row
    bool m_paused = false;
};

}  // namespace tnet
