// RawLoop: what the RAW limits share: a listener on loopback, one epoll, the end on SIGINT and SIGTERM.
//
//   epoll_wait ─▶ handler.woke() ─▶ per descriptor: handler.accepted(fd) or handler.ready(fd, events)
//
// Level-triggered, so that one read per ready descriptor is enough. The handler's functions are known at
// compile time: calling one costs no more than writing its body into the loop. It closes the descriptors
// it has been given; what fails here ends the program.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string>

namespace tnet {

class RawLoop {
public:
    // Listens on 127.0.0.1:`port` (0: any free port) and prints `listening on http://127.0.0.1:PORT`.
    // `program` begins the messages on stderr.
    RawLoop(const char* program, uint16_t port);

    // Says what failed, with errno, and exits 1.
    [[noreturn]] void die(const std::string& what) const;

    // Accepted sockets are non-blocking, have TCP_NODELAY and are watched for EPOLLIN already.
    template <class Handler>
    void run(Handler& handler) {
        std::array<epoll_event, kEventsPerWait> events{};
        for (;;) {
            const int count = epoll_wait(m_epoll, events.data(), static_cast<int>(events.size()), -1);
            if (count < 0 && errno != EINTR) {
                die("epoll_wait");
            }
            handler.woke();
            for (int i = 0; i < count; ++i) {
                const epoll_event& event = events[static_cast<size_t>(i)];
                if (event.data.fd == m_signals) {
                    return;
                }
                if (event.data.fd != m_listener) {
                    handler.ready(event.data.fd, event.events);
                } else if (const int fd = acceptOne(); fd >= 0) {
                    handler.accepted(fd);
                    control(EPOLL_CTL_ADD, fd, EPOLLIN);
                }
            }
        }
    }

    // From now on `fd`, which was accepted here, is watched for `events` only.
    void watchFor(int fd, uint32_t events) { control(EPOLL_CTL_MOD, fd, events); }

private:
    static constexpr size_t kEventsPerWait = 512;

    int acceptOne();  // -1 if there is none after all
    void control(int operation, int fd, uint32_t events);

    const char* const m_program;
    int m_epoll = -1;
    int m_listener = -1;
    int m_signals = -1;
};

// The port of `--port N`, 0 without it; exits 2 with a line of usage if there is anything else.
uint16_t portOfCommandLine(const char* program, int argc, char** argv);

}  // namespace tnet
