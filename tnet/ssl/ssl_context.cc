#include "tnet/ssl/ssl_context.h"

#include <openssl/evp.h>

#include <cassert>
#include <utility>

#include "tnet/ssl/ssl_client_state.h"
#include "tnet/ssl/ssl_current.h"
#include "tnet/ssl/ssl_server_state.h"
#include "tnet/ssl/ssl_ticket_keys.h"
#include "tnet/ssl/ssl_transport.h"

namespace tnet {
namespace {

void addFile(std::vector<std::string>& files, const std::string& file) {
    if (!file.empty()) files.push_back(file);
}

void addFiles(std::vector<std::string>& files, const SslCertificateFiles& certificate) {
    addFile(files, certificate.chainFile);
    addFile(files, certificate.keyFile);
    addFile(files, certificate.ocspFile);
}

std::shared_ptr<SslTransport::Shared> makeShared(const SslServerSettings& settings) {
    auto shared = std::make_shared<SslTransport::Shared>();
    shared->isCompact = settings.compactConnections;
    shared->kernelTls = settings.kernelTls;
    shared->plainAnswer = settings.plainAnswer;
    return shared;
}

// What is FIPS-validated includes the key schedule and the records: ours are not.
Status checkCompact(const SslServerSettings& settings) {
    if (settings.kernelTls && !settings.compactConnections)
        return makeError(std::errc::invalid_argument, "kernelTls: needs compactConnections");
    if (settings.compactConnections && EVP_default_properties_is_fips_enabled(nullptr) == 1)
        return makeError(
            std::errc::not_supported,
            "compactConnections: OpenSSL is set up for FIPS, and the records of compact connections "
            "are not OpenSSL's");
    return Done{};
}

class ServerContext final : public SslContext, public std::enable_shared_from_this<ServerContext> {
public:
    static Result<SslContextPtr_t> create(SslServerSettings settings) {
        if (const Status checked = checkCompact(settings); !checked) return checked.error();
        SslTicketKeysPtr_t keys;
        if (settings.ticketLifetime > std::chrono::seconds::zero()) {
            auto made = SslTicketKeys::create(settings.ticketLifetime);
            if (!made) return made.error();
            keys = std::move(*made);
        }
        auto state = load(settings, keys);
        if (!state) return state.error();
        return SslContextPtr_t(
            std::make_shared<ServerContext>(std::move(settings), std::move(keys), std::move(*state)));
    }

    using StatePtr_t = std::shared_ptr<const SslServerState>;
    ServerContext(SslServerSettings settings, SslTicketKeysPtr_t keys, StatePtr_t state)
        : m_settings(std::move(settings)),
          m_ticketKeys(std::move(keys)),
          m_shared(makeShared(m_settings)),
          m_state(std::move(state)) {}

    TransportFactory_t accepting() override {
        return [self = shared_from_this()] {
            return SslTransport::create(self->m_state.get()->newSsl(), self->m_shared);
        };
    }

    TransportFactory_t connectingTo(std::string) override {
        assert(false && "connectingTo() is for a client's context");
        return nullptr;
    }

    Status reload() override {
        return m_state.reload([this] { return load(m_settings, m_ticketKeys); });
    }

    std::vector<std::string> files() const override {
        std::vector<std::string> all;
        for (const SslCertificateFiles& each : m_settings.certificates) addFiles(all, each);
        addFile(all, m_settings.clientCaFile);
        return all;
    }

    SslStats stats() const override { return m_shared->counters.read(); }

private:
    static Result<StatePtr_t> load(const SslServerSettings& settings, const SslTicketKeysPtr_t& keys) {
        auto state = SslServerState::create(settings, keys);
        if (state && settings.compactConnections) SslTransport::prepareCompact((*state)->context());
        return state;
    }

    const SslServerSettings m_settings;
    const SslTicketKeysPtr_t m_ticketKeys;  // null: no tickets
    const std::shared_ptr<SslTransport::Shared> m_shared;
    SslCurrent<SslServerState> m_state;
};

class ClientContext final : public SslContext, public std::enable_shared_from_this<ClientContext> {
public:
    static Result<SslContextPtr_t> create(SslClientSettings settings) {
        auto state = SslClientState::create(settings);
        if (!state) return state.error();
        return SslContextPtr_t(std::make_shared<ClientContext>(std::move(settings), std::move(*state)));
    }

    using StatePtr_t = std::shared_ptr<const SslClientState>;
    ClientContext(SslClientSettings settings, StatePtr_t state)
        : m_settings(std::move(settings)),
          m_shared(std::make_shared<SslTransport::Shared>()),
          m_state(std::move(state)) {}

    TransportFactory_t accepting() override {
        assert(false && "accepting() is for a server's context");
        return nullptr;
    }

    TransportFactory_t connectingTo(std::string host) override {
        return [self = shared_from_this(), host = std::make_shared<const SslHost>(std::move(host))] {
            return SslTransport::create(self->m_state.get()->newSsl(host), self->m_shared);
        };
    }

    Status reload() override {
        return m_state.reload([this] { return SslClientState::create(m_settings); });
    }

    std::vector<std::string> files() const override {
        std::vector<std::string> all;
        addFiles(all, m_settings.certificate);
        addFile(all, m_settings.caFile);
        return all;
    }

    SslStats stats() const override { return m_shared->counters.read(); }

private:
    const SslClientSettings m_settings;
    const std::shared_ptr<SslTransport::Shared> m_shared;
    SslCurrent<SslClientState> m_state;
};

}  // namespace

Result<std::shared_ptr<SslContext>> SslContext::createServer(SslServerSettings settings) {
    return ServerContext::create(std::move(settings));
}

Result<std::shared_ptr<SslContext>> SslContext::createClient(SslClientSettings settings) {
    return ClientContext::create(std::move(settings));
}

}  // namespace tnet
