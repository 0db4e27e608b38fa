// target: the server that hostile attacks: HTTP and WebSocket, plainly and over TLS, on one loop.
//
//     target [--max-connections N] [--connections-per-address N] [--requests-per-second N]
//
// Prints "listening on http://ADDRESS:PORT" and the same with https, then serves until SIGTERM. All
// connections are on one loop, so whoever keeps that busy is felt by all others. A second one talks in
// /ws/room, if there are members. With --log-requests 1 each request is logged to standard output.
//
//     GET /hello     13 bytes                    /ws/echo      sends back what comes
//     GET /big       1 MiB, a copy per answer    /ws/quiet     takes messages, compressed ones too
//     POST /take     the body's size             /ws/deflate   the same, with windows of its own
//     GET /trim      gives freed memory back     /ws/feed      4 KiB every 20 ms
//     GET /stream    pieces without end          /ws/room      200 bytes, 15,000 times a second, by another loop
//     GET /too-long  10 bytes, then more         /ws/pausing   reads a piece, and pauses for 20 ms
//     GET /file      8 GiB, sparse
#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include "examples/flags.h"
#include "http/responder.h"
#include "http/server.h"
#include "tests/hostile/target_limits.h"
#include "tests/support/test_pki.h"
#include "tnet/ignore_sig_pipe.h"
#include "tnet/log.h"
#include "tnet/signaler.h"
#include "tnet/ssl/ssl_context.h"
#include "websocket/server.h"

using namespace tnet;

namespace {

int fail(const Error& error) {
    std::fprintf(stderr, "target: %s\n", error.message.c_str());
    return 1;
}

// Writes as long as it may, and for ever. Owned by its own drain callback.
class Endless : public std::enable_shared_from_this<Endless> {
public:
    explicit Endless(HttpBodyWriter writer) : m_writer(std::move(writer)) {}
    void start() {
        m_writer.onDrain([self = shared_from_this()] { self->write(); });
        write();
    }

private:
    void write() {
        while (m_writer.write("a piece of an answer without end\n") == HttpBodyWriter::Wrote::Accepted) {
        }
    }

    HttpBodyWriter m_writer;
};

SharedFilePtr_t sparseFile() {
    const int fd = ::open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 || ::ftruncate(fd, static_cast<off_t>(kFileBytes)) != 0) {
        std::perror("target: a file in /tmp");
        std::exit(1);
    }
    return std::make_shared<const FileDescriptor>(fd);
}

void addEndlessRoutes(HttpRouter& router) {
    router.get("/stream", [](const HttpRequest&, HttpResponder responder) {
        std::make_shared<Endless>(responder.stream(HttpResponse::text("")))->start();
    });
    router.get("/too-long", [](const HttpRequest&, HttpResponder responder) {
        HttpResponse head = HttpResponse::text("");
        head.header("Content-Length", "10");
        std::make_shared<Endless>(responder.stream(std::move(head)))->start();
    });
    router.get("/file", [file = sparseFile()](const HttpRequest&) {
        return HttpResponse(200).setBody(HttpResponse::FileBody{file, 0, kFileBytes});
    });
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
    addEndlessRoutes(router);
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

void addPausingRoute(WsServer& ws, const TargetLimits& limits, IOLoop* loop) {
    const auto paused = std::make_shared<std::set<const WsConnection*>>();
    WsRoute route = limits.route();
    route.compression = WsCompression::Shared;
    route.maxFrameBytes = route.maxMessageBytes = 80 << 20;
    route.onPiece = [paused, loop](const WsConnectionPtr_t& c, std::string_view, WsOpcode, bool) {
        if (!paused->insert(c.get()).second) {
            std::fprintf(stderr, "target: a piece after a pause\n");
            std::abort();
        }
        c->pauseReading();
        loop->runAfter(std::chrono::milliseconds(20), [paused, weak = std::weak_ptr<WsConnection>(c)] {
            const WsConnectionPtr_t resumed = weak.lock();
            if (!resumed || paused->erase(resumed.get()) == 0) return;
            resumed->resumeReading();
        });
    };
    route.onClose = [paused](const WsConnectionPtr_t& c, WsCloseCode, std::string_view) {
        paused->erase(c.get());
    };
    ws.route("/ws/pausing", std::move(route));
}

// Talks from a loop of its own while there are members.
class Room {
public:
    Room(WsServer& ws, const TargetLimits& limits) {
        WsRoute route = limits.route();
        route.onOpen = [this](const WsConnectionPtr_t& c) {
            ++m_members;
            c->subscribe("room");
        };
        route.onClose = [this](const WsConnectionPtr_t&, WsCloseCode, std::string_view) { --m_members; };
        ws.route("/ws/room", std::move(route));
        auto loop = IOLoop::create();
        if (!loop) std::exit(fail(loop.error()));
        m_loop = std::move(*loop);
        m_loop->runEvery(kRoomInterval, [this, topics = ws.topics(), bytes = std::string(kRoomBytes, 'r')] {
            if (m_members == 0) return;
            for (size_t i = 0; i < kRoomBurst; ++i) topics->publish("room", bytes, WsOpcode::Binary);
        });
        m_thread = std::thread([this] { m_loop->start(); });
    }
    ~Room() {
        m_loop->addCallback([this] { m_loop->stop(); });
        m_thread.join();
    }

private:
    std::atomic<size_t> m_members{0};
    std::unique_ptr<IOLoop> m_loop{};
    std::thread m_thread{};
};

void logRequest(const HttpAccess& access) {
    logger().info("{} {} {} {} bytes", access.request.remoteAddress().toString(), access.request.target(),
                  access.status, access.bodyBytes);
}

}  // namespace

int main(int argc, char** argv) {
    TargetLimits limits;
    ServerFlags flags;
    flags.port = 0;
    size_t logsRequests = 0;
    flags.add("log-requests", "0|1", "to standard output", numberInto(logsRequests, 0, 1));
    flags.add("max-connections", "N", "of all clients", numberInto(limits.maxConnections, 1));
    flags.add("connections-per-address", "N", "0: any number", numberInto(limits.connectionsPerAddress));
    flags.add("requests-per-second", "N", "of an address; 0: any number",
              numberInto(limits.requestsPerSecond));
    if (const auto exitCode = flags.parse(argc, argv)) return *exitCode;
    const auto address = Address::parse(flags.addressAndPort());
    if (!address) return fail(address.error());

    // The library's log goes to standard error. Attacks would fill it.
    if (logsRequests == 1 && ::dup2(STDOUT_FILENO, STDERR_FILENO) < 0) return 1;
    if (logsRequests == 0) logger().set_level(spdlog::level::off);
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
    addPausingRoute(ws, limits, loop->get());
    const Room room(ws, limits);
    if (logsRequests == 1) server.setAccessLog(logRequest);
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
