// HttpServer: an HTTP/1.1 server: routes, limits, listeners, loops.
//
//     HttpServer server;
//     server.router().get("/", [](const HttpRequest&) { return HttpResponse::text("Hello, World!"); });
//     return server.run("0.0.0.0:8080");
//
// or, where the program has more to do than to serve:
//
//     if (auto bound = server.listen(*Address::parse("0.0.0.0:8080")); !bound) ...
//     if (auto started = server.start(2); !started) ...
//     ...
//     server.drain(std::chrono::seconds(10));
//
// Threads: all functions from the thread that made it; handlers run on the loops' threads, so they must
// be safe to run on several at once. Lifetime: what the handlers refer to must outlive the server;
// responders may outlive it, and are inert then. With attach it may be stopped and destroyed in a handler: see
// TcpServer::stop; routes and handlers stay until the loop has told the end of every connection.
#pragma once

#include <chrono>
#include <memory>
#include <string_view>
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

    struct RunOptions {
        size_t threads = 0;  // zero: one per core
        // For how long SIGINT or SIGTERM lets requests that are under way be finished, as drain().
        std::chrono::milliseconds drainTime{10000};
        TransportFactory_t transport = plainTransport;
    };

    HttpServer() : HttpServer(Settings{}) {}
    explicit HttpServer(const Settings& settings);
    ~HttpServer();  // stop()

    HttpServer(const HttpServer&) = delete;
    HttpServer& operator=(const HttpServer&) = delete;

    // Register routes here, before start.
    HttpRouter& router() { return m_parts->router; }

    // Called for each answered or refused request, on its loop's thread. Must not throw. Before start.
    void setAccessLog(HttpAccessCallback_t callback) { m_parts->accessLog = std::move(callback); }

    // A whole program: listens on `address` (tnet/address.h; and on what was given to listen() before), serves with a
    // loop per core, drains on SIGINT or SIGTERM, and returns what main should: 0, or 1 after logging what
    // could not be done. SIGPIPE is ignored from then on. Once.
    int run(std::string_view address);
    int run(std::string_view address, const RunOptions& options);

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
    // What the services refer to. They share it, since they may outlive the server (TcpServer::stop in a callback).
    struct Parts {
        explicit Parts(const HttpLimits& all) : limits(all) {}

        const HttpLimits limits;
        HttpRouter router{};
        HttpAccessCallback_t accessLog{};
        std::unique_ptr<AddressRate> addressRate{};  // null: no limit
    };

    Status prepare();
    Status serveUntilSignal(std::string_view address, const RunOptions& options);

    const std::shared_ptr<Parts> m_parts;
    TcpServer m_server;
};

}  // namespace tnet
