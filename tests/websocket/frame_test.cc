#include "websocket/frame.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/hex.h"

namespace tnet {
namespace {

constexpr size_t kWhole = SIZE_MAX;
constexpr size_t kFragments[] = {kWhole, 1, 2, 3, 4, 5, 6, 7, 8, 16, 31};

static_assert(sizeof(WsFrameDecoder) <= 24);

constexpr WsFrameDecoder::Settings kServer = {WsRole::Server, false};
constexpr WsFrameDecoder::Settings kServerDeflate = {WsRole::Server, true};
constexpr WsFrameDecoder::Settings kClient = {WsRole::Client, false};
constexpr WsFrameDecoder::Settings kClientDeflate = {WsRole::Client, true};

// --- Transcripts ---

std::string nameOf(WsOpcode opcode) {
    switch (opcode) {
        case WsOpcode::Continuation: return "Continuation";
        case WsOpcode::Text: return "Text";
        case WsOpcode::Binary: return "Binary";
        case WsOpcode::Close: return "Close";
        case WsOpcode::Ping: return "Ping";
        case WsOpcode::Pong: return "Pong";
    }
    return "no opcode";
}

// "Text fin rsv1 5 37fa213d; "; bare frames have a key of zeros, which is left out.
std::string describe(const WsFrameHeader& header) {
    std::string text = nameOf(header.opcode);
    if (header.fin) text += " fin";
    if (header.rsv1) text += " rsv1";
    text += " " + std::to_string(header.payloadBytes);
    const std::string key(header.maskKey.begin(), header.maskKey.end());
    if (header.masked || header.maskKey != WsFrameHeader{}.maskKey) text += " " + toHex(key);
    return text + "; ";
}

struct Outcome {
    std::string frames;
    std::string reason{};   // of the error; empty: none
    size_t errorBegin = 0;  // the piece that was refused: where it begins,
    size_t errorEnd = 0;    // and where it ends
};

// `nextSize`: how many bytes the decoder is shown at a time.
template <class NextSize>
Outcome decodeAll(WsFrameDecoder::Settings settings, std::string_view bytes, NextSize nextSize) {
    WsFrameDecoder decoder(settings);
    Outcome outcome;
    uint64_t payloadBytes = 0;
    for (size_t at = 0; at < bytes.size();) {
        const std::string piece(bytes.substr(at, nextSize()));  // on the heap, where a sanitizer sees its end
        std::string_view input = piece;
        while (!input.empty()) {
            const size_t skipped = static_cast<size_t>(std::min<uint64_t>(payloadBytes, input.size()));
            input.remove_prefix(skipped);
            payloadBytes -= skipped;
            if (payloadBytes > 0 || input.empty()) break;
            WsFrameHeader header;
            const size_t before = input.size();
            const WsFrameDecoder::Verdict verdict = decoder.decode(input, header);
            EXPECT_EQ(verdict.reason != nullptr, verdict.step == WsFrameDecoder::Step::Error);
            if (verdict.step == WsFrameDecoder::Step::Error) {
                outcome.reason = verdict.reason;
                outcome.errorBegin = at + piece.size() - before;
                outcome.errorEnd = at + piece.size();
                return outcome;
            }
            if (verdict.step == WsFrameDecoder::Step::NeedMore) {
                EXPECT_TRUE(input.empty());
                break;
            }
            outcome.frames += describe(header);
            payloadBytes = header.payloadBytes;
        }
        at += piece.size();
    }
    return outcome;
}

struct Row {
    WsFrameDecoder::Settings settings;
    std::string hex;
    std::string frames;        // those that are in order
    std::string reason{};      // what is wrong with the one behind them; empty: nothing
    size_t decidingBytes = 0;  // of the transcript: the last of them is the one that tells
};

const std::vector<Row>& rows() {
    static const std::string x126 = toHex(std::string(126, 'x'));
    static const std::vector<Row> all = {
        // The examples of RFC 6455 §5.7.
        {kClient, "81 05 48656c6c6f", "Text fin 5; "},
        {kServer, "81 85 37fa213d 7f9f4d5158", "Text fin 5 37fa213d; "},
        {kClient, "01 03 48656c 80 02 6c6f", "Text 3; Continuation fin 2; "},
        {kClient, "89 05 48656c6c6f", "Ping fin 5; "},
        {kServer, "8a 85 37fa213d 7f9f4d5158", "Pong fin 5 37fa213d; "},
        {kClient, "82 7e 0100", "Binary fin 256; "},
        {kClient, "82 7f 0000000000010000", "Binary fin 65536; "},
        // Every opcode, without payload.
        {kServer, "81 80 01020304 82 80 05060708", "Text fin 0 01020304; Binary fin 0 05060708; "},
        {kServer, "02 80 01020304 00 80 00000000 80 80 ffffffff",
         "Binary 0 01020304; Continuation 0 00000000; Continuation fin 0 ffffffff; "},
        {kServer, "88 80 01020304 89 80 01020304 8a 80 01020304",
         "Close fin 0 01020304; Ping fin 0 01020304; Pong fin 0 01020304; "},
        // Control frames between the fragments of a message: RFC 6455 §5.4, §5.5.
        {kClient, "01 01 61 89 01 62 00 01 63 8a 00 80 00 81 00",
         "Text 1; Ping fin 1; Continuation 1; Pong fin 0; Continuation fin 0; Text fin 0; "},
        // Not at its end yet.
        {kServer, "", ""},
        {kServer, "81", ""},
        {kServer, "81 85", ""},
        {kServer, "81 85 37fa21", ""},
        {kServer, "81 fe 00", ""},
        {kServer, "81 fe 0100 0102", ""},
        {kServer, "82 ff 00000000000100", ""},
        {kServer, "82 ff 0000000000010000 010203", ""},
        {kClient, "82 7f 0000000000", ""},
        // RSV1: RFC 7692 §6, only if it was negotiated and only on the first frame of a message.
        {kServerDeflate, "c1 80 01020304", "Text fin rsv1 0 01020304; "},
        {kClientDeflate, "c2 00 82 00", "Binary fin rsv1 0; Binary fin 0; "},
        {kClientDeflate, "41 00 80 00", "Text rsv1 0; Continuation fin 0; "},
        {kClientDeflate, "41 00 c0 00", "Text rsv1 0; ", "RSV1 set on a continuation", 3},
        {kClientDeflate, "01 00 40 00", "Text 0; ", "RSV1 set on a continuation", 3},
        {kClientDeflate, "c9 00", "", "RSV1 set on a control frame", 1},
        {kClientDeflate, "c8 00", "", "RSV1 set on a control frame", 1},
        {kClientDeflate, "41 00 ca 00", "Text rsv1 0; ", "RSV1 set on a control frame", 3},
        {kServer, "c1 80 01020304", "", "RSV1 set without compression", 1},
        {kClient, "c2 00", "", "RSV1 set without compression", 1},
        {kClient, "c9 00", "", "RSV1 set without compression", 1},
        // RSV2 and RSV3: RFC 6455 §5.2.
        {kServerDeflate, "a1 80 01020304", "", "RSV2 or RSV3 set", 1},
        {kServerDeflate, "91 80 01020304", "", "RSV2 or RSV3 set", 1},
        {kServer, "b1 80 01020304", "", "RSV2 or RSV3 set", 1},
        {kClient, "81 01 61 99 00", "Text fin 1; ", "RSV2 or RSV3 set", 4},
        // Reserved opcodes: RFC 6455 §5.2.
        {kServer, "83 80 01020304", "", "reserved opcode", 1},
        {kServer, "84 80 01020304", "", "reserved opcode", 1},
        {kServer, "85 80 01020304", "", "reserved opcode", 1},
        {kServer, "86 80 01020304", "", "reserved opcode", 1},
        {kServer, "87 80 01020304", "", "reserved opcode", 1},
        {kClient, "8b 00", "", "reserved opcode", 1},
        {kClient, "8c 00", "", "reserved opcode", 1},
        {kClient, "8d 00", "", "reserved opcode", 1},
        {kClient, "8e 00", "", "reserved opcode", 1},
        {kClient, "8f 00", "", "reserved opcode", 1},
        {kClient, "03 00", "", "reserved opcode", 1},
        {kServerDeflate, "cf 00", "", "reserved opcode", 1},
        // Control frames: RFC 6455 §5.5.
        {kClient, "08 00", "", "control frame in fragments", 1},
        {kClient, "09 00", "", "control frame in fragments", 1},
        {kClient, "0a 00", "", "control frame in fragments", 1},
        {kClient, "89 7d", "Ping fin 125; "},
        {kClient, "88 7e 0003", "", "control frame with more than 125 bytes", 2},
        {kClient, "89 7e 007e", "", "control frame with more than 125 bytes", 2},
        {kServer, "8a ff 0000000000010000 01020304", "", "control frame with more than 125 bytes", 2},
        // Masks: RFC 6455 §5.1.
        {kServer, "81 05 48656c6c6f", "", "unmasked frame from a client", 2},
        {kServer, "89 00", "", "unmasked frame from a client", 2},
        {kServer, "81 80 01020304 81 00", "Text fin 0 01020304; ", "unmasked frame from a client", 8},
        {kClient, "81 85 37fa213d 7f9f4d5158", "", "masked frame from a server", 2},
        {kClient, "88 80 01020304", "", "masked frame from a server", 2},
        // Lengths in their shortest form: RFC 6455 §5.2.
        {kClient, "81 7e 007e" + x126 + "81 00", "Text fin 126; Text fin 0; "},
        {kClient, "82 7e ffff", "Binary fin 65535; "},
        {kClient, "82 7f 7fffffffffffffff", "Binary fin 9223372036854775807; "},
        {kServer, "82 ff 0000000100000000 a1b2c3d4", "Binary fin 4294967296 a1b2c3d4; "},
        {kClient, "81 7e 007d", "", "payload length not in its shortest form", 4},
        {kClient, "81 7e 0000", "", "payload length not in its shortest form", 4},
        {kServer, "81 fe 0005 01020304", "", "payload length not in its shortest form", 4},
        {kClient, "82 7f 000000000000ffff", "", "payload length not in its shortest form", 8},
        {kClient, "82 7f 0000000000000000", "", "payload length not in its shortest form", 8},
        {kClient, "82 7f 8000000000000000", "", "payload length of 2^63 or more", 3},
        {kServer, "82 ff ffffffffffffffff", "", "payload length of 2^63 or more", 3},
        // Fragments: RFC 6455 §5.4.
        {kClient, "80 00", "", "continuation of no message", 1},
        {kClient, "00 00", "", "continuation of no message", 1},
        {kClientDeflate, "c0 00", "", "continuation of no message", 1},
        {kClient, "81 00 80 00", "Text fin 0; ", "continuation of no message", 3},
        {kClient, "01 00 80 00 80 00", "Text 0; Continuation fin 0; ", "continuation of no message", 5},
        {kClient, "01 00 81 00", "Text 0; ", "new message inside another", 3},
        {kClient, "02 00 00 00 01 00", "Binary 0; Continuation 0; ", "new message inside another", 5},
        {kClient, "02 00 89 00 82 00", "Binary 0; Ping fin 0; ", "new message inside another", 5},
    };
    return all;
}

void expectOutcome(const Row& row, const Outcome& outcome) {
    EXPECT_EQ(outcome.frames, row.frames);
    EXPECT_EQ(outcome.reason, row.reason);
    if (row.reason.empty()) return;
    EXPECT_LT(outcome.errorBegin, row.decidingBytes) << "refused before it could tell";
    EXPECT_GE(outcome.errorEnd, row.decidingBytes) << "refused before it could tell";
}

TEST(WsFrameDecoderTest, TheVerdictIsTheSameAtEveryCut) {
    for (const Row& row : rows()) {
        SCOPED_TRACE(row.hex);
        for (const size_t fragment : kFragments) {
            SCOPED_TRACE(fragment);
            expectOutcome(row, decodeAll(row.settings, fromHex(row.hex), [fragment] { return fragment; }));
        }
    }
}

TEST(WsFrameDecoderTest, TheVerdictIsTheSameAtRandomCuts) {
    std::minstd_rand random(7);
    for (const Row& row : rows()) {
        SCOPED_TRACE(row.hex);
        for (int i = 0; i < 20; ++i) {
            expectOutcome(row,
                          decodeAll(row.settings, fromHex(row.hex), [&random] { return 1 + random() % 12; }));
        }
    }
}

// Not a byte later: nothing that follows the deciding byte has to come for the error to be seen.
TEST(WsFrameDecoderTest, RefusesAtTheFirstByteThatTells) {
    for (const Row& row : rows()) {
        if (row.reason.empty()) continue;
        SCOPED_TRACE(row.hex);
        const std::string bytes = fromHex(row.hex);
        for (const size_t fragment : {size_t{1}, kWhole}) {
            const auto nextSize = [fragment] { return fragment; };
            const std::string_view upTo = std::string_view(bytes).substr(0, row.decidingBytes);
            EXPECT_EQ(decodeAll(row.settings, upTo, nextSize).reason, row.reason);
            EXPECT_EQ(decodeAll(row.settings, upTo.substr(0, upTo.size() - 1), nextSize).reason, "");
        }
    }
}

TEST(WsFrameDecoderTest, NoBytesAreNoError) {
    WsFrameDecoder decoder(kServer);
    WsFrameHeader header;
    std::string_view input;
    EXPECT_EQ(decoder.decode(input, header).step, WsFrameDecoder::Step::NeedMore);
    const std::string begin = fromHex("81");
    input = begin;
    EXPECT_EQ(decoder.decode(input, header).step, WsFrameDecoder::Step::NeedMore);
    EXPECT_EQ(decoder.decode(input, header).step, WsFrameDecoder::Step::NeedMore);
    const std::string rest = fromHex("80 01020304");
    input = rest;
    EXPECT_EQ(decoder.decode(input, header).step, WsFrameDecoder::Step::Header);
    EXPECT_TRUE(input.empty());
}

// A header that came in two pieces is put together in the decoder, together with payload that came with
// its end: that payload has to stay in the input.
TEST(WsFrameDecoderTest, PayloadBehindACutHeaderStaysInTheInput) {
    const std::string bytes = fromHex("81 85 37fa213d 7f9f4d5158 81 80 00000000");
    for (size_t cut = 1; cut < 6; ++cut) {
        WsFrameDecoder decoder(kServer);
        WsFrameHeader header;
        std::string_view input = std::string_view(bytes).substr(0, cut);
        ASSERT_EQ(decoder.decode(input, header).step, WsFrameDecoder::Step::NeedMore);
        input = std::string_view(bytes).substr(cut);
        ASSERT_EQ(decoder.decode(input, header).step, WsFrameDecoder::Step::Header);
        EXPECT_EQ(toHex(input), "7f9f4d5158818000000000") << cut;
        EXPECT_EQ(static_cast<const void*>(input.data()), bytes.data() + 6) << cut;
    }
}

// Each of the first two bytes there are, against RFC 6455 §5.2 said in another way.
TEST(WsFrameDecoderTest, EveryFirstAndSecondByte) {
    for (int bytes = 0; bytes <= 0xFFFF; ++bytes) {
        const int opcode = bytes >> 8 & 0x0F;
        const bool isControlFrame = opcode == 8 || opcode == 9 || opcode == 10;
        const bool isData = opcode == 1 || opcode == 2;
        const bool fin = (bytes & 0x8000) != 0;
        const bool rsv1 = (bytes & 0x4000) != 0;
        const bool good = (bytes & 0x3000) == 0 && (isData || (isControlFrame && fin && !rsv1)) &&
                          (bytes & 0x80) != 0 && !(isControlFrame && (bytes & 0x7F) > 125);
        WsFrameDecoder decoder(kServerDeflate);
        WsFrameHeader header;
        const std::string wire = {static_cast<char>(bytes >> 8), static_cast<char>(bytes)};
        std::string_view input = wire;
        const WsFrameDecoder::Step step = decoder.decode(input, header).step;
        ASSERT_EQ(step, good ? WsFrameDecoder::Step::NeedMore : WsFrameDecoder::Step::Error) << toHex(wire);
    }
}

// --- Writing headers ---

constexpr uint64_t kLengths[] = {0,
                                 1,
                                 5,
                                 124,
                                 125,
                                 126,
                                 127,
                                 128,
                                 255,
                                 256,
                                 65534,
                                 65535,
                                 65536,
                                 65537,
                                 0xFFFFFF,
                                 0xFFFFFFFF,
                                 0x100000000,
                                 0x123456789ABCDE,
                                 (1ull << 62),
                                 (1ull << 63) - 1};
constexpr std::array<uint8_t, 4> kKey = {0x37, 0xFA, 0x21, 0x3D};

std::string written(WsOpcode opcode, bool fin, bool rsv1, uint64_t payloadBytes) {
    char out[kMaxFrameHeaderBytes];
    return {out, writeFrameHeader(out, opcode, fin, rsv1, payloadBytes)};
}

std::string writtenMasked(WsOpcode opcode, bool fin, bool rsv1, uint64_t payloadBytes) {
    char out[kMaxFrameHeaderBytes];
    return {out, writeMaskedFrameHeader(out, opcode, fin, rsv1, payloadBytes, kKey)};
}

TEST(FrameHeaderTest, IsWrittenAsTheRfcHasIt) {
    EXPECT_EQ(toHex(written(WsOpcode::Text, true, false, 5)), "8105");
    EXPECT_EQ(toHex(written(WsOpcode::Text, false, false, 3)), "0103");
    EXPECT_EQ(toHex(written(WsOpcode::Continuation, true, false, 2)), "8002");
    EXPECT_EQ(toHex(written(WsOpcode::Ping, true, false, 125)), "897d");
    EXPECT_EQ(toHex(written(WsOpcode::Binary, true, true, 126)), "c27e007e");
    EXPECT_EQ(toHex(written(WsOpcode::Binary, true, false, 256)), "827e0100");
    EXPECT_EQ(toHex(written(WsOpcode::Binary, true, false, 65535)), "827effff");
    EXPECT_EQ(toHex(written(WsOpcode::Binary, true, false, 65536)), "827f0000000000010000");
    EXPECT_EQ(toHex(written(WsOpcode::Text, true, false, 0x7122334455667788)), "817f7122334455667788");
    EXPECT_EQ(toHex(writtenMasked(WsOpcode::Text, true, false, 5)), "818537fa213d");
    EXPECT_EQ(toHex(writtenMasked(WsOpcode::Text, true, true, 256)), "c1fe010037fa213d");
    EXPECT_EQ(toHex(writtenMasked(WsOpcode::Pong, true, false, 0)), "8a8037fa213d");
}

TEST(FrameHeaderTest, WhatIsWrittenIsRead) {
    for (const uint64_t length : kLengths) {
        for (const WsOpcode opcode : {WsOpcode::Text, WsOpcode::Binary, WsOpcode::Ping}) {
            if (isControl(opcode) && length > kMaxControlPayloadBytes) continue;
            for (const bool rsv1 : {false, true}) {
                if (isControl(opcode) && rsv1) continue;
                const std::string bare = written(opcode, true, rsv1, length);
                const std::string masked = writtenMasked(opcode, true, rsv1, length);
                EXPECT_EQ(bare.size(), frameHeaderBytes(length, false)) << length;
                EXPECT_EQ(masked.size(), frameHeaderBytes(length, true)) << length;
                const std::string expected =
                    nameOf(opcode) + " fin" + (rsv1 ? " rsv1 " : " ") + std::to_string(length);
                const auto whole = [] { return kWhole; };
                EXPECT_EQ(decodeAll(kClientDeflate, bare, whole).frames, expected + "; ");
                EXPECT_EQ(decodeAll(kServerDeflate, masked, whole).frames, expected + " 37fa213d; ");
            }
        }
    }
    EXPECT_EQ(frameHeaderBytes((1ull << 63) - 1, true), kMaxFrameHeaderBytes);
}

// --- Payloads of Close frames ---

TEST(ClosePayloadTest, ParsesWhatIsInOrderAndSaysWhatIsNot) {
    struct CloseRow {
        std::string hex;
        int code;
        std::string reason;
        WsCloseCode failWith = WsCloseCode::Normal;  // nothing to fail with
        std::string_view error{};
    };
    constexpr std::string_view kHalf = "Close frame with half a code";
    constexpr std::string_view kInvalid = "invalid code in a Close frame";
    constexpr std::string_view kNoUtf8 = "reason of a Close frame is not UTF-8";
    const std::string kosme = "\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5";
    const CloseRow table[] = {
        {"", 1005, ""},
        {"03e8", 1000, ""},
        {"03e8 48656c6c6f", 1000, "Hello"},
        {"03e9 00", 1001, std::string(1, '\0')},
        {"03f6 ceba e1bdb9 cf83 cebc ceb5", 1014, kosme},
        {"0bb8", 3000, ""},
        {"1387 21", 4999, "!"},
        {"03e8" + toHex(std::string(123, 'r')), 1000, std::string(123, 'r')},
        // Half a code: RFC 6455 §5.5.1.
        {"03", 1002, "", WsCloseCode::ProtocolError, kHalf},
        {"00", 1002, "", WsCloseCode::ProtocolError, kHalf},
        // Codes that must not be sent: RFC 6455 §7.4.
        {"0000", 1002, "", WsCloseCode::ProtocolError, kInvalid},
        {"03e7", 1002, "", WsCloseCode::ProtocolError, kInvalid},
        {"03ec", 1002, "", WsCloseCode::ProtocolError, kInvalid},
        {"03ed", 1002, "", WsCloseCode::ProtocolError, kInvalid},
        {"03ee", 1002, "", WsCloseCode::ProtocolError, kInvalid},
        {"03f7", 1002, "", WsCloseCode::ProtocolError, kInvalid},
        {"03f8", 1002, "", WsCloseCode::ProtocolError, kInvalid},
        {"07d0", 1002, "", WsCloseCode::ProtocolError, kInvalid},
        {"0bb7", 1002, "", WsCloseCode::ProtocolError, kInvalid},
        {"1388", 1002, "", WsCloseCode::ProtocolError, kInvalid},
        {"ffff 48656c6c6f", 1002, "", WsCloseCode::ProtocolError, kInvalid},
        {"03ed ff", 1002, "", WsCloseCode::ProtocolError, kInvalid},  // the code comes first
        // Reasons that are no UTF-8: RFC 6455 §8.1.
        {"03e8 ff", 1007, "", WsCloseCode::InvalidPayload, kNoUtf8},
        {"03e8 48656c6c6f eda080", 1007, "", WsCloseCode::InvalidPayload, kNoUtf8},
        {"03e8 ce", 1007, "", WsCloseCode::InvalidPayload, kNoUtf8},
    };
    for (const CloseRow& row : table) {
        SCOPED_TRACE(row.hex);
        const std::string bytes = fromHex(row.hex);
        const WsParsedClose parsed = parseClosePayload(bytes);
        EXPECT_EQ(parsed.error != nullptr ? std::string_view(parsed.error) : std::string_view(), row.error);
        EXPECT_EQ(parsed.failWith, row.failWith);
        EXPECT_EQ(parsed.payload.code, row.code);
        EXPECT_EQ(parsed.payload.reason, row.reason);
    }
}

std::string closePayload(int code, std::string_view reason) {
    char out[kMaxControlPayloadBytes];
    return {out, writeClosePayload(out, static_cast<uint16_t>(code), reason)};
}

TEST(ClosePayloadTest, IsWrittenAsItIsRead) {
    EXPECT_EQ(closePayload(1005, ""), "");
    EXPECT_EQ(closePayload(1005, "no code, no reason"), "");
    EXPECT_EQ(toHex(closePayload(1000, "")), "03e8");
    EXPECT_EQ(toHex(closePayload(4999, "bye")), "1387627965");
    EXPECT_EQ(closePayload(1001, std::string(123, 'r')).size(), 125u);
}

TEST(ClosePayloadTest, LongReasonsAreCutBetweenCharacters) {
    for (const std::string_view character : {"a", "\xD0\x96", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"}) {
        for (size_t front = 0; front < 5; ++front) {
            std::string reason(front, '-');
            std::string fits = reason;
            while (reason.size() < 200) {
                reason += character;
                if (reason.size() <= kMaxCloseReasonBytes) fits = reason;
            }
            const std::string payload = closePayload(1000, reason);
            EXPECT_EQ(payload.substr(2), fits);
            EXPECT_EQ(parseClosePayload(payload).error, nullptr);
        }
    }
}

// Whoever hands over what is no UTF-8 gets no more than fits, whatever it is.
TEST(ClosePayloadTest, AReasonOfContinuationBytesAloneIsCutToNothing) {
    EXPECT_EQ(toHex(closePayload(1000, std::string(500, '\x80'))), "03e8");
}

}  // namespace
}  // namespace tnet
