// SslContext: what a listener's or a connector's TLS connections have in common: certificates, versions,
// ciphers, whom to trust; and the factory that puts TLS under a connection.
//
//     SslServerSettings settings;
//     settings.certificates = {{.chainFile = "fullchain.pem", .keyFile = "privkey.pem"}};
//     auto context = SslContext::createServer(settings);
//     if (!context) ...                                     // names the file and OpenSSL's reason
//     server.listen(address, (*context)->accepting());
//
//     auto trust = SslContext::createClient({});            // the system's trust store
//     Connector connector(loop, {.transport = (*trust)->connectingTo("example.org")});
//
// Nothing above the transport changes: Conn_EstablishedEvent and Conn_ConnectEvent come after the handshake.
//
// Threads: any, one context serves all loops. Lifetime: shared; the factories and the connections hold it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tnet/result.h"
#include "tnet/ssl/ssl_settings.h"
#include "tnet/ssl/ssl_stats.h"
#include "tnet/transport.h"

namespace tnet {

class SslContext {
public:
    // Errors name the file, or the setting, and OpenSSL's reason.
    static Result<std::shared_ptr<SslContext>> createServer(SslServerSettings settings);
    static Result<std::shared_ptr<SslContext>> createClient(SslClientSettings settings);
    virtual ~SslContext() = default;
    SslContext(const SslContext&) = delete;
    SslContext& operator=(const SslContext&) = delete;

    // For TcpServer::listen and HttpServer::listen. Only of a server's context.
    virtual TransportFactory_t accepting() = 0;

    // For Connector::Settings. `host` is a name (it is asked for by SNI) or an IP address, without port; the
    // server's certificate must be for it. Only of a client's context.
    virtual TransportFactory_t connectingTo(std::string host) = 0;

    // Reads all files again. Connections made from now on use them; those that exist keep what they have, and
    // so does everybody if there is an error. Any thread; never drops a connection.
    virtual Status reload() = 0;

    // The names of the files that it is made from.
    virtual std::vector<std::string> files() const = 0;

    virtual SslStats stats() const = 0;

protected:
    SslContext() = default;
};
using SslContextPtr_t = std::shared_ptr<SslContext>;

}  // namespace tnet
