#include "http/head_guard.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <string_view>

namespace tnet {
namespace {

constexpr size_t kWhole = SIZE_MAX;
constexpr size_t kFragments[] = {kWhole, 1, 2, 3, 4, 5, 6, 7, 8, 16, 31};

std::string byte(int value) { return std::string(1, static_cast<char>(value)); }

std::string repeated(size_t count, const std::string& text) {
    std::string all;
    for (size_t i = 0; i < count; ++i) all += text;
    return all;
}

// --- Heads ---

HttpLimits smallLimits() {
    HttpLimits limits;
    limits.requestLineBytes = 40;
    limits.headerBytes = 64;
    limits.headerCount = 4;
    return limits;
}

struct HeadOutcome {
    int status;
    bool complete;
    size_t headBytes;

    bool operator==(const HeadOutcome&) const = default;
};

std::ostream& operator<<(std::ostream& out, const HeadOutcome& outcome) {
    return out << "status " << outcome.status << ", complete " << outcome.complete << ", bytes "
               << outcome.headBytes;
}

// `nextSize`: how many bytes the guard is shown at a time.
template <class NextSize>
HeadOutcome checkHead(HeadGuard& guard, std::string_view bytes, NextSize nextSize) {
    size_t at = 0;
    while (at < bytes.size()) {
        const std::string piece(bytes.substr(at, nextSize()));  // on the heap, where a sanitizer sees its end
        const HeadGuard::Verdict verdict = guard.check(piece);
        at += verdict.headBytes;
        if (verdict.status != 0) {
            EXPECT_FALSE(verdict.complete);
            EXPECT_NE(verdict.reason, nullptr);
            return {verdict.status, false, 0};
        }
        if (verdict.complete) return {0, true, at};
        EXPECT_EQ(verdict.headBytes, piece.size());
    }
    return {0, false, at};
}

HeadOutcome checkHead(std::string_view bytes, size_t fragment) {
    const HttpLimits limits = smallLimits();
    HeadGuard guard(limits);
    return checkHead(guard, bytes, [fragment] { return fragment; });
}

struct HeadRow {
    std::string bytes;
    int status;     // 0: in order
    bool complete;  // of those in order
};

const std::vector<HeadRow>& headRows() {
    static const std::string line = "GET / HTTP/1.1\r\n";
    static const std::vector<HeadRow> rows = {
        // In order.
        {line + "\r\n", 0, true},
        {line + "Host: a\r\n\r\n", 0, true},
        {line + "A: b\r\nC: d\r\n\r\n", 0, true},
        {line + "A:\r\nB: \t\r\n\r\n", 0, true},
        {line + "A: x\ty\xC3\xA9\xFF\r\n\r\n", 0, true},
        {"\r\n" + line + "\r\n", 0, true},
        {"POST /a?b=c%20d HTTP/1.0\r\n\r\n", 0, true},
        // Not at its end yet.
        {"", 0, false},
        {"\r", 0, false},
        {"\r\n", 0, false},
        {"G", 0, false},
        {"GET / HTTP/1.1\r", 0, false},
        {line, 0, false},
        {line + "\r", 0, false},
        {line + "Host: a", 0, false},
        {line + "Host: a\r", 0, false},
        {line + "Host: a\r\n", 0, false},
        {line + "Host: a\r\n\r", 0, false},
        // Line ends: RFC 9112 §2.2. A CR inside a line is llhttp's to find.
        {"GET / HTTP/1.1\n\r\n", 400, false},
        {"\n" + line + "\r\n", 400, false},
        {line + "A: b\n\r\n", 400, false},
        {line + "A: b\r\n\n", 400, false},
        {line + "A: b\r\nC: d\nE: f\r\n\r\n", 400, false},
        {line + "\n", 400, false},
        // Empty lines in front: one is forgiven.
        {"\r\n\r\n" + line + "\r\n", 400, false},
        {repeated(50, "\r\n"), 400, false},
        // The request line: RFC 9112 §3. Its spaces are llhttp's to count.
        {" GET / HTTP/1.1\r\n\r\n", 400, false},
        {"\tGET / HTTP/1.1\r\n\r\n", 400, false},
        {"GET / HTTP/1.1\t\r\n\r\n", 400, false},
        {"GET / HTTP/1.1 \r\n\r\n", 400, false},
        {"GET /\r\n\r\n", 400, false},
        {"GET\r\n\r\n", 400, false},
        {"HTTP/1.1\r\n\r\n", 400, false},
        // Its version: RFC 9112 §2.3; RFC 9110 §6.2, §15.6.6.
        {"GET / HTTP/1.0\r\n\r\n", 0, true},
        {"GET / HTTP/1.2\r\n\r\n", 0, true},
        {"GET / HTTP/1.9\r\n\r\n", 0, true},
        {"GET / HTTP/0.9\r\n\r\n", 505, false},
        {"GET / HTTP/2.0\r\n\r\n", 505, false},
        {"GET / http/1.1\r\n\r\n", 400, false},
        {"GET / HTTP/1.10\r\n\r\n", 400, false},
        {"GET / HTTP/11.1\r\n\r\n", 400, false},
        {"GET / HTTP/1,1\r\n\r\n", 400, false},
        {"GET / HTTP/1.\r\n\r\n", 400, false},
        {"GET / HTTP/x.1\r\n\r\n", 400, false},
        // A name has at least one byte: RFC 9110 §5.1.
        {line + ": b\r\n\r\n", 400, false},
        {line + "A: b\r\n:\r\n\r\n", 400, false},
        // Folded lines, and blanks in front of the first: RFC 9112 §5.2, §2.2.
        {line + " A: b\r\n\r\n", 400, false},
        {line + "\tA: b\r\n\r\n", 400, false},
        {line + " \r\n\r\n", 400, false},
        {line + "A: b\r\n c\r\n\r\n", 400, false},
        {line + "A: b\r\n\tc\r\n\r\n", 400, false},
        {line + "A: b\r\n \r\n\r\n", 400, false},
        // Limits: the request line has 40 bytes, the lines of 4 fields 64 together.
        {"GET /" + std::string(26, 'a') + " HTTP/1.1\r\n\r\n", 0, true},
        {"GET /" + std::string(27, 'a') + " HTTP/1.1\r\n\r\n", 414, false},
        {"GET /" + std::string(500, 'a'), 414, false},
        {std::string(41, 'G'), 414, false},
        {line + repeated(4, "A: b\r\n") + "\r\n", 0, true},
        {line + repeated(5, "A: b\r\n") + "\r\n", 431, false},
        {line + repeated(4, "A: b\r\n") + "C", 431, false},
        {line + "A: " + std::string(50, 'v') + "\r\n\r\n", 0, true},
        {line + "A: " + std::string(70, 'v') + "\r\n\r\n", 431, false},
        {line + "A: " + std::string(500, 'v'), 431, false},
        {line + std::string(70, 'n'), 431, false},
        {line + "A: b\r\nC: d\r\nE: " + std::string(60, 'v') + "\r\n\r\n", 431, false},
    };
    return rows;
}

TEST(HeadGuardTest, TheVerdictIsTheSameAtEveryCut) {
    for (const HeadRow& row : headRows()) {
        SCOPED_TRACE(::testing::PrintToString(row.bytes));
        const size_t bytes = row.status == 0 ? row.bytes.size() : 0;
        for (const size_t fragment : kFragments) {
            EXPECT_EQ(checkHead(row.bytes, fragment), (HeadOutcome{row.status, row.complete, bytes}))
                << fragment;
        }
    }
}

TEST(HeadGuardTest, TheVerdictIsTheSameAtRandomCuts) {
    std::minstd_rand random(7);
    const HttpLimits limits = smallLimits();
    for (const HeadRow& row : headRows()) {
        for (int i = 0; i < 20; ++i) {
            HeadGuard guard(limits);
            const HeadOutcome outcome = checkHead(guard, row.bytes, [&random] { return 1 + random() % 12; });
            EXPECT_EQ(outcome.status, row.status) << ::testing::PrintToString(row.bytes);
            EXPECT_EQ(outcome.complete, row.complete) << ::testing::PrintToString(row.bytes);
        }
    }
}

TEST(HeadGuardTest, TakesTheHeadAndNothingBehindIt) {
    const std::string head = "POST / HTTP/1.1\r\nHost: a\r\n\r\n";
    for (const std::string& behind :
         {std::string("body"), byte(0), std::string("\r\n"), std::string("\nx"), head}) {
        for (const size_t fragment : kFragments) {
            EXPECT_EQ(checkHead(head + behind, fragment), (HeadOutcome{0, true, head.size()})) << fragment;
        }
    }
}

TEST(HeadGuardTest, TellsWhatIsInOrderBeforeTheFault) {
    const HttpLimits limits;
    HeadGuard guard(limits);
    const std::string good = "GET / HTTP/1.1\r\nA: b\r\n";
    const HeadGuard::Verdict verdict = guard.check(good + " folded\r\n");
    EXPECT_EQ(verdict.status, 400);
    EXPECT_EQ(verdict.headBytes, good.size());
}

TEST(HeadGuardTest, ResetForgetsEverything) {
    const HttpLimits limits = smallLimits();
    HeadGuard guard(limits);
    for (const HeadRow& row : headRows()) {
        guard.reset();
        checkHead(guard, row.bytes, [] { return size_t{5}; });
        guard.reset();
        const HeadOutcome outcome =
            checkHead(guard, "\r\nGET / HTTP/1.1\r\nA: b\r\n\r\n", [] { return size_t{5}; });
        EXPECT_EQ(outcome, (HeadOutcome{0, true, 26})) << ::testing::PrintToString(row.bytes);
    }
}

// --- Chunk framing: what of a chunked body is not data ---

HttpLimits smallChunkLimits() {
    HttpLimits limits;
    limits.chunkLineBytes = 16;
    limits.chunkExtensionBytes = 20;
    limits.headerBytes = 40;
    limits.headerCount = 3;
    return limits;
}

int checkChunks(std::string_view framing, size_t fragment) {
    const HttpLimits limits = smallChunkLimits();
    ChunkGuard guard(limits);
    for (size_t at = 0; at < framing.size(); at += std::min(fragment, framing.size() - at)) {
        const std::string piece(framing.substr(at, fragment));
        int status = 0;
        if (guard.check(piece, status) != nullptr) return status;
    }
    return 0;
}

TEST(ChunkGuardTest, TheVerdictIsTheSameAtEveryCut) {
    struct Row {
        std::string framing;  // chunk data left out
        int status;           // 0: in order
    };
    const std::string last = "0\r\n\r\n";
    const Row rows[] = {
        {last, 0},
        {"000\r\n\r\n", 0},
        {"5\r\n\r\n" + last, 0},
        {"00Ff\r\n\r\n1\r\n\r\n" + last, 0},
        {"5;a=b\r\n\r\n" + last, 0},
        {"5;a;b=\"\"\r\n\r\n" + last, 0},
        {"5;a=\"b c\"\r\n\r\n0;d\r\n\r\n", 0},
        {"0\r\nA: b\r\nC:\r\n\r\n", 0},
        {"0\r\nA: \tb\xFF\r\n\r\n", 0},
        {"5\r\n", 0},  // the rest is still to come
        {"0\r\nA", 0},
        // Sizes.
        {"\r\n", 400},
        {" 5\r\n", 400},
        {"5 \r\n", 400},
        {"5\t\r\n", 400},
        {"-5\r\n", 400},
        {"0x5\r\n", 400},
        {"g\r\n", 400},
        {";a\r\n", 400},
        {"5" + byte(0) + "\r\n", 400},
        // Line ends.
        {"5\n", 400},
        {"5\rX", 400},
        {"5\r\r\n", 400},
        {"5\r\nX", 400},
        {"5\r\n\n", 400},
        {"5\r\n\rX", 400},
        {"0\n", 400},
        {"0\r\n\n", 400},
        {"0\r\n\rX", 400},
        {"0\r\nA: b\n", 400},
        {"0\r\nA: b\rC", 400},
        {last + "x", 400},
        // Extensions.
        {"5;a\n", 400},
        {"5;a" + byte(0) + "\r\n", 400},
        {"5;a=" + byte(0x7F) + "\r\n", 400},
        {"5;\rX", 400},
        {"5;\r\n", 400},
        {"5;=b\r\n", 400},
        {"5;a=\r\n", 400},
        {"5;a=b;\r\n", 400},
        {"5;a b\r\n", 400},
        {"5; a\r\n", 400},
        {"5;a=b\"\"\r\n", 400},
        {"5;a=\"b\r\n", 400},
        {"5;a=\"b\"c\r\n", 400},
        {"5;a=b=c\r\n", 400},
        {"5;a=12345678901\r\n\r\n" + last, 0},
        {"5;a=123456789012\r\n", 400},       // 17 bytes with its CR, one more than the line may have
        {"000000000000000000005\r\n", 400},  // zeros count
        {"1;a=b6789\r\n\r\n2;a=b6789\r\n\r\n3;a=b\r\n\r\n" + last, 0},
        {"1;a=b6789\r\n\r\n2;a=b6789\r\n\r\n3;a=bc\r\n", 400},  // all extensions together
        // Trailers.
        {"0\r\n A: b\r\n", 400},
        {"0\r\n: b\r\n", 400},
        {"0\r\nA: b\r\n c\r\n", 400},
        {"0\r\nA: " + byte(0) + "\r\n", 400},
        {"0\r\nA: b" + byte(0x7F) + "\r\n", 400},
        {"0\r\nA: b\r\nC: d\r\nE: f\r\n\r\n", 0},
        {"0\r\nA: b\r\nC: d\r\nE: f\r\nG", 431},
        {"0\r\nA: " + std::string(60, 'v'), 431},
        {"0\r\n" + std::string(60, 'n'), 431},
    };
    for (const Row& row : rows) {
        for (const size_t fragment : kFragments) {
            EXPECT_EQ(checkChunks(row.framing, fragment), row.status)
                << ::testing::PrintToString(row.framing) << " in pieces of " << fragment;
        }
    }
}

TEST(ChunkGuardTest, ResetForgetsEverything) {
    const HttpLimits limits = smallChunkLimits();
    ChunkGuard guard(limits);
    for (const std::string& before :
         {std::string("0\r\n\r\n"), std::string("5;a=b678"), std::string("0\r\nA: b"), std::string("x")}) {
        int status = 0;
        guard.check(before, status);
        guard.reset();
        EXPECT_EQ(guard.check("5;a=b678\r\n\r\n0\r\n\r\n", status), nullptr) << before;
        guard.reset();
    }
}

}  // namespace
}  // namespace tnet
