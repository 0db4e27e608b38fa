#include "http/trailers.h"

#include <algorithm>
#include <array>

#include "http/types.h"

namespace tnet {
namespace {

// By the groups of RFC 9110 §6.5.1, and RFC 7230 §4.1.2, which named more of their members.
constexpr std::array<std::string_view, 43> kNoTrailers = {
    // Framing, and what is about one connection only.
    "Connection",
    "Content-Length",
    "Keep-Alive",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    // Routing.
    "Host",
    "Max-Forwards",
    "Via",
    // Authentication, and state that stands for it (RFC 6265).
    "Authorization",
    "Authentication-Info",
    "Cookie",
    "Proxy-Authenticate",
    "Proxy-Authentication-Info",
    "Proxy-Authorization",
    "Set-Cookie",
    "WWW-Authenticate",
    // Request modifiers.
    "Accept",
    "Accept-Charset",
    "Accept-Encoding",
    "Accept-Language",
    "Expect",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "If-Unmodified-Since",
    "Pragma",
    "Range",
    // Control of the response.
    "Age",
    "Allow",
    "Cache-Control",
    "Date",
    "Expires",
    "Location",
    "Retry-After",
    "Vary",
    "Warning",
    // The format of the content.
    "Content-Encoding",
    "Content-Range",
    "Content-Type",
};

}  // namespace

bool mayBeTrailer(std::string_view name) {
    return std::none_of(kNoTrailers.begin(), kNoTrailers.end(),
                        [name](std::string_view none) { return equalsIgnoreCase(name, none); });
}

std::string_view appendTrailers(std::string& out, const HttpHeaders& trailers) {
    std::string_view leftOut;
    for (size_t i = 0; i < trailers.size(); ++i) {
        const HttpHeaders::Field field = trailers[i];
        if (mayBeTrailer(field.name)) {
            out.append(field.name).append(": ").append(field.value).append("\r\n");
        } else if (leftOut.empty()) {
            leftOut = field.name;
        }
    }
    return leftOut;
}

}  // namespace tnet
