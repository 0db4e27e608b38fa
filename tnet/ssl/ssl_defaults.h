// ssl_defaults: what the SSL_CTXs of both sides have in common.
//
// Internal to //tnet/ssl. Threads: any.
#pragma once

#include <string>
#include <vector>

#include "tnet/result.h"
#include "tnet/ssl/ssl_handle.h"
#include "tnet/ssl/ssl_settings.h"

namespace tnet {

struct SslProtocolSettings {
    TlsVersion minVersion;
    std::string ciphers;
    std::string ciphersuites;
};

// An SSL_CTX with these, our defaults where they are empty, and without what no connection should have:
// renegotiation, compression, early data, buffers while idle. Errors name the setting.
Result<SslCtxPtr_t> makeSslCtx(const SSL_METHOD* method, const SslProtocolSettings& settings);

// As TLS writes it (RFC 7301 §3.1). Error: a name that is empty or longer than 255 bytes.
Result<std::string> encodeProtocols(const std::vector<std::string>& protocols);

// Trusts the certificates of a PEM file, and no others: those of CAs that are not roots, too.
Status trustFile(SSL_CTX* ctx, const std::vector<X509Ptr_t>& certificates, const std::string& file);

}  // namespace tnet
