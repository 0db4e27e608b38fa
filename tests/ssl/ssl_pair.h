// ssl_pair: a client and a server in memory, each an SSL, joined by pipes of bytes.
//
//     SslPair pair(client.newSsl("localhost"), server.newSsl());
//     ASSERT_TRUE(pair.handshake());
//
// Threads: the test's own. Lifetime: the SSLs are the pair's.
#pragma once

#include <string>
#include <string_view>

#include "tnet/ssl/ssl_handle.h"

namespace tnet {

class SslPair {
public:
    SslPair(SslPtr_t client, SslPtr_t server);

    // Until both are done, or one has failed; then what TLS 1.3 sends after the handshake (tickets, or the
    // alert that refuses the client's certificate) has reached the client. False: one has failed.
    bool handshake();

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
    std::string m_clientError{};
    std::string m_serverError{};
};

}  // namespace tnet
