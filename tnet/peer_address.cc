#include "tnet/peer_address.h"

#include <algorithm>
#include <cstring>

namespace tnet {

PeerAddress::PeerAddress(const sockaddr* address, socklen_t size) {
    std::memcpy(m_bytes.data(), address, std::min<size_t>(size, m_bytes.size()));
}

Address PeerAddress::toAddress() const {
    sockaddr_storage storage{};
    std::memcpy(&storage, m_bytes.data(), m_bytes.size());
    const auto* const address = reinterpret_cast<const sockaddr*>(&storage);
    if (storage.ss_family == AF_INET) return Address::fromSockaddr(address, sizeof(sockaddr_in));
    if (storage.ss_family == AF_INET6) return Address::fromSockaddr(address, sizeof(sockaddr_in6));
    storage.ss_family = AF_UNIX;
    return Address::fromSockaddr(address, sizeof(sa_family_t));
}

}  // namespace tnet
