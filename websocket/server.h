// WsServer: WebSocket routes on an HTTP server, and the topics that their connections share.
//
//     HttpServer http;
//     WsServer ws(http.router());
//     ws.route("/chat/:room", {.onOpen = ..., .onMessage = ...});
//     ws.topics()->publish("room/1", "hello");              // from any thread
//
// It answers the upgrade (RFC 6455 §4.2.2) and hands the connection to a WsConnection; HTTP's middleware runs
// before and may refuse with any status. When the HTTP server drains, all connections are closed with 1001.
//
// Threads: register before the HTTP server starts, from one thread; then connections() from any.
// Lifetime: what it registers lives in the router; the WsServer itself may go before it.
#pragma once

#include <chrono>
#include <memory>
#include <string_view>

#include "http/router.h"
#include "websocket/connection.h"
#include "websocket/route.h"
#include "websocket/topics.h"

namespace tnet {

class WsServer {
public:
    struct Settings {
        WsTopicsPtr_t topics{};                    // null: its own
        std::chrono::milliseconds drainSpread{0};  // a drain closes connections evenly over this time
    };

    explicit WsServer(const HttpRouter& router) : WsServer(router, Settings{}) {}
    WsServer(const HttpRouter& router, Settings settings);

    // False if the route cannot be registered; HttpRouter::status() says why.
    bool route(std::string_view pattern, WsRoute route) {
        return this->route(m_router, pattern, std::move(route));
    }
    // In a group, with its middleware.
    bool route(HttpRouter group, std::string_view pattern, WsRoute route);

    const WsTopicsPtr_t& topics() const { return m_topics; }

    // Open now, on all loops that serve these topics.
    size_t connections() const { return m_topics->connections(); }

private:
    HttpRouter m_router;
    WsTopicsPtr_t m_topics;
};

}  // namespace tnet
