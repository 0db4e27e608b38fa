// origin: whether two addresses of the web are of one origin (RFC 6454 §4).
//
// Scheme and host compare without regard to case, and a port that is left out is the scheme's: "https://a.example",
// "https://A.example" and "https://a.example:443" are the same (RFC 9110 §4.2.3).
//
// Pure: no I/O, nothing kept.
// Threads: any. Lifetime: returned views point into the argument they were taken from.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "http/request.h"

namespace tnet {

struct HttpOrigin {
    std::string_view scheme;
    std::string_view host;  // an IPv6 address with its brackets
    uint16_t port = 0;      // the scheme's own if none was written; 0 if that is not known either
};

// An origin as browsers write it into the field Origin (RFC 6454 §6.2): `scheme://host[:port]` and nothing else.
// Nothing for "null", which is the same as no origin, not even as itself (§4).
std::optional<HttpOrigin> parseOrigin(std::string_view text);

// False if either is no origin. Ports that neither says are the same if the schemes are.
bool isSameOrigin(std::string_view a, std::string_view b);

// Whether `origin` is the one that a request for `authority` (HttpRequest::authority()) came to. `overTls`: it came
// over TLS, so its scheme is https. Otherwise it may have come over TLS to a proxy in front of this server, so both
// http and https fit.
bool isOriginOf(std::string_view origin, std::string_view authority, bool overTls);

// The same with what a request says of itself; true, too, for an empty origin, which no page of another site has: a
// check for WsRoute::checkOrigin that lets the service's own pages in, and clients that are no browsers.
bool isOwnOrigin(std::string_view origin, const HttpRequest& request);

}  // namespace tnet
