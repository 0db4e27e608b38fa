#include "tnet/turn.h"

#include <gtest/gtest.h>

namespace tnet {
namespace {

TEST(TurnTest, IsOverAfterItsSteps) {
    Turn turn({.steps = 2, .bytes = 100});
    EXPECT_FALSE(turn.isOver());
    turn.spend(0);
    EXPECT_FALSE(turn.isOver());
    turn.spend(0);
    EXPECT_TRUE(turn.isOver());
}

TEST(TurnTest, IsOverAfterItsBytesAndTheLastStepMayGoBeyond) {
    Turn turn({.steps = 10, .bytes = 100});
    turn.spend(99);
    EXPECT_FALSE(turn.isOver());
    EXPECT_EQ(turn.bytesLeft(), 1U);
    turn.spend(50);
    EXPECT_TRUE(turn.isOver());
    EXPECT_EQ(turn.bytesLeft(), 0U);
}

TEST(TurnTest, AStepMayCostSeveral) {
    Turn turn({.steps = 10, .bytes = 100});
    turn.spend(1, 9);
    EXPECT_FALSE(turn.isOver());
    turn.spend(1, 9);
    EXPECT_TRUE(turn.isOver());
}

}  // namespace
}  // namespace tnet
