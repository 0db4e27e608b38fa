#include "bench/load_report.h"

#include <cstddef>
#include <cstdio>

namespace tnet {
namespace {

double percentileUs(std::vector<uint32_t>& nanoseconds, size_t percent) {
    const auto place = nanoseconds.begin() + static_cast<ptrdiff_t>((nanoseconds.size() - 1) * percent / 100);
    std::nth_element(nanoseconds.begin(), place, nanoseconds.end());
    return *place / 1000.0;
}

}  // namespace

void printLatencies(std::vector<uint32_t> nanoseconds) {
    if (nanoseconds.empty()) {
        return;
    }
    std::printf("p50_us=%.1f\n", percentileUs(nanoseconds, 50));
    std::printf("p99_us=%.1f\n", percentileUs(nanoseconds, 99));
}

}  // namespace tnet
