// ssl_pair: a client and a server in memory, each an SSL, joined by pipes of bytes.
//
//     const auto server = makeSslServer({.certificates = {pki.files("localhost")}});
//     const auto client = makeSslClient({.caFile = pki.caFile()});
//     SslPair pair(newSsl(client, "localhost"), server->newSsl());
//     ASSERT_TRUE(pair.handshake());
//
// Threads: the test's own. Lifetime: the SSLs are the pair's.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "tnet/ssl/ssl_client_state.h"
#include "tnet/ssl/ssl_handle.h"
#include "tnet/ssl/ssl_server_state.h"

namespace tnet {

using SslServerStatePtr_t = std::shared_ptr<const SslServerState>;
using SslClientStatePtr_t = std::shared_ptr<const SslClientState>;

// They throw what create() says against the settings, which ends the test.
SslServerStatePtr_t makeSslServer(const SslServerSettings& settings, SslTicketKeysPtr_t ticketKeys = nullptr);
SslClientStatePtr_t makeSslClient(const SslClientSettings& settings);

SslPtr_t newSsl(const SslClientStatePtr_t& client, const std::string& host);

// For a client that offers just one version, or asks for a name as it is.
SslPtr_t withVersion(SslPtr_t ssl, TlsVersion version);
SslPtr_t withServerName(SslPtr_t ssl, const std::string& name);

class SslPair {
public:
    SslPair(SslPtr_t client, SslPtr_t server);
    SslPair(const SslPair&) = delete;
    SslPair& operator=(const SslPair&) = delete;

    // Until both are done, or one has failed; then what TLS 1.3 sends after the handshake (tickets, or the
    // alert that refuses the client's certificate) has reached the client. False: one has failed.
    bool handshake();

    // Called with the type of each extension in, or of each handshake message of, what the server sends.
    void onServerExtension(std::function<void(unsigned int type)> observe);
    void onServerMessage(std::function<void(int type)> observe);

    // What the server sends (client sends) reaches the other. Empty if anything fails.
    std::string fromServer(std::string_view bytes);
    std::string fromClient(std::string_view bytes);

    SSL* client() const { return m_client.get(); }
    SSL* server() const { return m_server.get(); }

    // What the side that failed first said: "certificate has expired"; the client's and the server's.
    const std::string& clientError() const { return m_clientError; }
    const std::string& serverError() const { return m_serverError; }

private:
    SslPtr_t m_client;
    SslPtr_t m_server;
    std::function<void(unsigned int type)> m_onExtension{};
    std::function<void(int type)> m_onMessage{};
    std::string m_clientError{};
    std::string m_serverError{};
};

}  // namespace tnet
