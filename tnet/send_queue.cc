#include "tnet/send_queue.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace tnet {
namespace {

constexpr size_t kCopyInstead = 1024;       // an owned string below this is cheaper to copy
constexpr size_t kKeepCapacity = 64 << 10;  // an empty queue gives back what it has beyond this
constexpr size_t kKeepSegments = 64;

}  // namespace

void SendQueue::appendCopy(std::string_view bytes) {
    if (bytes.empty()) return;
    m_copied.append(bytes);
    if (!m_segments.empty()) {
        if (!m_segments.back().isCopied()) m_segments.emplace_back();
        m_segments.back().size += bytes.size();
    }
}

void SendQueue::commitCopy(size_t size) {
    if (size == 0) return;
    m_copied.commit(size);
    if (!m_segments.empty()) {
        if (!m_segments.back().isCopied()) m_segments.emplace_back();
        m_segments.back().size += size;
    }
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
    const auto piece = [](const char* data, size_t size) {
        return iovec{const_cast<char*>(data), size};  // iovec has no const form; the bytes are only read
    };
    if (isOnePiece()) {
        if (empty() || max == 0) return 0;
        pieces[0] = piece(m_copied.data(), m_copied.size());
        return 1;
    }
    int count = 0;
    const char* copied = m_copied.data();
    for (size_t i = m_front; i < m_segments.size() && count < max && !m_segments[i].file; ++i) {
        const Segment& segment = m_segments[i];
        if (segment.isCopied()) {
            pieces[count++] = piece(copied, segment.size);
            copied += segment.size;
        } else {
            const std::string& bytes = segment.shared ? *segment.shared : segment.owned;
            pieces[count++] = piece(bytes.data() + segment.offset, segment.size);
        }
    }
    return count;
}

SendQueue::FileRange SendQueue::frontFile() const {
    assert(m_front < m_segments.size() && m_segments[m_front].file);
    const Segment& segment = m_segments[m_front];
    return {segment.file->get(), static_cast<off_t>(segment.offset), segment.size};
}

void SendQueue::consume(size_t size) {
    assert(size <= bytes());
    if (isOnePiece()) {
        m_copied.consume(size);
        if (m_copied.empty()) m_copied.clear(kKeepCapacity);
        return;
    }
    while (size > 0) {
        Segment& front = m_segments[m_front];
        const size_t step = std::min(size, front.size);
        if (front.isCopied()) {
            m_copied.consume(step);
        } else {
            front.offset += step;
            m_otherBytes -= step;
        }
        front.size -= step;
        size -= step;
        if (front.size == 0) popFront();
    }
    if (empty()) clear();
}

void SendQueue::clear() {
    m_copied.clear(kKeepCapacity);
    m_otherBytes = 0;
    m_front = 0;
    m_segments.clear();
    if (m_segments.capacity() > kKeepSegments) std::vector<Segment>().swap(m_segments);
}

// A segment for bytes that are not copied, behind one for the copied bytes that have none yet.
SendQueue::Segment& SendQueue::push(size_t size) {
    if (m_segments.empty() && !m_copied.empty()) m_segments.emplace_back().size = m_copied.size();
    m_otherBytes += size;
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

}  // namespace tnet
