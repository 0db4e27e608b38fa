#include "tnet/ssl/ssl_client_state.h"

#include <arpa/inet.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <array>
#include <memory>
#include <new>
#include <tuple>
#include <vector>

#include "tnet/ssl/openssl_compat.h"
#include "tnet/ssl/ssl_certificate.h"
#include "tnet/ssl/ssl_defaults.h"
#include "tnet/ssl/ssl_error.h"
#include "tnet/ssl/ssl_session_cache.h"

namespace tnet {
namespace {

constexpr size_t kMaxSessionHosts = 1024;

// "w*.example.org" is for nobody, and a common name is not a host's (RFC 9525 §6.3 and §2).
constexpr unsigned int kHostFlags =
    X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT;

template <class T>
void deleteExData(void*, void* data, CRYPTO_EX_DATA*, int, long, void*) {
    delete static_cast<T*>(data);
}

int cacheIndex() {
    static const int index =
        SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, deleteExData<SslSessionCache>);
    return index;
}

int hostIndex() {
    static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, deleteExData<SslHostPtr_t>);
    return index;
}

// Null: sessions are not resumed.
SslSessionCache* cacheOf(const SSL_CTX* ctx) {
    return static_cast<SslSessionCache*>(SSL_CTX_get_ex_data(ctx, cacheIndex()));
}

int onNewSession(SSL* ssl, SSL_SESSION* session) {
    const auto* const host = static_cast<const SslHostPtr_t*>(SSL_get_ex_data(ssl, hostIndex()));
    if (host != nullptr) cacheOf(SSL_get_SSL_CTX(ssl))->put((*host)->name, session);
    return 0;  // the session stays OpenSSL's
}

int refuseAll(int, X509_STORE_CTX* verification) {
    X509_STORE_CTX_set_error(verification, X509_V_ERR_HOSTNAME_MISMATCH);
    return 0;
}

bool isIpAddress(const std::string& host) {
    std::array<unsigned char, sizeof(in6_addr)> parsed;
    return ::inet_pton(AF_INET, host.c_str(), parsed.data()) == 1 ||
           ::inet_pton(AF_INET6, host.c_str(), parsed.data()) == 1;
}

bool expectAddress(SSL* ssl, const std::string& address) {
    return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), address.c_str()) == 1;
}

bool expectName(SSL* ssl, const std::string& name) {
    // An embedded NUL would cut it short for SNI; an empty name would check nothing, and one that begins with a dot
    // stands for all names below it with OpenSSL.
    if (name.empty() || name.front() == '.' || name.find('\0') != std::string::npos) return false;
    // The macro for it has a C cast.
    return expectDnsName(ssl, name, kHostFlags) &&
           SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                    const_cast<char*>(name.c_str())) == 1;
}

Status setTrust(SSL_CTX* ctx, const SslClientSettings& settings) {
    SSL_CTX_set_verify(ctx, settings.verifyPeer ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
    if (!settings.verifyPeer && settings.caFile.empty()) return Done{};
    if (settings.caFile.empty()) {
        if (SSL_CTX_set_default_verify_paths(ctx) != 1) return makeOpensslError("the system's trust store");
        ERR_clear_error();
        return Done{};
    }
    const auto cas = loadCertificates(settings.caFile);
    if (!cas) return cas.error();
    return trustFile(ctx, *cas, settings.caFile);
}

Status setCertificate(SSL_CTX* ctx, const SslCertificateFiles& files) {
    if (files.chainFile.empty() && files.keyFile.empty()) return Done{};
    const auto certificate = SslCertificate::load(files);
    if (!certificate) return certificate.error();
    return certificate->use(ctx);
}

Status setProtocols(SSL_CTX* ctx, const std::vector<std::string>& protocols) {
    const auto encoded = encodeProtocols(protocols);
    if (!encoded) return encoded.error();
    if (encoded->empty()) return Done{};
    // Zero is success, unlike anywhere else.
    if (SSL_CTX_set_alpn_protos(ctx, reinterpret_cast<const unsigned char*>(encoded->data()),
                                static_cast<unsigned int>(encoded->size())) != 0)
        return makeOpensslError("protocols");
    return Done{};
}

Status setSessions(SSL_CTX* ctx, bool isResuming) {
    if (!isResuming) {
        SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
        return Done{};
    }
    auto cache = std::make_unique<SslSessionCache>(kMaxSessionHosts);
    if (SSL_CTX_set_ex_data(ctx, cacheIndex(), cache.get()) != 1) return makeOpensslError("SSL_CTX");
    std::ignore = cache.release();
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, onNewSession);
    return Done{};
}

void resume(SSL* ssl, SslSessionCache& cache, const SslHostPtr_t& host) {
    auto forNewSession = std::make_unique<SslHostPtr_t>(host);
    if (SSL_set_ex_data(ssl, hostIndex(), forNewSession.get()) == 1) std::ignore = forNewSession.release();
    const SslSessionPtr_t session = cache.take(host->name);
    if (session) SSL_set_session(ssl, session.get());
}

}  // namespace

SslHost::SslHost(std::string host) : name(std::move(host)) {
    if (name.starts_with('[') && name.ends_with(']')) name = name.substr(1, name.size() - 2);
    const std::string address = name.substr(0, name.find('%'));
    isAddress = isIpAddress(address);
    if (isAddress) name = address;
    if (!isAddress && name.ends_with('.')) name.pop_back();
}

Result<std::shared_ptr<const SslClientState>> SslClientState::create(const SslClientSettings& settings) {
    auto ctx =
        makeSslCtx(TLS_client_method(), {settings.minVersion, settings.ciphers, settings.ciphersuites});
    if (!ctx) return ctx.error();
    for (const Status& step :
         {setTrust(ctx->get(), settings), setCertificate(ctx->get(), settings.certificate),
          setProtocols(ctx->get(), settings.protocols), setSessions(ctx->get(), settings.resumeSessions)}) {
        if (!step) return step.error();
    }
    return std::shared_ptr<const SslClientState>(new SslClientState(std::move(*ctx)));
}

SslPtr_t SslClientState::newSsl(const SslHostPtr_t& host) const {
    SslPtr_t ssl(SSL_new(m_ctx.get()));
    if (!ssl) throw std::bad_alloc();
    SSL_set_connect_state(ssl.get());
    const bool isExpected =
        host->isAddress ? expectAddress(ssl.get(), host->name) : expectName(ssl.get(), host->name);
    if (!isExpected) {
        SSL_set_verify(ssl.get(), SSL_get_verify_mode(ssl.get()), refuseAll);
        return ssl;
    }
    if (SslSessionCache* const cache = cacheOf(m_ctx.get())) resume(ssl.get(), *cache, host);
    return ssl;
}

}  // namespace tnet
