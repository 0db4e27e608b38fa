#include "http/server.h"

#include <memory>
#include <utility>

namespace tnet {
namespace {

// How long an HTTP connection may be quiet depends on what it waits for, which HTTP knows.
TcpServer::Settings withoutIdleTimeout(TcpServer::Settings settings) {
    settings.checker.idleTimeout = std::chrono::milliseconds::zero();
    return settings;
}

}  // namespace

HttpServer::HttpServer(const Settings& settings)
    : m_limits(settings.limits), m_server(withoutIdleTimeout(settings.tcp)) {
    const size_t perSecond = m_limits.addressRequestsPerSecond;
    if (perSecond == 0) return;
    const size_t burst = m_limits.addressRequestBurst > 0 ? m_limits.addressRequestBurst : perSecond;
    m_addressRate = std::make_unique<AddressRate>(perSecond, burst);
}

HttpServer::~HttpServer() = default;

Result<Address> HttpServer::listen(const Address& address, TransportFactory_t transport) {
    return m_server.listen(address, std::move(transport));
}

Result<Address> HttpServer::listen(FileDescriptor socket, TransportFactory_t transport) {
    return m_server.listen(std::move(socket), std::move(transport));
}

Status HttpServer::start(size_t threads) {
    if (const Status ready = prepare(); !ready) return ready;
    return m_server.start(threads);
}

Status HttpServer::attach(IOLoop* loop) {
    if (const Status ready = prepare(); !ready) return ready;
    return m_server.attach(loop);
}

Status HttpServer::prepare() {
    if (const Status routes = m_router.status(); !routes) return routes;
    m_router.freeze();
    m_server.setServiceFactory([this](IOLoop* loop) {
        return std::make_unique<HttpService>(loop, m_router, m_limits, m_accessLog, m_addressRate.get());
    });
    return Done{};
}

}  // namespace tnet
