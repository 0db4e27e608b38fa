// TimerQueue: callbacks that wait for their deadline.
//
//     add ---> heap, ordered by (deadline, order of insertion) ---> run(now) ---> callback
//               |                                                     |
//               cancel: taken out of the heap at once                 repeating: back into the heap
//
// A 4-ary min-heap holds deadlines and slot numbers; the slots hold the callbacks and know their
// place in the heap, so add and cancel are O(log n) and a cancelled timer leaves nothing behind.
// A pending timer costs 73 to 89 bytes (slot, heap entry, and the heap's room to grow) plus what
// its std::function allocates. When a mass of timers goes, its memory goes too: a block of 64
// slots with its last timer (so scattered survivors keep theirs), the heap's array by halves.
//
// The queue knows no clock: whoever owns it asks earliest() and calls run() in time.
//
// Threads: one thread only, the loop's.
// Lifetime: callbacks still pending are destroyed, not run, when the queue is destroyed. Neither a
// callback nor what it captured may destroy the queue while run() is under way.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "tnet/clock.h"
#include "tnet/turn.h"
#include "tnet/types.h"

namespace tnet {

// Names one timer of one queue. The name of a timer that is gone is never mistaken for a newer one
// (short of 2^32 timers later), so keeping it too long is harmless.
struct TimerId {
    uint32_t index = 0;
    uint32_t generation = 0;  // zero: no timer

    // Whether it names a timer at all, pending or gone.
    bool isValid() const { return generation != 0; }
    friend bool operator==(const TimerId&, const TimerId&) = default;
};

class TimerQueue {
public:
    TimerQueue();
    ~TimerQueue();
    TimerQueue(const TimerQueue&) = delete;
    TimerQueue& operator=(const TimerQueue&) = delete;

    // Runs `callback` (not empty; must not throw) in the first run() that begins after this call
    // and whose time is not before `deadline`. With a positive `interval` it then runs again at
    // deadline + interval, and so on, until cancelled; ticks that were missed are skipped, not made
    // up for, and the rhythm is kept.
    TimerId add(TimePoint deadline, Callback_t callback, Duration interval = Duration::zero());

    // The timer will not run (again): true if it was pending, or is a repeating timer whose
    // callback is running now. The callback is destroyed before this returns; one that is running,
    // after it has returned.
    bool cancel(TimerId id);

    // Cancels all. What callbacks own may cancel and add timers as it goes; those added are cancelled, too.
    void clear();

    // The deadline of the next timer; nothing if none is pending. Inside a callback it leaves out
    // the timers that this run is still going to run.
    std::optional<TimePoint> earliest() const;

    // Runs the timers whose deadline is not after `now`, by deadline, equal deadlines in order of
    // insertion, one for each step of `turn`; those that are left stay due, for the next run().
    // Callbacks may add and cancel anything: a timer that was due and is cancelled by an earlier
    // callback does not run; one that is added waits for the next run() even if it is due already.
    // Returns how many ran. Not to be called from a callback.
    size_t run(TimePoint now, Turn turn);

    // Timers pending, a repeating one whose callback is running included.
    size_t size() const { return m_size; }
    bool empty() const { return m_size == 0; }

private:
    struct Slot {
        Callback_t callback;
        Duration interval{};
        uint64_t sequence = 0;    // order of insertion
        uint32_t generation = 0;  // zero: free
        uint32_t position = 0;    // in m_heap, or kNotInHeap while it is in m_due or running
    };
    static constexpr uint32_t kSlotsPerBlock = 64;
    static constexpr uint32_t kNotInHeap = UINT32_MAX;

    struct Block {
        std::array<Slot, kSlotsPerBlock> slots;
        uint64_t freeSlots = ~uint64_t{0};  // a bit per slot
        uint32_t openPosition = 0;          // in m_openBlocks, while any slot is free
    };
    struct Entry {
        TimePoint deadline;
        uint32_t index;
    };

    Slot& slotAt(uint32_t index);
    const Slot& slotAt(uint32_t index) const;
    Slot* find(TimerId id);
    uint32_t takeSlot();
    void freeSlot(uint32_t index);
    void openBlock(uint32_t number);
    void closeBlock(uint32_t number);

    bool isBefore(const Entry& a, const Entry& b) const;
    void place(uint32_t position, Entry entry);
    void siftUp(uint32_t position, Entry entry);
    void siftDown(uint32_t position, Entry entry);
    void push(TimePoint deadline, uint32_t index);
    void removeAt(uint32_t position);
    void giveBackHalf() noexcept;

    void runOne(TimerId id, TimePoint deadline, TimePoint now);

    std::vector<Entry> m_heap;
    std::vector<std::unique_ptr<Block>> m_blocks;  // null: given back
    std::vector<uint32_t> m_openBlocks;            // numbers of blocks with a free slot
    std::vector<uint32_t> m_missingBlocks;         // numbers of blocks given back

    struct Due {
        TimePoint deadline;
        TimerId id;
    };
    std::vector<Due> m_due;  // what the current run is to run

    uint64_t m_nextSequence = 0;
    uint32_t m_nextGeneration = 1;
    size_t m_size = 0;
    bool m_isRunning = false;
};

}  // namespace tnet
