#include "tnet/ssl/ssl_current.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace tnet {
namespace {

using Value = SslCurrent<std::string>;
using ValuePtr_t = Value::StatePtr_t;

ValuePtr_t make(const std::string& text) { return std::make_shared<const std::string>(text); }

TEST(SslCurrentTest, AReloadExchangesIt) {
    Value current(make("old"));
    const ValuePtr_t held = current.get();
    EXPECT_TRUE(current.reload([]() -> Result<ValuePtr_t> { return make("new"); }));
    EXPECT_EQ(*current.get(), "new");
    EXPECT_EQ(*held, "old");
}

TEST(SslCurrentTest, AnErrorLeavesItAsItWas) {
    Value current(make("old"));
    const Status failed = current.reload([]() -> Result<ValuePtr_t> {
        return Error{std::make_error_code(std::errc::invalid_argument), "no such file"};
    });
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().message, "no such file");
    EXPECT_EQ(*current.get(), "old");
}

// One that began earlier, and read older files, must not end later.
TEST(SslCurrentTest, ReloadsRunOneAfterTheOther) {
    Value current(make("start"));
    std::atomic<int> running{0};
    std::atomic<int> mostAtOnce{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
            for (int round = 0; round < 100; ++round) {
                const Status done = current.reload([&]() -> Result<ValuePtr_t> {
                    if (++running > mostAtOnce) mostAtOnce = running.load();
                    std::this_thread::yield();
                    --running;
                    return make("next");
                });
                EXPECT_TRUE(done);
                EXPECT_FALSE(current.get()->empty());
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(mostAtOnce, 1);
}

}  // namespace
}  // namespace tnet
