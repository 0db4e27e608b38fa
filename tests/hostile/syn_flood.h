// SynFlood: SYNs of addresses that are nobody's, as fast as they go out.
//
// What answers them is the kernel: it keeps as many half-open connections as tcp_max_syn_backlog and the listener's
// backlog allow, and sends cookies for the others. The server has no part in it; the well-behaved client shows that
// others still connect.
//
// Threads: the maker's; one of its own sends.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

#include "tnet/address.h"
#include "tnet/socket.h"

namespace tnet {

class SynFlood {
public:
    // `server`: IPv4. In a network of this process's own (own_network.h), or it would be sent to others.
    explicit SynFlood(const Address& server);
    ~SynFlood();
    SynFlood(const SynFlood&) = delete;
    SynFlood& operator=(const SynFlood&) = delete;

    // False: the kernel does not allow raw sockets.
    bool isPossible() const { return m_socket.valid(); }

    void stop();
    uint64_t sent() const { return m_sent; }

private:
    void run();

    const Address m_server;
    FileDescriptor m_socket;
    std::atomic<uint64_t> m_sent{0};
    std::atomic<bool> m_isOver{false};
    std::thread m_thread;
};

}  // namespace tnet
