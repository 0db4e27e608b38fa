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

void publish(PushHub& hub, PushMetrics& metrics, const PushAccess& access, const HttpRequest& request,
             HttpResponder responder) {
    if (const int status = access.refusePublish(request); status != 0) {
        ++metrics.refused;
        return void(responder.respond(refusal(status)));
    }
    if (!isValidTopic(request.param("topic")))
        return void(responder.respond(HttpResponse::text("malformed topic\n", 400)));
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
    if (const std::string_view origin = request.header("Origin"); !origin.empty())
        head.header("Access-Control-Allow-Origin", origin).header("Vary", "Origin");
    // The answer to HEAD has no body that could last.
    if (request.method() == HttpMethod::Head) return void(responder.respond(std::move(head)));
    std::string topic(request.param("topic"));
    hub.stream(std::move(topic), after, std::move(head), std::move(responder));
}

HttpResponse page(const HttpRequest&) {
    return HttpResponse::html(kPushPage)
        .header("Content-Security-Policy", "default-src 'self' 'unsafe-inline'; connect-src 'self' ws: wss:")
        .header("X-Content-Type-Options", "nosniff");
}

}  // namespace

void addPushRoutes(HttpRouter& router, PushHub& hub, PushMetrics& metrics, const PushAccess& access,
                   size_t maxMessageBytes) {
    const HttpRouteOptions limited{.maxBodyBytes = maxMessageBytes};
    router.post(
        "/publish/:topic",
        [&](const HttpRequest& request, HttpResponder responder) {
            publish(hub, metrics, access, request, std::move(responder));
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
