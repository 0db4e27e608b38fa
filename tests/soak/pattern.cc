#include "tests/soak/pattern.h"

#include <random>
#include <string>

namespace tnet {
namespace {

constexpr size_t kSeeds = 1 << 16;  // a seed is an offset

std::string makeTable() {
    constexpr std::string_view kLetters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";
    static_assert(kLetters.size() == 64);
    std::mt19937 random;  // NOLINT: the same sequence every time is what is wanted
    std::string table(kMaxPatternBytes + kSeeds, '\0');
    for (char& letter : table) letter = kLetters[random() & 63U];
    return table;
}

}  // namespace

std::string_view pattern(uint64_t seed, size_t bytes) {
    static const std::string table = makeTable();
    return std::string_view(table).substr(seed % kSeeds, bytes);
}

}  // namespace tnet
