// HttpServer: an HTTP/1.1 server: routes, limits, listeners, loops.
//
//     HttpServer server;
//     server.router().get("/", [](const HttpRequest&) { return HttpResponse::text("Hello, World!"); });
//     if (auto bound = server.listen(*Address::parse("0.0.0.0:8080")); !bound) ...
//     server.start(2);
//     ...
//     server.drain(std::chrono::seconds(10));
//
// Threads: all functions from the thread that made it; handlers run on the loops' threads, so they must
// be safe to run on several at once. Lifetime: what the handlers refer to must outlive the server;
// responders may outlive it, and are inert then.
#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "http/router.h"
#include "http/service.h"
#include "http/types.h"
#include "tnet/address_rate.h"
#include "tnet/socket.h"
#include "tnet/tcp_server.h"

namespace tnet {

class HttpServer {
public:
    struct Settings {
        HttpLimits limits{};
        TcpServer::Settings tcp{};  // the checker's idle timeout is ignored: limits.idleTimeout rules
    };

    HttpServer() : HttpServer(Settings{}) {}
    explicit HttpServer(const Settings& settings);
    ~HttpServer();  // stop()

    HttpServer(const HttpServer&) = delete;
    HttpServer& operator=(const HttpServer&) = delete;

    // Register routes here, before start.
    HttpRouter& router() { return m_router; }

    // Called for each answered or refused request, on its loop's thread. Must not throw. Before start.
    void setAccessLog(HttpAccessCallback_t callback) { m_accessLog = std::move(callback); }

    // As TcpServer's. start and attach also fail with the first route that could not be registered.
    Result<Address> listen(const Address& address, TransportFactory_t transport = plainTransport);
    Result<Address> listen(FileDescriptor socket, TransportFactory_t transport = plainTransport);
    Status start(size_t threads);
    Status attach(IOLoop* loop);

    // As TcpServer's.
    std::vector<int> handOver() { return m_server.handOver(); }

    // Lets nobody new connect, answers what has arrived or still arrives with Connection: close, closes what stays
    // quiet for limits.drainTime, and stops when all are gone or `deadline` is over. Returns how many had to be
    // closed by force. docs/operations.md says what clients see.
    size_t drain(std::chrono::milliseconds deadline) { return m_server.drain(deadline); }
    void beginDrain() { m_server.beginDrain(); }
    void stop() { m_server.stop(); }

    size_t connections() const { return m_server.connections(); }
    std::vector<IOLoop*> loops() const { return m_server.loops(); }

private:
    Status prepare();

    HttpLimits m_limits;
    HttpRouter m_router;
    HttpAccessCallback_t m_accessLog;
    std::unique_ptr<AddressRate> m_addressRate;  // null: no limit
    TcpServer m_server;                          // last: its loops use the others
};

}  // namespace tnet
