// Signaler: turns Unix signals into callbacks on a loop, where anything may be done.
//
// Blocks its signals in the calling thread, and so in every thread started from it later: make it
// before any other thread. They stay blocked when it is destroyed.
//
// Threads: the loop's only. Lifetime: stops when destroyed; the loop outlives it.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>

#include "tnet/io_loop.h"
#include "tnet/result.h"
#include "tnet/socket.h"

namespace tnet {

class Signaler {
public:
    using SignalCallback_t = std::function<void(int signal)>;

    // Calls `callback` on the loop for each of `signals` that arrives. Errors: an invalid signal number.
    static Result<std::unique_ptr<Signaler>> create(IOLoop* loop, std::initializer_list<int> signals,
                                                    SignalCallback_t callback);
    ~Signaler();

    Signaler(const Signaler&) = delete;
    Signaler& operator=(const Signaler&) = delete;

private:
    Signaler(IOLoop* loop, FileDescriptor signals, SignalCallback_t callback);

    void readSignals();

    IOLoop* m_loop;
    FileDescriptor m_signals;
    SignalCallback_t m_callback;
};

}  // namespace tnet
