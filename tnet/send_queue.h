// SendQueue: what a connection still has to write: a chain of segments, in order.
//
//     copied bytes (blocks) | owned strings | shared immutable bytes | file ranges
//
// Copies lie one after the other in a block whose capacity survives, so that gathering the answers to
// a burst of requests allocates nothing in the steady state, and needs no segments at all. A block that is full is
// followed by another, and freed when it is written. Shared bytes are referenced, never copied: one frame can sit in
// ten thousand queues.
//
// memory() is what the queue really holds, as an upper bound: a segment's own bytes and the heap's are in it, shared
// bytes count in each queue that refers to them, and everything counts until it is written whole. Not in it is what
// the last block has room for, and the first 64 segments: less than 128 KiB per queue. The bytes of a file are none.
//
// Threads: the loop's thread only.
#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "tnet/byte_buffer.h"
#include "tnet/slow_peer_watch.h"
#include "tnet/socket.h"

namespace tnet {

using SharedBytesPtr_t = std::shared_ptr<const std::string>;
using SharedFilePtr_t = std::shared_ptr<const FileDescriptor>;

class SendQueue {
public:
    static constexpr size_t kBlockBytes = 64 << 10;

    // What the front of the queue is: bytes in memory, or a range of a file.
    struct FileRange {
        int fd;
        off_t offset;
        size_t size;
    };

    // Each takes the bytes after everything queued before.
    void appendCopy(std::string_view bytes);
    void appendOwned(std::string bytes);  // short ones are copied: a segment costs more than they do
    void appendShared(SharedBytesPtr_t bytes, size_t from = 0);
    void appendFile(SharedFilePtr_t file, off_t offset, size_t size);

    // Room for `size` bytes, to be written in place; commitCopy takes the first `size` of them as if
    // they had been given to appendCopy.
    char* reserveCopy(size_t size) {
        if (m_copied.size() + size > kBlockBytes && !m_copied.empty()) endBlock();
        return m_copied.reserve(size);
    }
    void commitCopy(size_t size);

    // What is left to write, in memory or in a file.
    size_t bytes() const { return m_copied.size() + m_otherBytes; }
    size_t fileBytes() const { return m_fileBytes; }
    bool empty() const { return bytes() == 0; }

    // Accounted memory, and the share of its largest segment.
    size_t memory() const { return m_copied.size() + m_held; }
    size_t largest() const { return m_largest; }

    // Nothing but copied bytes, all of them in one piece: view them here and skip gather().
    bool isOnePiece() const { return m_segments.empty(); }
    std::string_view onePiece() const { return m_copied.view(); }

    // Fills at most `max` pieces with the memory at the front, at most `maxBytes` of it; 0 if the front is a file
    // range. The pieces stay valid until the queue is changed.
    int gather(iovec* pieces, int max, size_t maxBytes = SIZE_MAX) const;

    // The front as a file range; only if gather returned 0 and the queue is not empty.
    FileRange frontFile() const;

    // Drops `bytes` from the front: they were written. At most bytes().
    void consume(size_t bytes);

    void clear();

    // How the peer gets on with a queue that it has not taken at once; for the connection.
    SlowPeerWatch& watch() { return m_watch; }

private:
    using Owner = std::variant<std::monostate, std::string, SharedBytesPtr_t, SharedFilePtr_t>;

    struct Segment {
        size_t size = 0;    // bytes left
        size_t offset = 0;  // where they begin in what their owner has
        Owner owner{};      // none: they are the next of the copied ones

        bool isCopied() const { return owner.index() == 0; }
        bool isFile() const { return std::holds_alternative<SharedFilePtr_t>(owner); }
        const std::string& text() const;
        size_t heldBytes() const;
    };

    void push(size_t size, size_t offset, Owner owner);
    void growCopied(size_t size);
    Segment& emplaceSegment();
    void endBlock();
    void popFront();
    void consumeCopied(size_t size);
    void release(size_t heldBytes);
    size_t tableBytes() const;

    ByteBuffer m_copied;               // the last block of what was copied and is not written yet
    size_t m_otherBytes = 0;           // left to write: full blocks, owned, shared and file bytes
    size_t m_held = 0;                 // accounted memory but for m_copied
    std::vector<Segment> m_segments;   // empty while there is one block of copied bytes, and nothing else
    size_t m_front = 0;                // the first segment that is not written yet
    std::vector<ByteBuffer> m_blocks;  // full ones, before m_copied
    size_t m_fileBytes = 0;
    size_t m_largest = 0;  // the most that one of those in the queue holds, or 0 once that is written
    SlowPeerWatch m_watch{};
};

}  // namespace tnet
