#include "tnet/ssl/ssl_client_state.h"

#include <openssl/x509v3.h>

#include "tnet/ssl/ssl_error.h"

namespace tnet {

Result<std::shared_ptr<const SslClientState>> SslClientState::create(const SslClientSettings& settings) {
    SslCtxPtr_t ctx(SSL_CTX_new(TLS_client_method()));
    if (!ctx) return makeOpensslError("SSL_CTX_new");
    SSL_CTX_set_min_proto_version(ctx.get(), TLS1_2_VERSION);
    SSL_CTX_set_verify(ctx.get(), settings.verifyPeer ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
    const int isTrusting = settings.caFile.empty()
                               ? SSL_CTX_set_default_verify_paths(ctx.get())
                               : SSL_CTX_load_verify_file(ctx.get(), settings.caFile.c_str());
    if (isTrusting != 1) return makeOpensslError(settings.caFile);
    return std::shared_ptr<const SslClientState>(new SslClientState(std::move(ctx)));
}

SslPtr_t SslClientState::newSsl(const std::string& host) const {
    SslPtr_t ssl(SSL_new(m_ctx.get()));
    if (!ssl) return ssl;
    SSL_set_connect_state(ssl.get());
    if (X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl.get()), host.c_str()) != 1) {
        SSL_set1_host(ssl.get(), host.c_str());
        // The macro for it has a C cast.
        SSL_ctrl(ssl.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                 const_cast<char*>(host.c_str()));
    }
    return ssl;
}

}  // namespace tnet
