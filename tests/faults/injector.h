// injector: makes system calls and allocations of chosen threads fail or fall short, in a seeded random way.
//
//     const FaultInjection faults({.seed = 7, .chance = {{Fault::ShortRead, 0.2}}});   // until it is destroyed
//     ... on each thread that is to suffer:  sufferFaults(index);
//
// Linked into a test's binary, it stands in front of libc (and of a sanitizer's interceptors) for the calls that
// the library makes, and forwards them. Threads that have not asked to suffer, the test's clients, never notice.
//
// The same seed, and the same calls of a thread with the same index, are the same faults.
//
// Threads: any; one injection at a time. Lifetime: threads go on suffering, of the injection that there is.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>

namespace tnet {

enum class Fault : uint8_t {
    // What every program must bear without a trace:
    ShortRead,   // fewer bytes, EINTR, EAGAIN
    ShortWrite,  // the same; of sendfile, too
    EarlyWait,   // epoll_wait: EINTR, nothing, fewer events than there are
    LostPeer,    // accept4: ECONNABORTED, EINTR, EAGAIN, EPROTO
    // What costs the connection or the call:
    ReadFails,      // ECONNRESET, ETIMEDOUT, ENOMEM; of files EIO
    WriteFails,     // EPIPE, ECONNRESET, ENOBUFS, ENOMEM; of sendfile EIO
    AcceptFails,    // EMFILE, ENFILE, ENOBUFS, ENOMEM
    WatchFails,     // epoll_ctl(EPOLL_CTL_ADD): ENOSPC, ENOMEM
    ConnectFails,   // EADDRNOTAVAIL, ETIMEDOUT, EINTR, ECONNREFUSED, ENETUNREACH
    OpenFails,      // socket, eventfd, epoll_create1, signalfd, F_DUPFD: EMFILE, ENFILE, ENOMEM
    ShutDownFails,  // shutdown: ENOTCONN
    Memory,         // operator new: std::bad_alloc; OpenSSL's allocations: null
    kCount,
};
constexpr size_t kFaultCount = static_cast<size_t>(Fault::kCount);

const char* faultName(Fault fault);

class FaultInjection {
public:
    struct Plan {
        uint64_t seed = 1;
        std::initializer_list<std::pair<Fault, double>> chance{};  // per call; 1: always
        int error = 0;          // not zero: this one instead of one by chance
        uint64_t memoryAt = 0;  // not zero: this allocation fails, counted from one, and no other
    };

    explicit FaultInjection(const Plan& plan);
    ~FaultInjection();
    FaultInjection(const FaultInjection&) = delete;
    FaultInjection& operator=(const FaultInjection&) = delete;

    // Since the beginning: how often it struck.
    static uint64_t count(Fault fault);
    static std::string counts();    // for a message: those that are not zero
    static uint64_t allocations();  // of suffering threads
};

// The calling thread suffers from now on, or no longer. `index` tells its faults from other threads'.
void sufferFaults(uint64_t index);
void sufferNoFaults();

// While it lives its thread is spared, though it suffers otherwise: what a test does inside a handler.
class FaultPause {
public:
    FaultPause();
    ~FaultPause();
    FaultPause(const FaultPause&) = delete;
    FaultPause& operator=(const FaultPause&) = delete;

private:
    bool m_before;
};

// epoll_waits of suffering threads, since the process began: whether a loop spins.
uint64_t waitsOfSufferingThreads();

}  // namespace tnet
