// TlsSecrets: the application traffic secrets of a TLS 1.3 handshake that OpenSSL does (RFC 8446 §7.1), and the
// codec that goes on with them.
//
// They come the way OpenSSL offers them to key logs (SSL_CTX_set_keylog_callback); nothing is written anywhere.
//
// Internal to //tnet/ssl. Threads: one. Lifetime: until the handshake is complete; overwritten at the end.
#pragma once

#include <openssl/ssl.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "tnet/ssl/ssl_codec.h"
#include "tnet/ssl/tls_key.h"
#include "tnet/ssl/tls_records.h"

namespace tnet {

class TlsSecrets {
public:
    TlsSecrets() = default;
    ~TlsSecrets();
    TlsSecrets(const TlsSecrets&) = delete;
    TlsSecrets& operator=(const TlsSecrets&) = delete;

    static void captureFrom(SSL_CTX* ctx);

    // While it exists, secrets that OpenSSL tells on this thread are those of `into`; and what it puts into the
    // output after the last of them is counted.
    class Capture {
    public:
        Capture(TlsSecrets& into, const SslBuffers& buffers);
        ~Capture();
        Capture(const Capture&) = delete;
        Capture& operator=(const Capture&) = delete;

    private:
        friend class TlsSecrets;
        TlsSecrets& m_secrets;
        const SslBuffers& m_buffers;
        size_t m_countFrom = SIZE_MAX;  // of the output
    };

    // Null where OpenSSL has to go on: TLS 1.2, clients (they get session tickets), and what was negotiated
    // beyond what TlsRecords does.
    std::unique_ptr<TlsRecords> makeRecords(SSL* ssl) const;

private:
    struct Secret {
        std::array<uint8_t, TlsKey::kMaxSecretBytes> bytes{};
        size_t size = 0;
    };

    static void onKeyLog(const SSL* ssl, const char* line);

    Secret m_client{};  // from here on it is told last: its records are the last that OpenSSL begins to open
    Secret m_server{};
    uint64_t m_written = 0;  // records under the server's secret
};

}  // namespace tnet
