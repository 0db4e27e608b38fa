// Signaler: turns Unix signals into callbacks on a loop, where anything may be done.
//
//     kernel ---> handler (any thread) ---> a counter per signal, a wake ---> the loop: callback(signal)
//
// While it lives, its signals have a handler for the whole process, so it does not matter which threads there are, or
// which of them the kernel chooses; they are unblocked in the calling thread. What the signals did before is restored
// when it is destroyed. Signals that arrive before the loop runs are told when it does. Each is told as often as it
// arrived; of different signals, in the order in which create() names them.
//
// SIGHUP stays ignored where the process was started so: `nohup program` outlives its terminal.
//
// After fork() the child has the handlers, too, and its signals call nobody back; exec() restores the defaults.
//
// Threads: the loop's only. Lifetime: stops when destroyed, in its own callback, too; the loop outlives it.
#pragma once

#include <csignal>
#include <functional>
#include <initializer_list>
#include <memory>
#include <vector>

#include "tnet/io_loop.h"
#include "tnet/notifier.h"
#include "tnet/result.h"

namespace tnet {

class Signaler {
public:
    using SignalCallback_t = std::function<void(int signal)>;

    // Calls `callback` on the loop for each of `signals` that arrives. Errors: a number that is no signal, or
    // one that cannot be caught (invalid_argument); a signal that another Signaler has
    // (device_or_resource_busy); the process is out of descriptors.
    static Result<std::unique_ptr<Signaler>> create(IOLoop* loop, std::initializer_list<int> signals,
                                                    SignalCallback_t callback);
    ~Signaler();

    Signaler(const Signaler&) = delete;
    Signaler& operator=(const Signaler&) = delete;

private:
    struct Caught {
        int signal;
        struct sigaction before;
    };

    Signaler(IOLoop* loop, Notifier notifier, SignalCallback_t callback);

    Status catchSignal(int signal);
    void takeSignal();

    IOLoop* m_loop;
    Notifier m_notifier;
    SignalCallback_t m_callback;
    std::vector<Caught> m_caught{};
    sigset_t m_blockedBefore{};  // of its signals
};

}  // namespace tnet
