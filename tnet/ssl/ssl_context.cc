#include "tnet/ssl/ssl_context.h"

#include <cassert>
#include <mutex>
#include <utility>

#include "tnet/ssl/ssl_client_state.h"
#include "tnet/ssl/ssl_server_state.h"
#include "tnet/ssl/ssl_transport.h"

namespace tnet {
namespace {

using SharedPtr_t = std::shared_ptr<SslTransport::Shared>;

// What reload() exchanges while other threads use it.
template <class State>
class Current {
public:
    using StatePtr_t = std::shared_ptr<const State>;

    explicit Current(StatePtr_t state) : m_state(std::move(state)) {}

    StatePtr_t get() const {
        const std::lock_guard lock(m_mutex);
        return m_state;
    }
    void set(StatePtr_t state) {
        const std::lock_guard lock(m_mutex);
        m_state.swap(state);
    }

private:
    mutable std::mutex m_mutex;
    StatePtr_t m_state;
};

class ServerContext final : public SslContext, public std::enable_shared_from_this<ServerContext> {
public:
    static Result<std::shared_ptr<SslContext>> create(SslServerSettings settings) {
        auto state = load(settings);
        if (!state) return state.error();
        return std::shared_ptr<SslContext>(new ServerContext(std::move(settings), std::move(*state)));
    }

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
        auto state = load(m_settings);
        if (!state) return state.error();
        m_state.set(std::move(*state));
        return Done{};
    }

    std::vector<std::string> files() const override { return {}; }
    SslStats stats() const override { return m_shared->counters.read(); }

private:
    using StatePtr_t = std::shared_ptr<const SslServerState>;

    ServerContext(SslServerSettings settings, StatePtr_t state)
        : m_settings(std::move(settings)), m_state(std::move(state)) {
        m_shared->kernelTls = m_settings.kernelTls;
    }

    static Result<StatePtr_t> load(const SslServerSettings& settings) {
        auto state = SslServerState::create(settings);
        if (!state) return state.error();
        for (SSL_CTX* const ctx : (*state)->contexts()) SslTransport::prepare(ctx);
        return state;
    }

    const SslServerSettings m_settings;
    const SharedPtr_t m_shared = std::make_shared<SslTransport::Shared>();
    Current<SslServerState> m_state;
};

class ClientContext final : public SslContext, public std::enable_shared_from_this<ClientContext> {
public:
    static Result<std::shared_ptr<SslContext>> create(SslClientSettings settings) {
        auto state = load(settings);
        if (!state) return state.error();
        return std::shared_ptr<SslContext>(new ClientContext(std::move(settings), std::move(*state)));
    }

    TransportFactory_t accepting() override {
        assert(false && "accepting() is for a server's context");
        return nullptr;
    }

    TransportFactory_t connectingTo(std::string host) override {
        return [self = shared_from_this(), host = std::move(host)] {
            return SslTransport::create(self->m_state.get()->newSsl(host), self->m_shared);
        };
    }

    Status reload() override {
        auto state = load(m_settings);
        if (!state) return state.error();
        m_state.set(std::move(*state));
        return Done{};
    }

    std::vector<std::string> files() const override { return {}; }
    SslStats stats() const override { return m_shared->counters.read(); }

private:
    using StatePtr_t = std::shared_ptr<const SslClientState>;

    ClientContext(SslClientSettings settings, StatePtr_t state)
        : m_settings(std::move(settings)), m_state(std::move(state)) {}

    static Result<StatePtr_t> load(const SslClientSettings& settings) {
        auto state = SslClientState::create(settings);
        if (!state) return state.error();
        SslTransport::prepare((*state)->context());
        return state;
    }

    const SslClientSettings m_settings;
    const SharedPtr_t m_shared = std::make_shared<SslTransport::Shared>();
    Current<SslClientState> m_state;
};

}  // namespace

Result<std::shared_ptr<SslContext>> SslContext::createServer(SslServerSettings settings) {
    return ServerContext::create(std::move(settings));
}

Result<std::shared_ptr<SslContext>> SslContext::createClient(SslClientSettings settings) {
    return ClientContext::create(std::move(settings));
}

}  // namespace tnet
