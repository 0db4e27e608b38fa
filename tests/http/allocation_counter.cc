#include "tests/http/allocation_counter.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<size_t> g_allocations = 0;
// Called through a pointer, or g++ inlines delete alone and takes new and free for a mismatched pair.
void (*volatile g_free)(void*) = std::free;

}  // namespace

void* operator new(size_t size) {
    g_allocations.fetch_add(1, std::memory_order_relaxed);
    if (void* const memory = std::malloc(size)) return memory;
    throw std::bad_alloc();
}

void* operator new(size_t size, std::align_val_t alignment) {
    g_allocations.fetch_add(1, std::memory_order_relaxed);
    const auto step = static_cast<size_t>(alignment);
    if (void* const memory = std::aligned_alloc(step, (size + step - 1) / step * step)) return memory;
    throw std::bad_alloc();
}

void operator delete(void* memory) noexcept { g_free(memory); }

void operator delete(void* memory, size_t) noexcept { g_free(memory); }

void operator delete(void* memory, std::align_val_t) noexcept { g_free(memory); }

void operator delete(void* memory, size_t, std::align_val_t) noexcept { g_free(memory); }

namespace tnet {

size_t AllocationCounter::total() { return g_allocations.load(std::memory_order_relaxed); }

}  // namespace tnet
