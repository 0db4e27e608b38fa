// HttpRequest: what a handler is asked. It speaks no version of HTTP: HTTP/1 fills it today.
//
// Threads: read-only once the handler has it; a handler that keeps its HttpResponder may read it from
// any thread until that responder is gone.
// Lifetime: belongs to its exchange, whose buffers are used again by later requests. All views are
// valid during the handler call, and on while its HttpResponder (or body writer) is kept.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/headers.h"
#include "http/route_tree.h"
#include "http/types.h"
#include "tnet/address.h"
#include "tnet/peer_address.h"
#include "tnet/security_info.h"

namespace tnet {

class HttpRequest {
public:
    HttpRequest() = default;
    HttpRequest(const HttpRequest&) = delete;
    HttpRequest& operator=(const HttpRequest&) = delete;

    HttpMethod method() const { return m_method; }
    bool isHttp11() const { return m_minorVersion == 1; }  // otherwise 1.0

    // The request target as it came, and its parts (RFC 9112 §3.2), still percent-encoded. The path
    // of absolute-form is that of its URL; of authority- and asterisk-form it is the whole target.
    std::string_view target() const { return m_target; }
    std::string_view path() const { return m_path; }
    std::string_view query() const { return m_query; }  // without '?'

    // Where the request is addressed to: absolute-form's authority, otherwise Host; may be empty.
    std::string_view authority() const { return m_authority; }

    const HttpHeaders& headers() const { return m_headers; }
    std::string_view header(std::string_view name) const { return m_headers.get(name); }  // empty if absent

    // What the route's ":name" or "*name" stands for, percent-decoded; empty if there is none such.
    std::string_view param(std::string_view name) const;

    const std::vector<PathParam>& params() const { return m_params; }

    // The first query parameter of that name, decoded; nullopt if absent or malformed. Allocates if long.
    std::optional<std::string> queryParam(std::string_view name) const;

    // The whole body and the trailer fields behind it; empty for routes that read it in pieces.
    std::string_view body() const { return m_body; }
    const HttpHeaders& trailers() const { return m_trailers; }

    // What Content-Length announced; nullopt for chunked, and for requests without a body.
    std::optional<uint64_t> contentLength() const { return m_contentLength; }
    bool hasBody() const { return m_chunked || m_contentLength.value_or(0) > 0; }

    // The client, or "unix:".
    Address remoteAddress() const { return m_peer.toAddress(); }
    const PeerAddress& peer() const { return m_peer; }

    // What TLS agreed on, and who the client proved to be; null on a plain connection.
    const SecurityInfoPtr_t& security() const { return m_security; }

private:
    friend class HttpParser;
    friend class HttpConnection;
    friend class HttpRouter;
    friend struct HttpWork;

    void clear();

    HttpMethod m_method = HttpMethod::Get;
    uint8_t m_minorVersion = 1;
    bool m_chunked = false;
    bool m_keepAlive = true;  // what Connection and the version ask for
    bool m_expectContinue = false;
    bool m_upgradeOffered = false;  // Upgrade, and "upgrade" in Connection (RFC 9110 §7.8)
    std::optional<uint64_t> m_contentLength;
    HttpHeaders m_headers;         // with the whole head as it came
    std::string_view m_target;     // }
    std::string_view m_path;       // } of the head
    std::string_view m_query;      // }
    std::string_view m_authority;  // }
    HttpHeaders m_trailers;
    std::string m_body;
    std::vector<PathParam> m_params;
    std::string m_decoded;  // what decoded parameters refer to
    PeerAddress m_peer;
    SecurityInfoPtr_t m_security;
};

}  // namespace tnet
