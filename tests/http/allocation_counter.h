// AllocationCounter: how many times operator new was called, in the whole process, while it lives, and how many bytes
// of what it gave out are still held.
//
// Threads: counts those of all. A program that links it has its operator new and delete replaced.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tnet {

class AllocationCounter {
public:
    AllocationCounter() : m_before(total()), m_heldBefore(totalHeldBytes()) {}

    size_t count() const { return total() - m_before; }

    // Negative: more was given back than taken.
    int64_t heldBytes() const { return totalHeldBytes() - m_heldBefore; }

private:
    static size_t total();
    static int64_t totalHeldBytes();

    size_t m_before;
    int64_t m_heldBefore;
};

}  // namespace tnet
