// SslClientState: what a client's files and settings amount to: one SSL_CTX.
//
// Internal to //tnet/ssl. Threads: immutable once made. Lifetime: an SSL may outlive it; it holds the SSL_CTX.
#pragma once

#include <memory>
#include <string>

#include "tnet/result.h"
#include "tnet/ssl/ssl_handle.h"
#include "tnet/ssl/ssl_settings.h"

namespace tnet {

class SslClientState {
public:
    static Result<std::shared_ptr<const SslClientState>> create(const SslClientSettings& settings);

    // Ready to connect, without a BIO.
    SslPtr_t newSsl(const std::string& host) const;

    SSL_CTX* context() const { return m_ctx.get(); }

private:
    explicit SslClientState(SslCtxPtr_t ctx) : m_ctx(std::move(ctx)) {}

    SslCtxPtr_t m_ctx;
};

}  // namespace tnet
