#include "tnet/log.h"

#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>

#include <atomic>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace tnet {
namespace {

class LogTest : public testing::Test {
protected:
    ~LogTest() override { setLogger(nullptr); }

    static std::shared_ptr<spdlog::logger> makeLogger(std::ostream& stream) {
        auto made = std::make_shared<spdlog::logger>(
            "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(stream));
        made->set_pattern("%v");
        return made;
    }
};

TEST_F(LogTest, DefaultIsNamedTnetAtLevelInfo) {
    EXPECT_EQ(logger().name(), "tnet");
    EXPECT_EQ(logger().level(), spdlog::level::info);
}

TEST_F(LogTest, DefaultWritesToStderr) {
    testing::internal::CaptureStderr();
    logger().info("a line for {}", "stderr");
    logger().debug("not this one");
    EXPECT_TRUE(writeLog());
    const std::string written = testing::internal::GetCapturedStderr();
    EXPECT_NE(written.find("a line for stderr"), std::string::npos);
    EXPECT_EQ(written.find("not this one"), std::string::npos);
}

TEST_F(LogTest, SetLoggerReplacesIt) {
    // Static: the library keeps every logger that was set, so its stream has to stay too.
    static std::ostringstream stream;
    setLogger(makeLogger(stream));
    logger().info("hello {}", 42);
    EXPECT_EQ(stream.str(), "hello 42\n");
}

TEST_F(LogTest, NullBringsTheDefaultBack) {
    static std::ostringstream stream;
    spdlog::logger* const original = &logger();
    setLogger(makeLogger(stream));
    ASSERT_NE(&logger(), original);
    setLogger(nullptr);
    EXPECT_EQ(&logger(), original);
}

// A thread may be using the logger it got just before the exchange.
TEST_F(LogTest, APreviousLoggerStaysUsable) {
    static std::ostringstream stream;
    std::weak_ptr<spdlog::logger> watched;
    {
        auto first = makeLogger(stream);
        watched = first;
        setLogger(std::move(first));
    }
    spdlog::logger& held = logger();
    setLogger(nullptr);
    ASSERT_FALSE(watched.expired());
    held.info("still here");
    EXPECT_EQ(stream.str(), "still here\n");
}

TEST_F(LogTest, ThreadsMayLogWhileItIsExchanged) {
    static std::ostringstream stream;
    std::atomic<bool> isDone{false};
    std::atomic<int> logged{0};
    setLogger(makeLogger(stream));
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
            while (!isDone) {
                logger().debug("below the level");
                ++logged;
            }
        });
    }
    for (int i = 0; i < 100 || logged < 1000; ++i) {
        if (i < 100) setLogger(makeLogger(stream));
    }
    isDone = true;
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(logger().name(), "test");
}

}  // namespace
}  // namespace tnet
