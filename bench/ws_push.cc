// ws_push: the fan-out server that bench/run measures: what comes on /publish goes to everybody on /subscribe,
// through WsTopics, one loop.
#include <csignal>
#include <cstdio>

#include "examples/flags.h"
#include "http/server.h"
#include "tnet/signaler.h"
#include "websocket/server.h"

int main(int argc, char** argv) {
    using namespace tnet;
    constexpr std::chrono::milliseconds kOff{0};  // the load counts every frame as a delivery
    ServerFlags flags;
    flags.address = "127.0.0.1";
    if (const auto exitCode = flags.parse(argc, argv)) return *exitCode;

    const auto loop = IOLoop::create();
    const auto signaler = Signaler::create(loop->get(), {SIGINT, SIGTERM}, [&loop](int) { (*loop)->stop(); });
    HttpServer server;
    WsServer ws(server.router());
    ws.route("/publish", {
                             .maxMessagesPerSecond = 0,
                             .pingInterval = kOff,
                             .onMessage = [](const WsConnectionPtr_t& c, std::string_view message,
                                             WsOpcode opcode) { c->publish("news", message, opcode); },
                         });
    ws.route("/subscribe", {
                               .pingInterval = kOff,
                               .keepRequest = false,
                               .onOpen = [](const WsConnectionPtr_t& c) { c->subscribe("news"); },
                           });
    const auto bound = server.listen(*Address::parse(flags.addressAndPort()));
    if (!bound) return std::fprintf(stderr, "ws_push: %s\n", bound.error().message.c_str()), 1;
    if (const Status started = server.attach(loop->get()); !started) return 1;
    std::printf("listening on http://%s\n", bound->toString().c_str());
    std::fflush(stdout);
    (*loop)->start();
    server.stop();
}
