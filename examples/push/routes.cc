#include "examples/push/routes.h"

#include <optional>
#include <string>
#include <utility>

#include "examples/push/message.h"
#include "examples/push/page.h"
#include "websocket/topic_tree.h"
#include "websocket/utf8.h"

namespace tnet {
namespace {

HttpResponse refusal(int status) {
    if (status == 401)
        return HttpResponse::error(401).header("WWW-Authenticate", R"(Bearer realm="publish")");
    return HttpResponse::text("not with this token, or not from this page, or publishing is off\n", status);
}

void publish(PushHub& hub, PushMetrics& metrics, const PushAccess& access, size_t maxMessageBytes,
             const HttpRequest& request, HttpResponder responder) {
    if (const int status = access.refusePublish(request); status != 0) {
        ++metrics.refused;
        return void(responder.respond(refusal(status)));
    }
    if (!isValidTopic(request.param("topic")))
        return void(responder.respond(HttpResponse::text("malformed topic\n", 400)));
    if (request.body().size() > maxMessageBytes) return void(responder.respond(HttpResponse::error(413)));
    if (!isValidUtf8(request.body())) return void(responder.respond(HttpResponse::text("not UTF-8\n", 400)));
    std::string topic(request.param("topic"));
    std::string data(request.body());
    hub.publish(std::move(topic), std::move(data), std::move(responder));
}

void events(PushHub& hub, const PushAccess& access, const HttpRequest& request, HttpResponder responder) {
    if (!access.allowsOrigin(request)) return void(responder.respond(HttpResponse::error(403)));
    if (!isValidTopic(request.param("topic")))
        return void(responder.respond(HttpResponse::text("malformed topic\n", 400)));
    // The header is the browser's own and newer than the address it began with.
    std::string last(request.header("Last-Event-ID"));
    if (last.empty()) last = request.queryParam("after").value_or("");
    const std::optional<uint64_t> after = parseMessageId(last);
    if (!last.empty() && !after) return void(responder.respond(HttpResponse::text("malformed id\n", 400)));

    HttpResponse head(200);
    head.header("Content-Type", "text/event-stream").header("Cache-Control", "no-store");
    head.header("X-Accel-Buffering", "no");  // nginx would collect events before it passes them on
    // The answer to HEAD has no body that could last.
    if (request.method() == HttpMethod::Head) return void(responder.respond(std::move(head)));
    std::string topic(request.param("topic"));
    hub.stream(std::move(topic), after, std::move(head), std::move(responder));
}

// --- Pages of other origins: the CORS protocol (the Fetch standard, §3.2) ---

// The methods that a page may use there; null: this path is not for pages of other origins.
const char* methodsOf(std::string_view path) {
    if (path.starts_with("/publish/")) return "POST";
    if (path.starts_with("/events/")) return "GET, HEAD";
    return nullptr;
}

HttpResponse answerToPreflight(std::string_view origin, const char* methods) {
    HttpResponse response(204);
    response.header("Access-Control-Allow-Origin", origin).header("Access-Control-Allow-Methods", methods);
    response.header("Access-Control-Allow-Headers",
                    "Authorization, Cache-Control, Content-Type, Last-Event-ID");
    response.header("Access-Control-Max-Age", "600");
    response.header("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers");
    return response;
}

// Without it a page cannot read the answer, be it an error, nor learn before it asks that it may.
void speakCors(const PushAccess& access, const HttpRequest& request, HttpResponder responder,
               const HttpNext& next) {
    const char* const methods = methodsOf(request.path());
    if (methods == nullptr) return next(std::move(responder));
    std::string origin(request.header("Origin"));
    if (!origin.empty() && !access.allowsOrigin(request)) origin.clear();
    const bool isPreflight = request.method() == HttpMethod::Options && !origin.empty() &&
                             !request.header("Access-Control-Request-Method").empty();
    if (isPreflight) return void(responder.respond(answerToPreflight(origin, methods)));
    responder.onResponse([origin = std::move(origin)](HttpResponse& response) {
        response.header("Vary", "Origin");
        if (origin.empty()) return;
        response.header("Access-Control-Allow-Origin", origin);
        response.header("Access-Control-Expose-Headers", "Retry-After, WWW-Authenticate");
    });
    next(std::move(responder));
}

HttpResponse page(const HttpRequest&) {
    return HttpResponse::html(kPushPage)
        .header("Content-Security-Policy", "default-src 'self' 'unsafe-inline'; connect-src 'self' ws: wss:")
        .header("X-Content-Type-Options", "nosniff");
}

}  // namespace

void addPushRoutes(HttpRouter& router, PushHub& hub, PushMetrics& metrics, const PushAccess& access,
                   size_t maxMessageBytes) {
    router.use([&access](const HttpRequest& request, HttpResponder responder, const HttpNext& next) {
        speakCors(access, request, std::move(responder), next);
    });
    // HTTP refuses a body before middleware sees the request, and then a page cannot read why: what is not
    // much too large is refused by publish().
    const HttpRouteOptions limited{.maxBodyBytes = 2 * maxMessageBytes};
    router.post(
        "/publish/:topic",
        [&hub, &metrics, &access, maxMessageBytes](const HttpRequest& request, HttpResponder responder) {
            publish(hub, metrics, access, maxMessageBytes, request, std::move(responder));
        },
        limited);
    router.get("/events/:topic", [&](const HttpRequest& request, HttpResponder responder) {
        events(hub, access, request, std::move(responder));
    });
    router.get("/metrics",
               [&hub](const HttpRequest&, HttpResponder responder) { hub.report(std::move(responder)); });
    // From the hub's loop, too: whoever cannot hear from it is not healthy.
    router.get("/healthz", [&hub](const HttpRequest&, HttpResponder responder) {
        hub.reportHealth(std::move(responder));
    });
    router.get("/", page);
}

}  // namespace tnet
