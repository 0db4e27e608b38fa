// soak_server: what tests/soak/run keeps under load: HTTP and WebSocket on one port, an echo that ConnChecker looks after on another.
//
//     GET  /pattern/SEED/BYTES   that pattern                 POST /echo    its body
//     GET  /unread               4 MiB of shared bytes        GET  /stats   JSON: connections, heap in use
//     GET  /ws                   echoes binary messages; "subscribe" brings a "tick N" every now and then; "bye" closes
//
// It prints one line, "http=PORT tcp=PORT", and ends at SIGTERM.
#include <malloc.h>

#include <atomic>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "examples/flags.h"
#include "http/server.h"
#include "tests/soak/pattern.h"
#include "tests/soak/times.h"
#include "tnet/ignore_sig_pipe.h"
#include "tnet/signaler.h"
#include "tnet/tcp_server.h"
#include "websocket/server.h"

using namespace tnet;

namespace {

constexpr size_t kMaxConnections = 4 << 20;

HttpServer::Settings httpSettings(const SoakTimes& times) {
    HttpServer::Settings settings;
    settings.limits.headerTimeout = times.headerTimeout;
    settings.limits.bodyGrace = times.bodyGrace;
    settings.limits.idleTimeout = times.httpIdle;
    settings.limits.sendTimeout = times.sendTimeout;
    settings.tcp.maxConnections = kMaxConnections;
    settings.tcp.backlog = 4096;
    return settings;
}

TcpServer::Settings tcpSettings(const SoakTimes& times) {
    TcpServer::Settings settings;
    settings.maxConnections = kMaxConnections;
    settings.backlog = 4096;
    settings.checker.interval = times.checkerInterval;
    settings.checker.batch = times.checkerBatch;
    settings.checker.idleTimeout = times.tcpIdle;
    return settings;
}

void echoBytes(const ConnectionPtr_t& connection, ConnEvent event, const void* context) {
    if (event != Conn_ReadEvent) return;
    connection->send(static_cast<const StackBuffer*>(context)->view());
}

template <class Number>
std::optional<Number> numberOf(std::string_view text) {
    Number number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return number;
}

HttpResponse answerPattern(const HttpRequest& request) {
    const auto seed = numberOf<uint64_t>(request.param("seed"));
    const auto bytes = numberOf<size_t>(request.param("bytes"));
    if (!seed || !bytes || *bytes > kMaxPatternBytes) return HttpResponse::error(400);
    return HttpResponse::text(std::string(pattern(*seed, *bytes)));
}

WsRoute webSocketRoute(const SoakTimes& times) {
    return {
        .pingInterval = times.pingInterval,
        .pongTimeout = times.pongTimeout,
        .keepRequest = false,
        .onMessage =
            [](const WsConnectionPtr_t& c, std::string_view message, WsOpcode opcode) {
                if (message == "bye") return c->close();
                if (message == "subscribe") {
                    c->subscribe("tick");
                    return;
                }
                c->send(message, opcode);
            },
    };
}

// Bytes that malloc has given out and not got back: what grows with a leak, and not with fragmentation.
size_t heapInUse() {
    const struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

}  // namespace

int main(int argc, char** argv) {
    size_t percent = 100;
    ServerFlags flags;
    flags.address = "127.0.0.1";
    flags.defaultPort = 0;
    flags.threads = 1;
    flags.add("scale", "PERCENT", "all times at so much of theirs (default 100)",
              numberInto(percent, 1, 100));
    if (const auto exitCode = flags.parse(argc, argv)) return *exitCode;
    const SoakTimes times = SoakTimes::scaled(percent);

    const IgnoreSigPipe ignoreSigPipe;
    const auto loop = IOLoop::create();
    if (!loop) return 1;
    const auto signaler = Signaler::create(loop->get(), {SIGINT, SIGTERM}, [&loop](int) { (*loop)->stop(); });
    if (!signaler) return 1;

    HttpServer http(httpSettings(times));
    TcpServer tcp(tcpSettings(times));
    WsServer ws(http.router());
    ws.route("/ws", webSocketRoute(times));
    const auto unread = std::make_shared<const std::string>(pattern(0, kMaxPatternBytes));
    std::atomic<uint64_t> ticks{0};
    http.router().get("/pattern/:seed/:bytes", answerPattern);
    http.router().get("/unread", [unread](const HttpRequest&) { return HttpResponse().setBody(unread); });
    http.router().post(
        "/echo", [](const HttpRequest& request) { return HttpResponse::text(std::string(request.body())); });
    http.router().get("/stats", [&](const HttpRequest&) {
        const nlohmann::json stats = {{"http", http.connections() - ws.connections()},
                                      {"ws", ws.connections()},
                                      {"tcp", tcp.connections()},
                                      {"ticks", ticks.load()},
                                      {"heap", heapInUse()}};
        return HttpResponse::json(stats.dump());
    });
    tcp.setEventCallback(echoBytes);

    const Address address = *Address::parse(flags.addressAndPort());
    const auto boundHttp = http.listen(address);
    if (!boundHttp) return std::fprintf(stderr, "soak_server: %s\n", boundHttp.error().message.c_str()), 1;
    const auto boundTcp = tcp.listen(address.withPort(0));
    if (!boundTcp) return std::fprintf(stderr, "soak_server: %s\n", boundTcp.error().message.c_str()), 1;
    for (const Status& started : {http.start(flags.threads), tcp.start(flags.threads)}) {
        if (!started) return std::fprintf(stderr, "soak_server: %s\n", started.error().message.c_str()), 1;
    }
    // From this thread, so that every publication crosses threads.
    (*loop)->runEvery(times.pause / 3,
                      [&] { ws.topics()->publish("tick", "tick " + std::to_string(++ticks)); });
    std::printf("http=%u tcp=%u\n", unsigned{boundHttp->port()}, unsigned{boundTcp->port()});
    std::fflush(stdout);
    (*loop)->start();  // until a signal
    http.stop();
    tcp.stop();
}
