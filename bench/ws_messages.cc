#include "bench/ws_messages.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <string_view>

namespace tnet {
namespace {

constexpr std::string_view kAscii = " the quick brown fox jumps over the lazy dog";
constexpr std::string_view kMixed = " grün, 水と火, κόσμος, \U0001F680";

// `size` bytes of payload behind the digits; text is not cut inside a character.
std::string filler(WsPayload payload, size_t size) {
    std::string text;
    if (payload == WsPayload::Binary) {
        for (size_t i = 0; i < size; ++i) {
            text += static_cast<char>(i * 131 + 128);  // every byte there is, many of them no UTF-8
        }
        return text;
    }
    const std::string_view sample = payload == WsPayload::Text ? kAscii : kMixed;
    while (text.size() < size) {
        text += sample;
    }
    const auto isContinuation = [](char byte) { return (static_cast<unsigned char>(byte) & 0xc0U) == 0x80; };
    size_t end = size;
    while (end > 0 && end < text.size() && isContinuation(text[end])) {
        --end;
    }
    text.resize(end);
    text.resize(size, '.');
    return text;
}

std::string hex(std::string_view bytes) {
    constexpr std::string_view kHex = "0123456789abcdef";
    std::string text;
    for (const char byte : bytes.substr(0, 40)) {
        text +=
            {kHex[static_cast<unsigned char>(byte) >> 4U], kHex[static_cast<unsigned char>(byte) & 15U], ' '};
    }
    return text;
}

}  // namespace

WsMessages::WsMessages(WsPayload payload, size_t payloadBytes)
    : m_payloadBytes(payloadBytes), m_digitBytes(std::min(kDigits, payloadBytes)) {
    std::array<char, kMaxFrameHead> head{};
    m_headBytes =
        putFrameHead(head.data(), payload == WsPayload::Binary ? kBinaryFrame : kTextFrame, payloadBytes);
    const std::string content = std::string(m_digitBytes, '0') + filler(payload, payloadBytes - m_digitBytes);
    m_frame = std::string(head.data(), m_headBytes) + content;

    std::mt19937 random(6455);  // NOLINT: the same keys in every run
    head[1] = static_cast<char>(static_cast<unsigned char>(head[1]) | kMaskBit);
    for (Masked& masked : m_masked) {
        while (masked.key == 0) {
            masked.key = static_cast<uint32_t>(random());
        }
        masked.frame = std::string(head.data(), m_headBytes);
        masked.frame.append(reinterpret_cast<const char*>(&masked.key), sizeof masked.key);
        masked.frame += content;
        char* const body = masked.frame.data() + masked.frame.size() - content.size();
        applyMask(body, body, content.size(), masked.key);
    }
}

WsMessages::Digits WsMessages::digitsOf(uint64_t number) {
    Digits digits{};
    for (size_t i = kDigits; i > 0; --i) {
        digits[i - 1] = static_cast<char>('0' + number % 10);
        number /= 10;
    }
    return digits;
}

void WsMessages::append(std::string& out, uint64_t number) const {
    const Masked& masked = m_masked[number % kKeys];
    out += masked.frame;
    const Digits digits = digitsOf(number);
    char* const place = out.data() + out.size() - m_payloadBytes;
    applyMask(place, digits.data() + kDigits - m_digitBytes, m_digitBytes, masked.key);
}

bool WsMessages::matches(uint64_t number, size_t offset, const char* data, size_t size) const {
    const Digits digits = digitsOf(number);
    const char* const shown = digits.data() + kDigits - m_digitBytes;
    const size_t digitsEnd = m_headBytes + m_digitBytes;
    if (offset == 0 && size >= digitsEnd) {
        return std::memcmp(data, m_frame.data(), m_headBytes) == 0 &&
               std::memcmp(data + m_headBytes, shown, m_digitBytes) == 0 &&
               std::memcmp(data + digitsEnd, m_frame.data() + digitsEnd, size - digitsEnd) == 0;
    }
    for (; size > 0 && offset < digitsEnd; ++offset, ++data, --size) {
        if (*data != (offset < m_headBytes ? m_frame[offset] : shown[offset - m_headBytes])) {
            return false;
        }
    }
    return std::memcmp(data, m_frame.data() + offset, size) == 0;
}

std::string WsMessages::describeMismatch(uint64_t number, size_t offset, const char* data,
                                         size_t size) const {
    const Digits digits = digitsOf(number);
    std::string expected = m_frame;
    expected.replace(m_headBytes, m_digitBytes, digits.data() + kDigits - m_digitBytes, m_digitBytes);
    size_t same = 0;
    while (same < size && data[same] == expected[offset + same]) {
        ++same;
    }
    return "message " + std::to_string(number) + " came back wrong from byte " +
           std::to_string(offset + same) + " of its frame on:\n  expected " +
           hex(std::string_view(expected).substr(offset + same)) + "\n  got      " +
           hex(std::string_view(data, size).substr(same));
}

}  // namespace tnet
