// load_report: latencies of a load, as key=value lines.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

namespace tnet {

// What is longer than four seconds counts as that.
inline uint32_t nanosecondsOf(std::chrono::nanoseconds time) {
    return static_cast<uint32_t>(std::clamp<int64_t>(time.count(), 0, UINT32_MAX));
}

// Prints p50_us= and p99_us=; nothing if there are none.
void printLatencies(std::vector<uint32_t> nanoseconds);

}  // namespace tnet
