#include "tnet/ssl/ssl_codec.h"

#include <algorithm>
#include <cassert>
#include <memory>

namespace tnet {

SslBuffers& SslBuffers::ofThread() {
    // On the heap: a thread without TLS has none, and thread-local storage is small.
    static thread_local const std::unique_ptr<SslBuffers> buffers = std::make_unique<SslBuffers>();
    return *buffers;
}

iovec PlainPieces::next(size_t most) {
    while (m_left > 0 && m_offset == m_pieces->iov_len) {
        ++m_pieces;
        --m_count;
        m_offset = 0;
    }
    if (m_left == 0) return {nullptr, 0};
    assert(m_count > 0);
    const iovec bytes{static_cast<char*>(m_pieces->iov_base) + m_offset,
                      std::min(most, m_pieces->iov_len - m_offset)};
    m_offset += bytes.iov_len;
    m_left -= bytes.iov_len;
    return bytes;
}

void PlainPieces::skip(size_t size) {
    while (size > 0) size -= next(size).iov_len;
}

}  // namespace tnet
