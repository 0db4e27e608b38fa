#include "tnet/address_rate.h"

#include <algorithm>
#include <bit>
#include <chrono>

namespace tnet {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

}  // namespace

AddressRate::AddressRate(size_t perSecond, size_t burst, size_t slots)
    : m_interval(
          std::max<int64_t>(kSecond / static_cast<int64_t>(std::clamp<size_t>(perSecond, 1, kSecond)), 1)),
      m_burst(m_interval * static_cast<int64_t>(std::clamp<size_t>(burst, 1, kSecond))),
      m_sets(std::bit_ceil(std::max<size_t>(slots / kWays, 1))),
      m_slots(std::make_unique<Slot[]>(m_sets * kWays)) {}

Duration AddressRate::take(uint64_t key, TimePoint at) {
    if (key == 0) return Duration::zero();
    const int64_t now = std::chrono::duration_cast<std::chrono::nanoseconds>(at.time_since_epoch()).count();
    std::atomic<int64_t>& fullAt = slotOf(key, now).fullAt;
    int64_t before = fullAt.load(std::memory_order_relaxed);
    for (;;) {
        const int64_t after = std::max(before, now) + m_interval;
        const int64_t over = after - now - m_burst;
        if (over > 0) return std::chrono::duration_cast<Duration>(std::chrono::nanoseconds(over));
        if (fullAt.compare_exchange_weak(before, after, std::memory_order_relaxed)) return Duration::zero();
    }
}

AddressRate::Slot& AddressRate::slotOf(uint64_t key, int64_t now) {
    Slot* const set = &m_slots[(m_hash(key) & (m_sets - 1)) * kWays];
    Slot* soonest = set;
    for (Slot* slot = set; slot != set + kWays; ++slot) {
        if (slot->key.load(std::memory_order_relaxed) == key) return *slot;
        if (slot->fullAt.load(std::memory_order_relaxed) < soonest->fullAt.load(std::memory_order_relaxed))
            soonest = slot;
    }
    soonest->key.store(key, std::memory_order_relaxed);
    soonest->fullAt.store(now, std::memory_order_relaxed);
    return *soonest;
}

}  // namespace tnet
