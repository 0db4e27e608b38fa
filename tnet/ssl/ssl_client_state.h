// SslClientState: what a client's files and settings amount to: one SSL_CTX, and the sessions to resume.
//
// Internal to //tnet/ssl. Threads: any; immutable but for the sessions. Lifetime: an SSL may outlive it; it holds
// the SSL_CTX, which owns the sessions.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "tnet/result.h"
#include "tnet/ssl/ssl_handle.h"
#include "tnet/ssl/ssl_settings.h"

namespace tnet {

// Whom a client connects to: decided once by what `host` is.
struct SslHost {
    // A name or an IP address; IPv6 in brackets or not, with or without a zone.
    explicit SslHost(std::string host);

    std::string name{};  // as certificates write it: no brackets, no zone, no dot at the end
    bool isAddress = false;
};
using SslHostPtr_t = std::shared_ptr<const SslHost>;

class SslClientState {
public:
    // Reads all files. Errors name the file or the setting.
    static Result<std::shared_ptr<const SslClientState>> create(const SslClientSettings& settings);

    // Ready to connect to `host`, without a BIO; resumes what it can. Never null. What is neither a name nor an
    // address (an empty string, for one) no certificate is for: the handshake fails.
    SslPtr_t newSsl(const SslHostPtr_t& host) const;

    SSL_CTX* context() const { return m_ctx.get(); }

private:
    explicit SslClientState(SslCtxPtr_t ctx) : m_ctx(std::move(ctx)) {}

    SslCtxPtr_t m_ctx;
};

}  // namespace tnet
