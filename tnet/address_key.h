// address_key: which client an address stands for, when clients are counted: an IPv4 address, or the /64 of an IPv6
// address, which is what one subscriber has at least.
//
// Threads: any.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tnet/peer_address.h"

namespace tnet {

// IPv4-mapped IPv6 addresses count as IPv4. 0: none (a Unix-domain peer).
uint64_t addressKey(const PeerAddress& address);

// Spreads keys over a table. Each has a random seed: nobody outside can tell which keys meet.
class AddressHash {
public:
    AddressHash();
    uint64_t operator()(uint64_t key) const;

private:
    uint64_t m_seed;
    uint64_t m_factor;  // odd
};

}  // namespace tnet
