// AllocationCounter: how many times operator new was called, in the whole process, while it lives.
//
// Threads: counts those of all. A program that links it has its operator new and delete replaced.
#pragma once

#include <cstddef>

namespace tnet {

class AllocationCounter {
public:
    AllocationCounter() : m_before(total()) {}

    size_t count() const { return total() - m_before; }

private:
    static size_t total();

    size_t m_before;
};

}  // namespace tnet
