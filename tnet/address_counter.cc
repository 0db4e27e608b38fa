#include "tnet/address_counter.h"

#include <algorithm>
#include <bit>

namespace tnet {
namespace {

constexpr size_t kMinSlots = 64;  // of a region, so that chance does not fill one

}  // namespace

AddressCounter::AddressCounter(size_t maxAddresses)
    : m_mask(std::bit_ceil(std::max(2 * maxAddresses / kRegions, kMinSlots)) - 1),
      m_regions(std::make_unique<Region[]>(kRegions)) {
    for (size_t i = 0; i < kRegions; ++i) m_regions[i].slots.resize(m_mask + 1);
}

// Where `key` is, or the free slot where it would be put; the number of slots, if there is neither. Slots of a key
// follow its home without a gap.
size_t AddressCounter::find(const Region& region, uint64_t key, uint64_t hash) const {
    size_t at = homeOf(hash);
    for (size_t i = 0; i <= m_mask; ++i, at = (at + 1) & m_mask) {
        if (region.slots[at].key == key || region.slots[at].key == 0) return at;
    }
    return region.slots.size();
}

size_t AddressCounter::add(uint64_t key) {
    if (key == 0) return 0;
    const uint64_t hash = m_hash(key);
    Region& region = regionOf(hash);
    const std::lock_guard lock(region.mutex);
    const size_t at = find(region, key, hash);
    if (at == region.slots.size()) return 0;
    region.slots[at].key = key;
    return ++region.slots[at].count;
}

void AddressCounter::remove(uint64_t key) {
    if (key == 0) return;
    const uint64_t hash = m_hash(key);
    Region& region = regionOf(hash);
    const std::lock_guard lock(region.mutex);
    const size_t at = find(region, key, hash);
    if (at == region.slots.size() || region.slots[at].key != key) return;  // was not counted
    if (--region.slots[at].count == 0) free(region, at);
}

size_t AddressCounter::count(uint64_t key) const {
    const uint64_t hash = m_hash(key);
    const Region& region = regionOf(hash);
    const std::lock_guard lock(region.mutex);
    const size_t at = find(region, key, hash);
    return at == region.slots.size() || region.slots[at].key != key ? 0 : region.slots[at].count;
}

// Moves up those behind that would not be found any more with a gap in front of them.
void AddressCounter::free(Region& region, size_t at) {
    region.slots[at] = {};
    for (size_t next = (at + 1) & m_mask; region.slots[next].key != 0; next = (next + 1) & m_mask) {
        const size_t home = homeOf(m_hash(region.slots[next].key));
        const bool mayMove = ((next - home) & m_mask) >= ((next - at) & m_mask);
        if (!mayMove) continue;
        region.slots[at] = region.slots[next];
        region.slots[next] = {};
        at = next;
    }
}

}  // namespace tnet
