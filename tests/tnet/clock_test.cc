#include "tnet/clock.h"

#include <gtest/gtest.h>
#include <time.h>

#include "tests/support/manual_clock.h"

namespace tnet {
namespace {

Duration readMonotonic() {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

TEST(ClockTest, SystemNowIsMonotonicTime) {
    const Duration before = readMonotonic();
    const Duration now = Clock::system().now().time_since_epoch();
    const Duration after = readMonotonic();
    EXPECT_LE(before, now);
    EXPECT_LE(now, after);
}

TEST(ClockTest, SystemWallNowIsTheTimeOfDay) {
    const auto before = std::chrono::system_clock::now();
    const auto now = Clock::system().wallNow();
    const auto after = std::chrono::system_clock::now();
    EXPECT_LE(before, now);
    EXPECT_LE(now, after);
}

TEST(ClockTest, SystemIsOneObject) { EXPECT_EQ(&Clock::system(), &Clock::system()); }

TEST(ManualClockTest, StandsStillAtANonzeroTime) {
    const ManualClock clock;
    EXPECT_GT(clock.now(), TimePoint{});
    EXPECT_EQ(clock.now(), clock.now());
}

TEST(ManualClockTest, AdvanceMovesBothClocks) {
    ManualClock clock;
    const TimePoint start = clock.now();
    const auto wallStart = clock.wallNow();
    clock.advance(std::chrono::milliseconds(1500));
    EXPECT_EQ(clock.now() - start, std::chrono::milliseconds(1500));
    EXPECT_EQ(clock.wallNow() - wallStart, std::chrono::milliseconds(1500));
}

TEST(ManualClockTest, SetWallLeavesTheSteadyClockAlone) {
    ManualClock clock;
    const TimePoint start = clock.now();
    const std::chrono::system_clock::time_point wall{std::chrono::seconds(784111777)};
    clock.setWall(wall);
    EXPECT_EQ(clock.wallNow(), wall);
    EXPECT_EQ(clock.now(), start);
}

}  // namespace
}  // namespace tnet
