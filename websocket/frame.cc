#include "websocket/frame.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "websocket/utf8.h"

namespace tnet {
namespace {

constexpr uint8_t kFin = 0x80;
constexpr uint8_t kRsv1 = 0x40;
constexpr uint8_t kRsv2And3 = 0x30;
constexpr uint8_t kOpcodeBits = 0x0F;
constexpr uint8_t kMasked = 0x80;
constexpr uint8_t kLengthBits = 0x7F;
constexpr uint8_t kLengthIn2Bytes = 126;
constexpr uint8_t kLengthIn8Bytes = 127;
constexpr const char* kNotShortest = "payload length not in its shortest form";

uint8_t byteAt(std::string_view bytes, size_t index) { return static_cast<uint8_t>(bytes[index]); }

uint64_t bigEndian(std::string_view bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < bytes.size(); ++i) value = value << 8 | byteAt(bytes, i);
    return value;
}

bool isReserved(uint8_t opcode) {
    return (opcode > static_cast<uint8_t>(WsOpcode::Binary) &&
            opcode < static_cast<uint8_t>(WsOpcode::Close)) ||
           opcode > static_cast<uint8_t>(WsOpcode::Pong);
}

// RFC 6455 §5.2. `length`: as many bytes of the extended length as there are.
const char* checkLength(std::string_view length, size_t lengthBytes) {
    if (lengthBytes == 2) return length.size() == 2 && bigEndian(length) < 126 ? kNotShortest : nullptr;
    if (!length.empty() && (byteAt(length, 0) & 0x80) != 0) return "payload length of 2^63 or more";
    constexpr size_t kZerosBelow65536 = 6;
    if (length.size() >= kZerosBelow65536 && bigEndian(length.substr(0, kZerosBelow65536)) == 0) {
        return kNotShortest;
    }
    return nullptr;
}

bool isInsideCharacter(char byte) { return (static_cast<uint8_t>(byte) & 0xC0) == 0x80; }

std::string_view cutReason(std::string_view reason) {
    if (reason.size() <= kMaxCloseReasonBytes) return reason;
    size_t size = kMaxCloseReasonBytes;
    while (size > 0 && isInsideCharacter(reason[size])) --size;
    return reason.substr(0, size);
}

}  // namespace

WsFrameDecoder::Verdict WsFrameDecoder::decode(std::string_view& input, WsFrameHeader& header) {
    if (m_stashedBytes > 0) return decodeCut(input, header);
    const Parsed parsed = parse(input, header);
    if (parsed.error != nullptr) return {Step::Error, parsed.error};
    if (parsed.headerBytes == 0) return decodeCut(input, header);
    input.remove_prefix(parsed.headerBytes);
    return accept(header);
}

// The stash may take up payload with the rest of the header; the input is then cut at the header's end.
WsFrameDecoder::Verdict WsFrameDecoder::decodeCut(std::string_view& input, WsFrameHeader& header) {
    const size_t before = m_stashedBytes;
    const size_t added = input.copy(m_stash.data() + before, m_stash.size() - before);
    const Parsed parsed = parse({m_stash.data(), before + added}, header);
    if (parsed.error != nullptr) return {Step::Error, parsed.error};
    if (parsed.headerBytes == 0) {
        m_stashedBytes = static_cast<uint8_t>(before + added);
        input.remove_prefix(added);
        assert(input.empty() && "no header is longer than the stash");
        return {Step::NeedMore, nullptr};
    }
    m_stashedBytes = 0;
    input.remove_prefix(parsed.headerBytes - before);
    return accept(header);
}

WsFrameDecoder::Verdict WsFrameDecoder::accept(const WsFrameHeader& header) {
    if (!isControl(header.opcode)) m_inMessage = !header.fin;
    return {Step::Header, nullptr};
}

WsFrameDecoder::Parsed WsFrameDecoder::parse(std::string_view bytes, WsFrameHeader& header) const {
    if (bytes.empty()) return {0, nullptr};
    const uint8_t first = byteAt(bytes, 0);
    if (const char* const error = checkFirstByte(first)) return {0, error};
    if (bytes.size() < 2) return {0, nullptr};
    header.opcode = static_cast<WsOpcode>(first & kOpcodeBits);
    header.fin = (first & kFin) != 0;
    header.rsv1 = (first & kRsv1) != 0;

    // RFC 6455 §5.1.
    const uint8_t second = byteAt(bytes, 1);
    header.masked = (second & kMasked) != 0;
    if (header.masked != (m_settings.role == WsRole::Server)) {
        return {0, header.masked ? "masked frame from a server" : "unmasked frame from a client"};
    }
    const uint8_t shortLength = second & kLengthBits;
    if (isControl(header.opcode) && shortLength > kMaxControlPayloadBytes) {
        return {0, "control frame with more than 125 bytes"};
    }
    size_t at = 2;
    header.payloadBytes = shortLength;
    if (shortLength >= kLengthIn2Bytes) {
        const size_t lengthBytes = shortLength == kLengthIn8Bytes ? 8 : 2;
        const std::string_view length = bytes.substr(at, lengthBytes);
        if (const char* const error = checkLength(length, lengthBytes)) return {0, error};
        if (length.size() < lengthBytes) return {0, nullptr};
        header.payloadBytes = bigEndian(length);
        at += lengthBytes;
    }
    header.maskKey = {};
    if (!header.masked) return {at, nullptr};
    if (bytes.size() - at < header.maskKey.size()) return {0, nullptr};
    std::memcpy(header.maskKey.data(), bytes.data() + at, header.maskKey.size());
    return {at + header.maskKey.size(), nullptr};
}

const char* WsFrameDecoder::checkFirstByte(uint8_t byte) const {
    const bool rsv1 = (byte & kRsv1) != 0;
    if ((byte & kRsv2And3) != 0) return "RSV2 or RSV3 set";
    if (rsv1 && !m_settings.rsv1Allowed) return "RSV1 set without compression";
    if (isReserved(byte & kOpcodeBits)) return "reserved opcode";
    const auto opcode = static_cast<WsOpcode>(byte & kOpcodeBits);
    if (isControl(opcode)) {
        if ((byte & kFin) == 0) return "control frame in fragments";
        return rsv1 ? "RSV1 set on a control frame" : nullptr;
    }
    if (opcode == WsOpcode::Continuation) {
        if (!m_inMessage) return "continuation of no message";
        return rsv1 ? "RSV1 set on a continuation" : nullptr;
    }
    return m_inMessage ? "new message inside another" : nullptr;
}

char* writeMaskedFrameHeader(char* out, WsOpcode opcode, bool fin, bool rsv1, uint64_t payloadBytes,
                             std::array<uint8_t, 4> maskKey) {
    char* const keyAt = writeFrameHeader(out, opcode, fin, rsv1, payloadBytes);
    out[1] = static_cast<char>(out[1] | static_cast<char>(kMasked));
    std::memcpy(keyAt, maskKey.data(), maskKey.size());
    return keyAt + maskKey.size();
}

WsParsedClose parseClosePayload(std::string_view payload) {
    const auto refuse = [](WsCloseCode failWith, const char* error) {
        return WsParsedClose{{static_cast<uint16_t>(failWith), {}}, failWith, error};
    };
    constexpr auto kNoStatus = static_cast<uint16_t>(WsCloseCode::NoStatus);
    if (payload.empty()) return {{kNoStatus, {}}, WsCloseCode::Normal, nullptr};
    if (payload.size() == 1) return refuse(WsCloseCode::ProtocolError, "Close frame with half a code");
    const auto code = static_cast<uint16_t>(bigEndian(payload.substr(0, 2)));
    if (!isValidCloseCode(code)) return refuse(WsCloseCode::ProtocolError, "invalid code in a Close frame");
    const std::string_view reason = payload.substr(2);
    if (!isValidUtf8(reason)) {
        return refuse(WsCloseCode::InvalidPayload, "reason of a Close frame is not UTF-8");
    }
    return {{code, reason}, WsCloseCode::Normal, nullptr};
}

char* writeClosePayload(char* out, uint16_t code, std::string_view reason) {
    if (code == static_cast<uint16_t>(WsCloseCode::NoStatus)) return out;
    assert(isValidCloseCode(code) && "this code must not be sent");
    out[0] = static_cast<char>(code >> 8);
    out[1] = static_cast<char>(code);
    const std::string_view cut = cutReason(reason);
    return std::copy(cut.begin(), cut.end(), out + 2);
}

}  // namespace tnet
