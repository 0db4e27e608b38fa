// types: methods, status codes and limits of HTTP.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace tnet {

// The methods of llhttp, in its order (parser.cc asserts it), but for those of RTSP.
enum class HttpMethod : uint8_t {
    Delete,
    Get,
    Head,
    Post,
    Put,
    Connect,
    Options,
    Trace,
    Copy,
    Lock,
    Mkcol,
    Move,
    Propfind,
    Proppatch,
    Search,
    Unlock,
    Bind,
    Rebind,
    Unbind,
    Acl,
    Report,
    Mkactivity,
    Checkout,
    Merge,
    MSearch,
    Notify,
    Subscribe,
    Unsubscribe,
    Patch,
    Purge,
    Mkcalendar,
    Link,
    Unlink,
    Source,
};
constexpr size_t kHttpMethodCount = 34;

// "GET", "M-SEARCH", ... Static.
std::string_view methodName(HttpMethod method);
std::optional<HttpMethod> methodFromName(std::string_view name);  // case-sensitive: RFC 9110 §9.1

// "Not Found" for 404; empty for codes nobody registered. Static.
std::string_view reasonPhrase(int status);

// ASCII only, as field names and most tokens of HTTP compare.
bool equalsIgnoreCase(std::string_view a, std::string_view b);

// What one server puts up with. All on by default; zero switches off a duration or a rate.
struct HttpLimits {
    size_t requestLineBytes = 8 << 10;     // 414 beyond; RFC 9112 §3 wants at least 8000
    size_t headerBytes = 16 << 10;         // 431: all header lines of a request together; trailers likewise
    size_t headerCount = 100;              // 431: lines; trailers likewise
    size_t bodyBytes = 1 << 20;            // 413, unless the route says otherwise
    size_t chunkLineBytes = 256;           // 400: a chunk-size line with its extensions
    size_t chunkExtensionBytes = 4 << 10;  // 400: all chunk extensions of a body together

    std::chrono::milliseconds headerTimeout{10'000};   // 408: from a request's first byte to its last header
    std::chrono::milliseconds idleTimeout{60'000};     // close: between requests, and before the first
    std::chrono::milliseconds handlerTimeout{60'000};  // 503: from the request to the head of its answer
    std::chrono::milliseconds sendTimeout{30'000};     // reset: queued bytes, none of which the peer takes

    // Cut off: a streamed answer of which its handler writes nothing and the client takes nothing. Event streams send
    // comments more often than that.
    std::chrono::milliseconds streamIdleTimeout{15 * 60'000};

    // For how long a client that has ended its direction (as `nc -N` does) is still given answers. Then it counts as
    // gone: what is not answered is cancelled. Zero: at once; max(): never. A reset is always immediate.
    std::chrono::milliseconds halfCloseGrace{1'000};

    // Draining: for how long a connection may still bring a request, from the drain's beginning or its own. Zero
    // closes at once those on which none has arrived.
    std::chrono::milliseconds drainTime{1'000};

    // 429, with Retry-After: requests per second of one client address, IPv6 counted by its /64, on all its
    // connections; and how many of them may come at once (zero: those of a second). Refused ones do not count.
    // Unix-domain peers are not limited. Zero requests: off.
    size_t addressRequestsPerSecond = 0;
    size_t addressRequestBurst = 0;

    // 408: a body that comes more slowly, measured from its start with this much grace. Either at zero
    // switches both off.
    size_t bodyBytesPerSecond = 240;
    std::chrono::milliseconds bodyGrace{5'000};

    // Reset: an answer that is taken more slowly, looked at once per sendTimeout. Zero: any rate.
    size_t sendBytesPerSecond = 240;

    // Sending: a stream is told to wait, and further pipelined requests are not looked at, while more
    // than this is queued.
    size_t highWaterBytes = 256 << 10;
};

}  // namespace tnet
