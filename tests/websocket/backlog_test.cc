// What waits for a slow peer: order, keys and bytes.
#include "websocket/backlog.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <memory>
#include <string>

namespace tnet {
namespace {

SharedBytesPtr_t frame(const char* text) { return std::make_shared<const std::string>(text); }

size_t bytesOf(const char* key, const char* text) { return WsBacklog::bytesOf(key, frame(text)); }

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
    EXPECT_EQ(backlog.bytes(), 2 * bytesOf("", "one") + bytesOf("key", "two"));
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
    EXPECT_EQ(backlog.bytes(), 2 * bytesOf("a", "a1") + bytesOf("b", "b2 is longer"));
    EXPECT_EQ(*backlog.find("b")->frame, "b2 is longer");
    EXPECT_EQ(drained(backlog), "a1 b2 is longer c1 ");
}

// A message counted as its payload: a subscriber that never read cost 27 MiB of one-byte messages where 1 MiB
// was allowed.
TEST(WsBacklogTest, ItsBytesAreThoseOfTheMemoryItTakes) {
    if (mallinfo2().uordblks == 0) GTEST_SKIP() << "this heap does not count";
    struct Row {
        size_t keyBytes;
        size_t frameBytes;
    };
    for (const Row row : {Row{0, 3}, Row{0, 16}, Row{0, 500}, Row{1, 3}, Row{15, 3}, Row{16, 3}, Row{40, 100},
                          Row{1024, 3}}) {
        SCOPED_TRACE(testing::Message() << row.keyBytes << " " << row.frameBytes);
        constexpr size_t kMessages = 5000;
        const size_t before = mallinfo2().uordblks;
        {
            WsBacklog backlog;
            for (size_t i = 0; i < kMessages; ++i) {
                std::string key(row.keyBytes, 'k');
                const std::string number = std::to_string(10'000 + i);
                key.replace(0, std::min(row.keyBytes, number.size()), row.keyBytes > 0 ? number : "");
                backlog.insert(backlog.end(), key,
                               std::make_shared<const std::string>(std::string(row.frameBytes, 'f')));
            }
            const size_t taken = mallinfo2().uordblks - before;
            EXPECT_LE(taken, backlog.bytes());
            EXPECT_GE(taken + taken / 10, backlog.bytes());
        }
    }
}

}  // namespace
}  // namespace tnet
