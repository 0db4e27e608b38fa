// pattern: bytes that say whose they are: every sixteen of them name their connection, message and place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace tnet {

// `size` bytes of message `message` of connection `connection`.
std::string patternOf(uint32_t connection, uint32_t message, size_t size);

}  // namespace tnet
