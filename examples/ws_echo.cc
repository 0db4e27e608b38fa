// ws_echo: sends back every WebSocket message, on / and /ws.
#include <csignal>
#include <cstdio>

#include "examples/flags.h"
#include "examples/tls_flags.h"
#include "http/server.h"
#include "tnet/ignore_sig_pipe.h"
#include "tnet/signaler.h"
#include "tnet/standard_descriptors.h"
#include "websocket/server.h"

using namespace tnet;

namespace {

// An echo service for load tests: what protects a service from its clients by their number is off.
WsRoute echoRoute(size_t maxMessageBytes, WsCompression compression) {
    return {
        .maxMessageBytes = maxMessageBytes,
        .maxFrameBytes = maxMessageBytes,
        .maxMessagesPerSecond = 0,
        .maxQueuedBytes = 2 * maxMessageBytes,
        .compression = compression,
        .keepRequest = false,
        .onMessage = [](const WsConnectionPtr_t& c, std::string_view message,
                        WsOpcode opcode) { c->send(message, opcode); },
    };
}

int fail(const Error& error) {
    std::fprintf(stderr, "ws_echo: %s\n", error.message.c_str());
    return 1;
}

}  // namespace

int main(int argc, char** argv) {
    openStandardDescriptors();
    size_t maxMessageBytes = 64 << 20;
    WsCompression compression = WsCompression::Off;
    ServerFlags flags;
    flags.add("max-message", "BYTES", "largest message taken (default 67108864)",
              numberInto(maxMessageBytes, 1));
    flags.add("deflate", "MODE", "compression: off, shared or dedicated windows (default off)",
              [&compression](const std::string& mode) {
                  if (mode == "shared") compression = WsCompression::Shared;
                  if (mode == "dedicated") compression = WsCompression::Dedicated;
                  return mode == "off" || compression != WsCompression::Off;
              });
    TlsFlags tls(flags);
    if (const auto exitCode = flags.parse(argc, argv)) return *exitCode;
    const auto address = Address::parse(flags.addressAndPort());
    if (!address) return fail(address.error());
    if (const Status loaded = tls.load(); !loaded) return fail(loaded.error());

    const IgnoreSigPipe ignoreSigPipe;
    const auto loop = IOLoop::create();
    if (!loop) return fail(loop.error());
    const auto signaler =
        Signaler::create(loop->get(), {SIGINT, SIGTERM, SIGHUP}, [&loop](int) { (*loop)->stop(); });
    if (!signaler) return fail(signaler.error());

    HttpServer server;
    WsServer ws(server.router());
    ws.route("/", echoRoute(maxMessageBytes, compression));
    ws.route("/ws", echoRoute(maxMessageBytes, compression));
    const auto bound = server.listen(*address, tls.transport());
    if (!bound) return fail(bound.error());
    const auto reloader = tls.watchFiles(loop->get());
    if (const Status started = server.start(flags.threads); !started) return fail(started.error());

    std::printf("listening on %s://%s\n", tls.scheme(), bound->toString().c_str());
    std::fflush(stdout);
    (*loop)->start();  // until a signal
    server.drain(std::chrono::seconds(10));
}
