// SendQueue: what a connection still has to write: a chain of segments, in order.
//
//     copied bytes (one growing buffer) | owned strings | shared immutable bytes | file ranges
//
// Small copies coalesce into one buffer whose capacity survives, so that gathering the answers to a
// burst of requests allocates nothing in the steady state. Shared bytes are referenced, never copied:
// one frame can sit in ten thousand queues.
//
// Threads: the loop's thread only.
#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tnet/socket.h"

namespace tnet {

using SharedBytesPtr_t = std::shared_ptr<const std::string>;
using SharedFilePtr_t = std::shared_ptr<const FileDescriptor>;

class SendQueue {
public:
    // What the front of the queue is: bytes in memory, or a range of a file.
    struct FileRange {
        int fd;
        off_t offset;
        size_t size;
    };

    // Each takes the bytes behind everything queued before.
    void appendCopy(std::string_view bytes);
    void appendOwned(std::string bytes);  // short ones are copied: a segment costs more than they do
    void appendShared(SharedBytesPtr_t bytes, size_t from = 0);
    void appendFile(SharedFilePtr_t file, off_t offset, size_t size);

    size_t bytes() const { return m_bytes; }
    bool empty() const { return m_bytes == 0; }

    // Fills at most `max` pieces with the memory at the front; 0 if the front is a file range.
    // The pieces stay valid until the queue is changed.
    int gather(iovec* pieces, int max) const;

    // The front as a file range; only if gather returned 0 and the queue is not empty.
    FileRange frontFile() const;

    // Drops `bytes` from the front: they were written. At most bytes().
    void consume(size_t bytes);

    void clear();

private:
    struct Segment {
        size_t size = 0;           // bytes left
        size_t offset = 0;         // where they begin: in m_copied, *owned, *shared or the file
        std::string owned{};       // } at most one of the three is set;
        SharedBytesPtr_t shared{};  // } none: the bytes lie in m_copied
        SharedFilePtr_t file{};
    };

    const char* memoryOf(const Segment& segment) const;
    Segment& push(size_t size);
    void popFront();
    void compact();

    size_t m_bytes = 0;
    std::string m_copied;    // what appendCopy took; the front part may be written already
    size_t m_copiedLive = 0;  // bytes of m_copied that segments still refer to
    std::vector<Segment> m_segments;
    size_t m_front = 0;  // the first segment that is not written yet
};

}  // namespace tnet
