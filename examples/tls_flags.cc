#include "examples/tls_flags.h"

#include <chrono>
#include <cstring>
#include <utility>

using namespace tnet;

namespace {

Error usageError(std::string message) {
    return {std::make_error_code(std::errc::invalid_argument), std::move(message)};
}

}  // namespace

TlsFlags::TlsFlags(ServerFlags& flags) {
    flags.add("cert", "FILE", "serve TLS with this certificate and its chain, PEM (default port 8443)",
              [this, &flags](const char* text) {
                  flags.defaultPort = kDefaultPort;
                  m_first.chainFile = text;
                  return true;
              });
    flags.add("key", "FILE", "the certificate's private key, PEM", textInto(m_first.keyFile));
    flags.add("sni", "CERT:KEY", "another pair, for clients that ask for its names; may be repeated",
              [this](const char* text) {
                  const char* const colon = std::strchr(text, ':');
                  if (colon == nullptr || colon == text || colon[1] == '\0') return false;
                  m_further.push_back({.chainFile = {text, colon}, .keyFile = colon + 1});
                  return true;
              });
    flags.add("client-ca", "FILE", "clients show a certificate that one of these signed, PEM",
              textInto(m_clientCaFile));
    flags.add("client-cert", "HOW", "ask: they may; require: they must (default require)",
              [this](const std::string& how) {
                  if (how == "ask") m_clientCertificate = ClientCertificate::Ask;
                  if (how == "require") m_clientCertificate = ClientCertificate::Require;
                  return how == "ask" || how == "require";
              });
}

Result<SslServerSettings> TlsFlags::settings() const {
    const bool hasFirst = !m_first.chainFile.empty();
    if (hasFirst && m_first.keyFile.empty()) return usageError("--cert needs --key");
    if (!hasFirst && !m_first.keyFile.empty()) return usageError("--key needs --cert");
    if (!hasFirst && !m_further.empty()) return usageError("--sni needs --cert and --key");
    const bool wantsClients = m_clientCertificate != ClientCertificate::None;
    if (wantsClients && m_clientCaFile.empty()) return usageError("--client-cert needs --client-ca");
    if (!hasFirst && !m_clientCaFile.empty()) return usageError("--client-ca needs --cert and --key");

    SslServerSettings settings;
    if (!hasFirst) return settings;
    settings.certificates = m_further;
    settings.certificates.insert(settings.certificates.begin(), m_first);
    settings.compactConnections = m_isCompact;
    settings.clientCaFile = m_clientCaFile;
    settings.clientCertificate = m_clientCertificate;
    if (!m_clientCaFile.empty() && !wantsClients) settings.clientCertificate = ClientCertificate::Require;
    return settings;
}

Status TlsFlags::load() {
    auto wanted = settings();
    if (!wanted) return wanted.error();
    if (wanted->certificates.empty()) return Done{};
    auto context = SslContext::createServer(std::move(*wanted));
    if (!context) return context.error();
    m_context = std::move(*context);
    return Done{};
}

TransportFactory_t TlsFlags::transport() const { return m_context ? m_context->accepting() : plainTransport; }

std::unique_ptr<SslReloader> TlsFlags::watchFiles(IOLoop* loop) const {
    if (!m_context) return nullptr;
    return std::make_unique<SslReloader>(loop, m_context, std::chrono::seconds(1));
}
