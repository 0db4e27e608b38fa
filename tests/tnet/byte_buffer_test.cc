#include "tnet/byte_buffer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <string_view>

namespace tnet {
namespace {

TEST(ByteBufferTest, StartsEmptyAndWithoutMemory) {
    const ByteBuffer buffer;
    EXPECT_TRUE(buffer.empty());
    EXPECT_EQ(buffer.view(), "");
    EXPECT_EQ(buffer.capacity(), 0U);
}

TEST(ByteBufferTest, AppendsBehindAndConsumesInFront) {
    ByteBuffer buffer;
    buffer.append("hello ");
    buffer.append("");
    buffer.append("world");
    EXPECT_EQ(buffer.view(), "hello world");
    buffer.consume(6);
    EXPECT_EQ(buffer.view(), "world");
    EXPECT_EQ(buffer.size(), 5U);
    buffer.append("!");
    buffer.consume(0);
    EXPECT_EQ(buffer.view(), "world!");
    buffer.consume(6);
    EXPECT_TRUE(buffer.empty());
}

TEST(ByteBufferTest, OnlyWhatIsCommittedCounts) {
    ByteBuffer buffer;
    buffer.append("a");
    char* const room = buffer.reserve(1000);
    std::fill_n(room, 1000, 'b');
    EXPECT_EQ(buffer.view(), "a");
    buffer.commit(2);
    EXPECT_EQ(buffer.view(), "abb");
    buffer.reserve(10);
    buffer.commit(0);
    EXPECT_EQ(buffer.view(), "abb");
}

TEST(ByteBufferTest, ClearKeepsNoMoreCapacityThanAsked) {
    ByteBuffer buffer;
    buffer.append(std::string(1000, 'x'));
    const size_t grown = buffer.capacity();
    buffer.clear(grown);
    EXPECT_TRUE(buffer.empty());
    EXPECT_EQ(buffer.capacity(), grown);
    buffer.clear(grown - 1);
    EXPECT_EQ(buffer.capacity(), 0U);
    buffer.append("again");
    EXPECT_EQ(buffer.view(), "again");
}

TEST(ByteBufferTest, StaysSmallThoughItIsNeverQuiteEmpty) {
    ByteBuffer buffer;
    const std::string chunk(100, 'c');
    for (int i = 0; i < 20; ++i) buffer.append(chunk);
    for (int i = 0; i < 100'000; ++i) {
        buffer.append(chunk);
        buffer.consume(chunk.size());
    }
    EXPECT_EQ(buffer.size(), 2000U);
    EXPECT_LE(buffer.capacity(), 16U * 1024);
}

TEST(ByteBufferTest, ReusesItsCapacity) {
    ByteBuffer buffer;
    buffer.append(std::string(3000, 'x'));
    const size_t grown = buffer.capacity();
    for (int i = 0; i < 1000; ++i) {
        buffer.consume(buffer.size());
        buffer.append(std::string(3000, 'y'));
    }
    EXPECT_EQ(buffer.capacity(), grown);
}

TEST(ByteBufferTest, IsAQueueWhateverTheOrder) {
    std::mt19937 random(3);
    ByteBuffer buffer;
    std::string model;
    for (int i = 0; i < 20'000; ++i) {
        const std::string bytes(random() % 400, static_cast<char>('a' + i % 26));
        switch (random() % 3) {
            case 0:
                buffer.append(bytes);
                model += bytes;
                break;
            case 1: {
                std::copy(bytes.begin(), bytes.end(), buffer.reserve(bytes.size() + random() % 100));
                buffer.commit(bytes.size());
                model += bytes;
                break;
            }
            case 2: {
                const size_t size = std::min<size_t>(model.size(), random() % 700);
                buffer.consume(size);
                model.erase(0, size);
                break;
            }
        }
        ASSERT_EQ(buffer.view(), model);
    }
}

}  // namespace
}  // namespace tnet
