#include "tests/faults/pattern.h"

#include <array>
#include <cstdio>

namespace tnet {

std::string patternOf(uint32_t connection, uint32_t message, size_t size) {
    constexpr size_t kCell = 16;
    std::string bytes;
    bytes.reserve(size + kCell);
    for (unsigned cell = 0; bytes.size() < size; ++cell) {
        std::array<char, kCell + 1> text;
        std::snprintf(text.data(), text.size(), "%04x.%04x.%04x;\n", connection & 0xffffU, message & 0xffffU,
                      cell & 0xffffU);
        bytes.append(text.data(), kCell);
    }
    bytes.resize(size);
    return bytes;
}

}  // namespace tnet
