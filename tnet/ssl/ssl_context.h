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

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tnet/result.h"
#include "tnet/ssl/ssl_stats.h"
#include "tnet/transport.h"

namespace tnet {

enum class TlsVersion : uint8_t { Tls12, Tls13 };

// A certificate with what belongs to it, as files.
struct SslCertificateFiles {
    std::string chainFile;   // PEM: the certificate first, then its intermediates
    std::string keyFile;     // PEM, not encrypted
    std::string ocspFile{};  // DER: an OCSP response to staple (RFC 6066 §8); empty: none
};

enum class ClientCertificate : uint8_t {
    None,     // not asked for
    Ask,      // verified if the client shows one; a wrong one fails the handshake
    Require,  // no handshake without
};

struct SslServerSettings {
    // The names in a certificate (subjectAltName) choose it by SNI: exact before wildcard. The first one serves
    // clients that ask for no name or for one that no certificate has. At least one.
    std::vector<SslCertificateFiles> certificates;

    TlsVersion minVersion = TlsVersion::Tls12;
    std::string ciphers;       // of TLS 1.2, OpenSSL's syntax; empty: ECDHE with AES-GCM or ChaCha20
    std::string ciphersuites;  // of TLS 1.3; empty: all three
    std::vector<std::string> protocols = {"http/1.1"};  // ALPN, by preference; empty: not negotiated

    ClientCertificate clientCertificate = ClientCertificate::None;
    std::string clientCaFile;  // PEM: who may sign clients' certificates. Needed by Ask and Require.

    // Session tickets (RFC 5077, RFC 8446 §4.6.1); zero: none. Their keys are this process's own, change
    // every `ticketLifetime`, and an old one is taken for one lifetime more.
    std::chrono::seconds ticketLifetime{std::chrono::hours(12)};

    bool kernelTls = false;  // where kernel and OpenSSL have it; otherwise silently the ordinary way
};

struct SslClientSettings {
    std::string caFile;               // PEM; empty: the system's trust store
    bool verifyPeer = true;           // false: anybody may be at the other end. For tests.
    SslCertificateFiles certificate;  // to show when asked; empty: none
    TlsVersion minVersion = TlsVersion::Tls12;
    std::string ciphers;
    std::string ciphersuites;
    std::vector<std::string> protocols;  // ALPN offers; empty: none
    bool resumeSessions = true;          // per host, the newest session; at most 1024 hosts
};

class SslContext : public std::enable_shared_from_this<SslContext> {
public:
    // Errors name the file, or the setting, and OpenSSL's reason.
    static Result<std::shared_ptr<SslContext>> createServer(SslServerSettings settings);
    static Result<std::shared_ptr<SslContext>> createClient(SslClientSettings settings);
    virtual ~SslContext() = default;
    SslContext(const SslContext&) = delete;
    SslContext& operator=(const SslContext&) = delete;

    // For TcpServer::listen and HttpServer::listen. Only of a server's context.
    TransportFactory_t accepting();

    // For Connector::Settings. `host` is a name (it is asked for by SNI) or an IP address, without port; the
    // server's certificate must be for it. Only of a client's context.
    TransportFactory_t connectingTo(std::string host);

    // Reads all files again. Connections made from now on use them; those that exist keep what they have, and
    // so does everybody if there is an error. Any thread; never drops a connection.
    Status reload();

    SslStats stats() const;
};
using SslContextPtr_t = std::shared_ptr<SslContext>;

}  // namespace tnet
