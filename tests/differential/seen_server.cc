// seen_server: answers every request with a field that says what the server took it for, for differential.py:
//
//     X-Saw: method target authority body fields
//
// Texts are in hexadecimal, with an 'x' before them; of the body there are size and CRC-32, of the fields the CRC-32 of
// each, "name:value" with the name in lower case, but for those that a proxy takes or replaces.
//
// Prints "listening on http://ADDRESS:PORT"; runs until SIGTERM or SIGINT. Its limits are those that
// tests/http/hostile_requests.h is written for.
#include <zlib.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>

#include "http/request.h"
#include "http/responder.h"
#include "http/response.h"
#include "http/router.h"
#include "http/server.h"
#include "tnet/address.h"
#include "tnet/ignore_sig_pipe.h"
#include "tnet/io_loop.h"
#include "tnet/signaler.h"

using namespace tnet;

namespace {

constexpr std::string_view kOfOneHop[] = {"connection", "content-length",    "expect",
                                          "host",       "keep-alive",        "te",
                                          "trailer",    "transfer-encoding", "upgrade"};

std::string hex(uint64_t number) {
    std::array<char, 16> digits{};
    return {digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), number, 16).ptr};
}

std::string hex(std::string_view text) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string out("x");
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        out.push_back(kDigits[byte >> 4]);
        out.push_back(kDigits[byte & 0xF]);
    }
    return out;
}

std::string checksum(std::string_view bytes) {
    std::array<unsigned char, 64 << 10> block{};
    uLong sum = crc32(0, nullptr, 0);
    while (!bytes.empty()) {
        const size_t size = std::min(bytes.size(), block.size());
        std::copy_n(bytes.begin(), size, block.begin());
        sum = crc32(sum, block.data(), static_cast<uInt>(size));
        bytes.remove_prefix(size);
    }
    return hex(sum);
}

std::string fieldsOf(const HttpRequest& request) {
    std::string out;
    for (size_t i = 0; i < request.headers().size(); ++i) {
        const HttpHeaders::Field field = request.headers()[i];
        std::string name(field.name);
        std::transform(name.begin(), name.end(), name.begin(),
                       [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
        if (std::find(std::begin(kOfOneHop), std::end(kOfOneHop), name) != std::end(kOfOneHop)) continue;
        out.append(out.empty() ? "" : ",").append(checksum(name.append(":").append(field.value)));
    }
    return out.empty() ? "-" : out;
}

std::string describe(const HttpRequest& request) {
    return std::string(methodName(request.method())) + " " + hex(request.target()) + " " +
           hex(request.authority()) + " " + std::to_string(request.body().size()) + ":" +
           checksum(request.body()) + " " + fieldsOf(request);
}

int fail(const std::string& message) {
    std::fprintf(stderr, "seen_server: %s\n", message.c_str());
    return 1;
}

}  // namespace

int main() {
    HttpServer::Settings settings;
    settings.limits.requestLineBytes = 2048;
    settings.limits.headerBytes = 4096;
    settings.limits.headerCount = 64;
    settings.limits.bodyBytes = 65536;
    settings.limits.chunkLineBytes = 256;
    settings.limits.chunkExtensionBytes = 4096;

    const IgnoreSigPipe ignoreSigPipe;
    const auto loop = IOLoop::create();
    if (!loop) return fail(loop.error().message);
    const auto signaler = Signaler::create(loop->get(), {SIGINT, SIGTERM}, [&](int) { (*loop)->stop(); });
    if (!signaler) return fail(signaler.error().message);

    HttpServer server(settings);
    // What no route answers comes by here as well: OPTIONS of *, CONNECT.
    server.router().use([](const HttpRequest& request, HttpResponder responder, const HttpNext& next) {
        responder.onResponse(
            [saw = describe(request)](HttpResponse& response) { response.header("X-Saw", saw); });
        next(std::move(responder));
    });
    const auto answer = [](const HttpRequest&) { return HttpResponse::text("seen\n"); };
    server.router().any("/", answer);
    server.router().any("/*rest", answer);
    const auto bound = server.listen(*Address::parse("127.0.0.1:0"));
    if (!bound) return fail(bound.error().message);
    if (const Status started = server.attach(loop->get()); !started) return fail(started.error().message);

    std::printf("listening on http://%s\n", bound->toString().c_str());
    std::fflush(stdout);
    (*loop)->start();  // until a signal
    server.drain(std::chrono::seconds(1));
}
