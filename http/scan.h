// scan: finds the first byte of a text that is not of some kind, eight bytes at a time.
//
// Pure. Threads: any.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "tnet/cpp20.h"

namespace tnet {

constexpr std::array<bool, 256> makeTokenTable() {
    std::array<bool, 256> table{};
    for (const char c : std::string_view("!#$%&'*+-.^_`|~0123456789"
                                         "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")) {
        table[static_cast<unsigned char>(c)] = true;
    }
    return table;
}
inline constexpr std::array<bool, 256> kIsTokenByte = makeTokenTable();

// RFC 9110 §5.6.2: tchar.
inline bool isTokenByte(char c) { return kIsTokenByte[static_cast<unsigned char>(c)]; }

inline const char* skipToken(const char* at, const char* end) {
    while (at != end && isTokenByte(*at)) ++at;
    return at;
}

// The first byte that is not in First..0x7E, which is visible ASCII, with First 0x20 the space, too.
template <unsigned char First>
const char* skipPrintable(const char* at, const char* end) {
    constexpr uint64_t kEachByte = 0x0101010101010101U;
    // What is subtracted borrows from the bytes above it only where it finds one that ends the scan.
    if constexpr (std::endian::native == std::endian::little) {
        for (; end - at >= 8; at += 8) {
            uint64_t word;
            std::memcpy(&word, at, sizeof(word));
            const uint64_t below = word - kEachByte * First;
            const uint64_t del = (word ^ kEachByte * 0x7F) - kEachByte;
            const uint64_t odd = (below | del | word) & kEachByte * 0x80;
            if (odd != 0) return at + std::countr_zero(odd) / 8;
        }
    }
    while (at != end && static_cast<unsigned char>(*at) >= First && static_cast<unsigned char>(*at) < 0x7F)
        ++at;
    return at;
}

}  // namespace tnet
