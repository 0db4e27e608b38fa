#include "tnet/ssl/ssl_defaults.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include <system_error>

#include "tnet/ssl/ssl_error.h"

namespace tnet {
namespace {

// Forward secrecy and authenticated encryption, or nothing. What is fastest on most machines is first; a
// client that puts ChaCha20 first gets it, since it has no AES in hardware (SSL_OP_PRIORITIZE_CHACHA).
constexpr const char* kCiphers =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
constexpr const char* kCiphersuites =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
constexpr const char* kGroups = "X25519:P-256:P-384";

constexpr uint64_t kOptions = SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                              SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA;

// What OpenSSL has for the process stays until the process ends. Otherwise OpenSSL would clean up when
// atexit() says so, before static objects with open connections are destroyed, which still need it.
[[maybe_unused]] const int s_initialized = OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, nullptr);

std::string quoted(const char* setting, const std::string& value) {
    return std::string(setting) + " \"" + value + "\"";
}

// The macro for it has a C cast.
bool setGroups(SSL_CTX* ctx) {
    return SSL_CTX_ctrl(ctx, SSL_CTRL_SET_GROUPS_LIST, 0, const_cast<char*>(kGroups)) == 1;
}

}  // namespace

Result<SslCtxPtr_t> makeSslCtx(const SSL_METHOD* method, const SslProtocolSettings& settings) {
    ERR_clear_error();
    SslCtxPtr_t owned(SSL_CTX_new(method));
    if (!owned) return makeOpensslError("SSL_CTX_new");
    SSL_CTX* const ctx = owned.get();
    const int minVersion = settings.minVersion == TlsVersion::Tls13 ? TLS1_3_VERSION : TLS1_2_VERSION;
    if (SSL_CTX_set_min_proto_version(ctx, minVersion) != 1 ||
        SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) != 1)
        return makeOpensslError("minVersion");
    SSL_CTX_set_options(ctx, kOptions);
    // Without NO_AUTO_CHAIN OpenSSL would look for intermediates among the CAs that sign clients' certificates.
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
    SSL_CTX_set_max_early_data(ctx, 0);
    if (!setGroups(ctx)) return makeOpensslError(kGroups);
    const std::string& ciphers = settings.ciphers;
    if (SSL_CTX_set_cipher_list(ctx, ciphers.empty() ? kCiphers : ciphers.c_str()) != 1)
        return makeOpensslError(quoted("ciphers", ciphers));
    const std::string& suites = settings.ciphersuites;
    if (SSL_CTX_set_ciphersuites(ctx, suites.empty() ? kCiphersuites : suites.c_str()) != 1)
        return makeOpensslError(quoted("ciphersuites", suites));
    return owned;
}

Result<std::string> encodeProtocols(const std::vector<std::string>& protocols) {
    std::string encoded;
    for (const std::string& each : protocols) {
        if (each.empty() || each.size() > 255)
            return makeError(std::errc::invalid_argument, quoted("protocols", each));
        encoded += static_cast<char>(static_cast<unsigned char>(each.size()));
        encoded += each;
    }
    return encoded;
}

Status trustFile(SSL_CTX* ctx, const std::vector<X509Ptr_t>& certificates, const std::string& file) {
    X509_STORE* const store = SSL_CTX_get_cert_store(ctx);
    for (const X509Ptr_t& each : certificates) {
        if (X509_STORE_add_cert(store, each.get()) != 1) return makeOpensslError(file);
    }
    X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
    return Done{};
}

}  // namespace tnet
