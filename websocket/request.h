// WsRequest: the HTTP request that a WebSocket connection began with: what handlers may ask it.
//
// A copy: target, path parameters and header fields lie one behind the other in one text, so that keeping it
// costs one allocation of about the size of the request's head.
//
// Threads: read-only; any. Lifetime: views are valid as long as the WsRequest.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "http/request.h"
#include "tnet/address.h"
#include "tnet/peer_address.h"
#include "tnet/security_info.h"

namespace tnet {

class WsRequest {
public:
    WsRequest() = default;  // of nothing: all of it is empty
    explicit WsRequest(const HttpRequest& request);

    // As it came, still percent-encoded; the query is without '?'.
    std::string_view target() const { return text(0, m_targetEnd); }
    std::string_view path() const;
    std::string_view query() const;

    // What the route's ":name" or "*name" stands for, percent-decoded; empty if there is none such. A string,
    // because it is mostly put together with others: subscribe("room/" + request.param("room")).
    std::string param(std::string_view name) const {
        return std::string(find(m_targetEnd, m_paramsEnd, name, std::equal_to<>()));
    }

    // The first query parameter of that name, decoded; nothing if absent or malformed.
    std::optional<std::string> queryParam(std::string_view name) const;

    // The first header field of that name, whatever its case; empty if absent.
    std::string_view header(std::string_view name) const;

    // The value of the first cookie of that name (RFC 6265 §5.4), as it came; nothing if absent.
    std::optional<std::string_view> cookie(std::string_view name) const;

    Address remoteAddress() const { return m_peer.toAddress(); }

    // What TLS agreed on, and who the client proved to be; null on a plain connection.
    const SecurityInfoPtr_t& security() const { return m_security; }

private:
    std::string_view text(size_t from, size_t to) const {
        return std::string_view(m_text).substr(from, to - from);
    }
    void append(std::string_view name, std::string_view value);
    using SameName = std::function<bool(std::string_view, std::string_view)>;
    std::string_view find(size_t from, size_t to, std::string_view name, const SameName& isSame) const;

    std::string m_text;  // target; then parameters and then fields, each as name, NUL, value, NUL
    uint32_t m_targetEnd = 0;
    uint32_t m_paramsEnd = 0;
    PeerAddress m_peer;
    SecurityInfoPtr_t m_security;
};

}  // namespace tnet
