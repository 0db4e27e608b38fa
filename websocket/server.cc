#include "websocket/server.h"

#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "http/headers.h"
#include "tnet/log.h"
#include "tnet/result.h"
#include "websocket/handshake.h"
#include "websocket/loop.h"

namespace tnet {
namespace {

using RoutePtr_t = std::shared_ptr<const WsRoute>;

// What is in order so far; otherwise `refusal` is the answer.
struct Negotiation {
    std::optional<HttpResponse> refusal{};
    WsConnection::Agreement agreement{};
    std::string extensions{};
};

HttpResponse refusalFor(const WsHandshakeVerdict& verdict) {
    HttpResponse response = HttpResponse::error(verdict.status);
    if (verdict.isAboutVersion) response.header("Sec-WebSocket-Version", kWsVersion);  // RFC 6455 §4.4
    if (verdict.status == 426) response.header("Upgrade", "websocket");                // RFC 9110 §15.5.22
    return response;
}

WsDeflateSettings deflateSettings(const WsRoute& route) {
    WsDeflateSettings settings;
    settings.enabled = route.compression != WsCompression::Off;
    settings.sharedWindow = route.compression == WsCompression::Shared;
    if (route.compression == WsCompression::Dedicated) {
        settings.serverMaxWindowBits = route.serverMaxWindowBits;
        settings.clientMaxWindowBits = route.clientMaxWindowBits;
    }
    return settings;
}

// Of a route's settings; null: nothing.
const char* whatIsWrong(const WsRoute& route) {
    const auto isWindow = [](int bits) { return bits >= 9 && bits <= 15; };
    if (!isWindow(route.serverMaxWindowBits)) return "serverMaxWindowBits is not 9 to 15";
    if (!isWindow(route.clientMaxWindowBits)) return "clientMaxWindowBits is not 9 to 15";
    if (!isValidCloseCode(static_cast<uint16_t>(route.overflowCode))) return "overflowCode may not be sent";
    if (route.subprotocols.size() >= UINT16_MAX) return "too many subprotocols";
    for (const std::string& name : route.subprotocols) {
        if (!isToken(name)) return "a subprotocol is not a token";
    }
    return nullptr;
}

WsHandshakeVerdict negotiateInto(Negotiation& result, const WsRoute& route, const HttpHeaders& fields) {
    if (const auto verdict = checkHandshake(fields); !verdict.ok()) return verdict;
    std::string_view subprotocol;
    if (const auto verdict = chooseSubprotocol(fields, route.subprotocols, subprotocol); !verdict.ok())
        return verdict;
    for (size_t i = 0; i < route.subprotocols.size() && !subprotocol.empty(); ++i) {
        if (route.subprotocols[i] == subprotocol) result.agreement.subprotocol = static_cast<uint16_t>(i + 1);
    }
    std::vector<WsExtension> offers;
    if (const auto verdict = parseExtensions(fields, offers); !verdict.ok()) return verdict;
    if (const auto agreed = negotiateDeflate(offers, deflateSettings(route))) {
        result.agreement.deflate = agreed->parameters;
        result.extensions = agreed->answer;
    }
    return {};
}

Negotiation negotiate(const WsRoute& route, const HttpRequest& request) {
    Negotiation result;
    const WsHandshakeVerdict verdict = negotiateInto(result, route, request.headers());
    if (!verdict.ok()) {
        logger().debug("WebSocket handshake refused with {}: {}", verdict.status, verdict.reason);
        result.refusal = refusalFor(verdict);
    } else if (route.checkOrigin && !route.checkOrigin(request.header("Origin"), request)) {
        result.refusal = HttpResponse::error(403);
    }
    return result;
}

void answer(const WsTopicsPtr_t& topics, const RoutePtr_t& route, const HttpRequest& request,
            HttpResponder responder) {
    Negotiation negotiation = negotiate(*route, request);
    if (negotiation.refusal) {
        responder.respond(std::move(*negotiation.refusal));
        return;
    }
    const WsConnection::Agreement& agreement = negotiation.agreement;
    HttpResponse head(101);
    head.header("Sec-WebSocket-Accept", acceptKey(request.header("Sec-WebSocket-Key")));
    if (agreement.subprotocol != 0)
        head.header("Sec-WebSocket-Protocol", route->subprotocols[agreement.subprotocol - 1U]);
    if (!negotiation.extensions.empty()) head.header("Sec-WebSocket-Extensions", negotiation.extensions);
    // Boxed, because what std::function holds must be copyable.
    const auto kept = std::make_shared<std::unique_ptr<WsRequest>>(std::make_unique<WsRequest>(request));
    responder.upgrade(std::move(head), [topics, route, agreement, kept](const ConnectionPtr_t& connection) {
        WsLane& lane = topics->loopFor(*connection->loop())->laneOf(route);
        WsConnection::takeOver(std::make_shared<WsConnection>(lane, agreement, std::move(*kept)), connection);
    });
}

// libcrypto sets itself up when it is used first, and is of no use for the life of the process if there was no memory
// for that: so it is used here, not in the middle of a busy day.
void prepareHandshakes() {
    try {
        acceptKey({});
    } catch (const std::exception& error) {
        logger().warn("WebSocket handshakes may fail: {}", error.what());
    }
}

}  // namespace

WsServer::WsServer(const HttpRouter& router, Settings settings)
    : m_router(router), m_topics(settings.topics ? settings.topics : std::make_shared<WsTopics>()) {
    prepareHandshakes();
    m_router.onDrain([topics = m_topics, spread = settings.drainSpread](IOLoop& loop) {
        topics->loopFor(loop)->drain(spread);
    });
}

bool WsServer::route(HttpRouter group, std::string_view pattern, WsRoute route) {
    if (const char* const wrong = whatIsWrong(route)) {
        return group.reject(
            makeError(std::errc::invalid_argument, "WebSocket route " + std::string(pattern) + ": " + wrong));
    }
    const auto shared = std::make_shared<const WsRoute>(std::move(route));
    return group.upgrade(pattern, "websocket",
                         [topics = m_topics, shared](const HttpRequest& request, HttpResponder responder) {
                             answer(topics, shared, request, std::move(responder));
                         });
}

}  // namespace tnet
