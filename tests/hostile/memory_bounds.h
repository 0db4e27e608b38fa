// memory_bounds: how much of the server's memory one connection can take, from the limits. docs/operations.md
// says the same in words.
//
// Strings and buffers grow by doubling, so a limit counts twice.
#pragma once

#include <cstddef>

#include "tests/hostile/target_limits.h"
#include "websocket/topics.h"

namespace tnet {

// Connection, layer, callback, slot, the checker's reference: bench/run --cases idle prints some 400 bytes, 500 with
// WebSocket, 920 with TLS; the allocator rounds up.
constexpr size_t kIdleBytes = 1 << 10;

// HttpWork, HttpExchange and the parser, without what they point to.
constexpr size_t kWorkBytes = 4 << 10;

// What a handshake takes of OpenSSL: its objects, the peer's messages, ours. A client's message may have 16 KiB.
constexpr size_t kHandshakeBytes = 96 << 10;

// Input that waits while a handler works, or while there is no room: less than two of the loop's read buffers.
constexpr size_t kPendingBytes = 128 << 10;

// A record that is not whole, and output that the kernel has not taken (tnet/ssl/ssl_transport.cc).
constexpr size_t kTlsSessionBytes = 2 * (17 << 10) + (128 << 10);

inline size_t headBytes(const TargetLimits& limits) {
    const HttpLimits http = limits.server().limits;
    return kIdleBytes + kWorkBytes + 2 * (http.requestLineBytes + http.headerBytes);
}

inline size_t bodyBytes(const TargetLimits& limits) {
    return headBytes(limits) + 2 * limits.server().limits.bodyBytes;
}

// Answers that are not read: further requests wait above the high-water mark, so it is that and one answer more.
inline size_t answerBytes(const TargetLimits& limits, size_t largestAnswer) {
    return headBytes(limits) + kPendingBytes + 2 * limits.server().limits.highWaterBytes + largestAnswer;
}

// A message that is not complete, beside what its decompression takes (websocket/deflate.h has the table), and
// the frames that are not read.
inline size_t messageBytes(const TargetLimits& limits) {
    const WsRoute route = limits.route();
    constexpr size_t kInflaterBytes = 40 << 10;
    constexpr size_t kStepBytes = 16 << 10;
    constexpr size_t kRestBytes = 64 << 10;  // of a read, that waits for its turn
    constexpr size_t kQueueBytes = 128
                                   << 10;  // room that a queue has beside what it holds (tnet/send_queue.h)
    return kIdleBytes + 2 * route.maxMessageBytes + kInflaterBytes + kStepBytes + kRestBytes +
           2 * route.maxQueuedBytes + kQueueBytes;
}

// What stays when all are gone: spare parsers and requests with their buffers (http/service.h), the loop's and the
// thread's buffers.
inline size_t keptBytes(const TargetLimits& limits) {
    constexpr size_t kSpareWorks = 65;
    constexpr size_t kKeptPerWork = 64 << 10;
    constexpr size_t kThreadBytes = 1 << 20;
    return kSpareWorks * (headBytes(limits) + kKeptPerWork) + kThreadBytes;
}

// What waits in the inbox of the server's loop (websocket/topics.h).
inline size_t inboxBytes() { return WsTopics::Settings{}.inboxBytes; }

}  // namespace tnet
