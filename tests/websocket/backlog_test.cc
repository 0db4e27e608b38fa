// What waits for a slow peer: order, keys and bytes.
#include "websocket/backlog.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace tnet {
namespace {

SharedBytesPtr_t frame(const char* text) { return std::make_shared<const std::string>(text); }

std::string drained(WsBacklog& backlog) {
    std::string all;
    while (!backlog.empty()) all += *backlog.pop() + " ";
    return all;
}

TEST(WsBacklogTest, MessagesComeOutInTheirOrder) {
    WsBacklog backlog;
    EXPECT_TRUE(backlog.empty());
    backlog.insert(backlog.end(), {}, frame("one"));
    backlog.insert(backlog.end(), "key", frame("two"));
    backlog.insert(backlog.end(), {}, frame("three"));
    EXPECT_EQ(backlog.bytes(), 11U);
    EXPECT_EQ(drained(backlog), "one two three ");
    EXPECT_EQ(backlog.bytes(), 0U);
}

TEST(WsBacklogTest, AKeyIsFoundUntilItsMessageGoes) {
    WsBacklog backlog;
    EXPECT_EQ(backlog.find("a"), backlog.end());
    backlog.insert(backlog.end(), "a", frame("a1"));
    backlog.insert(backlog.end(), "b", frame("b1"));
    ASSERT_NE(backlog.find("a"), backlog.end());
    EXPECT_EQ(*backlog.find("a")->frame, "a1");
    EXPECT_EQ(backlog.find({}), backlog.end());
    backlog.pop();
    EXPECT_EQ(backlog.find("a"), backlog.end());
    EXPECT_EQ(*backlog.find("b")->frame, "b1");
    backlog.clear();
    EXPECT_EQ(backlog.find("b"), backlog.end());
    EXPECT_EQ(backlog.bytes(), 0U);
}

TEST(WsBacklogTest, ALaterMessageTakesThePlaceOfItsKeys) {
    WsBacklog backlog;
    backlog.insert(backlog.end(), "a", frame("a1"));
    backlog.insert(backlog.end(), "b", frame("b1"));
    backlog.insert(backlog.end(), "c", frame("c1"));
    const WsBacklog::Place place = backlog.erase(backlog.find("b"));
    EXPECT_EQ(*place->frame, "c1");
    backlog.insert(place, "b", frame("b2 is longer"));
    EXPECT_EQ(backlog.bytes(), 16U);
    EXPECT_EQ(*backlog.find("b")->frame, "b2 is longer");
    EXPECT_EQ(drained(backlog), "a1 b2 is longer c1 ");
}

}  // namespace
}  // namespace tnet
