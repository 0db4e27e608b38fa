#include "tnet/batch.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace tnet {
namespace {

TEST(BatchTest, DoesATurnAtATimeInOrder) {
    Batch<int> batch;
    EXPECT_TRUE(batch.isDone());
    std::vector<int> items{1, 2, 3, 4, 5};
    batch.take(items);
    EXPECT_TRUE(items.empty());
    std::vector<int> done;
    const auto note = [&done](int item) { done.push_back(item); };
    batch.run(Turn({.steps = 2, .bytes = 100}), note);
    EXPECT_EQ(done, (std::vector{1, 2}));
    EXPECT_FALSE(batch.isDone());
    batch.run(Turn({.steps = 100, .bytes = 100}), note);
    EXPECT_EQ(done, (std::vector{1, 2, 3, 4, 5}));
    EXPECT_TRUE(batch.isDone());
}

TEST(BatchTest, AnItemIsDestroyedBeforeTheNextIsDone) {
    Batch<std::shared_ptr<int>> batch;
    std::vector<std::shared_ptr<int>> items{std::make_shared<int>(1), std::make_shared<int>(2)};
    const std::weak_ptr<int> first = items[0];
    batch.take(items);
    int steps = 0;
    batch.run(Turn({.steps = 9, .bytes = 9}),
              [&](const std::shared_ptr<int>&) { EXPECT_EQ(first.expired(), ++steps == 2); });
    EXPECT_EQ(steps, 2);
}

TEST(BatchTest, WhatIsLeftIsDestroyedUndone) {
    auto owned = std::make_shared<int>(1);
    const std::weak_ptr<int> watched = owned;
    Batch<std::shared_ptr<int>> batch;
    std::vector<std::shared_ptr<int>> items{std::move(owned)};
    batch.take(items);
    batch.clear();
    EXPECT_TRUE(watched.expired());
    EXPECT_TRUE(batch.isDone());
}

// A mass that came once must not keep its memory for ever; some room stays, for lists whose growth must not fail.
TEST(BatchTest, GivesBackTheRoomOfAMass) {
    Batch<int> batch;
    std::vector<int> items(1'000'000, 1);
    batch.take(items);
    batch.run(Turn({.steps = UINT32_MAX, .bytes = SIZE_MAX}), [](int) {});
    items = {1};
    batch.take(items);
    EXPECT_GE(items.capacity(), 256U);
    EXPECT_LE(items.capacity(), 4096U);
}

}  // namespace
}  // namespace tnet
