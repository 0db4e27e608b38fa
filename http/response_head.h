// response_head: the head of a response as it goes over the wire, and the Date in it.
//
// Pure but for the clock. Threads: HttpDate belongs to one loop.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "http/response.h"
#include "tnet/clock.h"

namespace tnet {

// The Date line, computed once a second (RFC 9110 §6.6.1).
class HttpDate {
public:
    explicit HttpDate(const Clock& clock) : m_clock(clock) {}

    // "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n" for `now` of the steady clock. Valid until the next call.
    std::string_view line(TimePoint now);

private:
    const Clock& m_clock;
    TimePoint m_validUntil{};
    std::string m_line;
};

struct ResponseFraming {
    enum class Body : uint8_t { Length, Chunked, UntilClose, None };
    Body body = Body::Length;
    uint64_t length = 0;  // for Length
    enum class Connection : uint8_t { Unsaid, Close, KeepAlive };
    Connection connection = Connection::Unsaid;
};

// The room that writeResponseHead needs at most.
size_t responseHeadBound(const HttpResponse& response);

// `dateLine` is one of HttpDate. Writes status line, Date, framing, the response's own headers and the empty
// line; returns the end of what was written. Headers of the response that the framing owns are left out:
// Content-Length, Transfer-Encoding, Connection (and Date is not added where the response has one). With
// Upgrade comes the Connection that it needs.
char* writeResponseHead(char* out, const HttpResponse& response, const ResponseFraming& framing,
                        std::string_view dateLine);

// RFC 9110 §6.4.1, §15.3.6: 1xx, 204, 205 and 304 have no body, whatever the handler says.
bool statusHasBody(int status);

// How the head of one of those is framed: a 205 says that its length is zero (RFC 9112 §6.3 does not except it), the
// others say nothing (RFC 9110 §8.6).
ResponseFraming framingWithoutBody(int status);

}  // namespace tnet
