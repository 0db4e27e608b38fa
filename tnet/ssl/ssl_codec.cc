#include "tnet/ssl/ssl_codec.h"

#include <algorithm>
#include <cassert>

namespace tnet {

size_t firstRecordBytes(std::string_view bytes) {
    if (bytes.size() < kRecordHeaderBytes) return 0;
    const auto byteAt = [bytes](size_t i) { return static_cast<uint8_t>(bytes[i]); };
    const size_t bodyBytes = static_cast<size_t>(byteAt(3)) << 8 | byteAt(4);
    const bool isRecord = byteAt(0) >= static_cast<uint8_t>(RecordType::ChangeCipherSpec) &&
                          byteAt(0) <= static_cast<uint8_t>(RecordType::ApplicationData) && byteAt(1) == 3 &&
                          bodyBytes <= kMaxRecordBodyBytes;
    if (!isRecord) return bytes.size();
    return bytes.size() >= kRecordHeaderBytes + bodyBytes ? kRecordHeaderBytes + bodyBytes : 0;
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
