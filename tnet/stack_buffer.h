// StackBuffer: the bytes that one read brought in, as Conn_ReadEvent hands them up.
//
// Lifetime: a view of the loop's read buffer, valid during the event callback only; copy what is kept. The
// bytes are the callback's to overwrite: a WebSocket payload is unmasked where it lies.
// Empty means that the peer ended its direction (only on connections that allow half-close).
#pragma once

#include <cstddef>
#include <string_view>

#include "tnet/cpp20.h"

namespace tnet {

class StackBuffer {
public:
    StackBuffer(char* data, size_t size) : m_data(data), m_size(size) {}
    StackBuffer(const StackBuffer&) = delete;
    StackBuffer& operator=(const StackBuffer&) = delete;

    char* data() const { return m_data; }
    size_t size() const { return m_size; }
    bool empty() const { return m_size == 0; }
    std::string_view view() const { return {m_data, m_size}; }

private:
    char* m_data;
    size_t m_size;
};

}  // namespace tnet
