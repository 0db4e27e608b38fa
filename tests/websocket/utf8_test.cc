#include "websocket/utf8.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/support/hex.h"

namespace tnet {
namespace {

constexpr size_t kWhole = SIZE_MAX;
constexpr size_t kFragments[] = {kWhole, 1, 2, 3, 4, 5, 6, 7, 8, 16, 31};
constexpr size_t kNever = SIZE_MAX;

static_assert(sizeof(Utf8Validator) <= 8);

// --- The reference: arithmetic on code points instead of an automaton ---

size_t sequenceBytes(uint8_t first) {
    if (first < 0x80) return 1;
    if (first >= 0xC0 && first < 0xE0) return 2;
    if (first >= 0xE0 && first < 0xF0) return 3;
    if (first >= 0xF0 && first < 0xF8) return 4;
    return 0;
}

// Whether any sequence of `total` bytes that begins with these is the shortest form of a character.
bool canBecomeCharacter(std::string_view bytes, size_t total) {
    constexpr uint32_t kFirstBits[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    constexpr uint32_t kLowest[] = {0, 0, 0x80, 0x800, 0x10000};
    constexpr uint32_t kHighest[] = {0, 0x7F, 0x7FF, 0xFFFF, 0x10FFFF};
    uint32_t low = static_cast<uint8_t>(bytes[0]) & kFirstBits[total];
    for (size_t i = 1; i < bytes.size(); ++i) {
        const auto byte = static_cast<uint8_t>(bytes[i]);
        if (byte < 0x80 || byte > 0xBF) return false;
        low = low * 64 + (byte & 0x3F);
    }
    uint32_t high = low;
    for (size_t i = bytes.size(); i < total; ++i) {
        low *= 64;
        high = high * 64 + 63;
    }
    low = std::max(low, kLowest[total]);
    high = std::min(high, kHighest[total]);
    const bool onlySurrogates = low >= 0xD800 && high <= 0xDFFF;
    return low <= high && !onlySurrogates;
}

struct Outcome {
    size_t refusedAt = kNever;  // the first byte that cannot belong to UTF-8
    bool complete = false;

    bool operator==(const Outcome&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Outcome& outcome) {
    if (outcome.refusedAt == kNever) return out << (outcome.complete ? "complete" : "incomplete");
    return out << "refused at byte " << outcome.refusedAt;
}

Outcome reference(std::string_view bytes) {
    for (size_t at = 0; at < bytes.size();) {
        const size_t total = sequenceBytes(static_cast<uint8_t>(bytes[at]));
        if (total == 0) return {at, false};
        for (size_t have = 1; have <= total; ++have) {
            if (at + have > bytes.size()) return {kNever, false};
            if (!canBecomeCharacter(bytes.substr(at, have), total)) return {at + have - 1, false};
        }
        at += total;
    }
    return {kNever, true};
}

// --- Tables ---

struct Row {
    std::string hex;
    Outcome outcome;
};

Row complete(std::string hex) { return {std::move(hex), {kNever, true}}; }
Row incomplete(std::string hex) { return {std::move(hex), {kNever, false}}; }
Row refused(std::string hex, size_t at) { return {std::move(hex), {at, false}}; }

const std::vector<Row>& rows() {
    static const std::vector<Row> all = {
        complete(""),
        // Autobahn 6.2, 6.5: text of several languages.
        complete("48656c6c6f2dc2b540c39fc3b6c3a4c3bcc3a0c3a12d5554462d382121"),
        complete("cebae1bdb9cf83cebcceb5"),
        // 6.3, 6.4: good text, then a byte that is none, then more.
        refused("cebae1bdb9cf83cebcceb5eda080656469746564", 12),
        refused("cebae1bdb9cf83cebcceb5f4908080656469746564", 12),
        // 6.6: every front of a text.
        incomplete("ce"),
        complete("ceba"),
        incomplete("cebae1"),
        incomplete("cebae1bd"),
        complete("cebae1bdb9"),
        incomplete("cebae1bdb9cf"),
        complete("cebae1bdb9cf83"),
        incomplete("cebae1bdb9cf83ce"),
        complete("cebae1bdb9cf83cebc"),
        incomplete("cebae1bdb9cf83cebcce"),
        // 6.7: the first character of each length.
        complete("00"),
        complete("c280"),
        complete("e0a080"),
        complete("f0908080"),
        // 6.8: the first of lengths that are no more.
        refused("f888808080", 0),
        refused("fc8480808080", 0),
        // 6.9: the last of each length.
        complete("7f"),
        complete("dfbf"),
        complete("efbfbf"),
        complete("f48fbfbf"),
        // 6.10: the last that each length could have.
        refused("f7bfbfbf", 0),
        refused("fbbfbfbfbf", 0),
        refused("fdbfbfbfbfbf", 0),
        // 6.11: at the borders of what is left out.
        complete("ed9fbf"),
        complete("ee8080"),
        complete("efbfbd"),
        refused("f4908080", 1),
        // 6.12: continuations of nothing.
        refused("80", 0),
        refused("bf", 0),
        refused("80bf80bf80bf80bf", 0),
        refused("4180", 1),
        // 6.13: first bytes without what should follow.
        refused("c020c120", 0),
        refused("c220", 1),
        refused("df20", 1),
        refused("e020", 1),
        refused("e120", 1),
        refused("ef20", 1),
        refused("f020", 1),
        refused("f420", 1),
        refused("f520", 0),
        refused("c2c2", 1),
        refused("e1e1", 1),
        refused("f1f1", 1),
        // 6.14: sequences that lack their last byte, alone and before others (6.15).
        refused("c0", 0),
        refused("e080", 1),
        refused("f08080", 1),
        refused("f8808080", 0),
        refused("fc80808080", 0),
        incomplete("df"),
        incomplete("efbf"),
        refused("f7bfbf", 0),
        incomplete("f48fbf"),
        refused("dfefbf", 1),
        refused("efbfdf", 2),
        refused("f48fbf41", 3),
        refused("e2822041", 2),
        refused("f09f98e282ac", 3),
        // 6.16: bytes that are nowhere.
        refused("fe", 0),
        refused("ff", 0),
        refused("fefeffff", 0),
        // 6.17 to 6.19: overlong forms.
        refused("c0af", 0),
        refused("e080af", 1),
        refused("f08080af", 1),
        refused("f8808080af", 0),
        refused("fc80808080af", 0),
        refused("c1bf", 0),
        refused("e09fbf", 1),
        refused("f08fbfbf", 1),
        refused("c080", 0),
        refused("e08080", 1),
        refused("f0808080", 1),
        // 6.20, 6.21: surrogates, alone and in pairs.
        refused("eda080", 1),
        refused("edadbf", 1),
        refused("edae80", 1),
        refused("edafbf", 1),
        refused("edb080", 1),
        refused("edbe80", 1),
        refused("edbfbf", 1),
        refused("eda080edb080", 1),
        refused("edafbfedbfbf", 1),
        // 6.22: code points that are no characters are UTF-8 nevertheless.
        complete("efbfbe"),
        complete("efbfbf"),
        complete("efb790"),
        complete("f09fbfbe"),
        complete("f09fbfbf"),
        complete("f3bfbfbe"),
        complete("f3bfbfbf"),
        complete("f48fbfbe"),
        // Where the rule for the second byte changes.
        complete("e0a080 e0bfbf e18080 ecbfbf ed8080 ed9fbf ee8080 efbfbf"),
        complete("f0908080 f0bfbfbf f1808080 f3bfbfbf f4808080 f48fbfbf"),
        // Long enough for blocks of ASCII, with the fault in the middle of it, and at its end.
        complete(toHex(std::string(300, 'a'))),
        incomplete(toHex(std::string(300, 'a')) + "e282"),
        refused(toHex(std::string(150, 'a')) + "ff" + toHex(std::string(150, 'a')), 150),
        refused(toHex(std::string(127, 'a')) + "e2" + toHex(std::string(150, 'a')), 128),
    };
    return all;
}

// What the validator says of text in pieces: where it refuses it, to within a piece.
void expectOutcome(std::string_view bytes, size_t fragment, const Outcome& outcome) {
    Utf8Validator validator;
    for (size_t at = 0; at < bytes.size(); at += std::min(fragment, bytes.size() - at)) {
        const std::string piece(bytes.substr(at, fragment));  // on the heap, where a sanitizer sees its end
        const bool good = at + piece.size() <= outcome.refusedAt;
        ASSERT_EQ(validator.check(piece), good) << "bytes from " << at << " in pieces of " << fragment;
    }
    EXPECT_EQ(validator.isComplete(), outcome.complete) << "in pieces of " << fragment;
}

TEST(Utf8ValidatorTest, RefusesTheSameByteAtEveryCut) {
    for (const Row& row : rows()) {
        SCOPED_TRACE(row.hex);
        const std::string bytes = fromHex(row.hex);
        EXPECT_EQ(reference(bytes), row.outcome) << "the reference";
        EXPECT_EQ(isValidUtf8(bytes), row.outcome.complete);
        for (const size_t fragment : kFragments) expectOutcome(bytes, fragment, row.outcome);
    }
}

// Blocks of ASCII are skipped as a whole: every place in and around them is looked at.
TEST(Utf8ValidatorTest, TheVerdictDoesNotDependOnWhatIsInFront) {
    for (const std::string_view front : {"a", " ", "\xD0\x96", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"}) {
        std::string before;
        while (before.size() <= 140) {
            for (const Row& row : rows()) {
                const std::string bytes = before + fromHex(row.hex);
                Outcome outcome = row.outcome;
                if (outcome.refusedAt != kNever) outcome.refusedAt += before.size();
                SCOPED_TRACE(::testing::Message() << row.hex << " behind " << before.size() << " bytes");
                expectOutcome(bytes, kWhole, outcome);
                expectOutcome(bytes, 67, outcome);
                if (outcome.refusedAt != kNever) {
                    expectOutcome(std::string_view(bytes).substr(0, outcome.refusedAt), kWhole,
                                  reference(std::string_view(bytes).substr(0, outcome.refusedAt)));
                }
                expectOutcome(bytes + std::string(130, 'z'), kWhole,
                              reference(bytes + std::string(130, 'z')));
            }
            before += front;
        }
    }
}

TEST(Utf8ValidatorTest, OnceRefusedStaysRefusedUntilReset) {
    Utf8Validator validator;
    EXPECT_FALSE(validator.check("\xFF"));
    EXPECT_FALSE(validator.check("a"));
    EXPECT_FALSE(validator.check(""));
    EXPECT_FALSE(validator.check(std::string(200, 'a')));
    EXPECT_FALSE(validator.isComplete());
    validator.reset();
    EXPECT_TRUE(validator.check("a"));
    EXPECT_TRUE(validator.isComplete());
}

// A block of ASCII may only be skipped between characters.
TEST(Utf8ValidatorTest, AsciiBehindHalfASequenceIsRefused) {
    for (size_t size = 1; size <= 200; ++size) {
        Utf8Validator validator;
        EXPECT_TRUE(validator.check("\xE2\x82"));
        EXPECT_FALSE(validator.check(std::string(size, 'a'))) << size;
    }
}

TEST(Utf8ValidatorTest, ResetForgetsHalfASequence) {
    Utf8Validator validator;
    EXPECT_TRUE(validator.check("\xE2\x82"));
    EXPECT_FALSE(validator.isComplete());
    validator.reset();
    EXPECT_TRUE(validator.isComplete());
    EXPECT_FALSE(validator.check("\xAC"));
}

TEST(Utf8ValidatorTest, ACopyGoesItsOwnWay) {
    Utf8Validator one;
    EXPECT_TRUE(one.check("\xE2\x82"));
    Utf8Validator other = one;
    EXPECT_FALSE(one.check("a"));
    EXPECT_TRUE(other.check("\xAC"));
    EXPECT_TRUE(other.isComplete());
}

// --- Exhaustive ---

// What one more byte changes, compared with the reference. The first difference, or nothing.
std::optional<std::string> differsBehind(std::string front, const Utf8Validator& validator) {
    front.push_back('\0');
    for (int last = 0; last <= 0xFF; ++last) {
        front.back() = static_cast<char>(last);
        Utf8Validator behind = validator;
        const bool good = behind.check({&front.back(), 1});
        const Outcome outcome = reference(front);
        if (good != (outcome.refusedAt == kNever) || behind.isComplete() != outcome.complete) return front;
    }
    return std::nullopt;
}

TEST(Utf8ValidatorTest, EverySequenceOfUpTo3BytesIsAsInTheReference) {
    Utf8Validator none;
    EXPECT_EQ(differsBehind("", none), std::nullopt);
    for (int first = 0; first <= 0xFF; ++first) {
        std::string bytes(1, static_cast<char>(first));
        Utf8Validator one;
        one.check(bytes);
        const std::optional<std::string> two = differsBehind(bytes, one);
        ASSERT_FALSE(two) << toHex(*two);
        bytes.push_back('\0');
        for (int second = 0; second <= 0xFF; ++second) {
            bytes.back() = static_cast<char>(second);
            Utf8Validator both;
            both.check(bytes);
            const std::optional<std::string> three = differsBehind(bytes, both);
            ASSERT_FALSE(three) << toHex(*three);
        }
    }
}

TEST(Utf8ValidatorTest, SequencesOf4BytesAreAsInTheReference) {
    const std::string border("\x00\x41\x7F\x80\x8F\x90\x9F\xA0\xBF\xC0\xC2\xDF\xE0\xED\xF0\xF4\xF5\xFF", 18);
    for (int first = 0xC0; first <= 0xFF; ++first) {
        for (const char second : border) {
            for (const char third : border) {
                const std::string bytes = {static_cast<char>(first), second, third};
                Utf8Validator validator;
                validator.check(bytes);
                const std::optional<std::string> four = differsBehind(bytes, validator);
                ASSERT_FALSE(four) << toHex(*four);
            }
        }
    }
}

std::string encode(uint32_t codePoint) {
    const auto low = [codePoint](int shift) {
        return static_cast<char>(0x80 | ((codePoint >> shift) & 0x3F));
    };
    if (codePoint < 0x80) return {static_cast<char>(codePoint)};
    if (codePoint < 0x800) return {static_cast<char>(0xC0 | codePoint >> 6), low(0)};
    if (codePoint < 0x10000) return {static_cast<char>(0xE0 | codePoint >> 12), low(6), low(0)};
    return {static_cast<char>(0xF0 | codePoint >> 18), low(12), low(6), low(0)};
}

TEST(Utf8ValidatorTest, EveryCodePointButSurrogates) {
    for (uint32_t codePoint = 0; codePoint <= 0x1FFFFF; ++codePoint) {
        const bool isCharacter = codePoint <= 0x10FFFF && (codePoint < 0xD800 || codePoint > 0xDFFF);
        ASSERT_EQ(isValidUtf8(encode(codePoint)), isCharacter) << std::hex << codePoint;
    }
}

}  // namespace
}  // namespace tnet
