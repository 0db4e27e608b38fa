#include "tests/support/largest_allocation.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<size_t> largest{0};

}  // namespace

void* operator new(size_t size) {
    size_t before = largest.load();
    while (before < size && !largest.compare_exchange_weak(before, size)) {
    }
    if (void* const memory = std::malloc(size)) return memory;
    throw std::bad_alloc();
}

void* operator new(size_t size, const std::nothrow_t&) noexcept {
    try {
        return operator new(size);
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}

void operator delete(void* memory) noexcept { std::free(memory); }

void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace tnet {

LargestAllocation::LargestAllocation() { largest = 0; }

size_t LargestAllocation::size() const { return largest.load(); }

}  // namespace tnet
