#include "tnet/slow_peer_watch.h"

#include <gtest/gtest.h>

#include <chrono>

namespace tnet {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr TimePoint kStart{seconds(1000)};
constexpr SlowPeerWatch::Limits kLimits{.timeout = seconds(10), .bytesPerSecond = 100};

SlowPeerWatch begun() {
    SlowPeerWatch watch;
    watch.begin(kStart);
    return watch;
}

TEST(SlowPeerWatchTest, IsOffUntilItBegins) {
    SlowPeerWatch watch;
    EXPECT_FALSE(watch.isOn());
    watch.took(10, kStart);
    EXPECT_FALSE(watch.isTooSlow(kStart + seconds(1000), kLimits));
    watch.begin(kStart);
    EXPECT_TRUE(watch.isOn());
    watch.stop();
    EXPECT_FALSE(watch.isOn());
    EXPECT_FALSE(watch.isTooSlow(kStart + seconds(1000), kLimits));
}

TEST(SlowPeerWatchTest, APeerThatTakesNothingIsTooSlowAfterTheTimeout) {
    SlowPeerWatch watch = begun();
    EXPECT_EQ(watch.nextLook(kLimits), kStart + seconds(10));
    EXPECT_FALSE(watch.isTooSlow(kStart + milliseconds(9999), kLimits));
    EXPECT_TRUE(watch.isTooSlow(kStart + seconds(10), kLimits));
}

TEST(SlowPeerWatchTest, NothingCountsFromTheLastThatItTook) {
    SlowPeerWatch watch = begun();
    watch.took(1'000'000, kStart + seconds(4));
    EXPECT_FALSE(watch.isTooSlow(kStart + milliseconds(13'999), kLimits));
    EXPECT_TRUE(watch.isTooSlow(kStart + seconds(14), kLimits));
}

TEST(SlowPeerWatchTest, ToTakeALittleNowAndThenIsTooSlow) {
    SlowPeerWatch watch = begun();
    for (int i = 1; i < 10; ++i) watch.took(99, kStart + seconds(i));
    EXPECT_FALSE(watch.isTooSlow(kStart + milliseconds(9999), kLimits));
    EXPECT_TRUE(watch.isTooSlow(kStart + seconds(10), kLimits)) << "891 bytes in 10 s";
}

TEST(SlowPeerWatchTest, EachTimeoutIsCountedAnew) {
    SlowPeerWatch watch = begun();
    for (int i = 1; i <= 10; ++i) watch.took(5'000, kStart + seconds(i));
    EXPECT_FALSE(watch.isTooSlow(kStart + seconds(10), kLimits));
    EXPECT_EQ(watch.nextLook(kLimits), kStart + seconds(20));
    for (int i = 11; i < 20; ++i) watch.took(10, kStart + seconds(i));
    EXPECT_TRUE(watch.isTooSlow(kStart + seconds(20), kLimits)) << "what was fast before does not count";
}

TEST(SlowPeerWatchTest, ALookThatIsLateAsksForMore) {
    SlowPeerWatch watch = begun();
    watch.took(1'500, kStart + seconds(15));
    EXPECT_FALSE(watch.isTooSlow(kStart + seconds(15), kLimits));
    watch.begin(kStart);
    watch.took(1'499, kStart + seconds(15));
    EXPECT_TRUE(watch.isTooSlow(kStart + seconds(15), kLimits));
}

TEST(SlowPeerWatchTest, ForEverIsForEver) {
    SlowPeerWatch watch = begun();
    constexpr SlowPeerWatch::Limits kForEver{.timeout = Duration::max(), .bytesPerSecond = 100};
    EXPECT_EQ(watch.nextLook(kForEver), TimePoint::max());
    EXPECT_FALSE(watch.isTooSlow(kStart + std::chrono::years(100), kForEver));
}

}  // namespace
}  // namespace tnet
