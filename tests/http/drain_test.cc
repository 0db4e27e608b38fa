// Servers that drain under load, seen from their clients: no request is lost.
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <memory>
#include <string>

#include "http/server.h"
#include "tests/support/http_load.h"
#include "tests/support/loop_fixture.h"

namespace tnet {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class HttpDrainLoadTest : public ::testing::Test {
protected:
    std::unique_ptr<HttpServer> startServer(const Address& address, size_t threads) {
        HttpServer::Settings settings;
        settings.limits.drainTime = milliseconds(300);
        auto server = std::make_unique<HttpServer>(settings);
        server->router().get("/n/:n", [](const HttpRequest& request) {
            return HttpResponse::text(std::string(request.param("n")));
        });
        const auto bound = server->listen(address);
        EXPECT_TRUE(bound) << (bound ? "" : bound.error().message);
        if (bound) m_bound = *bound;
        EXPECT_TRUE(server->start(threads));
        return server;
    }

    // Drains servers at the same address, one after the other, while clients ask them.
    void drainRepeatedly(const Address& address, int rounds) {
        auto server = startServer(address, 2);
        HttpLoad load({.address = m_bound, .path = "/n/"});
        for (int round = 1; round <= rounds; ++round) {
            const uint64_t before = load.counts().answered;
            ASSERT_TRUE(waitUntil([&] { return load.counts().answered > before + 300; })) << round;
            EXPECT_EQ(server->drain(seconds(15)), 0U);
            const HttpLoad::Counts counts = load.counts();
            EXPECT_EQ(counts.lost, 0U) << load.firstLoss() << ", in round " << round;
            if (round < rounds) server = startServer(m_bound, 2);
        }
        load.stop();
        const HttpLoad::Counts counts = load.counts();
        EXPECT_EQ(counts.lost, 0U) << load.firstLoss();
        EXPECT_EQ(counts.untouched, 0U) << "connections that were closed before they could send anything";
        std::printf("answered %" PRIu64 ", refused %" PRIu64 ", told to ask again %" PRIu64 "\n",
                    counts.answered, counts.refused, counts.told);
    }

    Address m_bound{};
};

// Connections in the backlog were closed before they could send anything, idle ones while a request was on its way,
// and those that completed between the last accept and the close of the listener were reset.
TEST_F(HttpDrainLoadTest, NoRequestIsLostOverTcp) { drainRepeatedly(Address::loopback(0), 12); }

TEST_F(HttpDrainLoadTest, NoRequestIsLostOverAUnixSocket) {
    drainRepeatedly(*Address::parse("unix:@tnet-drain-" + std::to_string(::getpid())), 12);
}

}  // namespace
}  // namespace tnet
