#include "tnet/durations.h"

#include <gtest/gtest.h>

namespace tnet {
namespace {

using namespace std::chrono_literals;
using std::chrono::hours;
using std::chrono::milliseconds;

TEST(DurationsTest, WhatFitsIsUnchanged) {
    EXPECT_EQ(saturated(milliseconds(1500)), Duration(1'500'000'000));
    EXPECT_EQ(saturated(milliseconds(-1)), Duration(-1'000'000));
    EXPECT_EQ(saturated(milliseconds(0)), Duration(0));
    EXPECT_EQ(saturated(Duration::max()), Duration::max());
    EXPECT_EQ(saturated(Duration::min()), Duration::min());
}

// milliseconds::max() in nanoseconds is -1'000'000: what was to be never was over before it began.
TEST(DurationsTest, WhatDoesNotFitIsTheLongestThereIs) {
    EXPECT_EQ(saturated(milliseconds::max()), Duration::max());
    EXPECT_EQ(saturated(milliseconds::min()), Duration::min());
    EXPECT_EQ(saturated(hours::max()), Duration::max());
    EXPECT_EQ(saturated(hours::min()), Duration::min());
}

TEST(DurationsTest, SumsSaturateAtBothEndsOfTime) {
    const TimePoint now(Duration(5s));
    EXPECT_EQ(timeAfter(now, 2s), TimePoint(Duration(7s)));
    EXPECT_EQ(timeAfter(now, -2s), TimePoint(Duration(3s)));
    EXPECT_EQ(timeAfter(now, milliseconds::max()), TimePoint::max());
    EXPECT_EQ(timeAfter(now, Duration::max()), TimePoint::max());
    EXPECT_EQ(timeAfter(TimePoint(Duration(-5s)), Duration::min()), TimePoint::min());
    EXPECT_EQ(timeAfter(now, Duration::min()), now + Duration::min());
}

TEST(DurationsTest, DifferencesSaturateAtBothEndsOfTime) {
    const TimePoint now(Duration(5s));
    EXPECT_EQ(timeUntil(now, TimePoint(Duration(7s))), 2s);
    EXPECT_EQ(timeUntil(now, TimePoint(Duration(3s))), -2s);
    EXPECT_EQ(timeUntil(now, TimePoint::min()), Duration::min());
    EXPECT_EQ(timeUntil(TimePoint(Duration(-5s)), TimePoint::max()), Duration::max());
    EXPECT_EQ(timeUntil(now, TimePoint::max()), Duration::max() - 5s);
}

}  // namespace
}  // namespace tnet
