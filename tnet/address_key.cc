#include "tnet/address_key.h"

#include <netinet/in.h>

#include <cstring>
#include <random>

#include "tnet/address.h"

namespace tnet {
namespace {

// Where no source address lies: multicast (RFC 4291 §2.7).
constexpr uint64_t kIpv4Prefix = 0xffffffff'00000000U;
constexpr uint64_t kZeroPrefix = 0xfffffffe'00000000U;

uint64_t readBigEndian(const uint8_t* bytes, size_t count) {
    uint64_t value = 0;
    for (size_t i = 0; i < count; ++i) value = value << 8U | bytes[i];
    return value;
}

uint64_t random64() {
    std::random_device random;
    return uint64_t{random()} << 32U | random();
}

}  // namespace

uint64_t addressKey(const PeerAddress& address) {
    const Address whole = address.toAddress();
    if (whole.family() == AF_INET) {
        sockaddr_in v4{};
        std::memcpy(&v4, whole.data(), sizeof(v4));
        return kIpv4Prefix | ntohl(v4.sin_addr.s_addr);
    }
    if (whole.family() != AF_INET6) return 0;
    sockaddr_in6 v6{};
    std::memcpy(&v6, whole.data(), sizeof(v6));
    const uint8_t* const bytes = v6.sin6_addr.s6_addr;
    if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) return kIpv4Prefix | readBigEndian(bytes + 12, 4);
    const uint64_t prefix = readBigEndian(bytes, 8);
    return prefix == 0 ? kZeroPrefix : prefix;
}

AddressHash::AddressHash() : m_seed(random64()), m_factor(random64() | 1U) {}

// Two rounds of multiplying and folding, as in MurmurHash3's finalizer, with a factor of our own.
uint64_t AddressHash::operator()(uint64_t key) const {
    key ^= m_seed;
    key = (key ^ key >> 33U) * m_factor;
    key = (key ^ key >> 29U) * 0xc4ceb9fe1a85ec53U;
    return key ^ key >> 32U;
}

}  // namespace tnet
