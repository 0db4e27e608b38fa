#include "tnet/send_queue.h"

#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "tests/support/largest_allocation.h"

namespace tnet {
namespace {

constexpr int kManyPieces = 64;
constexpr size_t kOwnedBytes = 1024;  // owned strings of this size are taken over, shorter ones copied

SharedBytesPtr_t share(std::string bytes) { return std::make_shared<const std::string>(std::move(bytes)); }

SharedFilePtr_t makeFile(std::string_view content) {
    FileDescriptor file(::memfd_create("send_queue_test", MFD_CLOEXEC));
    EXPECT_EQ(::write(file.get(), content.data(), content.size()), static_cast<ssize_t>(content.size()));
    return std::make_shared<const FileDescriptor>(std::move(file));
}

// What one write would take: at most `max` bytes of the front, read where the queue says they are.
std::string takeFront(SendQueue& queue, size_t max, int maxPieces = kManyPieces) {
    std::array<iovec, kManyPieces> pieces;
    std::string taken;
    const int count = queue.gather(pieces.data(), maxPieces);
    for (const iovec& piece : std::span(pieces).first(static_cast<size_t>(count))) {
        taken.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
    }
    if (count == 0 && !queue.empty()) {
        const SendQueue::FileRange range = queue.frontFile();
        taken.resize(range.size);
        EXPECT_EQ(::pread(range.fd, taken.data(), range.size, range.offset),
                  static_cast<ssize_t>(range.size));
    }
    taken.resize(std::min(taken.size(), max));
    queue.consume(taken.size());
    return taken;
}

std::string takeAll(SendQueue& queue, size_t step = SIZE_MAX) {
    std::string taken;
    while (!queue.empty()) taken += takeFront(queue, step);
    return taken;
}

TEST(SendQueueTest, StartsEmpty) {
    SendQueue queue;
    std::array<iovec, 1> pieces;
    EXPECT_TRUE(queue.empty());
    EXPECT_EQ(queue.bytes(), 0U);
    EXPECT_EQ(queue.gather(pieces.data(), 1), 0);
}

TEST(SendQueueTest, CopiesCoalesceIntoOnePiece) {
    SendQueue queue;
    std::array<iovec, 4> pieces;
    queue.appendCopy("one ");
    queue.appendCopy("two ");
    queue.appendOwned("three");  // short: copied, too
    EXPECT_EQ(queue.bytes(), 13U);
    ASSERT_EQ(queue.gather(pieces.data(), 4), 1);
    EXPECT_EQ(std::string_view(static_cast<const char*>(pieces[0].iov_base), pieces[0].iov_len),
              "one two three");
}

TEST(SendQueueTest, WhatIsWrittenInPlaceIsLikeACopy) {
    SendQueue queue;
    const auto put = [&](std::string_view text, size_t room) {
        std::copy(text.begin(), text.end(), queue.reserveCopy(room));
        queue.commitCopy(text.size());
    };
    put("one ", 100);
    EXPECT_TRUE(queue.isOnePiece());
    EXPECT_EQ(queue.onePiece(), "one ");
    queue.appendCopy("two ");
    queue.consume(2);
    put("three ", 3000);
    EXPECT_EQ(queue.onePiece(), "e two three ");
    queue.appendShared(share("shared "));
    EXPECT_FALSE(queue.isOnePiece());
    put("", 10);
    put("tail", 4);
    EXPECT_EQ(queue.bytes(), 12 + 7 + 4U);
    EXPECT_EQ(takeAll(queue, 5), "e two three shared tail");
    EXPECT_TRUE(queue.isOnePiece());
}

TEST(SendQueueTest, NothingIsQueuedForNothing) {
    SendQueue queue;
    queue.appendCopy("");
    queue.appendOwned("");
    queue.appendShared(share(""));
    queue.appendShared(share("abc"), 3);
    queue.appendFile(makeFile("abc"), 1, 0);
    EXPECT_TRUE(queue.empty());
    std::array<iovec, 1> pieces;
    EXPECT_EQ(queue.gather(pieces.data(), 1), 0);
}

TEST(SendQueueTest, LongOwnedStringsAreNotCopied) {
    SendQueue queue;
    std::string bytes(kOwnedBytes, 'x');
    const char* const where = bytes.data();
    queue.appendOwned(std::move(bytes));
    std::array<iovec, 1> pieces;
    ASSERT_EQ(queue.gather(pieces.data(), 1), 1);
    EXPECT_EQ(pieces[0].iov_base, where);
}

TEST(SendQueueTest, SharedBytesAreReferencedFromWhereTheyBegin) {
    SendQueue queue;
    const SharedBytesPtr_t bytes = share("a frame for ten thousand");
    queue.appendShared(bytes, 2);
    std::array<iovec, 1> pieces;
    ASSERT_EQ(queue.gather(pieces.data(), 1), 1);
    EXPECT_EQ(pieces[0].iov_base, bytes->data() + 2);
    EXPECT_EQ(pieces[0].iov_len, bytes->size() - 2);
    queue.consume(3);
    ASSERT_EQ(queue.gather(pieces.data(), 1), 1);
    EXPECT_EQ(pieces[0].iov_base, bytes->data() + 5);
    EXPECT_EQ(bytes.use_count(), 2);
    queue.consume(queue.bytes());
    EXPECT_EQ(bytes.use_count(), 1);
}

TEST(SendQueueTest, LetsGoOfEachSegmentAsItIsWritten) {
    SendQueue queue;
    const SharedBytesPtr_t first = share("first");
    const SharedBytesPtr_t second = share("second");
    const SharedFilePtr_t file = makeFile("file");
    queue.appendShared(first);
    queue.appendFile(file, 0, 4);
    queue.appendShared(second);
    queue.consume(4);
    EXPECT_EQ(first.use_count(), 2);
    queue.consume(1);
    EXPECT_EQ(first.use_count(), 1);
    queue.consume(4);
    EXPECT_EQ(file.use_count(), 1);
    EXPECT_EQ(second.use_count(), 2);
    queue.clear();
    EXPECT_EQ(second.use_count(), 1);
    EXPECT_EQ(queue.bytes(), 0U);
}

TEST(SendQueueTest, AFileStopsTheGathering) {
    SendQueue queue;
    const SharedFilePtr_t file = makeFile("0123456789");
    queue.appendCopy("before");
    queue.appendFile(file, 2, 5);
    queue.appendCopy("after");
    EXPECT_EQ(takeFront(queue, SIZE_MAX), "before");
    SendQueue::FileRange range = queue.frontFile();
    EXPECT_EQ(range.fd, file->get());
    EXPECT_EQ(range.offset, 2);
    EXPECT_EQ(range.size, 5U);
    queue.consume(2);
    range = queue.frontFile();
    EXPECT_EQ(range.offset, 4);
    EXPECT_EQ(range.size, 3U);
    queue.consume(3);
    EXPECT_EQ(takeFront(queue, SIZE_MAX), "after");
    EXPECT_TRUE(queue.empty());
}

TEST(SendQueueTest, GathersNoMoreThanAsked) {
    SendQueue queue;
    for (int i = 0; i < 10; ++i) queue.appendShared(share(std::to_string(i)));
    EXPECT_EQ(takeFront(queue, SIZE_MAX, 3), "012");
    EXPECT_EQ(takeFront(queue, SIZE_MAX, 3), "345");
    EXPECT_EQ(takeAll(queue), "6789");
}

TEST(SendQueueTest, OneConsumeMayCrossSegments) {
    SendQueue queue;
    queue.appendCopy("copied");
    queue.appendShared(share("shared"));
    queue.appendOwned(std::string(kOwnedBytes, 'o'));
    queue.appendCopy("tail");
    queue.consume(6 + 6 + kOwnedBytes + 1);
    EXPECT_EQ(takeAll(queue), "ail");
}

TEST(SendQueueTest, AppendingToAPartlyWrittenCopyKeepsOrder) {
    SendQueue queue;
    queue.appendCopy("abcdef");
    queue.consume(4);
    queue.appendCopy("ghi");
    EXPECT_EQ(takeAll(queue), "efghi");
}

// Every kind of segment in random order, written in random steps.
TEST(SendQueueTest, KeepsOrderWhateverTheMix) {
    std::mt19937 random(11);
    std::string source(9000, '\0');
    for (char& c : source) c = static_cast<char>('a' + random() % 26);
    const SharedFilePtr_t file = makeFile(source);
    for (int story = 0; story < 50; ++story) {
        SCOPED_TRACE(story);
        SendQueue queue;
        std::string expected;
        std::string taken;
        for (int step = 0; step < 300; ++step) {
            const size_t from = random() % 6000;
            const size_t size = random() % 5 == 0 ? random() % 3000 : random() % 50;
            const std::string bytes = source.substr(from, size);
            switch (random() % 8) {
                case 0:
                case 1: queue.appendCopy(bytes), expected += bytes; break;
                case 2: queue.appendOwned(bytes), expected += bytes; break;
                case 3: queue.appendShared(share(source), from), expected += source.substr(from); break;
                case 4: queue.appendFile(file, static_cast<off_t>(from), size), expected += bytes; break;
                default:
                    taken += takeFront(queue, random() % 2000, 1 + static_cast<int>(random() % 9));
                    break;
            }
            ASSERT_EQ(queue.bytes(), expected.size() - taken.size());
        }
        taken += takeAll(queue, 1 + random() % 500);
        EXPECT_EQ(taken, expected);
    }
}

// A connection that is always a little behind never empties its queue. What was written must go all
// the same: after a gigabyte the bytes lie where they lay after a megabyte, not a gigabyte further.
TEST(SendQueueTest, AQueueThatIsNeverQuiteEmptyStaysSmall) {
    SendQueue queue;
    const std::string chunk(1000, 'c');
    for (int i = 0; i < 20; ++i) queue.appendCopy(chunk);
    uintptr_t lowest = UINTPTR_MAX;
    uintptr_t highest = 0;
    for (int i = 0; i < 300'000; ++i) {
        queue.appendCopy(chunk);
        queue.consume(chunk.size());
        ASSERT_EQ(queue.bytes(), 20 * chunk.size());
        if (i < 1000) continue;
        std::array<iovec, 1> piece;
        ASSERT_EQ(queue.gather(piece.data(), 1), 1);
        lowest = std::min(lowest, reinterpret_cast<uintptr_t>(piece[0].iov_base));
        highest = std::max(highest, reinterpret_cast<uintptr_t>(piece[0].iov_base));
    }
    EXPECT_LE(highest - lowest, 64U * 1024);
}

TEST(SendQueueTest, AChainOfSegmentsThatIsNeverQuiteEmptyStaysSmall) {
    SendQueue queue;
    const SharedBytesPtr_t frame = share(std::string(100, 'f'));
    for (int i = 0; i < 10; ++i) queue.appendShared(frame);
    const LargestAllocation largest;
    for (int i = 0; i < 100'000; ++i) {
        queue.appendShared(frame);
        queue.appendCopy("and a copy");
        queue.consume(110);
    }
    EXPECT_EQ(queue.bytes(), 1000U);
    EXPECT_LE(largest.size(), 64U * 1024);
}

TEST(SendQueueTest, ASegmentChainThatIsNeverQuiteEmptyStaysInOrder) {
    SendQueue queue;
    std::string expected;
    std::string taken;
    for (int i = 0; i < 5000; ++i) {
        const std::string mark = std::to_string(i) + ",";
        i % 2 == 0 ? queue.appendShared(share(mark)) : queue.appendCopy(mark);
        expected += mark;
        if (i > 10) taken += takeFront(queue, mark.size());
    }
    EXPECT_EQ(taken + takeAll(queue), expected);
}

TEST(SendQueueTest, CanBeUsedAgainWhenEmpty) {
    SendQueue queue;
    for (int i = 0; i < 3; ++i) {
        queue.appendCopy("copied ");
        queue.appendShared(share("shared"));
        EXPECT_EQ(takeAll(queue, 2), "copied shared");
        queue.appendOwned(std::string(200'000, 'x'));
        queue.appendCopy(std::string(200'000, 'y'));
        queue.clear();
        EXPECT_TRUE(queue.empty());
    }
}

size_t heapBytes() {
    const struct mallinfo2 info = ::mallinfo2();
    return info.uordblks + info.hblkhd;
}

// The limit counted payload. A segment's own 80 bytes, the string's and its count's came on top: of 1-byte frames a
// hundred times what was accounted.
TEST(SendQueueTest, AccountedMemoryIsRealMemory) {
    if (heapBytes() == 0) GTEST_SKIP() << "this heap does not count";
    constexpr size_t kLimit = 4 << 20;
    using Fill = void (*)(SendQueue&);
    const std::pair<const char*, Fill> kinds[] = {
        {"shared, 1 byte", [](SendQueue& queue) { queue.appendShared(share("x")); }},
        {"shared, 100 bytes", [](SendQueue& queue) { queue.appendShared(share(std::string(100, 'x'))); }},
        {"shared and copied",
         [](SendQueue& queue) {
             queue.appendShared(share("x"));
             queue.appendCopy("y");
         }},
        {"copied, 1 byte", [](SendQueue& queue) { queue.appendCopy("x"); }},
        {"copied, 40,000 bytes", [](SendQueue& queue) { queue.appendCopy(std::string(40'000, 'x')); }},
        {"copied, 1 byte and 65,535",
         [](SendQueue& queue) {
             queue.appendCopy("y");
             queue.appendCopy(std::string(65'535, 'x'));
         }},
        {"in place, 100,000 bytes",
         [](SendQueue& queue) {
             queue.reserveCopy(100'000);
             queue.commitCopy(100'000);
         }},
        {"owned", [](SendQueue& queue) { queue.appendOwned(std::string(kOwnedBytes, 'x')); }},
    };
    for (const auto& [name, fill] : kinds) {
        SCOPED_TRACE(name);
        SendQueue queue;
        const size_t before = heapBytes();
        while (queue.memory() < kLimit) fill(queue);
        const auto real = static_cast<double>(heapBytes() - before);
        EXPECT_LE(real, 1.1 * static_cast<double>(queue.memory()));
        EXPECT_GE(1.1 * real, static_cast<double>(queue.memory()));
        queue.consume(queue.bytes() / 2);
        const auto left = static_cast<double>(heapBytes() - before);
        EXPECT_LE(left, 1.1 * static_cast<double>(queue.memory()));
        EXPECT_GE(1.2 * left, static_cast<double>(queue.memory()));
        queue.consume(queue.bytes());
        EXPECT_EQ(queue.memory(), 0U);
        EXPECT_LE(heapBytes() - before, 256U << 10U) << "kept for the next";
    }
}

TEST(SendQueueTest, AFileIsNoMemory) {
    SendQueue queue;
    queue.appendCopy("head");
    queue.appendFile(makeFile("0123456789"), 0, 10);
    queue.appendCopy("tail");
    EXPECT_EQ(queue.bytes(), 18U);
    EXPECT_EQ(queue.fileBytes(), 10U);
    EXPECT_LT(queue.memory(), 200U);
    queue.consume(4 + 3);
    EXPECT_EQ(queue.fileBytes(), 7U);
    queue.consume(7 + 4);
    EXPECT_EQ(queue.fileBytes(), 0U);
    EXPECT_EQ(queue.memory(), 0U);
}

TEST(SendQueueTest, TheLargestIsToldUntilItIsWritten) {
    SendQueue queue;
    EXPECT_EQ(queue.largest(), 0U);
    queue.appendShared(share(std::string(1000, 'a')));
    queue.appendOwned(std::string(100'000, 'b'));
    queue.appendOwned(std::string(5000, 'c'));
    EXPECT_GE(queue.largest(), 100'000U);
    EXPECT_LT(queue.largest(), 101'000U);
    queue.consume(100'999);
    EXPECT_GE(queue.largest(), 100'000U) << "held whole until it is written whole";
    queue.consume(1);
    EXPECT_LT(queue.largest(), 6000U);
    queue.consume(queue.bytes());
    EXPECT_EQ(queue.largest(), 0U);
}

TEST(SendQueueTest, CopiesBeyondABlockKeepTheirOrder) {
    std::mt19937 random(3);
    SendQueue queue;
    std::string expected;
    std::string taken;
    for (int i = 0; i < 3000; ++i) {
        const std::string bytes(random() % 20 == 0 ? random() % 90'000 : random() % 900,
                                static_cast<char>('a' + i % 26));
        switch (random() % 8) {
            case 0: queue.appendShared(share(bytes)); break;
            case 1:
                std::copy(bytes.begin(), bytes.end(), queue.reserveCopy(bytes.size()));
                queue.commitCopy(bytes.size());
                break;
            default: queue.appendCopy(bytes); break;
        }
        expected += bytes;
        if (random() % 3 != 0) continue;
        taken += takeFront(queue, random() % 9000, 1 + static_cast<int>(random() % 9));
        if (random() % 100 == 0) taken += takeAll(queue, 1 + random() % 100'000);
    }
    EXPECT_EQ(taken + takeAll(queue), expected);
}

TEST(SendQueueTest, GathersNoMoreBytesThanAsked) {
    SendQueue queue;
    std::array<iovec, 4> pieces;
    queue.appendCopy("0123456789");
    ASSERT_EQ(queue.gather(pieces.data(), 4, 4), 1);
    EXPECT_EQ(pieces[0].iov_len, 4U);
    queue.appendShared(share("abcdef"));
    ASSERT_EQ(queue.gather(pieces.data(), 4, 12), 2);
    EXPECT_EQ(pieces[0].iov_len, 10U);
    EXPECT_EQ(pieces[1].iov_len, 2U);
    EXPECT_EQ(queue.gather(pieces.data(), 4, 10), 1);
}

// To assign {} to a vector empties it and keeps its memory.
TEST(SendQueueTest, WhatManySegmentsNeededIsGivenBack) {
    const SharedBytesPtr_t bytes = share("x");
    SendQueue queue;
    for (int i = 0; i < 2; ++i) {
        const LargestAllocation largest;
        for (int n = 0; n < 10'000; ++n) queue.appendShared(bytes);
        EXPECT_GE(largest.size(), 100'000U) << "the second one has the first one's memory";
        queue.consume(queue.bytes());
    }
}

}  // namespace
}  // namespace tnet
