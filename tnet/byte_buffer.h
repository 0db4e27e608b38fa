// ByteBuffer: bytes that are appended at the back and consumed at the front; capacity is kept.
//
//     reserve(n) -> write up to n bytes there -> commit(written)
//
// Unlike std::string it gives out room without filling it, so that a response head is put together
// where it will be sent from.
//
// Threads: one. Lifetime: views and reserved room are valid until the next call that is not const.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

namespace tnet {

class ByteBuffer {
public:
    ByteBuffer() = default;
    ~ByteBuffer() = default;
    ByteBuffer(const ByteBuffer&) = delete;
    ByteBuffer& operator=(const ByteBuffer&) = delete;

    // What was moved from is empty, and has no capacity.
    ByteBuffer(ByteBuffer&& other) noexcept { swap(other); }
    ByteBuffer& operator=(ByteBuffer&& other) noexcept {
        ByteBuffer(std::move(other)).swap(*this);
        return *this;
    }

    void swap(ByteBuffer& other) noexcept {
        m_bytes.swap(other.m_bytes);
        std::swap(m_capacity, other.m_capacity);
        std::swap(m_begin, other.m_begin);
        std::swap(m_end, other.m_end);
    }

    size_t size() const { return m_end - m_begin; }
    bool empty() const { return m_begin == m_end; }
    size_t capacity() const { return m_capacity; }
    const char* data() const { return m_bytes.get() + m_begin; }
    std::string_view view() const { return {data(), size()}; }

    // Room for `size` more bytes behind what is there.
    char* reserve(size_t size) {
        if (m_capacity - m_end < size) makeRoom(size);
        return m_bytes.get() + m_end;
    }

    // The first `size` bytes of the reserved room now count.
    void commit(size_t size) {
        assert(size <= m_capacity - m_end);
        m_end += size;
    }

    void append(std::string_view bytes) {
        if (bytes.empty()) return;
        std::memcpy(reserve(bytes.size()), bytes.data(), bytes.size());
        m_end += bytes.size();
    }

    void consume(size_t size) {
        assert(size <= this->size());
        m_begin += size;
        if (m_begin == m_end) m_begin = m_end = 0;
    }

    // Drops the bytes; keeps the capacity up to `keptCapacity`.
    void clear(size_t keptCapacity) {
        m_begin = m_end = 0;
        if (m_capacity <= keptCapacity) return;
        m_bytes.reset();
        m_capacity = 0;
    }

private:
    // Moves the bytes to the front, into a larger array if they would still not leave half of it free.
    void makeRoom(size_t size) {
        const size_t held = this->size();
        const size_t needed = held + size;
        if (needed > m_capacity / 2) {
            const size_t capacity = std::max({needed, m_capacity * 2, size_t{512}});
            std::unique_ptr<char[]> larger(new char[capacity]);  // throws, or all that follows is done
            if (held > 0) std::memcpy(larger.get(), data(), held);
            m_bytes = std::move(larger);
            m_capacity = capacity;
        } else if (held > 0) {
            std::memmove(m_bytes.get(), data(), held);
        }
        m_begin = 0;
        m_end = held;
    }

    std::unique_ptr<char[]> m_bytes;
    size_t m_capacity = 0;
    size_t m_begin = 0;
    size_t m_end = 0;
};

}  // namespace tnet
