// SslServerState: what a server's files and settings amount to: an SSL_CTX per certificate, and which name
// gets which.
//
// Internal to //tnet/ssl. Threads: immutable once made. Lifetime: an SSL may outlive it; it holds the SSL_CTXs.
#pragma once

#include <memory>
#include <vector>

#include "tnet/result.h"
#include "tnet/ssl/ssl_handle.h"
#include "tnet/ssl/ssl_settings.h"

namespace tnet {

class SslServerState {
public:
    static Result<std::shared_ptr<const SslServerState>> create(const SslServerSettings& settings);

    // Ready to accept, without a BIO.
    SslPtr_t newSsl() const;

    std::vector<SSL_CTX*> contexts() const { return {m_ctx.get()}; }

private:
    explicit SslServerState(SslCtxPtr_t ctx) : m_ctx(std::move(ctx)) {}

    SslCtxPtr_t m_ctx;
};

}  // namespace tnet
