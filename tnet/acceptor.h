// Acceptor: takes connections off a listening socket, on one loop.
//
// Whatever accept(2) says, it neither spins nor gives up while the listener lives:
//
//     one peer is gone already, an interrupt          the next one, within the turn
//     out of descriptors or memory                    looks away for kRetryPause and warns; peers wait in the backlog
//     anything else (a filter says EACCES, say)       the same; an error in the log when it begins
//     the listener is shut down, by whoever holds it  forgets it, and tells its owner once
//
// Threads: the loop's only. Lifetime: stops when destroyed; may be destroyed in its own callback.
#pragma once

#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include "tnet/io_loop.h"
#include "tnet/log.h"
#include "tnet/result.h"
#include "tnet/socket.h"
#include "tnet/turn.h"

namespace tnet {

class Acceptor {
public:
    static constexpr std::chrono::milliseconds kRetryPause{100};
    // Accepts of one acceptPending().
    static constexpr TurnBudget kPendingTurn{64, SIZE_MAX};

    // Takes a non-blocking, close-on-exec socket and the peer's address, which is valid during the call.
    using AcceptCallback_t = std::function<void(FileDescriptor socket, const sockaddr* peer, socklen_t size)>;
    // The listener was shut down: nobody can connect to it any more. Told once; must not destroy the acceptor.
    using EndCallback_t = std::function<void()>;

    // Accepts from now on. Without `onEnd`, the end of the listener is logged. Errors: what registering with the
    // loop says.
    static Result<std::unique_ptr<Acceptor>> create(IOLoop* loop, FileDescriptor listener,
                                                    AcceptCallback_t callback, EndCallback_t onEnd = nullptr);
    ~Acceptor();

    Acceptor(const Acceptor&) = delete;
    Acceptor& operator=(const Acceptor&) = delete;

    void pause();
    void resume();
    bool isPaused() const { return m_paused; }

    enum class Pending : uint8_t {
        None,       // the backlog is empty, or the listener has ended
        More,       // the turn is over: call again in the next round
        Paused,     // in front of whoever is left
        Exhausted,  // out of descriptors or memory
        Failed,     // accept fails
    };
    // Takes who is in the backlog now, kPendingTurn at most; calls back before it returns. Returns what stopped it.
    Pending acceptPending();

private:
    Acceptor(IOLoop* loop, FileDescriptor listener, AcceptCallback_t callback, EndCallback_t onEnd);

    // Held while it is called, so that the callback may destroy the acceptor.
    struct Callee {
        AcceptCallback_t callback;
        bool isAlive = true;  // the acceptor
    };

    enum class Outcome : uint8_t { Accepted, Retry, Empty, Exhausted, Failed };
    Outcome acceptOne();
    Outcome acceptFailed(int error);
    void acceptSome();
    void waitAndRetry();
    void end();
    void log(spdlog::level::level_enum level, const char* what) const;
    void updateInterest();

    IOLoop* m_loop;
    FileDescriptor m_listener;
    std::shared_ptr<Callee> m_callee;
    EndCallback_t m_onEnd;
    TimerId m_retryTimer{};     // valid while it looks away
    size_t m_portion = 4;       // accepts per readiness at most; follows what comes
    size_t m_fullPortions = 0;  // in a row
    uint32_t m_retries = 0;     // in a row
    int m_failure = 0;          // the error of Outcome::Failed that was logged last; 0: it has accepted since
    bool m_paused = false;
    bool m_hasEnded = false;
};

}  // namespace tnet
