#include "tnet/ssl/ssl_server_state.h"

#include "tnet/ssl/ssl_certificate.h"
#include "tnet/ssl/ssl_error.h"

namespace tnet {

Result<std::shared_ptr<const SslServerState>> SslServerState::create(const SslServerSettings& settings) {
    if (settings.certificates.empty())
        return makeError(std::errc::invalid_argument, "SslServerSettings::certificates");
    auto certificate = SslCertificate::load(settings.certificates.front());
    if (!certificate) return certificate.error();
    SslCtxPtr_t ctx(SSL_CTX_new(TLS_server_method()));
    if (!ctx) return makeOpensslError("SSL_CTX_new");
    SSL_CTX_set_min_proto_version(ctx.get(), TLS1_2_VERSION);
    const Status used = certificate->use(ctx.get());
    if (!used) return used.error();
    return std::shared_ptr<const SslServerState>(new SslServerState(std::move(ctx)));
}

SslPtr_t SslServerState::newSsl() const {
    SslPtr_t ssl(SSL_new(m_ctx.get()));
    if (ssl) SSL_set_accept_state(ssl.get());
    return ssl;
}

}  // namespace tnet
