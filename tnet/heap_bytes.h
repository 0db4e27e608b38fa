// heap_bytes: what an allocation takes of the process's memory, for limits that count memory and not payload.
//
// An upper bound for glibc's malloc below its mmap threshold: its chunks are multiples of 16 bytes, with 8 of
// its own, and at least 32 long. Shared bytes count in full wherever they are referenced: what a limit says
// holds for each queue on its own.
//
// Pure. Threads: any.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>

#include "tnet/cpp20.h"

namespace tnet {

// Of an allocation of `size` bytes; zero for none.
constexpr size_t heapBytes(size_t size) {
    constexpr size_t kSmallest = 32;
    return size == 0 ? 0 : std::max(kSmallest, (size + 8 + 15) / 16 * 16);
}

// What a text has outside of its object.
inline size_t heapBytes(const std::string& text) {
    return text.capacity() == std::string().capacity() ? 0 : heapBytes(text.capacity() + 1);
}

// The same of a text that is a copy of `size` bytes.
inline size_t heapBytesOfText(size_t size) {
    return size <= std::string().capacity() ? 0 : heapBytes(size + 1);
}

// Of what std::make_shared<Value> makes, without what the value has outside of itself.
template <class Value>
constexpr size_t sharedHeapBytes() {
    constexpr size_t kCounts = 16;  // the control block's, in front of the value
    return heapBytes(kCounts + sizeof(Value));
}

// Of shared bytes, as they are queued.
inline size_t heapBytes(const std::shared_ptr<const std::string>& bytes) {
    return sharedHeapBytes<std::string>() + heapBytes(*bytes);
}

}  // namespace tnet
