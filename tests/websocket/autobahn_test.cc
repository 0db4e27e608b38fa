// The public list of the Autobahn test suite, strictly, through the whole stack, whole and in pieces.
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <utility>

#include "tests/websocket/autobahn_cases.h"
#include "tests/websocket/ws_fixture.h"

namespace tnet {
namespace {

constexpr size_t kLargest = 16 << 20;
// In pieces of a few bytes, group 9 is run with 1/128 of its sizes and counts; with all of them, whole.
constexpr size_t kPiecesDivisor = 128;

class AutobahnTest : public WsTest {
protected:
    AutobahnTest() {
        WsRoute route = echoRoute();
        route.maxMessageBytes = kLargest;
        route.maxFrameBytes = kLargest;
        ws().route("/echo", std::move(route));
    }

    // EXPECT_EQ would print megabytes.
    static void expectSame(const std::vector<WsFrame>& got, const std::vector<WsFrame>& expected) {
        ASSERT_EQ(got.size(), expected.size());
        for (size_t i = 0; i < got.size(); ++i) {
            EXPECT_TRUE(got[i] == expected[i]) << "got " << got[i] << "\nexpected " << expected[i];
        }
    }

    void check(const AutobahnCase& row, size_t fragment) {
        SCOPED_TRACE(row.number + ", in pieces of " +
                     (fragment == ScriptedPeer::kWhole ? "all" : std::to_string(fragment)));
        const auto peer = open("/echo");
        peer->feed(row.bytes, fragment);
        WsFrames frames = peer->collect();
        EXPECT_TRUE(frames.isClean()) << frames;
        EXPECT_EQ(frames.closeCode(), row.closeCode) << frames;
        EXPECT_TRUE(peer->isEnded());
        if (frames.closeCode()) frames.all.pop_back();
        expectSame(frames.all, row.answers);
    }

    // What came before the byte that decides has been answered, and then that byte is enough.
    void checkDecision(const AutobahnCase& row) {
        SCOPED_TRACE(row.number);
        ASSERT_GT(row.decidesAt, 0U);
        const auto peer = open("/echo");
        peer->feed(std::string_view(row.bytes).substr(0, row.decidesAt - 1));
        const WsFrames before = peer->collect();
        EXPECT_TRUE(before.isClean()) << before;
        expectSame(before.all, row.answers);
        EXPECT_FALSE(peer->isEnded()) << "too early";
        peer->feed(std::string_view(row.bytes).substr(row.decidesAt - 1, 1));
        EXPECT_EQ(peer->collect().closeCode(), row.closeCode) << "too late";
        EXPECT_TRUE(peer->isEnded());
    }

    bool hasFailedTooOften() { return HasFailure() && ++m_failedRows > 20; }

private:
    size_t m_failedRows = 0;
};

TEST(AutobahnTableTest, HasEveryCaseOnce) {
    std::set<std::string> numbers;
    for (const AutobahnCase& row : autobahnCases()) {
        EXPECT_TRUE(numbers.insert(row.number).second) << row.number;
    }
    for (const AutobahnLarge& row : autobahnLargeCases()) {
        EXPECT_TRUE(numbers.insert(row.number).second) << row.number;
    }
    const auto count = [&numbers](const std::string& group) {
        size_t found = 0;
        for (const std::string& number : numbers) found += number.starts_with(group + ".") ? 1U : 0U;
        return found;
    };
    EXPECT_EQ(count("1"), 16U);
    EXPECT_EQ(count("2"), 11U);
    EXPECT_EQ(count("3"), 7U);
    EXPECT_EQ(count("4"), 10U);
    EXPECT_EQ(count("5"), 20U);
    EXPECT_EQ(count("6"), 145U);
    EXPECT_EQ(count("7"), 37U);
    EXPECT_EQ(count("9"), 54U);
    EXPECT_EQ(count("10"), 1U);
}

TEST_F(AutobahnTest, TheByteThatDecidesIsEnough) {
    for (const AutobahnCase& row : autobahnCases()) {
        checkDecision(row);
        if (hasFailedTooOften()) return;
    }
}

TEST_F(AutobahnTest, ChoppedAsAutobahnDoes) {
    for (const AutobahnCase& row : autobahnCases()) {
        if (row.chop != 0) check(row, row.chop);
    }
}

TEST_F(AutobahnTest, LargeMessagesInFullSize) {
    for (const AutobahnLarge& row : autobahnLargeCases()) {
        check(autobahnLargeCase(row, 1), row.chop == 0 ? ScriptedPeer::kWhole : row.chop);
        if (hasFailedTooOften()) return;
    }
}

// A test per size of the pieces, so that they can run side by side.
class AutobahnFragmentTest : public AutobahnTest, public ::testing::WithParamInterface<size_t> {};

TEST_P(AutobahnFragmentTest, EveryCaseHasItsStrictResult) {
    for (const AutobahnCase& row : autobahnCases()) {
        check(row, GetParam());
        if (hasFailedTooOften()) return;
    }
}

TEST_P(AutobahnFragmentTest, LargeMessagesOnASmallScale) {
    for (const AutobahnLarge& row : autobahnLargeCases()) {
        check(autobahnLargeCase(row, kPiecesDivisor), GetParam());
        if (hasFailedTooOften()) return;
    }
}

INSTANTIATE_TEST_SUITE_P(Fragments, AutobahnFragmentTest, ::testing::ValuesIn(fragmentsOfLongTables()),
                         [](const ::testing::TestParamInfo<size_t>& size) {
                             return size.param == ScriptedPeer::kWhole ? "whole" : std::to_string(size.param);
                         });

}  // namespace
}  // namespace tnet
