// WsRoute: what the WebSocket connections of one path have in common: limits, negotiation, handlers. A
// connection pays for none of them.
//
//     ws.route("/chat/:room", {
//         .maxMessageBytes = 64 << 10,
//         .onOpen = [](const WsConnectionPtr_t& c) { c->subscribe("room/" + c->request().param("room")); },
//         .onMessage = [](const WsConnectionPtr_t& c, std::string_view text, WsOpcode opcode) { ... },
//     });
//
// Threads: handlers run on the connection's loop, so those of one connection never at once, those of two
// connections perhaps. What they throw is logged and costs the connection: close 1011.
// Lifetime: kept by the router it is registered with.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "http/request.h"
#include "websocket/handshake.h"
#include "websocket/types.h"

namespace tnet {

class WsConnection;
using WsConnectionPtr_t = std::shared_ptr<WsConnection>;
using WeakWsConnectionPtr_t = std::weak_ptr<WsConnection>;

// What happens to a message for a connection that has maxQueuedBytes queued already.
enum class WsOverflow : uint8_t {
    Close,       // the connection is closed with overflowCode
    DropNewest,  // this message is dropped
    DropOldest,  // waiting messages are, the longest waiting first, until it fits
    KeepLatest,  // one waiting message per key (of a publication, its topic) is kept, the latest; then DropOldest
};

// permessage-deflate (RFC 7692). Memory per connection: docs/websocket-guide.md.
enum class WsCompression : uint8_t {
    Off,
    Shared,     // no context takeover: windows of the loop, none per connection
    Dedicated,  // windows of its own per connection, kept between messages
};

struct WsRoute {
    using Milliseconds = std::chrono::milliseconds;

    // --- Limits on what comes ---

    size_t maxMessageBytes = 1 << 20;       // 1009: a message, decompressed
    size_t maxFrameBytes = 1 << 20;         // 1009: a frame's payload, as it comes over the wire
    size_t maxFragments = 1 << 17;          // 1008: frames of one message
    uint32_t maxMessagesPerSecond = 10000;  // 1008: messages and control frames; zero: any number

    // --- Limits on what goes ---

    // What the kernel has not taken yet, with the memory that each piece costs. A single message may be
    // larger if nothing else is queued.
    size_t maxQueuedBytes = 1 << 20;
    WsOverflow overflow = WsOverflow::Close;
    WsCloseCode overflowCode = WsCloseCode::PolicyViolation;
    size_t highWaterBytes =
        64 << 10;  // beyond it send() says Queued, and onDrain is called when all has left

    // --- Deadlines; zero and negative switch one off, max() is never ---

    // Dropped: the peer takes nothing of what is queued, or less than 240 bytes a second, looked at once per
    // sendTimeout.
    Milliseconds sendTimeout{30'000};
    // A peer is pinged when it has been silent for three quarters of this, or up to all of it: with the
    // default before 30 s are over, which is half of what proxies allow ...
    Milliseconds pingInterval{25'000};
    Milliseconds pongTimeout{20'000};  // ... and is dropped (1006) if it stays silent for this long
    Milliseconds idleTimeout{
        3'600'000};  // 1001: no message either way; found up to a quarter of pingInterval late
    Milliseconds closeTimeout{5'000};  // dropped: the peer does not answer our Close, or does not take it

    // --- Negotiation ---

    std::vector<std::string> subprotocols{};  // in the order of the server's preference
    WsCompression compression = WsCompression::Off;
    size_t compressFromBytes = 256;            // smaller messages are sent as they are
    int serverMaxWindowBits = 15;              // } 9 to 15; Dedicated
    int clientMaxWindowBits = 15;              // } only
    Milliseconds releaseWindowsAfter{60'000};  // Dedicated: without a message; zero: never
    // False: 403. `origin`: the Origin field, empty if there is none (no browser, then). isOwnOrigin (http/origin.h)
    // lets in the pages of this service only; isSameOrigin compares with others.
    std::function<bool(std::string_view origin, const HttpRequest& request)> checkOrigin{};
    // Otherwise WsConnection::request() is empty once onOpen has returned.
    bool keepRequest = true;

    // --- Handlers; views are valid during the call ---

    std::function<void(const WsConnectionPtr_t&)> onOpen{};
    std::function<void(const WsConnectionPtr_t&, std::string_view message, WsOpcode opcode)> onMessage{};
    // Instead of onMessage: messages in pieces as they come, in bounded memory; maxMessageBytes still holds.
    // `last`: the message is complete with this piece, which may be empty. Text is checked, but may be cut
    // inside a character.
    std::function<void(const WsConnectionPtr_t&, std::string_view piece, WsOpcode opcode, bool last)>
        onPiece{};
    std::function<void(const WsConnectionPtr_t&, std::string_view payload)> onPong{};
    // All that was queued has left, after a send() that said Queued.
    std::function<void(const WsConnectionPtr_t&)> onDrain{};
    // Exactly once for each onOpen, whatever happened; nothing can be sent any more. `code`: of the side that
    // began the close; NoStatus if it gave none, Abnormal (1006) if the connection just ended.
    std::function<void(const WsConnectionPtr_t&, WsCloseCode code, std::string_view reason)> onClose{};
};

}  // namespace tnet
