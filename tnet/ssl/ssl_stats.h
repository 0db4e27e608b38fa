// SslStats: what became of an SslContext's connections. Counters only grow.
//
// Threads: any. Each is exact; together they are no snapshot.
#pragma once

#include <atomic>
#include <cstdint>

namespace tnet {

struct SslStats {
    uint64_t handshakes = 0;  // complete, resumed ones included
    uint64_t resumed = 0;     // of those
    uint64_t compact = 0;     // of those: went on as compact connections
    uint64_t failed = 0;      // ended by an error of either side: garbage, no common version, bad certificate
    uint64_t abandoned = 0;   // ended before they were complete: by the peer, or by the deadline
    uint64_t plainRequests = 0;  // HTTP without TLS, answered with a plain 400
    uint64_t truncated = 0;      // established ones whose stream ended without close_notify
};

// What the transports of a context count into.
struct SslCounters {
    std::atomic<uint64_t> handshakes{0};
    std::atomic<uint64_t> resumed{0};
    std::atomic<uint64_t> compact{0};
    std::atomic<uint64_t> failed{0};
    std::atomic<uint64_t> abandoned{0};
    std::atomic<uint64_t> plainRequests{0};
    std::atomic<uint64_t> truncated{0};

    SslStats read() const {
        return {.handshakes = handshakes.load(std::memory_order_relaxed),
                .resumed = resumed.load(std::memory_order_relaxed),
                .compact = compact.load(std::memory_order_relaxed),
                .failed = failed.load(std::memory_order_relaxed),
                .abandoned = abandoned.load(std::memory_order_relaxed),
                .plainRequests = plainRequests.load(std::memory_order_relaxed),
                .truncated = truncated.load(std::memory_order_relaxed)};
    }
    static void count(std::atomic<uint64_t>& counter) { counter.fetch_add(1, std::memory_order_relaxed); }
};

}  // namespace tnet
