// WsDeflater and WsInflater against the RFC's bytes, each other, bombs, garbage and a lack of memory.
#include "websocket/deflate.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <new>
#include <optional>
#include <ostream>
#include <random>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

namespace {

constexpr size_t kNoLimit = std::numeric_limits<size_t>::max();
size_t g_allocationsLeft = kNoLimit;

bool mayAllocate() {
    if (g_allocationsLeft == kNoLimit) return true;
    if (g_allocationsLeft == 0) return false;
    --g_allocationsLeft;
    return true;
}

}  // namespace

// What both take memory with; the tests say when there is none.
void* operator new(size_t size, const std::nothrow_t&) noexcept {
    try {
        return mayAllocate() ? ::operator new(size) : nullptr;
    } catch (...) {
        return nullptr;
    }
}

void* operator new[](size_t size, const std::nothrow_t&) noexcept {
    try {
        return mayAllocate() ? ::operator new[](size) : nullptr;
    } catch (...) {
        return nullptr;
    }
}

namespace tnet {

std::ostream& operator<<(std::ostream& out, WsInflater::State state) {
    switch (state) {
        case WsInflater::State::NeedInput: return out << "NeedInput";
        case WsInflater::State::NeedRoom: return out << "NeedRoom";
        case WsInflater::State::MessageEnd: return out << "MessageEnd";
        case WsInflater::State::Malformed: return out << "Malformed";
        case WsInflater::State::NoMemory: return out << "NoMemory";
    }
    return out << "no state";
}

namespace {

using State = WsInflater::State;
using Random = std::minstd_rand;

constexpr size_t kWhole = std::numeric_limits<size_t>::max();
constexpr size_t kCuts[] = {1, 2, 3, 4, 5, 6, 7, 8, 16, 31, kWhole};
const std::string kTail("\x00\x00\xFF\xFF", 4);

class AllocationLimit {
public:
    explicit AllocationLimit(size_t allocations) { g_allocationsLeft = allocations; }
    ~AllocationLimit() { g_allocationsLeft = kNoLimit; }
    AllocationLimit(const AllocationLimit&) = delete;
    AllocationLimit& operator=(const AllocationLimit&) = delete;
};

// "f2 48" -> two bytes.
std::string bytes(std::string_view hex) {
    std::string out;
    for (size_t at = 0; at + 1 < hex.size(); at += 3)
        out += static_cast<char>(std::strtol(std::string(hex.substr(at, 2)).c_str(), nullptr, 16));
    return out;
}

std::string hexOf(std::string_view text) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    std::string out;
    for (const char c : text) {
        if (!out.empty()) out += ' ';
        out += kDigits[static_cast<unsigned char>(c) / 16];
        out += kDigits[static_cast<unsigned char>(c) % 16];
    }
    return out;
}

std::string deflated(WsDeflater& deflater, std::string_view message, size_t cut = kWhole) {
    std::string out;
    do {
        const std::string_view piece = message.substr(0, cut);
        message.remove_prefix(piece.size());
        EXPECT_TRUE(deflater.deflate(piece, message.empty(), out));
    } while (!message.empty());
    return out;
}

struct Inflated {
    std::string text;
    State state;

    bool operator==(const Inflated&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Inflated& inflated) {
    return out << inflated.state << " " << ::testing::PrintToString(inflated.text);
}

// In pieces of `cut`, into a buffer of `room`, until something else than progress happens.
Inflated inflated(WsInflater& inflater, std::string_view payload, size_t cut = kWhole, size_t room = 1024) {
    Inflated result{"", State::NeedInput};
    // Of exactly that size, so that AddressSanitizer sees what goes beyond.
    std::vector<char> buffer(room);
    do {
        std::string_view piece = payload.substr(0, cut);
        payload.remove_prefix(piece.size());
        do {
            const auto step = inflater.inflate(piece, payload.empty(), buffer.data(), room);
            result.state = step.state;
            EXPECT_LE(step.written, room);
            result.text.append(buffer.data(), step.written);
        } while (result.state == State::NeedRoom);
        if (result.state == State::NeedInput) {
            EXPECT_TRUE(piece.empty());
        }
    } while (result.state == State::NeedInput && !payload.empty());
    return result;
}

Inflated complete(std::string_view text) { return {std::string(text), State::MessageEnd}; }

std::string noise(Random& random, size_t size) {
    std::string out(size, '\0');
    for (char& c : out) c = static_cast<char>(random() >> 8);
    return out;
}

// Words, some of them again and again, some far apart.
std::string prose(Random& random, size_t size) {
    std::string out;
    while (out.size() < size) {
        if (random() % 8 != 0) {
            out += "word" + std::to_string(random() % 400);
        } else {
            out += std::to_string(random());
        }
        out += ' ';
    }
    out.resize(size);
    return out;
}

// A message that decompresses to `mebibytes` MiB of zeros: one flushed MiB, again and again.
std::string bomb(size_t mebibytes) {
    WsDeflater deflater({.noContextTakeover = true, .level = 9});
    const std::string one = deflated(deflater, std::string(size_t{1} << 20, '\0'));
    std::string out;
    for (size_t i = 0; i < mebibytes; ++i) {
        if (i > 0) out += kTail;
        out += one;
    }
    return out;
}

// --- The RFC's examples ---

TEST(WsDeflaterTest, WritesTheBytesOfTheRfc) {
    struct Row {
        const char* section;
        int level;
        bool noContextTakeover;
        std::vector<std::vector<std::string_view>> messages;  // in pieces
        std::vector<std::string_view> payloads;
    };
    const Row kRows[] = {
        {"7.2.3.1", 6, false, {{"Hello"}}, {"f2 48 cd c9 c9 07 00"}},
        {"7.2.3.2", 6, false, {{"Hello"}, {"Hello"}}, {"f2 48 cd c9 c9 07 00", "f2 00 11 00 00"}},
        {"7.2.3.2 without takeover",
         6,
         true,
         {{"Hello"}, {"Hello"}},
         {"f2 48 cd c9 c9 07 00", "f2 48 cd c9 c9 07 00"}},
        {"7.2.3.3", 0, false, {{"Hello"}}, {"00 05 00 fa ff 48 65 6c 6c 6f 00"}},
        {"7.2.3.5", 6, false, {{"He", "llo"}}, {"f2 48 05 00 00 00 ff ff ca c9 c9 07 00"}},
        {"7.2.3.6", 6, false, {{""}}, {"00"}},
        {"7.2.3.6 behind a piece", 6, false, {{"He", ""}}, {"f2 48 05 00 00 00 ff ff 00"}},
        {"7.2.3.6 without a piece", 6, false, {{"", "", ""}}, {"00"}},
        {"7.2.3.6 between others", 6, false, {{"Hello"}, {""}, {""}}, {"f2 48 cd c9 c9 07 00", "00", "00"}},
    };
    for (const Row& row : kRows) {
        WsDeflater deflater({.noContextTakeover = row.noContextTakeover, .level = row.level});
        for (size_t i = 0; i < row.messages.size(); ++i) {
            std::string out;
            for (size_t piece = 0; piece < row.messages[i].size(); ++piece) {
                const bool last = piece + 1 == row.messages[i].size();
                EXPECT_TRUE(deflater.deflate(row.messages[i][piece], last, out));
            }
            EXPECT_EQ(hexOf(out), row.payloads[i]) << row.section << ", message " << i;
        }
    }
}

TEST(WsInflaterTest, ReadsTheBytesOfTheRfc) {
    struct Row {
        const char* section;
        std::vector<std::string_view> payloads;
        std::vector<std::string_view> messages;
    };
    const Row kRows[] = {
        {"7.2.3.1", {"f2 48 cd c9 c9 07 00"}, {"Hello"}},
        {"7.2.3.2", {"f2 48 cd c9 c9 07 00", "f2 00 11 00 00"}, {"Hello", "Hello"}},
        {"7.2.3.3", {"00 05 00 fa ff 48 65 6c 6c 6f 00"}, {"Hello"}},
        {"7.2.3.4", {"f3 48 cd c9 c9 07 00 00"}, {"Hello"}},
        {"7.2.3.4, and the next", {"f3 48 cd c9 c9 07 00 00", "f2 48 cd c9 c9 07 00"}, {"Hello", "Hello"}},
        {"7.2.3.4, and what refers to it", {"f3 48 cd c9 c9 07 00 00", "f2 00 11 00 00"}, {"Hello", "Hello"}},
        {"7.2.3.4 twice", {"f3 48 cd c9 c9 07 00 f3 48 cd c9 c9 07 00 00"}, {"HelloHello"}},
        {"7.2.3.4 and 7.2.3.1", {"f3 48 cd c9 c9 07 00 f2 48 cd c9 c9 07 00"}, {"HelloHello"}},
        {"7.2.3.5", {"f2 48 05 00 00 00 ff ff ca c9 c9 07 00"}, {"Hello"}},
        {"7.2.3.6", {"00"}, {""}},
        {"7.2.3.6 before others", {"00", "00", "f2 48 cd c9 c9 07 00"}, {"", "", "Hello"}},
        // Not of the RFC: the empty block is missing.
        {"a final block, no more", {"f3 48 cd c9 c9 07 00", "f2 00 11 00 00"}, {"Hello", "Hello"}},
        {"a tail that stayed", {"f2 48 cd c9 c9 07 00 00 00 ff ff", "f2 00 11 00 00"}, {"Hello", "Hello"}},
        {"no byte", {"", "f2 48 cd c9 c9 07 00", "", "f2 00 11 00 00"}, {"", "Hello", "", "Hello"}},
    };
    for (const Row& row : kRows) {
        for (const size_t cut : kCuts) {
            for (const size_t room : {1, 2, 3, 4, 5, 6, 1024}) {
                WsInflater inflater(WsInflater::Settings{});
                for (size_t i = 0; i < row.payloads.size(); ++i) {
                    EXPECT_EQ(inflated(inflater, bytes(row.payloads[i]), cut, room),
                              complete(row.messages[i]))
                        << row.section << ", message " << i << " in pieces of " << cut << ", room " << room;
                }
            }
        }
    }
}

// --- Against each other ---

class DeflateRoundTripTest : public ::testing::TestWithParam<std::tuple<int, bool>> {
protected:
    int windowBits() const { return std::get<0>(GetParam()); }
    bool noContextTakeover() const { return std::get<1>(GetParam()); }

    WsDeflater::Settings deflateSettings() const {
        return {.windowBits = windowBits(), .noContextTakeover = noContextTakeover()};
    }
    WsInflater::Settings inflateSettings() const {
        return {.windowBits = windowBits(), .noContextTakeover = noContextTakeover()};
    }
};

INSTANTIATE_TEST_SUITE_P(Windows, DeflateRoundTripTest,
                         ::testing::Combine(::testing::Range(9, 16), ::testing::Bool()),
                         [](const auto& window) {
                             return std::to_string(std::get<0>(window.param)) +
                                    (std::get<1>(window.param) ? "NoTakeover" : "Takeover");
                         });

TEST_P(DeflateRoundTripTest, MessagesInPiecesAreTheSame) {
    Random random(1);
    const std::string messages[] = {
        "a", "", prose(random, 3000), noise(random, 1500), "", prose(random, 3000), std::string(4000, 'x'),
    };
    for (const size_t cut : kCuts) {
        WsDeflater deflater(deflateSettings());
        WsInflater inflater(inflateSettings());
        for (const std::string& message : messages) {
            const std::string payload = deflated(deflater, message, cut);
            ASSERT_EQ(inflated(inflater, payload, cut, std::min<size_t>(cut * 3, 777)), complete(message))
                << "in pieces of " << cut;
        }
    }
}

// Many windows long, and with sizes around the buffer within the deflater.
TEST_P(DeflateRoundTripTest, LargeMessagesAreTheSame) {
    Random random(2);
    WsDeflater deflater(deflateSettings());
    WsInflater inflater(inflateSettings());
    for (const size_t size : {300'000, 8170, 8180, 8187, 8191, 8192, 8193, 16384, 100'000}) {
        for (const std::string& message : {prose(random, size), noise(random, size)}) {
            const std::string payload = deflated(deflater, message, 50'000);
            ASSERT_EQ(inflated(inflater, payload, 1400, 4096), complete(message)) << size;
        }
    }
}

TEST_P(DeflateRoundTripTest, ReleaseAndCompactBetweenMessagesChangeNothing) {
    Random random(3);
    WsDeflater deflater(deflateSettings());
    WsInflater inflater(inflateSettings());
    const std::string same = prose(random, 20'000);
    for (int i = 0; i < 200; ++i) {
        const std::string message =
            random() % 2 == 0 ? prose(random, random() % 3000) : same.substr(random() % same.size(), 500);
        ASSERT_EQ(inflated(inflater, deflated(deflater, message), 100, 100), complete(message)) << i;
        if (random() % 4 == 0) deflater.release();
        if (random() % 2 == 0) inflater.compact();
        if (random() % 4 == 0) inflater.compact();  // perhaps again
    }
}

TEST_P(DeflateRoundTripTest, ReleaseWithinAMessageChangesNothing) {
    Random random(4);
    WsDeflater deflater(deflateSettings());
    WsInflater inflater(inflateSettings());
    const std::string piece = prose(random, 2000);
    std::string payload;
    for (int i = 0; i < 5; ++i) {
        ASSERT_TRUE(deflater.deflate(piece, i == 4, payload));
        deflater.release();
    }
    EXPECT_EQ(inflated(inflater, payload), complete(piece + piece + piece + piece + piece));
}

// --- Context takeover ---

TEST(WsDeflaterTest, WithoutTakeoverEveryMessageStandsAlone) {
    Random random(5);
    const std::string message = prose(random, 2000);
    WsDeflater deflater({.noContextTakeover = true});
    const std::string first = deflated(deflater, message);
    EXPECT_EQ(deflated(deflater, message), first);
    // An empty last piece ends a message, too.
    std::string pieces;
    ASSERT_TRUE(deflater.deflate(message, false, pieces));
    ASSERT_TRUE(deflater.deflate("", true, pieces));
    EXPECT_EQ(deflated(deflater, message), first);
}

TEST(WsDeflaterTest, WithTakeoverARepeatedMessageIsSmall) {
    Random random(6);
    const std::string message = prose(random, 2000);
    WsDeflater deflater(WsDeflater::Settings{});
    EXPECT_GT(deflated(deflater, message).size(), 300U);
    EXPECT_LT(deflated(deflater, message).size(), 50U);
}

TEST(WsDeflaterTest, ReleaseForgetsAMessageGivenUpHalfway) {
    WsDeflater deflater({.noContextTakeover = true});
    std::string lost;
    ASSERT_TRUE(deflater.deflate("Hello", false, lost));
    deflater.release();
    EXPECT_EQ(hexOf(deflated(deflater, "Hello")), "f2 48 cd c9 c9 07 00");
}

TEST(WsDeflaterTest, AppendsToWhatIsThere) {
    WsDeflater deflater(WsDeflater::Settings{});
    std::string out = "head";
    ASSERT_TRUE(deflater.deflate("Hello", true, out));
    EXPECT_EQ(out, "head" + bytes("f2 48 cd c9 c9 07 00"));
}

TEST(WsInflaterTest, WithoutTakeoverNothingRefersBack) {
    WsInflater inflater({.noContextTakeover = true});
    EXPECT_EQ(inflated(inflater, bytes("f2 48 cd c9 c9 07 00")), complete("Hello"));
    EXPECT_EQ(inflated(inflater, bytes("f2 00 11 00 00")).state, State::Malformed);
}

// A window of 512 bytes is no longer there when 1000 have come behind the text that is referred to.
TEST(WsInflaterTest, TheWindowIsNoLargerThanAgreed) {
    Random random(7);
    const std::string message = noise(random, 100);
    const std::string filler = noise(random, 1000);
    for (const int bits : {9, 15}) {
        WsDeflater deflater({.windowBits = bits});
        const std::string payloads[] = {deflated(deflater, message), deflated(deflater, filler),
                                        deflated(deflater, message)};
        EXPECT_EQ(payloads[2].size() < 50, bits == 15) << payloads[2].size();
        WsInflater inflater({.windowBits = bits});
        for (const std::string& payload : payloads)
            EXPECT_EQ(inflated(inflater, payload).state, State::MessageEnd);
    }
    WsDeflater large({.windowBits = 15});
    WsInflater small({.windowBits = 8});
    EXPECT_EQ(inflated(small, deflated(large, message), kWhole, 64), complete(message));
    EXPECT_EQ(inflated(small, deflated(large, filler), kWhole, 64), complete(filler));
    EXPECT_EQ(inflated(small, deflated(large, message), kWhole, 64).state, State::Malformed);
}

// Nothing of a failed message is left to one of another connection.
TEST(WsInflaterTest, GoesOnAfterAFaultAndAfterRelease) {
    WsInflater inflater({.noContextTakeover = true});
    EXPECT_EQ(inflated(inflater, bytes("f2 48 cd")).state, State::Malformed);
    EXPECT_EQ(inflated(inflater, bytes("f2 48 cd c9 c9 07 00")), complete("Hello"));
    char out[8];
    std::string half = bytes("f2 48 cd");
    std::string_view input = half;
    EXPECT_EQ(inflater.inflate(input, false, out, sizeof(out)).state, State::NeedInput);
    inflater.release();
    EXPECT_EQ(inflated(inflater, bytes("f2 48 cd c9 c9 07 00")), complete("Hello"));
}

TEST(WsInflaterTest, CompactWithinAMessageDoesNothing) {
    WsInflater inflater(WsInflater::Settings{});
    std::string text;
    for (const std::string_view hex : {"f2 48", "cd c9", "c9 07 00"}) {
        const std::string piece = bytes(hex);
        std::string_view input = piece;
        char out[8];
        const auto step = inflater.inflate(input, hex.size() > 6, out, sizeof(out));
        text.append(out, step.written);
        inflater.compact();
    }
    EXPECT_EQ(text, "Hello");
}

// --- What a hostile peer sends ---

TEST(WsInflaterTest, MalformedDataIsRefused) {
    struct Row {
        const char* what;
        std::string_view payload;
    };
    constexpr Row kRows[] = {
        {"block type 3", "07"},
        {"block type 3 in the middle", "f2 48 05 00 00 00 ff ff 07 00"},
        {"a stored length that its complement denies", "00 05 00 00 00 48 65 6c 6c 6f 00"},
        {"a stored block that ends early", "00 10 00 ef ff 48"},
        {"a stored block's header that ends early", "00 05"},
        {"a stored block that takes the tail and wants more", "00 0a 00 f5 ff 48 65 6c 6c 6f"},
        {"a fixed block without its end", "f2 48 cd c9"},
        {"a reference to what never was", "f2 00 11 00 00"},
        {"a dynamic block with too many codes", "fc ff"},
        {"an incomplete dynamic block", "04 c0 81"},
        {"text", "48 65 6c 6c 6f 20 77 6f 72 6c 64"},
        {"a zlib header", "78 9c f3 48 cd c9 c9 07 00 05 8c 01 f5"},
    };
    for (const Row& row : kRows) {
        for (const size_t cut : kCuts) {
            WsInflater inflater(WsInflater::Settings{});
            EXPECT_EQ(inflated(inflater, bytes(row.payload), cut).state, State::Malformed)
                << row.what << ", in pieces of " << cut;
        }
    }
}

TEST(WsInflaterTest, ABombStopsAtTheLimit) {
    constexpr size_t kLimit = size_t{4} << 20;
    const std::string payload = bomb(1024);
    EXPECT_LT(payload.size(), size_t{2} << 20);  // for 1 GiB
    WsInflater inflater(WsInflater::Settings{});
    std::string_view input = payload;
    std::vector<char> buffer(16 << 10);
    size_t total = 0;
    size_t mostMemory = 0;
    State state = State::NeedRoom;
    while (state == State::NeedRoom) {
        const size_t room = std::min(buffer.size(), kLimit - total);
        const auto step = inflater.inflate(input, true, buffer.data(), room);
        state = step.state;
        total += step.written;
        mostMemory = std::max(mostMemory, inflater.memoryBytes());
        if (room == 0) break;
    }
    EXPECT_EQ(state, State::NeedRoom);
    EXPECT_EQ(total, kLimit);
    EXPECT_GT(input.size(), payload.size() * 99 / 100);
    EXPECT_LT(mostMemory, size_t{64} << 10);
}

TEST(WsInflaterTest, AMessageOfExactlyTheLimitIsNotTooLarge) {
    Random random(8);
    WsDeflater deflater(WsDeflater::Settings{});
    for (const std::string& message : {std::string(5000, 'x'), prose(random, 5000), noise(random, 5000)}) {
        WsInflater inflater(WsInflater::Settings{});
        WsInflater one(WsInflater::Settings{});
        deflater.release();
        const std::string payload = deflated(deflater, message);
        std::vector<char> buffer(message.size());
        std::string_view input = payload;
        const auto step = inflater.inflate(input, true, buffer.data(), buffer.size());
        EXPECT_EQ(step.state, State::MessageEnd);
        EXPECT_EQ(step.written, message.size());
        // A byte less is too little, however often one asks.
        input = payload;
        EXPECT_EQ(one.inflate(input, true, buffer.data(), buffer.size() - 1).state, State::NeedRoom);
        EXPECT_EQ(one.inflate(input, true, buffer.data(), 0).state, State::NeedRoom);
        EXPECT_EQ(one.inflate(input, true, buffer.data(), 0).state, State::NeedRoom);
        EXPECT_EQ(one.inflate(input, true, buffer.data(), 1).state, State::MessageEnd);
    }
}

// What comes behind the last byte yields none: more blocks, all empty.
TEST(WsInflaterTest, EmptyBlocksAtTheLimitAreNotMore) {
    const std::string payload = bytes("f2 48 cd c9 c9 07 00 00 00 ff ff 00 00 00 ff ff 03 00 00");
    for (const bool atOnce : {true, false}) {
        WsInflater inflater(WsInflater::Settings{});
        std::string_view input = payload;
        char out[5];
        const auto step = inflater.inflate(input, true, out, atOnce ? 5 : 4);
        EXPECT_EQ(step.state, atOnce ? State::MessageEnd : State::NeedRoom);
        if (!atOnce) {
            EXPECT_EQ(inflater.inflate(input, true, out + 4, 1).state, State::MessageEnd);
        }
        EXPECT_EQ(std::string_view(out, 5), "Hello");
    }
}

// Seeded, so that what fails once fails again; under the sanitizers it is a small fuzzer.
TEST(WsInflaterTest, MutatedPayloadsEndInSomeState) {
    Random random(9);
    size_t malformed = 0;
    for (int round = 0; round < 300; ++round) {
        const int bits = static_cast<int>(9 + random() % 7);
        WsDeflater deflater({.windowBits = bits, .level = static_cast<int>(random() % 10)});
        WsInflater inflater({.windowBits = bits});
        for (int i = 0; i < 8; ++i) {
            const size_t size = random() % 2000;
            std::string payload =
                deflated(deflater, random() % 4 == 0 ? noise(random, size) : prose(random, size));
            for (size_t n = random() % 4; n > 0 && !payload.empty(); --n) {
                const size_t at = random() % payload.size();
                switch (random() % 4) {
                    case 0: payload[at] = static_cast<char>(payload[at] ^ (1 << random() % 8)); break;
                    case 1: payload[at] = static_cast<char>(random() >> 8); break;
                    case 2: payload.erase(at, random() % 20 + 1); break;
                    default: payload.insert(at, noise(random, random() % 4 + 1)); break;
                }
            }
            const size_t cut = kCuts[random() % std::size(kCuts)];
            const Inflated result = inflated(inflater, payload, cut, random() % 500 + 1);
            ASSERT_TRUE(result.state == State::MessageEnd || result.state == State::Malformed)
                << result.state;
            malformed += result.state == State::Malformed ? 1U : 0U;
            if (random() % 4 == 0) inflater.compact();
        }
    }
    EXPECT_GT(malformed, 500U);
}

// --- Memory ---

constexpr size_t kKiB = 1024;

// The table in deflate.h. A deflater has four bytes for each of its window and 128 KiB for memLevel 8; an
// inflater has the window.
TEST(DeflateMemoryTest, WhatAWindowTakes) {
    struct Row {
        int bits;
        size_t deflaterKiB;
        size_t smallDeflaterKiB;  // memLevel 1
        size_t inflaterKiB;
    };
    constexpr Row kRows[] = {
        {9, 137, 10, 8},   {10, 139, 12, 9},  {11, 143, 16, 10},  {12, 151, 24, 12},
        {13, 167, 40, 16}, {14, 199, 72, 24}, {15, 263, 136, 40},
    };
    Random random(10);
    const std::string message = prose(random, 100'000);
    for (const Row& row : kRows) {
        WsDeflater deflater({.windowBits = row.bits});
        WsDeflater smallDeflater({.windowBits = row.bits, .memLevel = 1});
        WsInflater inflater({.windowBits = row.bits});
        EXPECT_EQ(inflated(inflater, deflated(deflater, message)), complete(message));
        deflated(smallDeflater, message);
        const size_t window = size_t{1} << row.bits;
        EXPECT_LE(deflater.memoryBytes(), row.deflaterKiB * kKiB) << row.bits;
        EXPECT_GT(deflater.memoryBytes(), 4 * window) << row.bits;
        EXPECT_LE(smallDeflater.memoryBytes(), row.smallDeflaterKiB * kKiB) << row.bits;
        EXPECT_GT(smallDeflater.memoryBytes(), 4 * window) << row.bits;
        EXPECT_LE(inflater.memoryBytes(), row.inflaterKiB * kKiB) << row.bits;
        EXPECT_GT(inflater.memoryBytes(), window) << row.bits;
    }
}

TEST(DeflateMemoryTest, NothingIsTakenBeforeTheFirstMessageNorKeptAfterRelease) {
    WsDeflater deflater(WsDeflater::Settings{});
    WsInflater inflater(WsInflater::Settings{});
    EXPECT_EQ(deflater.memoryBytes(), 0U);
    EXPECT_EQ(inflater.memoryBytes(), 0U);
    EXPECT_EQ(inflated(inflater, deflated(deflater, "Hello")), complete("Hello"));
    EXPECT_GT(deflater.memoryBytes(), 0U);
    EXPECT_GT(inflater.memoryBytes(), 0U);
    deflater.release();
    inflater.release();
    EXPECT_EQ(deflater.memoryBytes(), 0U);
    EXPECT_EQ(inflater.memoryBytes(), 0U);
}

TEST(DeflateMemoryTest, CompactKeepsTheHistoryAlone) {
    WsInflater inflater(WsInflater::Settings{});
    EXPECT_EQ(inflated(inflater, bytes("f2 48 cd c9 c9 07 00")), complete("Hello"));
    inflater.compact();
    EXPECT_EQ(inflater.memoryBytes(), 5U);
    EXPECT_EQ(inflated(inflater, bytes("f2 00 11 00 00")), complete("Hello"));
    inflater.compact();
    EXPECT_EQ(inflater.memoryBytes(), 10U);

    Random random(11);
    WsDeflater deflater(WsDeflater::Settings{});
    EXPECT_EQ(inflated(inflater, deflated(deflater, noise(random, 100'000))).state, State::MessageEnd);
    inflater.compact();
    EXPECT_EQ(inflater.memoryBytes(), 32 * kKiB);

    WsInflater forgetful({.noContextTakeover = true});
    EXPECT_EQ(inflated(forgetful, bytes("f2 48 cd c9 c9 07 00")), complete("Hello"));
    forgetful.compact();
    EXPECT_EQ(forgetful.memoryBytes(), 0U);
}

// Whichever of its allocations zlib does not get.
TEST(DeflateMemoryTest, WithoutMemoryADeflaterSaysSoAndCanBeAskedAgain) {
    WsDeflater deflater(WsDeflater::Settings{});
    size_t failures = 0;
    for (;; ++failures) {
        ASSERT_LT(failures, 100U);
        std::string out = "head";
        const AllocationLimit limit(failures);
        if (deflater.deflate("Hello", true, out)) {
            EXPECT_EQ(out, "head" + bytes("f2 48 cd c9 c9 07 00"));
            break;
        }
        EXPECT_EQ(out, "head");
        EXPECT_EQ(deflater.memoryBytes(), 0U);
    }
    EXPECT_GE(failures, 4U);
}

TEST(DeflateMemoryTest, WithoutMemoryAnInflaterSaysSoAndForgets) {
    WsInflater inflater(WsInflater::Settings{});
    size_t failures = 0;
    for (;; ++failures) {
        ASSERT_LT(failures, 100U);
        // With a history to be put back.
        EXPECT_EQ(inflated(inflater, bytes("f2 48 cd c9 c9 07 00")), complete("Hello"));
        inflater.compact();
        const AllocationLimit limit(failures);
        const Inflated result = inflated(inflater, bytes("f2 00 11 00 00"));
        if (result == complete("Hello")) break;
        EXPECT_EQ(result, (Inflated{"", State::NoMemory}));
        EXPECT_EQ(inflater.memoryBytes(), 0U);
    }
    EXPECT_GE(failures, 3U);
}

// zlib takes the inflating window when there is something to keep in it.
TEST(DeflateMemoryTest, WithoutMemoryForTheWindowAnInflaterSaysSo) {
    for (size_t allocations = 0; allocations < 3; ++allocations) {
        WsInflater inflater(WsInflater::Settings{});
        const AllocationLimit limit(allocations);
        EXPECT_EQ(inflated(inflater, bytes("f2 48 cd c9 c9 07 00")).state, State::NoMemory) << allocations;
    }
}

TEST(DeflateMemoryTest, WithoutMemoryCompactDoesNothing) {
    WsInflater inflater(WsInflater::Settings{});
    EXPECT_EQ(inflated(inflater, bytes("f2 48 cd c9 c9 07 00")), complete("Hello"));
    const size_t before = inflater.memoryBytes();
    {
        const AllocationLimit limit(0);
        inflater.compact();
    }
    EXPECT_EQ(inflater.memoryBytes(), before);
    EXPECT_EQ(inflated(inflater, bytes("f2 00 11 00 00")), complete("Hello"));
}

}  // namespace
}  // namespace tnet
