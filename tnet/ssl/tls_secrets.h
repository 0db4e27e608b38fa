// TlsSecrets: what goes on after a TLS 1.3 server's handshake without OpenSSL's connection object needs to know of
// it: the application traffic secrets (RFC 8446 §7.1), and which extensions were negotiated.
//
// The secrets come the way OpenSSL offers them to key logs (SSL_CTX_set_keylog_callback); nothing is written
// anywhere. The extensions are read in the ServerHello and the EncryptedExtensions that OpenSSL sends: only what a
// server answers there is negotiated.
//
// Internal to //tnet/ssl. Threads: one. Lifetime: until the handshake is complete, and not longer than its SSL; the
// secrets are overwritten at the end.
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
    // `ssl` is a server's, and its handshake has not begun; its message callback is taken.
    explicit TlsSecrets(SSL* ssl);
    ~TlsSecrets();
    TlsSecrets(const TlsSecrets&) = delete;
    TlsSecrets& operator=(const TlsSecrets&) = delete;

    // Once for each SSL_CTX.
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

    // Once the handshake is complete. Null where OpenSSL has to go on: with TLS 1.2, and wherever an extension was
    // negotiated that is not known here to change nothing about the records or messages after the handshake.
    std::unique_ptr<TlsRecords> makeRecords() const;

private:
    struct Secret {
        std::array<uint8_t, TlsKey::kMaxSecretBytes> bytes{};
        size_t size = 0;
    };
    enum class Extensions : uint8_t { NotSeen, Known, Unknown };

    static void onKeyLog(const SSL* ssl, const char* line);
    static void onMessage(int isSent, int version, int contentType, const void* bytes, size_t size, SSL* ssl,
                          void* self);
    void noteMessage(std::string_view message);

    SSL* const m_ssl;
    Extensions m_extensions = Extensions::NotSeen;
    Secret m_client{};  // from here on it is told last: its records are the last that OpenSSL begins to open
    Secret m_server{};
    uint64_t m_written = 0;  // records under the server's secret
};

}  // namespace tnet
