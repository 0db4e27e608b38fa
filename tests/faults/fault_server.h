// FaultServer: the server that suffers: HTTP of every kind and WebSocket, on several loops whose threads suffer.
//
// Threads: its maker's. Lifetime: its loops end with it.
#pragma once

#include <cstddef>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "http/server.h"
#include "tnet/address.h"
#include "tnet/transport.h"
#include "websocket/server.h"

namespace tnet {

// Descriptors that this process has open.
size_t openDescriptors();

class FaultServer {
public:
    static constexpr size_t kLoops = 2;

    explicit FaultServer(TransportFactory_t transport = plainTransport, HttpServer::Settings settings = {});
    ~FaultServer();

    // Before the loops start: more routes.
    HttpRouter& router() { return m_server.router(); }
    void start();

    const Address& address() const { return m_address; }
    HttpServer& server() { return m_server; }
    WsTopics& topics() { return *m_ws.topics(); }

private:
    void addRoutes();

    HttpServer m_server;
    WsServer m_ws;
    SharedFilePtr_t m_file;
    Address m_address{};
};

}  // namespace tnet
