// target: the server that hostile attacks: HTTP and WebSocket, plainly and over TLS, on one loop.
//
//     target [--max-connections N] [--connections-per-address N] [--requests-per-second N]
//
// Prints "listening on http://ADDRESS:PORT" and the same with https, then serves until SIGTERM. Everything is on one
// loop, so whoever keeps that busy is felt by all others.
//
//     GET /hello     13 bytes                    /ws/echo      sends back what comes
//     GET /big       1 MiB, a copy per answer    /ws/quiet     takes messages, compressed ones too
//     POST /take     the body's size             /ws/deflate   the same, with windows of its own
//     GET /trim      gives freed memory back     /ws/feed      4 KiB every 20 ms
#include <malloc.h>

#include <csignal>
#include <cstdio>
#include <string>

#include "examples/flags.h"
#include "http/server.h"
#include "tests/hostile/target_limits.h"
#include "tests/support/test_pki.h"
#include "tnet/ignore_sig_pipe.h"
#include "tnet/signaler.h"
#include "tnet/ssl/ssl_context.h"
#include "websocket/server.h"

using namespace tnet;

namespace {

int fail(const Error& error) {
    std::fprintf(stderr, "target: %s\n", error.message.c_str());
    return 1;
}

void addRoutes(const HttpRouter& base) {
    HttpRouter router = base;
    router.get("/hello", [](const HttpRequest&) { return HttpResponse::text("Hello, World!"); });
    router.get("/big",
               [](const HttpRequest&) { return HttpResponse::text(std::string(kBigAnswerBytes, 'x')); });
    router.post("/take", [](const HttpRequest& request) {
        return HttpResponse::text(std::to_string(request.body().size()));
    });
    router.get("/trim", [](const HttpRequest&) {
        malloc_trim(0);
        return HttpResponse::text("trimmed");
    });
}

void addRoutes(WsServer& ws, const TargetLimits& limits) {
    WsRoute echo = limits.route();
    echo.onMessage = [](const WsConnectionPtr_t& c, std::string_view message, WsOpcode opcode) {
        c->send(message, opcode);
    };
    ws.route("/ws/echo", std::move(echo));
    WsRoute quiet = limits.route();
    quiet.compression = WsCompression::Shared;
    quiet.onMessage = [](const WsConnectionPtr_t&, std::string_view, WsOpcode) {};
    WsRoute deflate = quiet;
    deflate.compression = WsCompression::Dedicated;
    ws.route("/ws/quiet", std::move(quiet));
    ws.route("/ws/deflate", std::move(deflate));
    WsRoute feed = limits.route();
    feed.onOpen = [](const WsConnectionPtr_t& c) { c->subscribe("feed"); };
    ws.route("/ws/feed", std::move(feed));
}

}  // namespace

int main(int argc, char** argv) {
    TargetLimits limits;
    ServerFlags flags;
    flags.port = 0;
    flags.add("max-connections", "N", "of all clients", numberInto(limits.maxConnections, 1));
    flags.add("connections-per-address", "N", "0: any number", numberInto(limits.connectionsPerAddress));
    flags.add("requests-per-second", "N", "of an address; 0: any number",
              numberInto(limits.requestsPerSecond));
    if (const auto exitCode = flags.parse(argc, argv)) return *exitCode;
    const auto address = Address::parse(flags.addressAndPort());
    if (!address) return fail(address.error());

    const IgnoreSigPipe ignoreSigPipe;
    const auto loop = IOLoop::create();
    if (!loop) return fail(loop.error());
    const auto signaler = Signaler::create(loop->get(), {SIGINT, SIGTERM}, [&loop](int) { (*loop)->stop(); });
    if (!signaler) return fail(signaler.error());
    SslServerSettings tls;
    tls.certificates = {TestPki::shared().files("localhost")};
    const auto context = SslContext::createServer(tls);
    if (!context) return fail(context.error());

    HttpServer server(limits.server());
    addRoutes(server.router());
    WsServer ws(server.router());
    addRoutes(ws, limits);
    const auto plain = server.listen(*address);
    if (!plain) return fail(plain.error());
    const auto secure = server.listen(address->withPort(0), (*context)->accepting());
    if (!secure) return fail(secure.error());
    if (const Status attached = server.attach(loop->get()); !attached) return fail(attached.error());
    (*loop)->runEvery(kFeedInterval, [&ws, bytes = std::string(kFeedBytes, 'f')] {
        ws.topics()->publish("feed", bytes, WsOpcode::Binary);
    });

    std::printf("listening on http://%s\nlistening on https://%s\n", plain->toString().c_str(),
                secure->toString().c_str());
    std::fflush(stdout);
    (*loop)->start();  // until a signal
    server.stop();
}
