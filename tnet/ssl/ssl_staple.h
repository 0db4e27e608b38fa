// SslStaple: an OCSP response, as its CA gave it, to show with a certificate (RFC 6066 §8).
//
// Internal to //tnet/ssl. Threads: immutable once loaded.
#pragma once

#include <openssl/x509.h>

#include <cstdint>
#include <string>

#include "tnet/result.h"

namespace tnet {

class SslStaple {
public:
    // The response in the DER `file`. Errors name the file: it cannot be read, it is no OCSP response, the
    // response is not a successful one, or not for `certificate`.
    static Result<SslStaple> load(const std::string& file, X509* certificate);

    SslStaple() = default;  // none

    const std::string& der() const { return m_der; }

    // False if there is none, and from its nextUpdate on: clients refuse an old one, but not the lack of one.
    // `now` is in seconds of the time of day.
    bool isCurrent(int64_t now) const { return !m_der.empty() && now < m_until; }

private:
    std::string m_der{};
    int64_t m_until = INT64_MAX;
};

}  // namespace tnet
