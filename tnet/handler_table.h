// HandlerTable: the handlers of one loop, by a tag that the poller gives back, and by descriptor.
//
//     tag = index of the slot | generation    ---> slot: the event's way, no search
//     fd  ---> its own number's slot, or one that m_strangers knows    ---> slot
//
// Descriptors are numbered for the whole process. A loop that has most of them gives each the slot of its number, and
// needs nothing else to find it. A loop that has a few among many (there are 64 loops, or files) puts them into
// whatever slots are free, and remembers where. So a table has at most twice the slots that were ever used at once
// (and 64), whatever the numbers are.
//
// Threads: one, the loop's. Lifetime: shares the handlers; a Slot's place changes with the next add().
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tnet/io_handler.h"

namespace tnet {

class HandlerTable {
public:
    static constexpr size_t kSmall = 64;  // descriptors below have the slot of their number

    // What add() is going to use. If `fd` has a handler already, that has to be removed before. Throws
    // std::bad_alloc, and then nothing has changed.
    struct Place {
        uint32_t index;
        uint32_t generation;

        uint64_t tag() const { return uint64_t{generation} << 32U | index; }
    };
    Place placeFor(int fd);

    // Puts `handler` there; `fd` has none, and nothing else was added or removed since placeFor(fd).
    void add(Place place, int fd, IOHandlerPtr_t handler) noexcept;

    // Null: it was removed since, and the slot may have another by now.
    IOHandler* find(uint64_t tag) const {
        const Slot& slot = m_slots[static_cast<uint32_t>(tag)];
        return slot.handler && slot.generation == static_cast<uint32_t>(tag >> 32U) ? slot.handler.get()
                                                                                    : nullptr;
    }

    // The tag of what was added for `fd`; zero, which is no tag: nothing.
    uint64_t tagOf(int fd) const;

    // Gives up the handler of `fd`; null: there is none.
    IOHandlerPtr_t remove(int fd) noexcept;

    // To visit all: the slots' numbers are below slots(), and grow with add(). Null and -1: the slot is free.
    size_t slots() const { return m_slots.size(); }
    const IOHandlerPtr_t& handlerAt(size_t index) const { return m_slots[index].handler; }
    int fdAt(size_t index) const;

    size_t size() const { return m_used; }
    size_t bytes() const;  // of the table, without the handlers

private:
    static constexpr uint32_t kNone = UINT32_MAX;

    struct Slot {
        IOHandlerPtr_t handler{};  // null: free
        uint32_t generation =
            kNone;    // of the registration; of a free slot, the one before it in the list of these
        int fd = -1;  // of a free slot, the one after it
    };

    uint32_t indexOf(int fd) const;
    bool isAtHome(int fd) const;
    void grow(size_t slots);
    void pushFree(uint32_t index);
    void takeFree(uint32_t index);

    size_t bucketOf(int fd) const;
    void growStrangers();
    void addStranger(int fd, uint32_t index);
    void removeStranger(int fd);

    std::vector<Slot> m_slots;
    uint32_t m_firstFree = kNone;
    uint32_t m_generation = 0;
    size_t m_used = 0;

    // Indices of the slots of those that are not in their own, by descriptor; open addressing, a power of two long.
    std::vector<uint32_t> m_strangers;
    size_t m_strangersUsed = 0;
};

}  // namespace tnet
