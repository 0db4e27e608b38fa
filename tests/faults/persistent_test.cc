// Faults that stay: while they do no loop spins, and when they go those who waited are served.
#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <string>
#include <vector>

#include "tests/faults/fault_server.h"
#include "tests/faults/injector.h"
#include "tests/support/loop_fixture.h"
#include "tnet/acceptor.h"
#include "tnet/log.h"

namespace tnet {
namespace {

constexpr const char* kKept = "GET /loop HTTP/1.1\r\nHost: a\r\n\r\n";  // what is not closed is watched
constexpr const char* kRequest = "GET /loop HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
constexpr size_t kClients = 8;

struct Case {
    const char* name;
    Fault fault;
    int error;
    bool waits;  // clients wait until it is gone; otherwise their connection ends
};

class PersistentFaultTest : public ::testing::TestWithParam<Case> {
protected:
    PersistentFaultTest() { logger().set_level(spdlog::level::off); }
    ~PersistentFaultTest() override { logger().set_level(spdlog::level::info); }
};

TEST_P(PersistentFaultTest, DoesNotSpinAndIsForgottenAfterwards) {
    const Case& each = GetParam();
    const size_t before = openDescriptors();
    {
        FaultServer server;
        server.start();
        std::vector<BlockingClient> clients;
        {
            const FaultInjection faults({.seed = 1, .chance = {{each.fault, 1.0}}, .error = each.error});
            const uint64_t waitsBefore = waitsOfSufferingThreads();
            for (size_t i = 0; i < kClients; ++i) {
                clients.push_back(BlockingClient::connectTo(server.address()));
                clients.back().send(each.waits ? kRequest : kKept);
            }
            ASSERT_TRUE(waitUntil([&] { return FaultInjection::count(each.fault) >= FaultServer::kLoops; }));
            // A loop that spins makes some hundred thousand rounds in this time.
            const bool spins = waitUntil(
                [&] {
                    return waitsOfSufferingThreads() - waitsBefore >= 60 * kClients ||
                           FaultInjection::count(each.fault) >= 60 * kClients;
                },
                3 * Acceptor::kRetryPause);
            EXPECT_FALSE(spins) << FaultInjection::counts();
        }
        for (BlockingClient& client : clients) {
            const std::string answer = client.receiveAll();
            if (each.waits) {
                EXPECT_EQ(answer.substr(0, 12), "HTTP/1.1 200");
            }
        }
        BlockingClient fresh = BlockingClient::connectTo(server.address());
        fresh.send(kRequest);
        EXPECT_EQ(fresh.receiveAll().substr(0, 12), "HTTP/1.1 200");
        EXPECT_TRUE(waitUntil([&] { return server.server().connections() == 0; }));
    }
    EXPECT_EQ(openDescriptors(), before);
}

INSTANTIATE_TEST_SUITE_P(Of, PersistentFaultTest,
                         ::testing::Values(Case{"AcceptEmfile", Fault::AcceptFails, EMFILE, true},
                                           Case{"AcceptEnfile", Fault::AcceptFails, ENFILE, true},
                                           Case{"AcceptEnomem", Fault::AcceptFails, ENOMEM, true},
                                           Case{"WatchEnospc", Fault::WatchFails, ENOSPC, false},
                                           Case{"ReadEnomem", Fault::ReadFails, ENOMEM, false},
                                           Case{"ReadEconnreset", Fault::ReadFails, ECONNRESET, false},
                                           Case{"WriteEnobufs", Fault::WriteFails, ENOBUFS, false},
                                           Case{"WriteEpipe", Fault::WriteFails, EPIPE, false},
                                           Case{"NoMemory", Fault::Memory, 0, false}),
                         [](const auto& each) { return each.param.name; });

// A server that cannot begin says why, and leaves nothing behind.
TEST(FaultStartTest, WhatFailsWhileItStartsIsReturned) {
    const size_t before = openDescriptors();
    size_t failures = 0;
    for (uint64_t seed = 1; seed <= 60; ++seed) {
        HttpServer server;
        server.router().get("/", [](const HttpRequest&) { return HttpResponse(204); });
        const FaultInjection faults(
            {.seed = seed, .chance = {{Fault::OpenFails, 0.1}, {Fault::WatchFails, 0.1}}});
        sufferFaults(0);
        const auto bound = server.listen(Address::loopback(0));
        const Status started = bound ? server.start(3) : Status(bound.error());
        sufferNoFaults();
        if (started.ok()) continue;
        ++failures;
        EXPECT_NE(started.error().message, "");
    }
    EXPECT_GT(failures, 10U);
    EXPECT_EQ(openDescriptors(), before);
}

}  // namespace
}  // namespace tnet
