// load_socket: what the loads share: how they connect, hold connections, and give up.
//
// A load that gets something wrong says what and exits 1: there is no number to report then.
#pragma once

#include <netinet/in.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace tnet {

// How long a load waits for the server before it gives up.
constexpr std::chrono::seconds kLoadPatience{10};

// Says `what`, behind the program's name, and exits 1.
[[noreturn]] void fail(const std::string& what);
[[noreturn]] void failWithErrno(const std::string& what);

// The server's address.
class LoadTarget {
public:
    LoadTarget(const std::string& address, uint16_t port);

    // "ADDRESS:PORT".
    const std::string& text() const { return m_text; }

    // A connected, blocking socket with TCP_NODELAY.
    int connect() const;

    // The same from the next of eight loopback addresses: for more connections, or connections in quicker
    // succession, than one pair of addresses has ports for.
    int connectFromNextSource();

private:
    int connectSocket(int fd) const;

    std::string m_text;
    sockaddr_in m_server{};
    uint32_t m_source = 0;
};

// An epoll descriptor, and `fd` added to it with EPOLLIN and `index` as its data.
int createLoadEpoll();
void watchForInput(int epoll, int fd, uint64_t index);

// Waits until stdin ends, then fails if a connection was closed meanwhile, or has something to read.
void holdUntilStdinEnds(const std::vector<int>& fds);

}  // namespace tnet
