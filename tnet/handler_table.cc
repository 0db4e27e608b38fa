#include "tnet/handler_table.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <utility>

namespace tnet {

HandlerTable::Place HandlerTable::placeFor(int fd) {
    const auto home = static_cast<size_t>(fd);
    const uint32_t generation = m_generation + 1 == 0 ? 1 : m_generation + 1;
    if (const uint32_t index = indexOf(fd); index != kNone) return {index, generation};
    if (home >= m_slots.size() && home < std::max(kSmall, 2 * (m_used + 1))) grow(home + 1);
    if (home < m_slots.size() && !m_slots[home].handler) return {static_cast<uint32_t>(home), generation};
    if (4 * (m_strangersUsed + 1) > 3 * m_strangers.size()) growStrangers();
    if (m_firstFree == kNone) grow(m_slots.size() + 1);
    return {m_firstFree, generation};
}

void HandlerTable::add(Place place, int fd, IOHandlerPtr_t handler) noexcept {
    assert(handler && indexOf(fd) == kNone);
    takeFree(place.index);
    m_slots[place.index] = {std::move(handler), place.generation, fd};
    m_generation = place.generation;
    ++m_used;
    if (place.index != static_cast<uint32_t>(fd)) addStranger(fd, place.index);
}

uint64_t HandlerTable::tagOf(int fd) const {
    const uint32_t index = indexOf(fd);
    return index == kNone ? 0 : Place{index, m_slots[index].generation}.tag();
}

IOHandlerPtr_t HandlerTable::remove(int fd) noexcept {
    const uint32_t index = indexOf(fd);
    if (index == kNone) return nullptr;
    if (index != static_cast<uint32_t>(fd)) removeStranger(fd);
    IOHandlerPtr_t handler = std::move(m_slots[index].handler);
    m_slots[index].handler.reset();
    pushFree(index);
    --m_used;
    return handler;
}

int HandlerTable::fdAt(size_t index) const {
    const Slot& slot = m_slots[index];
    return slot.handler ? slot.fd : -1;
}

size_t HandlerTable::bytes() const {
    return m_slots.capacity() * sizeof(Slot) + m_strangers.capacity() * sizeof(uint32_t);
}

uint32_t HandlerTable::indexOf(int fd) const {
    if (isAtHome(fd)) return static_cast<uint32_t>(fd);
    if (m_strangers.empty()) return kNone;
    const size_t mask = m_strangers.size() - 1;
    for (size_t bucket = bucketOf(fd); m_strangers[bucket] != kNone; bucket = (bucket + 1) & mask) {
        if (m_slots[m_strangers[bucket]].fd == fd) return m_strangers[bucket];
    }
    return kNone;
}

bool HandlerTable::isAtHome(int fd) const {
    const auto home = static_cast<size_t>(fd);
    return home < m_slots.size() && m_slots[home].handler && m_slots[home].fd == fd;
}

// The slots ---------------------------------------------------------------------------------------------

void HandlerTable::grow(size_t slots) {
    const size_t before = m_slots.size();
    m_slots.resize(slots);
    // The lowest in front: they are the ones that are used for a long time.
    for (size_t index = slots; index > before; --index) pushFree(static_cast<uint32_t>(index - 1));
}

void HandlerTable::pushFree(uint32_t index) {
    Slot& slot = m_slots[index];
    slot.generation = kNone;
    slot.fd = static_cast<int>(m_firstFree);
    if (m_firstFree != kNone) m_slots[m_firstFree].generation = index;
    m_firstFree = index;
}

void HandlerTable::takeFree(uint32_t index) {
    const uint32_t before = m_slots[index].generation;
    const int after = m_slots[index].fd;
    if (before != kNone) m_slots[before].fd = after;
    if (before == kNone) m_firstFree = static_cast<uint32_t>(after);
    if (static_cast<uint32_t>(after) != kNone) m_slots[static_cast<uint32_t>(after)].generation = before;
}

// Those that are not in their own slots -----------------------------------------------------------------

// Multiplied by 2^64 / golden ratio, of which the highest bits count: descriptors of a loop may all be
// multiples of 64.
size_t HandlerTable::bucketOf(int fd) const {
    const uint64_t spread = static_cast<uint64_t>(fd) * 0x9E3779B97F4A7C15ULL;
    return spread >> (64U - static_cast<unsigned>(std::countr_zero(m_strangers.size())));
}

void HandlerTable::growStrangers() {
    std::vector<uint32_t> larger(std::max<size_t>(2 * m_strangers.size(), 8), kNone);
    m_strangers.swap(larger);
    m_strangersUsed = 0;
    for (const uint32_t index : larger) {
        if (index != kNone) addStranger(m_slots[index].fd, index);
    }
}

void HandlerTable::addStranger(int fd, uint32_t index) {
    const size_t mask = m_strangers.size() - 1;
    size_t bucket = bucketOf(fd);
    while (m_strangers[bucket] != kNone) bucket = (bucket + 1) & mask;
    m_strangers[bucket] = index;
    ++m_strangersUsed;
}

// Moves those that follow into the gap, unless that lies before the place where a search for them begins.
void HandlerTable::removeStranger(int fd) {
    const size_t mask = m_strangers.size() - 1;
    size_t gap = bucketOf(fd);
    while (m_slots[m_strangers[gap]].fd != fd) gap = (gap + 1) & mask;
    for (size_t next = (gap + 1) & mask; m_strangers[next] != kNone; next = (next + 1) & mask) {
        const size_t begin = bucketOf(m_slots[m_strangers[next]].fd);
        if (((next - begin) & mask) < ((next - gap) & mask)) continue;
        m_strangers[gap] = m_strangers[next];
        gap = next;
    }
    m_strangers[gap] = kNone;
    --m_strangersUsed;
}

}  // namespace tnet
