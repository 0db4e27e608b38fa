// PeerAddress: the address of a connection's peer in the 28 bytes that IPv4 and IPv6 need; the peer of
// a Unix-domain socket is as a rule unnamed and needs none.
#pragma once

#include <array>

#include "tnet/address.h"

namespace tnet {

class PeerAddress {
public:
    PeerAddress() = default;
    PeerAddress(const sockaddr* address, socklen_t size);

    Address toAddress() const;  // "unix:" for Unix-domain peers

private:
    std::array<char, sizeof(sockaddr_in6)> m_bytes{};  // a sockaddr_in or sockaddr_in6
};

}  // namespace tnet
