// tls_flags: TLS from the command line, for all example servers: --cert, --key, --sni, --client-ca, --client-cert.
//
//     ServerFlags flags;
//     TlsFlags tls(flags);
//     if (const auto exitCode = flags.parse(argc, argv)) return *exitCode;
//     if (const Status loaded = tls.load(); !loaded) ...
//     const auto bound = server.listen(*address, tls.transport());
//     const auto reloader = tls.watchFiles(loop);
//     std::printf("listening on %s://%s\n", tls.scheme(), bound->toString().c_str());
//
// Without any of the flags everything is plain.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "examples/flags.h"
#include "tnet/io_loop.h"
#include "tnet/result.h"
#include "tnet/ssl/ssl_context.h"
#include "tnet/ssl/ssl_reloader.h"
#include "tnet/transport.h"

class TlsFlags {
public:
    static constexpr uint16_t kDefaultPort = 8443;

    // Adds the flags to `flags`. Neither may move until it is parsed.
    explicit TlsFlags(ServerFlags& flags);

    // Before load(): see SslServerSettings::compactConnections.
    void setCompactConnections(bool isCompact) { m_isCompact = isCompact; }

    // After parse(). Errors name the flag or the file, and what is wrong with it.
    tnet::Status load();

    // Once loaded: how to listen, and what URLs of it begin with.
    tnet::TransportFactory_t transport() const;
    const char* scheme() const { return m_context ? "https" : "http"; }

    // As long as the result lives, files that change are loaded anew, for the connections that come then. Looks
    // once a second, on `loop`. Null: nothing to watch.
    std::unique_ptr<tnet::SslReloader> watchFiles(tnet::IOLoop* loop) const;

private:
    tnet::Result<tnet::SslServerSettings> settings() const;

    tnet::SslCertificateFiles m_first{};
    std::vector<tnet::SslCertificateFiles> m_further{};
    std::string m_clientCaFile{};
    tnet::ClientCertificate m_clientCertificate = tnet::ClientCertificate::None;
    bool m_isCompact = false;
    tnet::SslContextPtr_t m_context{};
};
