#include "http/server.h"

#include <algorithm>
#include <csignal>
#include <memory>
#include <thread>
#include <utility>

#include "tnet/ignore_sig_pipe.h"
#include "tnet/log.h"
#include "tnet/signaler.h"

namespace tnet {
namespace {

// How long an HTTP connection may be quiet depends on what it waits for, which HTTP knows.
TcpServer::Settings withoutIdleTimeout(TcpServer::Settings settings) {
    settings.checker.idleTimeout = std::chrono::milliseconds::zero();
    return settings;
}

}  // namespace

HttpServer::HttpServer(const Settings& settings)
    : m_parts(std::make_shared<Parts>(settings.limits)), m_server(withoutIdleTimeout(settings.tcp)) {
    const size_t perSecond = settings.limits.addressRequestsPerSecond;
    if (perSecond == 0) return;
    const size_t burst =
        settings.limits.addressRequestBurst > 0 ? settings.limits.addressRequestBurst : perSecond;
    m_parts->addressRate = std::make_unique<AddressRate>(perSecond, burst);
}

HttpServer::~HttpServer() = default;

int HttpServer::run(std::string_view address) { return run(address, RunOptions{}); }

int HttpServer::run(std::string_view address, const RunOptions& options) {
    const Status served = serveUntilSignal(address, options);
    if (served) return 0;
    logger().critical("{}", served.error().message);  // waits until it is written: the program ends
    return 1;
}

Status HttpServer::serveUntilSignal(std::string_view address, const RunOptions& options) {
    const auto parsed = Address::parse(address);
    if (!parsed) return parsed.error();
    const IgnoreSigPipe ignoreSigPipe;
    const auto loop = IOLoop::create();
    if (!loop) return loop.error();
    // Before the threads, and before anybody can connect: a signal that comes early is not lost.
    const auto signaler = Signaler::create(loop->get(), {SIGINT, SIGTERM}, [&](int) { (*loop)->stop(); });
    if (!signaler) return signaler.error();
    const auto bound = listen(*parsed, options.transport);
    if (!bound) return bound.error();
    const size_t cores = std::max(1U, std::thread::hardware_concurrency());
    if (Status started = start(options.threads > 0 ? options.threads : cores); !started) return started;
    logger().info("listening on {}", bound->toString());
    (*loop)->start();
    const size_t forced = drain(options.drainTime);
    if (forced > 0) logger().warn("{} connections were cut off", forced);
    return Done{};
}

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
    if (const Status routes = m_parts->router.status(); !routes) return routes;
    m_parts->router.freeze();
    if (!m_server.loops().empty()) return Done{};  // start says that it has started already
    m_server.setServiceFactory([parts = m_parts](IOLoop* loop) {
        return std::make_unique<HttpService>(loop, parts->router, parts->limits, parts->accessLog,
                                             parts->addressRate.get());
    });
    return Done{};
}

}  // namespace tnet
