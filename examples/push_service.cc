// push_service: topics for WebSocket and event-stream subscribers, published with POST: docs/push-service.md.
#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "examples/flags.h"
#include "examples/push/routes.h"
#include "examples/push/subscriber.h"
#include "examples/tls_flags.h"
#include "http/server.h"
#include "tnet/ignore_sig_pipe.h"
#include "tnet/signaler.h"
#include "tnet/standard_descriptors.h"
#include "websocket/server.h"

using namespace tnet;

namespace {

using std::chrono::milliseconds;

struct Settings {
    std::string tokenFile;
    PushAccess access;
    SubscriberSettings subscriber;
    PushHistory::Settings history;
    size_t maxMessageBytes = 64 << 10;
    size_t keepAliveMilliseconds = 15'000;
    size_t drainSpreadMilliseconds = 2'000;
};

ServerFlags::Take policyInto(WsOverflow& into) {
    return [&into](const char* text) {
        const std::string name = text;
        if (name == "close") return into = WsOverflow::Close, true;
        if (name == "drop-newest") return into = WsOverflow::DropNewest, true;
        if (name == "drop-oldest") return into = WsOverflow::DropOldest, true;
        if (name == "keep-latest") return into = WsOverflow::KeepLatest, true;
        return false;
    };
}

void addFlags(ServerFlags& flags, Settings& settings) {
    PushAccess& access = settings.access;
    flags.add("token-file", "FILE", "its first line is the token to publish with",
              textInto(settings.tokenFile));
    flags.add("open-publish", "", "without a token, everybody may publish",
              [&access](const char*) { return access.openPublish = true; });
    flags.add("allow-origin", "ORIGIN", "pages from there may connect, too; may be repeated; *: all",
              [&access](const char* text) { return access.origins.emplace_back(text), true; });
    flags.add("slow-consumer", "POLICY", "close, drop-newest, drop-oldest or keep-latest (default close)",
              policyInto(settings.subscriber.overflow));
    flags.add("max-queue", "BYTES", "that may wait for one subscriber (default 1048576)",
              numberInto(settings.subscriber.maxQueuedBytes, 64 << 10, 1 << 30));
    flags.add("max-message", "BYTES", "largest publication (default 65536)",
              numberInto(settings.maxMessageBytes, 1, 16 << 20));
    flags.add("subscriptions", "N", "of one connection (default 32)",
              numberInto(settings.subscriber.subscriptions, 1, 10'000));
    flags.add("history", "N", "messages kept per topic (default 100)",
              numberInto(settings.history.messagesPerTopic, 0, 1'000'000));
    flags.add("history-topics", "N", "topics with history (default 1000)",
              numberInto(settings.history.topics, 0, 1'000'000));
    flags.add("history-bytes", "BYTES", "of all history (default 67108864)",
              numberInto(settings.history.bytes));
    flags.add("keep-alive", "MS", "between comments on event streams (default 15000)",
              numberInto(settings.keepAliveMilliseconds, 100, 3'600'000));
    flags.add("drain-spread", "MS", "over which SIGTERM closes subscribers (default 2000)",
              numberInto(settings.drainSpreadMilliseconds, 0, 600'000));
}

// Tells all subscribers to go, and ends the loop when everybody has, or has had the time to.
void drain(IOLoop& loop, HttpServer& server, PushHub& hub, milliseconds spread) {
    constexpr milliseconds kGrace{10'000};
    server.beginDrain();
    hub.drain(spread);
    loop.runAfter(spread + kGrace, [&loop] { loop.stop(); });
    loop.runEvery(milliseconds(20), [&loop, &server] {
        if (server.connections() == 0) loop.stop();
    });
}

int fail(const Error& error) {
    std::fprintf(stderr, "push_service: %s\n", error.message.c_str());
    return 1;
}

}  // namespace

int main(int argc, char** argv) {
    openStandardDescriptors();
    ServerFlags flags;
    Settings settings;
    addFlags(flags, settings);
    TlsFlags tls(flags);
    tls.setCompactConnections(true);  // most subscribers are idle
    flags.add("no-compact", "", "TLS with OpenSSL's own records: more memory per subscriber",
              [&tls](const char*) {
                  tls.setCompactConnections(false);
                  return true;
              });
    if (const auto exitCode = flags.parse(argc, argv)) return *exitCode;
    const auto address = Address::parse(flags.addressAndPort());
    if (!address) return fail(address.error());
    if (const Status loaded = tls.load(); !loaded) return fail(loaded.error());
    if (!settings.tokenFile.empty()) {
        if (const Status read = settings.access.readToken(settings.tokenFile); !read)
            return fail(read.error());
    }
    const milliseconds spread(settings.drainSpreadMilliseconds);

    const IgnoreSigPipe ignoreSigPipe;
    const auto loop = IOLoop::create();  // the hub's
    if (!loop) return fail(loop.error());
    PushMetrics metrics;
    const auto topics = std::make_shared<WsTopics>();
    PushHub hub(**loop, topics, metrics,
                {.history = settings.history,
                 .stream = {settings.subscriber.maxQueuedBytes, settings.subscriber.overflow},
                 .keepAlive = milliseconds(settings.keepAliveMilliseconds)});

    HttpServer::Settings serverSettings;
    serverSettings.limits.highWaterBytes = 64 << 10;  // event streams queue the rest where the policy is
    HttpServer server(serverSettings);
    addPushRoutes(server.router(), hub, metrics, settings.access, settings.maxMessageBytes);
    WsServer ws(server.router(), {.topics = topics, .drainSpread = spread});
    ws.route("/ws", subscriberRoute(hub, metrics, settings.access, settings.subscriber));
    const auto bound = server.listen(*address, tls.transport());
    if (!bound) return fail(bound.error());
    bool isDraining = false;
    const auto signaler = Signaler::create(loop->get(), {SIGINT, SIGTERM, SIGHUP}, [&](int) {
        if (std::exchange(isDraining, true)) return (*loop)->stop();  // who asks twice does not want to wait
        drain(**loop, server, hub, spread);
    });
    if (!signaler) return fail(signaler.error());
    const auto reloader = tls.watchFiles(loop->get());
    if (const Status started = server.start(flags.threads); !started) return fail(started.error());

    std::printf("listening on %s://%s\n", tls.scheme(), bound->toString().c_str());
    std::fflush(stdout);
    (*loop)->start();  // until everybody has gone after a signal
}
