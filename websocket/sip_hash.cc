#include "websocket/sip_hash.h"

#include <bit>
#include <cstddef>
#include <random>

namespace tnet {
namespace {

constexpr size_t kWordBytes = sizeof(uint64_t);

// At most kWordBytes, the first one lowest.
uint64_t load(std::string_view bytes) {
    uint64_t word = 0;
    for (size_t i = 0; i < bytes.size(); ++i) word |= uint64_t{static_cast<uint8_t>(bytes[i])} << (8 * i);
    return word;
}

struct State {
    uint64_t v0, v1, v2, v3;

    void round() {
        v0 += v1;
        v2 += v3;
        v1 = std::rotl(v1, 13) ^ v0;
        v3 = std::rotl(v3, 16) ^ v2;
        v0 = std::rotl(v0, 32);
        v2 += v1;
        v0 += v3;
        v1 = std::rotl(v1, 17) ^ v2;
        v3 = std::rotl(v3, 21) ^ v0;
        v2 = std::rotl(v2, 32);
    }

    void take(uint64_t word) {
        v3 ^= word;
        round();
        round();
        v0 ^= word;
    }
};

}  // namespace

SipHashKey SipHashKey::random() {
    std::random_device device;
    std::uniform_int_distribution<uint64_t> any;
    const uint64_t low = any(device);
    return {low, any(device)};
}

uint64_t sipHash(SipHashKey key, std::string_view bytes) {
    State state{key.low ^ 0x736F6D6570736575, key.high ^ 0x646F72616E646F6D, key.low ^ 0x6C7967656E657261,
                key.high ^ 0x7465646279746573};
    const uint64_t size = bytes.size();
    for (; bytes.size() >= kWordBytes; bytes.remove_prefix(kWordBytes)) {
        state.take(load(bytes.substr(0, kWordBytes)));
    }
    state.take(size << 56 | load(bytes));
    state.v2 ^= 0xFF;
    for (int i = 0; i < 4; ++i) state.round();
    return state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
}

size_t SipTextHash::operator()(std::string_view text) const {
    static const SipHashKey key = SipHashKey::random();
    return static_cast<size_t>(sipHash(key, text));
}

}  // namespace tnet
