// SslCertificate: a certificate with its chain, key, and stapled OCSP response, loaded from files and found to
// belong together.
//
// Internal to //tnet/ssl. Threads: immutable once loaded. Lifetime: an SSL_CTX that uses it has its own references.
#pragma once

#include <string>
#include <vector>

#include "tnet/result.h"
#include "tnet/ssl/ssl_handle.h"
#include "tnet/ssl/ssl_settings.h"

namespace tnet {

class SslCertificate {
public:
    // Errors name the file and what is wrong with it: it cannot be read, it is no PEM, the key is not the
    // certificate's.
    static Result<SslCertificate> load(const SslCertificateFiles& files);

    // Makes `ctx` show it. Errors: OpenSSL does not like it, a key that is too small for one.
    Status use(SSL_CTX* ctx) const;

private:
    SslCertificate() = default;

    std::string m_chainFile{};
    X509Ptr_t m_leaf{};
    std::vector<X509Ptr_t> m_intermediates{};  // without the root: whoever trusts it has it (RFC 8446 §4.4.2)
    PrivateKeyPtr_t m_key{};
};

}  // namespace tnet
