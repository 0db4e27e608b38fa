// tls_load: an HTTPS load of TLS 1.3 for what wrk does not measure: handshakes, and idle connections. Every answer
// must be a 200 with exactly the body "Hello, World!", or it says what came instead and exits 1.
//
//   handshakes  N times in T threads: connect, handshake, one request, close_notify, close. --resume: each
//               but a thread's first continues the session of the one before, or that is a failure
//   keepalive   N requests on one connection
//   idle        opens C connections, one request each, prints ready=1 and holds them until stdin ends
//
// Output: key=value lines. Exit status: 0, 1 for a wrong answer or a lost connection, 2 for a wrong flag.
#include <openssl/ssl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "bench/http_answer.h"
#include "bench/load_flags.h"
#include "bench/load_socket.h"

namespace {

using namespace tnet;

constexpr const char* kUsage =
    "usage: tls_load handshakes --port PORT --requests N [--threads T] [--resume]\n"
    "       tls_load keepalive --port PORT --requests N\n"
    "       tls_load idle --port PORT --connections C\n";

constexpr std::string_view kRequest = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

template <auto free>
struct Free {
    template <class T>
    void operator()(T* object) const {
        free(object);
    }
};
using CtxPtr = std::unique_ptr<SSL_CTX, Free<SSL_CTX_free>>;
using SslPtr = std::unique_ptr<SSL, Free<SSL_free>>;
using SessionPtr = std::unique_ptr<SSL_SESSION, Free<SSL_SESSION_free>>;

CtxPtr makeContext() {
    CtxPtr context(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION);
    SSL_CTX_set_mode(context.get(), SSL_MODE_AUTO_RETRY | SSL_MODE_RELEASE_BUFFERS);
    return context;
}

// An open connection of TLS.
class TlsConnection {
public:
    TlsConnection(SSL_CTX* context, int fd, SSL_SESSION* session) : m_fd(fd), m_ssl(SSL_new(context)) {
        SSL_set_fd(m_ssl.get(), m_fd);
        if (session != nullptr) SSL_set_session(m_ssl.get(), session);
        if (SSL_connect(m_ssl.get()) != 1) fail("the handshake failed");
        if (session != nullptr && SSL_session_reused(m_ssl.get()) != 1) fail("the session was not resumed");
    }

    void ask() {
        if (SSL_write(m_ssl.get(), kRequest.data(), static_cast<int>(kRequest.size())) <= 0)
            fail("could not send");
        std::string input;
        for (;;) {
            std::array<char, 4096> bytes;
            const int n = SSL_read(m_ssl.get(), bytes.data(), static_cast<int>(bytes.size()));
            if (n <= 0) fail("the server closed before its answer was complete");
            input.append(bytes.data(), static_cast<size_t>(n));
            const Answer answer = checkAnswer(input);
            if (answer.verdict == Verdict::Wrong) fail("wrong answer: " + input);
            if (answer.verdict == Verdict::Complete) return;
        }
    }

    void close() {
        SSL_shutdown(m_ssl.get());
        ::close(m_fd);
    }

    SessionPtr session() const { return SessionPtr(SSL_get1_session(m_ssl.get())); }
    int fd() const { return m_fd; }

private:
    int m_fd;
    SslPtr m_ssl;
};

void runHandshakes(const LoadTarget& target, std::atomic<int64_t>& left, bool resume) {
    LoadTarget own = target;
    const CtxPtr context = makeContext();
    SessionPtr session;
    while (left.fetch_sub(1) > 0) {
        TlsConnection connection(context.get(), own.connectFromNextSource(), session.get());
        connection.ask();
        if (resume) session = connection.session();
        connection.close();
    }
}

void hold(LoadTarget& target, uint64_t count) {
    const CtxPtr context = makeContext();
    std::vector<std::unique_ptr<TlsConnection>> connections;
    std::vector<int> fds;
    for (uint64_t i = 0; i < count; ++i) {
        connections.push_back(
            std::make_unique<TlsConnection>(context.get(), target.connectFromNextSource(), nullptr));
        connections.back()->ask();
        fds.push_back(connections.back()->fd());
    }
    std::puts("ready=1");
    std::fflush(stdout);
    holdUntilStdinEnds(fds);
}

}  // namespace

int main(int argc, char** argv) {
    LoadFlags flags("tls_load", kUsage, argc, argv);
    LoadTarget target("127.0.0.1", flags.port());
    const auto begin = std::chrono::steady_clock::now();
    if (flags.mode() == "idle") {
        const uint64_t connections = flags.number("--connections", 64);
        flags.rejectOthers();
        hold(target, connections);
        return 0;
    }
    const uint64_t requests = flags.number("--requests", 1000);
    if (flags.mode() == "keepalive") {
        flags.rejectOthers();
        const CtxPtr context = makeContext();
        TlsConnection connection(context.get(), target.connect(), nullptr);
        for (uint64_t i = 0; i < requests; ++i) connection.ask();
        connection.close();
    } else if (flags.mode() == "handshakes") {
        const uint64_t threads = flags.number("--threads", 8);
        const bool resume = flags.has("--resume");
        flags.rejectOthers();
        std::atomic<int64_t> left{static_cast<int64_t>(requests)};
        std::vector<std::thread> running;
        for (uint64_t i = 0; i < threads; ++i)
            running.emplace_back([&] { runHandshakes(target, left, resume); });
        for (std::thread& thread : running) thread.join();
    } else {
        flags.reject("unknown mode: " + flags.mode());
    }
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
    std::printf("requests=%llu\nrate=%.0f\n", static_cast<unsigned long long>(requests),
                static_cast<double>(requests) / time.count());
}
