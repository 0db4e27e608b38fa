#include "http/origin.h"

#include <charconv>

#include "http/types.h"
#include "http/uri.h"

namespace tnet {
namespace {

constexpr std::string_view kAfterScheme = "://";

// RFC 9110 §4.2.1, §4.2.2; those of WebSocket's addresses: RFC 6455 §3.
uint16_t defaultPort(std::string_view scheme) {
    if (equalsIgnoreCase(scheme, "https") || equalsIgnoreCase(scheme, "wss")) return 443;
    if (equalsIgnoreCase(scheme, "http") || equalsIgnoreCase(scheme, "ws")) return 80;
    return 0;
}

// RFC 3986 §3.1.
bool isScheme(std::string_view text) {
    const auto isLetter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
    if (text.empty() || !isLetter(text.front())) return false;
    for (const char c : text) {
        if (!isLetter(c) && !(c >= '0' && c <= '9') && c != '+' && c != '-' && c != '.') return false;
    }
    return true;
}

// `authority` satisfies isValidAuthority.
HttpOrigin originOf(std::string_view scheme, std::string_view authority) {
    HttpOrigin origin{scheme, authority, 0};
    const size_t colon = authority.rfind(':');
    // A colon before the bracket is one of an IPv6 address.
    if (colon != std::string_view::npos && authority.find(']', colon) == std::string_view::npos) {
        origin.host = authority.substr(0, colon);
        authority.remove_prefix(colon + 1);
        if (!authority.empty()) {
            std::from_chars(authority.data(), authority.data() + authority.size(), origin.port);
            return origin;
        }
    }
    origin.port = defaultPort(scheme);
    return origin;
}

bool isSame(const HttpOrigin& a, const HttpOrigin& b) {
    return a.port == b.port && equalsIgnoreCase(a.host, b.host) && equalsIgnoreCase(a.scheme, b.scheme);
}

}  // namespace

std::optional<HttpOrigin> parseOrigin(std::string_view text) {
    const size_t schemeSize = text.find(kAfterScheme);
    if (schemeSize == std::string_view::npos || !isScheme(text.substr(0, schemeSize))) return std::nullopt;
    const std::string_view authority = text.substr(schemeSize + kAfterScheme.size());
    if (!isValidAuthority(authority)) return std::nullopt;
    return originOf(text.substr(0, schemeSize), authority);
}

bool isSameOrigin(std::string_view a, std::string_view b) {
    const auto left = parseOrigin(a);
    const auto right = parseOrigin(b);
    return left && right && isSame(*left, *right);
}

bool isOriginOf(std::string_view origin, std::string_view authority, bool overTls) {
    const auto asked = parseOrigin(origin);
    if (!asked || !isValidAuthority(authority)) return false;
    const bool isSecure = equalsIgnoreCase(asked->scheme, "https");
    if (!isSecure && (overTls || !equalsIgnoreCase(asked->scheme, "http"))) return false;
    return isSame(*asked, originOf(asked->scheme, authority));
}

bool isOwnOrigin(std::string_view origin, const HttpRequest& request) {
    return origin.empty() || isOriginOf(origin, request.authority(), request.security() != nullptr);
}

}  // namespace tnet
