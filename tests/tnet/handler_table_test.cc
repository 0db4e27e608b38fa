#include "tnet/handler_table.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <utility>
#include <vector>

namespace tnet {
namespace {

class Handler final : public IOHandler {
public:
    void handleEvents(uint32_t) override {}
};

uint64_t add(HandlerTable& table, int fd, IOHandlerPtr_t handler = std::make_shared<Handler>()) {
    const HandlerTable::Place place = table.placeFor(fd);
    table.add(place, fd, std::move(handler));
    return place.tag();
}

TEST(HandlerTableTest, FindsByTagAndByDescriptor) {
    HandlerTable table;
    const auto handler = std::make_shared<Handler>();
    const uint64_t tag = add(table, 7, handler);
    EXPECT_EQ(table.find(tag), handler.get());
    EXPECT_EQ(table.tagOf(7), tag);
    EXPECT_EQ(table.tagOf(8), 0U);
    EXPECT_EQ(table.remove(8), nullptr);
    EXPECT_EQ(table.remove(7), handler);
    EXPECT_EQ(table.find(tag), nullptr);
    EXPECT_EQ(table.tagOf(7), 0U);
    EXPECT_EQ(table.size(), 0U);
}

TEST(HandlerTableTest, AStaleTagNamesNoLaterHandlerOfItsSlot) {
    HandlerTable table;
    for (const int fd : {5, 100'000}) {
        const uint64_t old = add(table, fd);
        table.remove(fd);
        const uint64_t next = add(table, fd);
        EXPECT_EQ(static_cast<uint32_t>(old), static_cast<uint32_t>(next)) << "or this test shows nothing";
        EXPECT_EQ(table.find(old), nullptr);
        EXPECT_NE(table.find(next), nullptr);
    }
}

// The table was indexed by the process-wide descriptor: with 64 loops each descriptor cost 1,548 bytes over all of
// them. Here two loops share 20,000 descriptors, then 64 do.
TEST(HandlerTableTest, IsDenseWhateverTheDescriptorsNumbersAre) {
    constexpr int kDescriptors = 20'000;
    for (const int loops : {1, 2, 64}) {
        std::vector<HandlerTable> tables(static_cast<size_t>(loops));
        const auto handler = std::make_shared<Handler>();
        for (int fd = 0; fd < kDescriptors; ++fd) add(tables[static_cast<size_t>(fd % loops)], fd, handler);
        size_t bytes = 0;
        for (const HandlerTable& table : tables) bytes += table.bytes();
        // 24 for a slot; two slots for each at most; and the array may be half empty.
        EXPECT_LE(bytes / kDescriptors, loops == 1 ? 48U : 96U) << loops << " loops";
    }
    HandlerTable few;
    add(few, 900'000);
    add(few, 1'000'000);
    EXPECT_LE(few.bytes(), HandlerTable::kSmall * 24 + 64);
}

TEST(HandlerTableTest, ALoopThatHasAllDescriptorsNeedsNoSearchTable) {
    HandlerTable table;
    const auto handler = std::make_shared<Handler>();
    for (int fd = 10; fd < 5000; ++fd)
        EXPECT_EQ(static_cast<uint32_t>(add(table, fd, handler)), static_cast<uint32_t>(fd));
    EXPECT_EQ(table.bytes() % sizeof(std::pair<IOHandlerPtr_t, uint64_t>), 0U) << "nothing but slots";
}

// Memory runs out between the two, or epoll refuses: nothing has changed.
TEST(HandlerTableTest, APlaceThatIsNotUsedIsNotTaken) {
    HandlerTable table;
    table.placeFor(3);
    table.placeFor(4'000);
    EXPECT_EQ(table.size(), 0U);
    const uint64_t tag = add(table, 4'000);
    EXPECT_EQ(table.tagOf(4'000), tag);
}

TEST(HandlerTableTest, ADescriptorsHandlerMayBeReplaced) {
    HandlerTable table;
    for (const int fd : {3, 70'000}) {
        const uint64_t old = add(table, fd);
        const HandlerTable::Place place = table.placeFor(fd);
        EXPECT_NE(table.remove(fd), nullptr);
        table.add(place, fd, std::make_shared<Handler>());
        EXPECT_EQ(table.find(old), nullptr);
        EXPECT_NE(table.find(place.tag()), nullptr);
    }
}

TEST(HandlerTableTest, AgreesWithAMap) {
    for (const uint32_t seed : {1U, 2U, 3U}) {
        std::mt19937 random(seed);
        HandlerTable table;
        std::map<int, std::pair<uint64_t, IOHandlerPtr_t>> model;
        std::vector<uint64_t> gone;
        for (int step = 0; step < 20'000; ++step) {
            // Few and close, many and far apart, in multiples as loops that take turns get them.
            const int range = step < 7'000 ? 200 : 20'000;
            const int fd =
                static_cast<int>(random() % static_cast<uint32_t>(range)) * (step < 14'000 ? 1 : 64);
            const auto known = model.find(fd);
            if (known == model.end() && (random() % 100 < 60 || model.empty())) {
                auto handler = std::make_shared<Handler>();
                const uint64_t tag = add(table, fd, handler);
                model[fd] = {tag, std::move(handler)};
            } else if (known != model.end()) {
                ASSERT_EQ(table.remove(fd), known->second.second);
                gone.push_back(known->second.first);
                model.erase(known);
            }
            ASSERT_EQ(table.size(), model.size());
            if (step % 500 != 0) continue;
            for (const auto& [number, entry] : model) {
                ASSERT_EQ(table.tagOf(number), entry.first);
                ASSERT_EQ(table.find(entry.first), entry.second.get());
            }
            for (const uint64_t tag : gone) ASSERT_EQ(table.find(tag), nullptr);
            size_t visited = 0;
            for (size_t i = 0; i < table.slots(); ++i) {
                if (!table.handlerAt(i)) continue;
                ASSERT_EQ(model.at(table.fdAt(i)).second, table.handlerAt(i));
                ++visited;
            }
            ASSERT_EQ(visited, model.size());
        }
    }
}

}  // namespace
}  // namespace tnet
