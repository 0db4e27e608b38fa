// SslServerState: what a server's files and settings amount to: one SSL_CTX, and which name gets which
// certificate.
//
// Internal to //tnet/ssl. Threads: immutable once made. Lifetime: an SSL may outlive it; the SSL_CTX, which it
// holds, owns all that its callbacks use.
#pragma once

#include <memory>
#include <utility>

#include "tnet/result.h"
#include "tnet/ssl/ssl_handle.h"
#include "tnet/ssl/ssl_settings.h"
#include "tnet/ssl/ssl_ticket_keys.h"

namespace tnet {

using SslTicketKeysPtr_t = std::shared_ptr<SslTicketKeys>;

class SslServerState {
public:
    // Reads all files. `ticketKeys` is null if there are to be no tickets. Errors name the file or the setting.
    static Result<std::shared_ptr<const SslServerState>> create(const SslServerSettings& settings,
                                                                SslTicketKeysPtr_t ticketKeys);

    // Ready to accept, without a BIO. Never null.
    SslPtr_t newSsl() const;

    SSL_CTX* context() const { return m_ctx.get(); }

private:
    explicit SslServerState(SslCtxPtr_t ctx) : m_ctx(std::move(ctx)) {}

    SslCtxPtr_t m_ctx;
};

}  // namespace tnet
