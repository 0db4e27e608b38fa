// What large bodies took goes back to the system. In a process of its own, whose resident memory it looks at.
#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <string>
#include <thread>

#include "http/server.h"
#include "tests/http/http_fixture.h"
#include "tests/support/loop_fixture.h"

namespace tnet {
namespace {

size_t residentBytes() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with("VmRSS:")) return std::stoul(line.substr(6)) << 10;
    }
    return 0;
}

// After three bodies of 256 MiB, 72 MB stayed resident with no connection open; more with chunked ones.
TEST(HttpMemoryTest, WhatLargeBodiesTookGoesBackToTheSystem) {
    constexpr size_t kBody = 96 << 20;
    constexpr size_t kMayStay = 8 << 20;
    HttpServer::Settings settings;
    settings.limits.bodyBytes = 2 * kBody;
    HttpServer server(settings);
    server.router().put(
        "/echo", [](const HttpRequest& request) { return HttpResponse::text(std::string(request.body())); });
    const auto address = server.listen(Address::loopback(0));
    ASSERT_TRUE(address);
    ASSERT_TRUE(server.start(1));

    const auto put = [&](const std::string& head, size_t size, const std::string& pieceBegin) {
        const std::string piece = pieceBegin + std::string(1 << 20, 'x') + (pieceBegin.empty() ? "" : "\r\n");
        BlockingClient client = BlockingClient::connectTo(*address);
        client.send("PUT /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + head + "\r\n");
        for (size_t sent = 0; sent < size; sent += 1 << 20) client.send(piece);
        if (!pieceBegin.empty()) client.send("0\r\n\r\n");
        size_t received = 0;
        for (std::string some = client.receive(1 << 20); !some.empty(); some = client.receive(1 << 20))
            received += some.size();
        EXPECT_GT(received, size);
    };
    put("Content-Length: 1048576\r\n", 1 << 20, "");
    const size_t before = residentBytes();
    for (int i = 0; i < 2; ++i) {
        put("Content-Length: " + std::to_string(kBody) + "\r\n", kBody, "");
        put("Transfer-Encoding: chunked\r\n", kBody, "100000\r\n");
    }
    EXPECT_TRUE(waitUntil([&] { return residentBytes() < before + kMayStay; }))
        << before << " bytes before, " << residentBytes() << " now";
    server.stop();
}

}  // namespace
}  // namespace tnet
