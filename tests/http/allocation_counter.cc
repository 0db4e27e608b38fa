#include "tests/http/allocation_counter.h"

#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<size_t> g_allocations = 0;
std::atomic<int64_t> g_heldBytes = 0;
// Called through a pointer, or g++ inlines delete alone and takes new and free for a mismatched pair.
void (*volatile g_free)(void*) = std::free;

void* counted(void* memory) {
    if (memory == nullptr) throw std::bad_alloc();
    g_allocations.fetch_add(1, std::memory_order_relaxed);
    g_heldBytes.fetch_add(static_cast<int64_t>(malloc_usable_size(memory)), std::memory_order_relaxed);
    return memory;
}

void release(void* memory) {
    g_heldBytes.fetch_sub(static_cast<int64_t>(malloc_usable_size(memory)), std::memory_order_relaxed);
    g_free(memory);
}

}  // namespace

void* operator new(size_t size) { return counted(std::malloc(size)); }

void* operator new(size_t size, std::align_val_t alignment) {
    const auto step = static_cast<size_t>(alignment);
    return counted(std::aligned_alloc(step, (size + step - 1) / step * step));
}

void* operator new(size_t size, const std::nothrow_t&) noexcept {
    void* const memory = std::malloc(size);
    return memory != nullptr ? counted(memory) : nullptr;
}

void operator delete(void* memory) noexcept { release(memory); }

void operator delete(void* memory, size_t) noexcept { release(memory); }

void operator delete(void* memory, std::align_val_t) noexcept { release(memory); }

void operator delete(void* memory, size_t, std::align_val_t) noexcept { release(memory); }

namespace tnet {

size_t AllocationCounter::total() { return g_allocations.load(std::memory_order_relaxed); }

int64_t AllocationCounter::totalHeldBytes() { return g_heldBytes.load(std::memory_order_relaxed); }

}  // namespace tnet
