// Successor: a new process of a server that goes on while this one leaves, so that an upgrade refuses no connection.
//
//     this process                                   the successor
//     spawn(server.handOver()) ── fork, exec ──>     inheritedSockets(), server.listen(socket) for each
//     serves on                                      server.start(), tellPredecessor()
//     the callback: Done     <── "I serve" ──
//     server.drain()                                 serves alone
//
// Both accept from the same sockets in between: each connection comes to one of them, and none is refused or reset.
// If the successor fails to start, nothing has changed: this one serves on.
//
// It is the sockets themselves that must go on. Were each process to open its own with SO_REUSEPORT, all would look
// well, and connections would be lost: the kernel puts each connection into the queue of one of the group's sockets
// when its handshake begins, and closing that socket resets those that nobody has accepted yet. (Linux moves them
// to another of the group only with net.ipv4.tcp_migrate_req set.) For the same reason all sockets of the group
// are handed over, and the successor serves them all, however many loops it has.
//
// Under systemd the unit's main process must stay: use socket activation and restart the unit instead; connections
// wait in the socket, which systemd holds, meanwhile.
//
// Threads: the loop's only. Lifetime: the loop outlives it. Destroyed before the outcome it forgets the successor,
// which lives on.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tnet/io_loop.h"
#include "tnet/result.h"
#include "tnet/socket.h"

namespace tnet {

class Successor {
public:
    // Told once: Done, when it serves; or why it does not, and will not.
    using OutcomeCallback_t = std::function<void(const Status& outcome)>;

    // Starts arguments[0], a path, with `arguments`, this process's environment, and `sockets` (borrowed) as its
    // inherited sockets. It starts with no signal blocked. May be called while other threads run. Errors: no
    // program is named; no process, or no descriptor, is to be had. What exec says is told to `callback`.
    static Result<std::unique_ptr<Successor>> spawn(IOLoop* loop, const std::vector<std::string>& arguments,
                                                    const std::vector<int>& sockets,
                                                    OutcomeCallback_t callback);
    ~Successor();

    Successor(const Successor&) = delete;
    Successor& operator=(const Successor&) = delete;

    pid_t pid() const { return m_pid; }

private:
    Successor(IOLoop* loop, std::string program, pid_t pid, FileDescriptor channel,
              OutcomeCallback_t callback);

    void readOutcome();

    IOLoop* m_loop;
    std::string m_program;
    pid_t m_pid;
    FileDescriptor m_channel;  // until the outcome
    OutcomeCallback_t m_callback;
};

// In the successor: it serves now, and the predecessor may leave. Does nothing in a process that is none, or a second
// time. Any thread.
void tellPredecessor();

}  // namespace tnet
