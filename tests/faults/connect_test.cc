// Connects that fail in every way, at random: each has one outcome, and those that succeed work.
#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <vector>

#include "tests/faults/fault_server.h"
#include "tests/faults/injector.h"
#include "tests/support/loop_fixture.h"
#include "tnet/connector.h"
#include "tnet/io_loop.h"
#include "tnet/log.h"

namespace tnet {
namespace {

constexpr const char* kRequest = "GET /loop HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
constexpr size_t kConnects = 200;

class FaultConnectTest : public ::testing::Test {
protected:
    FaultConnectTest() {
        logger().set_level(spdlog::level::off);
        server.start();
    }
    ~FaultConnectTest() override {
        sufferNoFaults();
        logger().set_level(spdlog::level::info);
    }

    // Connects, asks, and waits for the end of all.
    void connectAll(size_t count) {
        const auto loop = IOLoop::create();
        ASSERT_TRUE(loop.ok());
        Connector connector(loop->get());
        sufferFaults(1);
        for (size_t i = 0; i < count; ++i) {
            logs.push_back(std::make_unique<EventLog>());
            connector.connect(
                server.address(),
                [log = logs.back().get()](const ConnectionPtr_t& c, ConnEvent event, const void* context) {
                    log->record(event, context);
                    if (event == Conn_ConnectEvent) c->send(kRequest);
                });
        }
        EXPECT_TRUE(runLoopUntil(loop->get(), [this] { return countOf(Conn_CloseEvent) == logs.size(); }));
        sufferNoFaults();
    }

    size_t countOf(ConnEvent event) const {
        size_t sum = 0;
        for (const auto& log : logs) sum += log->count(event);
        return sum;
    }

    FaultServer server{};
    std::vector<std::unique_ptr<EventLog>> logs{};
};

TEST_F(FaultConnectTest, EachHasOneOutcomeAndThoseThatSucceedWork) {
    const size_t before = openDescriptors();
    {
        const FaultInjection faults(
            {.seed = 1, .chance = {{Fault::ConnectFails, 0.5}, {Fault::OpenFails, 0.1}}});
        connectAll(kConnects);
        EXPECT_GT(FaultInjection::count(Fault::ConnectFails), kConnects / 4);
        EXPECT_GT(FaultInjection::count(Fault::OpenFails), 0U);
    }
    for (const auto& log : logs) {
        EXPECT_EQ(log->count(Conn_CloseEvent), 1U);
        EXPECT_EQ(log->count(Conn_ConnectEvent) + log->count(Conn_ErrorEvent), 1U)
            << ::testing::PrintToString(log->events);
        if (log->has(Conn_ConnectEvent)) {
            EXPECT_EQ(log->bytes.substr(0, 12), "HTTP/1.1 200");
        }
    }
    EXPECT_GT(countOf(Conn_ConnectEvent), kConnects / 4);
    EXPECT_GT(countOf(Conn_ErrorEvent), kConnects / 4);

    // With the faults gone all succeed, and no descriptor is lost.
    logs.clear();
    connectAll(10);
    EXPECT_EQ(countOf(Conn_ConnectEvent), 10U);
    EXPECT_TRUE(waitUntil([&] { return server.server().connections() == 0; }));
    EXPECT_EQ(openDescriptors(), before);
}

}  // namespace
}  // namespace tnet
