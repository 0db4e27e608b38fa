// tls_hello: the HTTPS server that bench/run measures: "/" is "Hello, World!", "/16k" is 16 KiB of text, both
// through HttpServer and its router, one loop. --compact: with SslServerSettings::compactConnections.
#include <chrono>
#include <csignal>
#include <cstdio>
#include <string>

#include "examples/flags.h"
#include "http/server.h"
#include "tnet/signaler.h"
#include "tnet/ssl/ssl_context.h"

int main(int argc, char** argv) {
    using namespace tnet;
    ServerFlags flags;
    SslServerSettings settings;
    settings.certificates.resize(1);
    flags.address = "127.0.0.1";
    flags.add("cert", "FILE", "certificate chain, PEM", textInto(settings.certificates[0].chainFile));
    flags.add("key", "FILE", "private key, PEM", textInto(settings.certificates[0].keyFile));
    flags.add("compact", "", "compact connections", [&settings](const char*) {
        settings.compactConnections = true;
        return true;
    });
    if (const auto exitCode = flags.parse(argc, argv)) return *exitCode;
    const auto fail = [](const std::string& message) {
        std::fprintf(stderr, "tls_hello: %s\n", message.c_str());
        return 1;
    };
    const auto context = SslContext::createServer(settings);
    if (!context) return fail(context.error().message);

    const auto loop = IOLoop::create();
    const auto signaler = Signaler::create(loop->get(), {SIGINT, SIGTERM}, [&loop](int) { (*loop)->stop(); });
    HttpServer::Settings serving;
    serving.limits.idleTimeout = std::chrono::hours(1);  // ten thousand handshakes take their time
    HttpServer server(serving);
    server.router().get("/", [](const HttpRequest&) {
        return HttpResponse(200).header("Content-Type", "text/plain").setBody("Hello, World!");
    });
    const std::string large(16 << 10, 'x');
    server.router().get("/16k", [&large](const HttpRequest&) {
        return HttpResponse(200).header("Content-Type", "text/plain").setBody(large);
    });
    const auto bound = server.listen(*Address::parse(flags.addressAndPort()), (*context)->accepting());
    if (!bound) return fail(bound.error().message);
    if (const Status started = server.start(1); !started) return fail(started.error().message);
    std::printf("listening on https://%s\n", bound->toString().c_str());
    std::fflush(stdout);
    (*loop)->start();
    server.stop();
}
