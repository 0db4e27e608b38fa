// Poller: level-triggered epoll, with a 64-bit tag per descriptor. A thin skin over the system calls.
//
// Threads: one. Lifetime: owns the epoll descriptor.
#pragma once

#include <sys/epoll.h>

#include <chrono>
#include <cstdint>
#include <span>
#include <system_error>
#include <vector>

#include "tnet/clock.h"
#include "tnet/result.h"
#include "tnet/socket.h"

namespace tnet {

class Poller {
public:
    struct Ready {
        uint64_t tag;
        uint32_t events;  // TNET_* bits
    };

    static Result<Poller> create();

    std::error_code add(int fd, uint32_t events, uint64_t tag);
    std::error_code modify(int fd, uint32_t events, uint64_t tag);
    void remove(int fd);

    // Waits at most `timeout` (negative: for ever; rounded up to milliseconds). The answer is valid
    // until the next wait. A signal ends the wait early with nothing ready.
    size_t wait(Duration timeout);
    Ready ready(size_t index) const;

private:
    explicit Poller(FileDescriptor epoll) : m_epoll(std::move(epoll)), m_events(512) {}

    std::error_code control(int operation, int fd, uint32_t events, uint64_t tag);

    FileDescriptor m_epoll;
    std::vector<epoll_event> m_events;
};

}  // namespace tnet
