// pattern: bytes that tell where they belong, so that a byte of another connection, or at another place, shows.
//
// Threads: any. The views are valid for ever.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tnet {

constexpr size_t kMaxPatternBytes = 4 << 20;

// Letters and digits; the same for the same arguments in every process. `bytes`: at most kMaxPatternBytes.
std::string_view pattern(uint64_t seed, size_t bytes);

}  // namespace tnet
