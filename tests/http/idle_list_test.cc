#include "http/idle_list.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>

namespace tnet {
namespace {

TimePoint at(int second) { return TimePoint(std::chrono::seconds(second)); }

TEST(IdleListTest, HasTheLongestIdleInFront) {
    IdleList list;
    IdleLink a;
    IdleLink b;
    IdleLink c;
    EXPECT_TRUE(list.empty());
    EXPECT_EQ(list.front(), nullptr);
    list.pushBack(a, at(1));
    list.pushBack(b, at(2));
    list.pushBack(c, at(2));
    EXPECT_EQ(list.front(), &a);
    EXPECT_EQ(a.idleSince(), at(1));
    list.pushBack(a, at(3));  // idle again
    EXPECT_EQ(list.front(), &b);
    EXPECT_EQ(a.idleSince(), at(3));
    b.unlink();
    EXPECT_EQ(list.front(), &c);
    c.unlink();
    EXPECT_EQ(list.front(), &a);
    a.unlink();
    EXPECT_TRUE(list.empty());
}

TEST(IdleListTest, UnlinkIsHarmlessOutsideOfAList) {
    IdleList list;
    IdleLink a;
    a.unlink();
    list.pushBack(a, at(1));
    a.unlink();
    a.unlink();
    EXPECT_TRUE(list.empty());
}

TEST(IdleListTest, LinksLeaveWhenTheyDie) {
    IdleList list;
    IdleLink a;
    auto b = std::make_unique<IdleLink>();
    IdleLink c;
    list.pushBack(a, at(1));
    list.pushBack(*b, at(2));
    list.pushBack(c, at(3));
    b.reset();
    EXPECT_EQ(list.front(), &a);
    a.unlink();
    EXPECT_EQ(list.front(), &c);
}

TEST(IdleListTest, LinksMoveFromListToList) {
    IdleList first;
    IdleList second;
    IdleLink a;
    first.pushBack(a, at(1));
    second.pushBack(a, at(2));
    EXPECT_TRUE(first.empty());
    EXPECT_EQ(second.front(), &a);
}

}  // namespace
}  // namespace tnet
