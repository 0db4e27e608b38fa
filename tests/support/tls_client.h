// TlsClient: OpenSSL's client in memory, for what is scripted: bytes in, bytes out, no descriptor.
//
//     TlsClient client(TlsVersion::Tls13);
//     std::string hello = client.takeOutput();           // to the server
//     client.feed(flight);                               // from the server
//     ...
//     client.send("GET / HTTP/1.1\r\n\r\n");             // a record of its own
//     client.takeOutput();
//     client.feed(records);
//     client.takeReceived();                             // what the records said
//
// It verifies nothing: who the server is, is tested elsewhere.
//
// Threads: one. Lifetime: copies everything.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "tnet/ssl/ssl_handle.h"
#include "tnet/ssl/ssl_settings.h"

namespace tnet {

class TlsClient {
public:
    // `version` is the only one it speaks. `setUp` may change what is offered. A session goes on.
    explicit TlsClient(TlsVersion version, const std::function<void(SSL_CTX*)>& setUp = {},
                       SSL_SESSION* session = nullptr);

    // Any other end, a server's, too: `ssl` knows which, and has no BIO.
    explicit TlsClient(SslPtr_t ssl);

    // The server's bytes: handshakes as far as they go, then opens the records behind.
    void feed(std::string_view records);

    // Seals; nothing before the handshake is complete. send: one record.
    void send(std::string_view bytes);
    void sendCloseNotify();
    void sendKeyUpdate(bool askForTheirs);  // TLS 1.3

    std::string takeOutput();    // for the server
    std::string takeReceived();  // what it said

    bool isEstablished() const { return m_established; }
    bool sawCloseNotify() const { return (SSL_get_shutdown(m_ssl.get()) & SSL_RECEIVED_SHUTDOWN) != 0; }
    const std::string& error() const { return m_error; }  // empty: all is well
    SSL* ssl() const { return m_ssl.get(); }

private:
    void begin();
    void advance();
    void noteError(int result);

    SslCtxPtr_t m_ctx;
    SslPtr_t m_ssl;
    BIO* m_in = nullptr;   // } of m_ssl
    BIO* m_out = nullptr;  // }
    bool m_established = false;
    std::string m_received{};
    std::string m_error{};
};

}  // namespace tnet
