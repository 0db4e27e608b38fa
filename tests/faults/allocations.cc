// operator new, in front of the library's, and OpenSSL's allocations.
#include <openssl/crypto.h>

#include <cstdlib>
#include <new>

#include "tests/faults/strike.h"

namespace {

using tnet::Fault;
using tnet::strikes;

void* allocateForOpenssl(size_t size, const char*, int) {
    return strikes(Fault::Memory) ? nullptr : std::malloc(size);
}

void* reallocateForOpenssl(void* memory, size_t size, const char*, int) {
    return strikes(Fault::Memory) ? nullptr : std::realloc(memory, size);
}

void freeForOpenssl(void* memory, const char*, int) { std::free(memory); }

// Before OpenSSL allocates anything, or it refuses.
[[maybe_unused]] const int g_isSet =
    CRYPTO_set_mem_functions(allocateForOpenssl, reallocateForOpenssl, freeForOpenssl);

// Called through a pointer, or g++ inlines delete alone and takes new and free for a mismatched pair.
void (*volatile g_free)(void*) = std::free;

}  // namespace

void* operator new(size_t size) {
    if (!strikes(Fault::Memory)) {
        if (void* const memory = std::malloc(size)) return memory;
    }
    throw std::bad_alloc();
}

void* operator new(size_t size, const std::nothrow_t&) noexcept {
    return strikes(Fault::Memory) ? nullptr : std::malloc(size);
}

void* operator new[](size_t size) { return operator new(size); }

void* operator new[](size_t size, const std::nothrow_t& tag) noexcept { return operator new(size, tag); }

void* operator new(size_t size, std::align_val_t alignment) {
    const auto step = static_cast<size_t>(alignment);
    if (!strikes(Fault::Memory)) {
        if (void* const memory = std::aligned_alloc(step, (size + step - 1) / step * step)) return memory;
    }
    throw std::bad_alloc();
}

void operator delete(void* memory) noexcept { g_free(memory); }
void operator delete[](void* memory) noexcept { g_free(memory); }
void operator delete(void* memory, size_t) noexcept { g_free(memory); }
void operator delete[](void* memory, size_t) noexcept { g_free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { g_free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { g_free(memory); }
