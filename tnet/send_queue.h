// SendQueue: what a connection still has to write: a chain of segments, in order.
//
//     copied bytes (one growing buffer) | owned strings | shared immutable bytes | file ranges
//
// Copies lie one behind the other in one buffer whose capacity survives, so that gathering the answers to
// a burst of requests allocates nothing in the steady state, and needs no segments at all. Shared bytes are
// referenced, never copied: one frame can sit in ten thousand queues.
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

#include "tnet/byte_buffer.h"
#include "tnet/clock.h"
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

    // Room for `size` bytes, to be written in place; commitCopy takes the first `size` of them as if
    // they had been given to appendCopy.
    char* reserveCopy(size_t size) { return m_copied.reserve(size); }
    void commitCopy(size_t size);

    size_t bytes() const { return m_copied.size() + m_otherBytes; }
    bool empty() const { return bytes() == 0; }

    // Nothing but copied bytes, all of them in one piece: view them here and skip gather().
    bool isOnePiece() const { return m_segments.empty(); }
    std::string_view onePiece() const { return m_copied.view(); }

    // Fills at most `max` pieces with the memory at the front; 0 if the front is a file range.
    // The pieces stay valid until the queue is changed.
    int gather(iovec* pieces, int max) const;

    // The front as a file range; only if gather returned 0 and the queue is not empty.
    FileRange frontFile() const;

    // Drops `bytes` from the front: they were written. At most bytes().
    void consume(size_t bytes);

    void clear();

    // How the peer gets on with a queue that it has not taken at once; for the connection.
    struct Progress {
        TimePoint since{};  // bytes counts from then on; the epoch: nobody counts
        TimePoint last{};   // when it took some
        size_t bytes = 0;
    };
    Progress& progress() { return m_progress; }

private:
    struct Segment {
        size_t size = 0;            // bytes left
        size_t offset = 0;          // where they begin in what is not null below
        std::string owned{};        // } at most one of the three is set;
        SharedBytesPtr_t shared{};  // } none: the bytes are the next ones
        SharedFilePtr_t file{};     // } of m_copied

        bool isCopied() const { return owned.empty() && !shared && !file; }
    };

    Segment& push(size_t size);
    void popFront();

    ByteBuffer m_copied;              // what was copied and is not written yet
    size_t m_otherBytes = 0;          // owned, shared and file bytes
    std::vector<Segment> m_segments;  // empty while there are only copied bytes
    size_t m_front = 0;               // the first segment that is not written yet
    Progress m_progress{};
};

}  // namespace tnet
