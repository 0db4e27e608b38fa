// openssl_compat: what OpenSSL's versions from 3.0 to 4.0 have under different names, or deprecate.
//
// Internal to //tnet/ssl. Threads: any.
#pragma once

#include <openssl/asn1.h>
#include <openssl/opensslv.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <cstdint>
#include <ctime>
#include <string>

namespace tnet {

// In seconds of the time of day.
inline int64_t madeAt(const SSL_SESSION* session) {
#if OPENSSL_VERSION_NUMBER >= 0x30300000L
    return SSL_SESSION_get_time_ex(session);
#else
    return SSL_SESSION_get_time(session);
#endif
}

// Returns false for a time that cannot be read, too.
inline bool isAfterNow(const ASN1_TIME* time) { return ASN1_TIME_cmp_time_t(time, std::time(nullptr)) == 1; }

// The peer's certificate has to be for this name, which is no address; false: out of memory.
inline bool expectDnsName(SSL* ssl, const std::string& name, unsigned int flags) {
    X509_VERIFY_PARAM* const expected = SSL_get0_param(ssl);
    X509_VERIFY_PARAM_set_hostflags(expected, flags);
    return X509_VERIFY_PARAM_set1_host(expected, name.c_str(), name.size()) == 1;
}

}  // namespace tnet
