#include "tnet/send_queue.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace tnet {
namespace {

constexpr size_t kCopyInstead = 1024;      // an owned string below this is cheaper to copy
constexpr size_t kKeepCapacity = 64 << 10;  // an empty queue gives back what it has beyond this
constexpr size_t kKeepSegments = 64;

}  // namespace

void SendQueue::appendCopy(std::string_view bytes) {
    if (bytes.empty()) return;
    const bool extendsLast = m_front < m_segments.size() && m_segments.back().owned.empty() &&
                             !m_segments.back().shared && !m_segments.back().file;
    if (m_copied.size() + bytes.size() > m_copied.capacity()) compact();
    if (extendsLast) {
        m_segments.back().size += bytes.size();
        m_bytes += bytes.size();
    } else {
        push(bytes.size()).offset = m_copied.size();
    }
    m_copied.append(bytes);
    m_copiedLive += bytes.size();
}

void SendQueue::appendOwned(std::string bytes) {
    if (bytes.size() < kCopyInstead) return appendCopy(bytes);
    push(bytes.size()).owned = std::move(bytes);
}

void SendQueue::appendShared(SharedBytesPtr_t bytes, size_t from) {
    assert(bytes && from <= bytes->size());
    if (from == bytes->size()) return;
    Segment& segment = push(bytes->size() - from);
    segment.offset = from;
    segment.shared = std::move(bytes);
}

void SendQueue::appendFile(SharedFilePtr_t file, off_t offset, size_t size) {
    assert(file && offset >= 0);
    if (size == 0) return;
    Segment& segment = push(size);
    segment.offset = static_cast<size_t>(offset);
    segment.file = std::move(file);
}

int SendQueue::gather(iovec* pieces, int max) const {
    int count = 0;
    for (size_t i = m_front; i < m_segments.size() && count < max && !m_segments[i].file; ++i) {
        // iovec has no const form; the pieces are only read.
        pieces[count].iov_base = const_cast<char*>(memoryOf(m_segments[i]));
        pieces[count].iov_len = m_segments[i].size;
        ++count;
    }
    return count;
}

SendQueue::FileRange SendQueue::frontFile() const {
    assert(m_front < m_segments.size() && m_segments[m_front].file);
    const Segment& segment = m_segments[m_front];
    return {segment.file->get(), static_cast<off_t>(segment.offset), segment.size};
}

void SendQueue::consume(size_t bytes) {
    assert(bytes <= m_bytes);
    m_bytes -= bytes;
    while (bytes > 0) {
        Segment& front = m_segments[m_front];
        const size_t step = std::min(bytes, front.size);
        if (front.owned.empty() && !front.shared && !front.file) m_copiedLive -= step;
        front.offset += step;
        front.size -= step;
        bytes -= step;
        if (front.size == 0) popFront();
    }
    if (m_bytes == 0) clear();
}

void SendQueue::clear() {
    m_bytes = 0;
    m_copiedLive = 0;
    m_front = 0;
    m_copied.clear();
    m_segments.clear();
    if (m_copied.capacity() > kKeepCapacity) m_copied = std::string();
    if (m_segments.capacity() > kKeepSegments) m_segments = {};
}

const char* SendQueue::memoryOf(const Segment& segment) const {
    if (segment.shared) return segment.shared->data() + segment.offset;
    if (!segment.owned.empty()) return segment.owned.data() + segment.offset;
    return m_copied.data() + segment.offset;
}

SendQueue::Segment& SendQueue::push(size_t size) {
    m_bytes += size;
    Segment& segment = m_segments.emplace_back();
    segment.size = size;
    return segment;
}

void SendQueue::popFront() {
    m_segments[m_front] = Segment{};  // lets go of shared bytes and files as soon as they are written
    ++m_front;
    if (m_front >= kKeepSegments && m_front * 2 >= m_segments.size()) {
        m_segments.erase(m_segments.begin(), m_segments.begin() + static_cast<std::ptrdiff_t>(m_front));
        m_front = 0;
    }
}

// A queue that is never quite empty must not keep what was written long ago.
void SendQueue::compact() {
    const size_t dead = m_copied.size() - m_copiedLive;
    if (dead < m_copied.size() / 2 || dead == 0) return;
    m_copied.erase(0, dead);
    for (size_t i = m_front; i < m_segments.size(); ++i) {
        Segment& segment = m_segments[i];
        if (segment.owned.empty() && !segment.shared && !segment.file) segment.offset -= dead;
    }
}

}  // namespace tnet
