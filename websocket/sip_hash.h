// sipHash: SipHash-2-4 (Aumasson and Bernstein, 2012), for tables whose keys peers choose. Who does not know
// the key cannot make texts that collide, so nobody can turn a hash table into a list.
//
// Pure: no allocation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tnet/cpp20.h"

namespace tnet {

struct SipHashKey {
    uint64_t low;   // the key's first eight bytes, little-endian
    uint64_t high;  // and its last

    // From the system's source of randomness. Throws what std::random_device does if there is none.
    static SipHashKey random();
};

uint64_t sipHash(SipHashKey key, std::string_view bytes);

// For the standard's tables of texts. One random key for the process.
struct SipTextHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const;
};

}  // namespace tnet
