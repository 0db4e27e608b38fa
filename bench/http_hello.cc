// http_hello: the server that bench/run measures: "Hello, World!" through HttpServer and its router, on
// one loop in the program's one thread. On SIGTERM it prints what it allocated while it served.
#include <csignal>
#include <cstdint>
#include <cstdio>

#include "bench/counted_new.h"
#include "examples/flags.h"
#include "http/server.h"
#include "tnet/signaler.h"

namespace {

uint64_t g_requests = 0;

}  // namespace

int main(int argc, char** argv) {
    using namespace tnet;
    ServerFlags flags;
    flags.address = "127.0.0.1";
    if (const auto exitCode = flags.parse(argc, argv)) return *exitCode;

    const auto loop = IOLoop::create();
    const auto signaler = Signaler::create(loop->get(), {SIGINT, SIGTERM}, [&loop](int) { (*loop)->stop(); });
    HttpServer server;
    server.router().get("/", [](const HttpRequest&) {
        ++g_requests;
        return HttpResponse(200).header("Content-Type", "text/plain").setBody("Hello, World!");
    });
    const auto bound = server.listen(*Address::parse(flags.addressAndPort()));
    if (!bound) return std::fprintf(stderr, "http_hello: %s\n", bound.error().message.c_str()), 1;
    if (const Status started = server.attach(loop->get()); !started) return 1;
    std::printf("listening on http://%s\n", bound->toString().c_str());
    std::fflush(stdout);
    const uint64_t before = countedAllocations();
    (*loop)->start();
    std::printf("allocations=%llu requests=%llu\n",
                static_cast<unsigned long long>(countedAllocations() - before),
                static_cast<unsigned long long>(g_requests));
    std::fflush(stdout);
    server.stop();
}
