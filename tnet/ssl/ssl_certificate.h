// SslCertificate: a certificate with its chain, key, and stapled OCSP response, loaded from files and found to
// belong together.
//
// Internal to //tnet/ssl. Threads: immutable once loaded. Lifetime: an SSL or SSL_CTX that uses it has its own
// references.
#pragma once

#include <string>
#include <vector>

#include "tnet/result.h"
#include "tnet/ssl/ssl_handle.h"
#include "tnet/ssl/ssl_settings.h"
#include "tnet/ssl/ssl_staple.h"

namespace tnet {

// All certificates of a PEM file; at least one. Errors name the file and OpenSSL's reason.
Result<std::vector<X509Ptr_t>> loadCertificates(const std::string& file);

class SslCertificate {
public:
    // Errors name the file and what is wrong with it: it cannot be read, it is no PEM, the key is not the
    // certificate's.
    static Result<SslCertificate> load(const SslCertificateFiles& files);

    // Shows it, along with others whose keys are of other types. Errors: OpenSSL does not like it, a key that
    // is too small for one.
    Status use(SSL_CTX* ctx) const;
    bool use(SSL* ssl) const;

    X509* leaf() const { return m_leaf.get(); }
    int keyType() const { return EVP_PKEY_get_base_id(m_key.get()); }  // EVP_PKEY_EC, EVP_PKEY_RSA, ...
    const std::vector<std::string>& dnsNames() const { return m_dnsNames; }
    const SslStaple& staple() const { return m_staple; }

private:
    SslCertificate() = default;

    std::string m_chainFile{};
    X509Ptr_t m_leaf{};
    X509ChainPtr_t m_intermediates{};  // without the root: whoever trusts it has it (RFC 8446 §4.4.2)
    PrivateKeyPtr_t m_key{};
    std::vector<std::string> m_dnsNames{};  // of subjectAltName; as they are there
    SslStaple m_staple{};
};

}  // namespace tnet
