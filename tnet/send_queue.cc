#include "tnet/send_queue.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "tnet/heap_bytes.h"

namespace tnet {
namespace {

constexpr size_t kCopyInstead = 1024;  // an owned string below this is cheaper to copy
constexpr size_t kKeepSegments = 64;   // an empty queue gives back what it has beyond this

}  // namespace

const std::string& SendQueue::Segment::text() const {
    const auto* const shared = std::get_if<SharedBytesPtr_t>(&owner);
    return shared != nullptr ? **shared : std::get<std::string>(owner);
}

// Stays the same as long as the segment does.
size_t SendQueue::Segment::heldBytes() const {
    if (isCopied()) return 0;
    if (isFile()) return sharedHeapBytes<FileDescriptor>();
    const auto* const shared = std::get_if<SharedBytesPtr_t>(&owner);
    return shared != nullptr ? heapBytes(*shared) : heapBytes(text());
}

void SendQueue::appendCopy(std::string_view bytes) {
    if (bytes.empty()) return;
    if (bytes.size() >= kBlockBytes) return appendOwned(std::string(bytes));
    std::copy(bytes.begin(), bytes.end(), reserveCopy(bytes.size()));
    commitCopy(bytes.size());
}

void SendQueue::commitCopy(size_t size) {
    if (size == 0) return;
    if (!m_segments.empty()) growCopied(size);
    m_copied.commit(size);
}

// Throws, or the last segment is one of copied bytes, `size` longer than before.
void SendQueue::growCopied(size_t size) {
    Segment& last = m_segments.back().isCopied() ? m_segments.back() : emplaceSegment();
    last.size += size;
}

void SendQueue::appendOwned(std::string bytes) {
    if (bytes.size() < kCopyInstead) return appendCopy(bytes);
    const size_t size = bytes.size();
    push(size, 0, Owner(std::in_place_type<std::string>, std::move(bytes)));
}

void SendQueue::appendShared(SharedBytesPtr_t bytes, size_t from) {
    assert(bytes && from <= bytes->size());
    const size_t left = bytes->size() - from;
    if (left > 0) push(left, from, std::move(bytes));
}

void SendQueue::appendFile(SharedFilePtr_t file, off_t offset, size_t size) {
    assert(file && offset >= 0);
    if (size == 0) return;
    push(size, static_cast<size_t>(offset), std::move(file));
    m_fileBytes += size;
}

int SendQueue::gather(iovec* pieces, int max, size_t maxBytes) const {
    int count = 0;
    const auto add = [&](const char* data, size_t size) {
        size = std::min(size, maxBytes);
        // iovec has no const form; the bytes are only read.
        pieces[count++] = {const_cast<char*>(data), size};
        maxBytes -= size;
    };
    const auto isFull = [&] { return count == max || maxBytes == 0; };
    if (isOnePiece()) {
        if (!empty() && !isFull()) add(m_copied.data(), m_copied.size());
        return count;
    }
    size_t block = 0;  // where the next copied bytes are,
    size_t begin = 0;  // and from where on in it
    const auto addCopied = [&](size_t left) {
        while (left > 0 && !isFull()) {
            const ByteBuffer& from = block < m_blocks.size() ? m_blocks[block] : m_copied;
            const size_t step = std::min(left, from.size() - begin);
            add(from.data() + begin, step);
            left -= step;
            begin += step;
            if (begin < from.size()) continue;
            ++block;
            begin = 0;
        }
    };
    for (size_t i = m_front; i < m_segments.size() && !isFull() && !m_segments[i].isFile(); ++i) {
        const Segment& segment = m_segments[i];
        segment.isCopied() ? addCopied(segment.size)
                           : add(segment.text().data() + segment.offset, segment.size);
    }
    return count;
}

SendQueue::FileRange SendQueue::frontFile() const {
    assert(m_front < m_segments.size() && m_segments[m_front].isFile());
    const Segment& segment = m_segments[m_front];
    return {std::get<SharedFilePtr_t>(segment.owner)->get(), static_cast<off_t>(segment.offset),
            segment.size};
}

void SendQueue::consume(size_t size) {
    assert(size <= bytes());
    if (isOnePiece()) {
        m_copied.consume(size);
        if (m_copied.empty()) m_copied.clear(kBlockBytes);
        return;
    }
    while (size > 0) {
        Segment& front = m_segments[m_front];
        const size_t step = std::min(size, front.size);
        if (front.isCopied()) {
            consumeCopied(step);
        } else {
            front.offset += step;
            m_otherBytes -= step;
            if (front.isFile()) m_fileBytes -= step;
        }
        front.size -= step;
        size -= step;
        if (front.size == 0) popFront();
    }
    if (empty()) clear();
}

void SendQueue::consumeCopied(size_t size) {
    while (!m_blocks.empty() && size > 0) {
        ByteBuffer& block = m_blocks.front();
        const size_t step = std::min(size, block.size());
        block.consume(step);
        m_otherBytes -= step;
        size -= step;
        if (!block.empty()) continue;
        release(heapBytes(block.capacity()));
        m_blocks.erase(m_blocks.begin());
    }
    m_copied.consume(size);
}

void SendQueue::clear() {
    m_copied.clear(kBlockBytes);
    m_otherBytes = m_held = m_fileBytes = m_largest = 0;
    m_front = 0;
    m_blocks.clear();
    m_segments.clear();
    if (m_segments.capacity() > kKeepSegments) std::vector<Segment>().swap(m_segments);
}

// Its bytes are not copied. Before it comes a segment for the copied bytes that have none yet.
void SendQueue::push(size_t size, size_t offset, Owner owner) {
    if (m_segments.empty() && !m_copied.empty()) emplaceSegment().size = m_copied.size();
    Segment& segment = emplaceSegment();
    segment = {size, offset, std::move(owner)};
    m_otherBytes += size;
    const size_t held = segment.heldBytes();
    m_held += held;
    m_largest = std::max(m_largest, held);
}

SendQueue::Segment& SendQueue::emplaceSegment() {
    const size_t before = tableBytes();
    Segment& segment = m_segments.emplace_back();
    m_held += tableBytes() - before;
    return segment;
}

size_t SendQueue::tableBytes() const {
    return m_segments.capacity() > kKeepSegments ? heapBytes(m_segments.capacity() * sizeof(Segment)) : 0;
}

// What is copied next goes into a new block.
void SendQueue::endBlock() {
    if (m_segments.empty()) emplaceSegment().size = m_copied.size();
    const ByteBuffer& full = m_blocks.emplace_back(std::move(m_copied));
    m_otherBytes += full.size();
    const size_t held = heapBytes(full.capacity());
    m_held += held;
    if (full.size() > kBlockBytes) m_largest = std::max(m_largest, held);
}

void SendQueue::release(size_t heldBytes) {
    m_held -= heldBytes;
    if (heldBytes == m_largest) m_largest = 0;
}

void SendQueue::popFront() {
    release(m_segments[m_front].heldBytes());
    m_segments[m_front] = Segment{};  // lets go of shared bytes and files as soon as they are written
    ++m_front;
    if (m_front >= kKeepSegments && m_front * 2 >= m_segments.size()) {
        m_segments.erase(m_segments.begin(), m_segments.begin() + static_cast<std::ptrdiff_t>(m_front));
        m_front = 0;
    }
}

}  // namespace tnet
