// http_server: what tnet's HTTP layer does, on one page. Run it and open http://localhost:8080/.
//
// SIGTERM, SIGINT and SIGHUP (its terminal goes, and there is no nohup) drain; SIGUSR2 starts the program
// again on the same sockets, and drains when that serves.
#include <charconv>
#include <csignal>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "examples/flags.h"
#include "examples/tls_flags.h"
#include "http/server.h"
#include "tnet/ignore_sig_pipe.h"
#include "tnet/inherited_sockets.h"
#include "tnet/log.h"
#include "tnet/proxy_transport.h"
#include "tnet/signaler.h"
#include "tnet/standard_descriptors.h"
#include "tnet/successor.h"

using namespace tnet;

namespace {

constexpr const char* kWelcome = R"(<!doctype html>
<title>tnet</title>
<h1>tnet serves</h1>
<p>Try these:
<ul>
<li><a href="/text">/text</a>: Hello, World!
<li><a href="/json">/json</a>: the same as JSON
<li><a href="/hello/you">/hello/:name</a>: a route with a parameter
<li><a href="/headers">/headers</a>: what your client sends
<li><a href="/stream?chunks=10">/stream?chunks=N</a>: a chunked response, as fast as you read it
<li><a href="/tls">/tls</a>: what TLS agreed on, and who you proved to be (with --cert and --key)
<li><a href="/async">/async</a>: answered from another thread
<li><code>curl -d 'any body' localhost:8080/echo</code>: any method, the body back
</ul>
)";

// The body and the trailers back. Trailers need a chunked answer.
void echoBody(const HttpRequest& request, HttpResponder responder) {
    HttpResponse head(200);
    const std::string_view type = request.header("Content-Type");
    head.header("Content-Type", type.empty() ? "application/octet-stream" : type);
    if (request.trailers().empty())
        return void(responder.respond(std::move(head.setBody(std::string(request.body())))));
    HttpHeaders trailers = request.trailers();
    std::string body(request.body());
    HttpBodyWriter writer = responder.stream(std::move(head));
    writer.write(std::move(body));
    writer.finish(std::move(trailers));
}

HttpResponse listHeaders(const HttpRequest& request) {
    std::string text;
    for (size_t i = 0; i < request.headers().size(); ++i) {
        const HttpHeaders::Field field = request.headers()[i];
        text.append(field.name).append(": ").append(field.value).append("\n");
    }
    return HttpResponse::text(std::move(text));
}

HttpResponse showSecurity(const HttpRequest& request) {
    const SecurityInfoPtr_t& security = request.security();
    if (!security)
        return HttpResponse::text("this connection is plain: start me with --cert and --key\n", 404);
    nlohmann::json shown{{"version", security->version},
                         {"cipher", security->cipher},
                         {"protocol", security->protocol},
                         {"serverName", security->serverName},
                         {"isResumed", security->isResumed}};
    if (const auto& peer = security->peer) {
        shown["peer"] = {{"subject", peer->subject},
                         {"issuer", peer->issuer},
                         {"serialNumber", peer->serialNumber},
                         {"sha256Fingerprint", peer->sha256Fingerprint},
                         {"dnsNames", peer->dnsNames},
                         {"emails", peer->emails},
                         {"uris", peer->uris}};
    }
    // A certificate may hold what is no UTF-8.
    using Json = nlohmann::json;
    return HttpResponse::json(shown.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
}

// Writes chunks until the client is slow, and goes on when it has caught up. Owned by its own drain
// callback, so it lives until it finishes or the client is gone.
class ChunkSource : public std::enable_shared_from_this<ChunkSource> {
public:
    ChunkSource(HttpBodyWriter writer, uint64_t chunks) : m_writer(std::move(writer)), m_left(chunks) {}

    void start() {
        m_writer.onDrain([self = shared_from_this()] { self->writeSome(); });
        writeSome();
    }

private:
    void writeSome() {
        while (m_left > 0) {
            --m_left;
            ++m_number;
            const auto wrote = m_writer.write("chunk " + std::to_string(m_number) + "\n");
            if (wrote == HttpBodyWriter::Wrote::Closed) return;
            if (wrote == HttpBodyWriter::Wrote::Wait) return;
        }
        m_writer.finish();
    }

    HttpBodyWriter m_writer;
    uint64_t m_left;
    uint64_t m_number = 0;
};

void stream(const HttpRequest& request, HttpResponder responder) {
    const std::string text = request.queryParam("chunks").value_or("10");
    uint64_t chunks = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), chunks);
    if (error != std::errc() || end != text.data() + text.size()) {
        responder.respond(HttpResponse::text("chunks: a number, please\n", 400));
        return;
    }
    HttpResponse head = HttpResponse::text("");
    std::make_shared<ChunkSource>(responder.stream(std::move(head)), chunks)->start();
}

// A thread per request is no way to work, but it shows that any thread may answer.
void answerElsewhere(const HttpRequest&, HttpResponder responder) {
    std::thread([responder = std::move(responder)]() mutable {
        responder.respond(HttpResponse::text("answered from another thread\n"));
    }).detach();
}

void addRoutes(HttpRouter& router) {
    router.get("/", [](const HttpRequest&) { return HttpResponse::html(kWelcome); });
    router.get("/text", [](const HttpRequest&) {
        return HttpResponse(200).header("Content-Type", "text/plain").setBody("Hello, World!");
    });
    router.get("/json", [](const HttpRequest&) {
        return HttpResponse::json(nlohmann::json{{"message", "Hello, World!"}}.dump());
    });
    router.get("/hello/:name", [](const HttpRequest& request) {
        return HttpResponse::text("Hello, " + std::string(request.param("name")) + "!\n");
    });
    router.any("/echo", echoBody);
    router.get("/headers", listHeaders);
    router.get("/stream", stream);
    router.get("/tls", showSecurity);
    router.get("/async", answerElsewhere);
}

void logAccess(const HttpAccess& access) {
    using std::chrono::duration_cast;
    using std::chrono::microseconds;
    const char* const incomplete = access.outcome == HttpOutcome::Complete     ? ""
                                   : access.outcome == HttpOutcome::ClientGone ? " (client gone)"
                                                                               : " (cut off)";
    logger().info("{} {} {} {} {} bytes {} us{}", access.request.remoteAddress().toString(),
                  methodName(access.request.method()), access.request.target(), access.status,
                  access.bodyBytes, duration_cast<microseconds>(access.duration).count(), incomplete);
}

// On what was inherited (from systemd, or a predecessor), or on the address of the flags.
Result<Address> listen(HttpServer& server, const Address& address, const TransportFactory_t& transport) {
    auto sockets = inheritedSockets();
    if (!sockets) return sockets.error();
    if (sockets->empty()) return server.listen(address, transport);
    Result<Address> bound = Address();
    for (FileDescriptor& socket : *sockets) {
        bound = server.listen(std::move(socket), transport);
        if (!bound) break;
    }
    return bound;
}

// SIGUSR2: starts the same program again, on the same sockets; when it serves, this one leaves.
class Upgrade {
public:
    Upgrade(IOLoop* loop, int argc, char** argv) : m_loop(loop), m_arguments(argv, argv + argc) {}

    void start(HttpServer& server) {
        if (m_successor) return;
        auto spawned =
            Successor::spawn(m_loop, m_arguments, server.handOver(), [this](const Status& outcome) {
                if (outcome) return m_loop->stop();
                logger().error("{}; going on", outcome.error().message);
                m_successor.reset();
            });
        if (!spawned) return logger().error("{}", spawned.error().message);
        m_successor = std::move(*spawned);
        logger().info("started successor {}", m_successor->pid());
    }

private:
    IOLoop* m_loop;
    std::vector<std::string> m_arguments;
    std::unique_ptr<Successor> m_successor{};
};

int fail(const std::string& message) {
    std::fprintf(stderr, "http_server: %s\n", message.c_str());
    return 1;
}

}  // namespace

int main(int argc, char** argv) {
    openStandardDescriptors();
    HttpServer::Settings settings;
    ServerFlags flags;
    flags.add("max-body", "BYTES", "largest body taken (default 1048576)",
              numberInto(settings.limits.bodyBytes, 0));
    bool behindProxy = false;
    flags.add("proxy", "", "connections come from a proxy that begins each with the PROXY protocol",
              [&](const char*) {
                  behindProxy = true;
                  return true;
              });
    flags.add("max-connections-per-address", "N", "0: any number (default 0)",
              numberInto(settings.tcp.maxConnectionsPerAddress, 0));
    flags.add("requests-per-address", "N", "a second; 0: any number (default 0)",
              numberInto(settings.limits.addressRequestsPerSecond, 0));
    TlsFlags tls(flags);
    if (const auto exitCode = flags.parse(argc, argv)) return *exitCode;
    const auto address = Address::parse(flags.addressAndPort());
    if (!address) return fail(address.error().message);
    if (const Status loaded = tls.load(); !loaded) return fail(loaded.error().message);

    const IgnoreSigPipe ignoreSigPipe;
    const auto loop = IOLoop::create();
    if (!loop) return fail(loop.error().message);
    HttpServer server(settings);
    Upgrade upgrade(loop->get(), argc, argv);
    const auto signaler = Signaler::create(loop->get(), {SIGINT, SIGTERM, SIGHUP, SIGUSR2}, [&](int signal) {
        signal == SIGUSR2 ? upgrade.start(server) : (*loop)->stop();
    });
    if (!signaler) return fail(signaler.error().message);

    addRoutes(server.router());
    server.setAccessLog(logAccess);
    const auto bound =
        listen(server, *address, behindProxy ? proxyProtocol(tls.transport()) : tls.transport());
    if (!bound) return fail(bound.error().message);
    const auto reloader = tls.watchFiles(loop->get());
    if (const Status started = server.start(flags.threads); !started) return fail(started.error().message);

    std::printf("listening on %s://%s\n", tls.scheme(), bound->toString().c_str());
    std::fflush(stdout);
    tellPredecessor();
    (*loop)->start();  // until a signal
    server.drain(std::chrono::seconds(10));
}
