// ws_hello: the WebSocket server that bench/run measures: an echo through WsServer, one loop. On SIGTERM it
// prints what it allocated while it served.
#include <csignal>
#include <cstdint>
#include <cstdio>

#include "bench/counted_new.h"
#include "examples/flags.h"
#include "http/server.h"
#include "tnet/signaler.h"
#include "websocket/server.h"

namespace {

uint64_t g_messages = 0;

}  // namespace

int main(int argc, char** argv) {
    using namespace tnet;
    ServerFlags flags;
    flags.address = "127.0.0.1";
    if (const auto exitCode = flags.parse(argc, argv)) return *exitCode;

    const auto loop = IOLoop::create();
    const auto signaler = Signaler::create(loop->get(), {SIGINT, SIGTERM}, [&loop](int) { (*loop)->stop(); });
    HttpServer server;
    WsServer ws(server.router());
    ws.route("/", {
                      .maxMessagesPerSecond = 0,  // a load test is what the limit is against
                      .pingInterval = std::chrono::milliseconds(0),  // the load counts every frame as an echo
                      .keepRequest = false,
                      .onMessage =
                          [](const WsConnectionPtr_t& c, std::string_view message, WsOpcode opcode) {
                              ++g_messages;
                              c->send(message, opcode);
                          },
                  });
    const auto bound = server.listen(*Address::parse(flags.addressAndPort()));
    if (!bound) return std::fprintf(stderr, "ws_hello: %s\n", bound.error().message.c_str()), 1;
    if (const Status started = server.attach(loop->get()); !started) return 1;
    std::printf("listening on http://%s\n", bound->toString().c_str());
    std::fflush(stdout);
    const uint64_t before = countedAllocations();
    (*loop)->start();
    std::printf("allocations=%llu messages=%llu\n",
                static_cast<unsigned long long>(countedAllocations() - before),
                static_cast<unsigned long long>(g_messages));
    std::fflush(stdout);
    server.stop();
}
