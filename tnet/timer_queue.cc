#include "tnet/timer_queue.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <new>
#include <utility>

#include "tnet/durations.h"

namespace tnet {

namespace {

constexpr uint32_t kArity = 4;  // half the levels of a binary heap, and a node's children lie side by side
constexpr size_t kSmallCapacity = 1024;  // arrays up to this size are not worth giving back

uint32_t parentOf(uint32_t position) { return (position - 1) / kArity; }
uint32_t firstChildOf(uint32_t position) { return position * kArity + 1; }

// The first tick of the rhythm that lies after `now`.
TimePoint nextTick(TimePoint deadline, Duration interval, TimePoint now) {
    const Duration sinceLastTick = timeUntil(deadline, now) % interval;
    return timeAfter(now, interval - sinceLastTick);
}

}  // namespace

TimerQueue::TimerQueue() = default;

TimerQueue::~TimerQueue() {
    assert(!m_isRunning && "a timer's callback destroyed its queue");
    clear();
}

void TimerQueue::clear() {
    // Through cancel, since what a callback captured may itself cancel or add timers as it goes.
    while (!m_heap.empty()) {
        const uint32_t index = m_heap.back().index;
        cancel(TimerId{index, slotAt(index).generation});
    }
}

TimerId TimerQueue::add(TimePoint deadline, Callback_t callback, Duration interval) {
    assert(callback && "a timer needs a callback");
    assert(interval >= Duration::zero() && "an interval is not negative");
    // First of all: if there is no memory for it, nothing has happened.
    if (m_heap.size() == m_heap.capacity()) m_heap.reserve(std::max<size_t>(2 * m_heap.size(), 64));
    const uint32_t index = takeSlot();
    Slot& slot = slotAt(index);
    slot.callback = std::move(callback);
    slot.interval = interval;
    slot.generation = m_nextGeneration;
    m_nextGeneration = m_nextGeneration == UINT32_MAX ? 1 : m_nextGeneration + 1;
    ++m_size;
    push(deadline, index);
    return TimerId{index, slot.generation};
}

bool TimerQueue::cancel(TimerId id) {
    Slot* const slot = find(id);
    if (slot == nullptr) return false;
    if (slot->position != kNotInHeap) removeAt(slot->position);
    // Destroyed last of all: what it captured may call back into the queue.
    const Callback_t callback = std::exchange(slot->callback, nullptr);
    freeSlot(id.index);
    return true;
}

std::optional<TimePoint> TimerQueue::earliest() const {
    if (m_heap.empty()) return std::nullopt;
    return m_heap.front().deadline;
}

size_t TimerQueue::run(TimePoint now, Turn turn) {
    assert(!m_isRunning && "run() was called from a timer's callback");
    m_isRunning = true;
    // What this run does is settled before the first callback runs, so what callbacks add has to wait.
    for (; !turn.isOver() && !m_heap.empty() && m_heap.front().deadline <= now; turn.spend(0)) {
        const Entry entry = m_heap.front();
        try {
            m_due.push_back(Due{entry.deadline, TimerId{entry.index, slotAt(entry.index).generation}});
        } catch (const std::bad_alloc&) {
            break;  // the others are due in the next round, too
        }
        removeAt(0);
    }
    size_t ran = 0;
    for (const Due& due : m_due) {
        if (find(due.id) == nullptr) continue;  // cancelled by an earlier callback
        runOne(due.id, due.deadline, now);
        ++ran;
    }
    m_due.clear();
    if (m_due.capacity() > kSmallCapacity) m_due.shrink_to_fit();
    m_isRunning = false;
    return ran;
}

void TimerQueue::runOne(TimerId id, TimePoint deadline, TimePoint now) {
    Slot& slot = slotAt(id.index);
    // Outside the slot while it runs: if it cancels itself it must outlive that.
    Callback_t callback = std::exchange(slot.callback, nullptr);
    if (slot.interval == Duration::zero()) {
        freeSlot(id.index);
        callback();
        return;
    }
    callback();
    if (find(id) == nullptr) return;  // it cancelled itself
    slot.callback = std::move(callback);
    push(nextTick(deadline, slot.interval, now), id.index);
}

// Slots ---------------------------------------------------------------------------------------------

TimerQueue::Slot& TimerQueue::slotAt(uint32_t index) {
    return m_blocks[index / kSlotsPerBlock]->slots[index % kSlotsPerBlock];
}

const TimerQueue::Slot& TimerQueue::slotAt(uint32_t index) const {
    return m_blocks[index / kSlotsPerBlock]->slots[index % kSlotsPerBlock];
}

TimerQueue::Slot* TimerQueue::find(TimerId id) {
    const size_t number = id.index / kSlotsPerBlock;
    if (!id.isValid() || number >= m_blocks.size() || !m_blocks[number]) return nullptr;
    Slot& slot = slotAt(id.index);
    return slot.generation == id.generation ? &slot : nullptr;
}

uint32_t TimerQueue::takeSlot() {
    if (m_openBlocks.empty()) {
        if (m_missingBlocks.empty()) {
            m_blocks.emplace_back();
            // Room for all of them in either list: to free a slot must not fail.
            m_missingBlocks.reserve(m_blocks.capacity());
            m_openBlocks.reserve(m_blocks.capacity());
            m_missingBlocks.push_back(static_cast<uint32_t>(m_blocks.size() - 1));
        }
        const uint32_t number = m_missingBlocks.back();
        m_blocks[number] = std::make_unique<Block>();
        m_missingBlocks.pop_back();
        openBlock(number);
    }
    const uint32_t number = m_openBlocks.back();
    Block& block = *m_blocks[number];
    const auto free = static_cast<uint32_t>(std::countr_zero(block.freeSlots));
    block.freeSlots &= block.freeSlots - 1;  // clears the lowest bit
    if (block.freeSlots == 0) closeBlock(number);
    return number * kSlotsPerBlock + free;
}

void TimerQueue::freeSlot(uint32_t index) {
    slotAt(index).generation = 0;
    --m_size;
    const uint32_t number = index / kSlotsPerBlock;
    Block& block = *m_blocks[number];
    if (block.freeSlots == 0) openBlock(number);
    block.freeSlots |= uint64_t{1} << (index % kSlotsPerBlock);
    // The last open block stays, or a single timer that comes and goes would allocate each time.
    if (~block.freeSlots != 0 || m_openBlocks.size() == 1) return;
    closeBlock(number);
    m_blocks[number] = nullptr;
    m_missingBlocks.push_back(number);
}

void TimerQueue::openBlock(uint32_t number) {
    m_blocks[number]->openPosition = static_cast<uint32_t>(m_openBlocks.size());
    m_openBlocks.push_back(number);
}

void TimerQueue::closeBlock(uint32_t number) {
    const uint32_t position = m_blocks[number]->openPosition;
    m_openBlocks[position] = m_openBlocks.back();
    m_blocks[m_openBlocks[position]]->openPosition = position;
    m_openBlocks.pop_back();
}

// The heap ------------------------------------------------------------------------------------------

bool TimerQueue::isBefore(const Entry& a, const Entry& b) const {
    if (a.deadline != b.deadline) return a.deadline < b.deadline;
    return slotAt(a.index).sequence < slotAt(b.index).sequence;
}

void TimerQueue::place(uint32_t position, Entry entry) {
    m_heap[position] = entry;
    slotAt(entry.index).position = position;
}

void TimerQueue::siftUp(uint32_t position, Entry entry) {
    while (position > 0 && isBefore(entry, m_heap[parentOf(position)])) {
        place(position, m_heap[parentOf(position)]);
        position = parentOf(position);
    }
    place(position, entry);
}

void TimerQueue::siftDown(uint32_t position, Entry entry) {
    const auto size = static_cast<uint32_t>(m_heap.size());
    while (firstChildOf(position) < size) {
        const uint32_t end = std::min(firstChildOf(position) + kArity, size);
        uint32_t least = firstChildOf(position);
        for (uint32_t child = least + 1; child < end; ++child) {
            if (isBefore(m_heap[child], m_heap[least])) least = child;
        }
        if (!isBefore(m_heap[least], entry)) break;
        place(position, m_heap[least]);
        position = least;
    }
    place(position, entry);
}

void TimerQueue::push(TimePoint deadline, uint32_t index) {
    slotAt(index).sequence = m_nextSequence++;
    const Entry entry{deadline, index};
    m_heap.push_back(entry);
    siftUp(static_cast<uint32_t>(m_heap.size() - 1), entry);
}

void TimerQueue::removeAt(uint32_t position) {
    slotAt(m_heap[position].index).position = kNotInHeap;
    const Entry last = m_heap.back();
    m_heap.pop_back();
    if (position < m_heap.size()) {
        // The last entry fills the gap; it may belong further up, if it comes from another branch.
        if (position > 0 && isBefore(last, m_heap[parentOf(position)])) {
            siftUp(position, last);
        } else {
            siftDown(position, last);
        }
    }
    if (m_heap.capacity() > kSmallCapacity && m_heap.size() < m_heap.capacity() / 4) {
        giveBackHalf();
    }
}

// What must not fail goes without.
void TimerQueue::giveBackHalf() noexcept try {
    std::vector<Entry> smaller;
    smaller.reserve(m_heap.capacity() / 2);
    smaller.assign(m_heap.begin(), m_heap.end());
    m_heap.swap(smaller);
} catch (const std::bad_alloc&) {
    return;
}

}  // namespace tnet
