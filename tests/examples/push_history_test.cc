// PushHistory: what a replay has, and what is forgotten.
#include "examples/push/history.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace tnet {
namespace {

constexpr uint64_t kFirst = 100;
constexpr size_t kAnySize = 1 << 20;

class PushHistoryTest : public testing::Test {
protected:
    static void add(PushHistory& history, uint64_t id, std::string topic, std::string text = "x") {
        history.add(std::make_shared<const PushMessage>(PushMessage{id, std::move(topic), std::move(text)}));
    }

    // "101 103", and " ..." in front if it is not complete.
    static std::string replay(const PushHistory& history, uint64_t after,
                              const std::vector<std::string>& topics, size_t maxBytes = kAnySize) {
        const PushHistory::Replay got = history.after(after, topics, maxBytes);
        std::string text = got.isComplete ? "" : "...";
        for (const PushMessagePtr_t& message : got.messages)
            text.append(text.empty() ? "" : " ").append(std::to_string(message->id));
        return text;
    }
};

TEST_F(PushHistoryTest, ReplaysWhatFollowedAnId) {
    PushHistory history({}, kFirst);
    for (uint64_t id = 101; id <= 104; ++id) add(history, id, "a");
    EXPECT_EQ(replay(history, 100, {"a"}), "101 102 103 104");
    EXPECT_EQ(replay(history, 102, {"a"}), "103 104");
    EXPECT_EQ(replay(history, 104, {"a"}), "");
    EXPECT_EQ(replay(history, 100, {"b"}), "");
}

TEST_F(PushHistoryTest, TopicsAreReplayedInOneOrder) {
    PushHistory history({}, kFirst);
    for (uint64_t id = 101; id <= 106; ++id) add(history, id, id % 2 == 0 ? "even" : "odd");
    EXPECT_EQ(replay(history, 102, {"even", "odd"}), "103 104 105 106");
}

TEST_F(PushHistoryTest, AnIdFromBeforeItsTimeIsIncomplete) {
    PushHistory history({}, kFirst);
    add(history, 101, "a");
    EXPECT_EQ(replay(history, 99, {"a"}), "... 101");
    EXPECT_EQ(replay(history, 99, {"b"}), "...");
}

TEST_F(PushHistoryTest, ATopicForgetsItsOldest) {
    PushHistory history({.messagesPerTopic = 2}, kFirst);
    for (uint64_t id = 101; id <= 103; ++id) add(history, id, "a");
    EXPECT_EQ(replay(history, 100, {"a"}), "... 102 103");
    EXPECT_EQ(replay(history, 101, {"a"}), "102 103");
    EXPECT_EQ(history.messages(), 2U);
}

TEST_F(PushHistoryTest, OfTooManyTopicsTheOneUsedLeastRecentlyGoes) {
    PushHistory history({.topics = 2}, kFirst);
    add(history, 101, "a");
    add(history, 102, "b");
    add(history, 103, "a");
    add(history, 104, "c");
    EXPECT_EQ(replay(history, 100, {"a"}), "101 103");
    EXPECT_EQ(replay(history, 101, {"b"}), "...");
    EXPECT_EQ(replay(history, 102, {"b"}), "");
    EXPECT_EQ(history.topics(), 2U);
}

TEST_F(PushHistoryTest, AForgottenTopicThatComesBackKnowsWhatItMisses) {
    PushHistory history({.topics = 1}, kFirst);
    add(history, 101, "a");
    add(history, 102, "b");
    add(history, 103, "a");
    EXPECT_EQ(replay(history, 100, {"a"}), "... 103");
}

TEST_F(PushHistoryTest, BytesAreBoundedOverAllTopics) {
    PushHistory history({.bytes = 100}, kFirst);
    add(history, 101, "a", std::string(40, 'x'));
    add(history, 102, "b", std::string(40, 'x'));
    add(history, 103, "a", std::string(40, 'x'));
    EXPECT_EQ(replay(history, 100, {"a"}), "101 103");
    EXPECT_EQ(replay(history, 100, {"b"}), "...");
    add(history, 104, "a", std::string(101, 'x'));
    EXPECT_EQ(history.bytes(), 0U);
    EXPECT_EQ(history.topics(), 0U);
    EXPECT_EQ(history.messages(), 0U);
}

TEST_F(PushHistoryTest, AReplayHasTheLatestThatFit) {
    PushHistory history({}, kFirst);
    for (uint64_t id = 101; id <= 104; ++id) add(history, id, "a", std::string(10, 'x'));
    EXPECT_EQ(replay(history, 100, {"a"}, 29), "... 103 104");
    EXPECT_EQ(replay(history, 100, {"a"}, 40), "101 102 103 104");
    EXPECT_EQ(replay(history, 100, {"a"}, 9), "...");
}

TEST_F(PushHistoryTest, NoHistoryIsNoCompleteOne) {
    PushHistory history({.messagesPerTopic = 0}, kFirst);
    add(history, 101, "a");
    EXPECT_EQ(replay(history, 100, {"a"}), "...");
    EXPECT_EQ(replay(history, 101, {"a"}), "");
    EXPECT_EQ(history.messages(), 0U);
}

}  // namespace
}  // namespace tnet
