// ws_wire: the few bytes of RFC 6455 that the WebSocket limits and their load have to write themselves.
//
// The server's upgrade answer, the head of a frame, and masking. Nothing here judges what a peer sent: a
// limit does not look, and ws_load compares with the bytes that it owes to itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace tnet {

constexpr size_t kMaxFrameHead = 14;        // RFC 6455 §5.2: two bytes, a length of eight, a key of four
constexpr unsigned char kMaskBit = 0x80;    // in the second byte
constexpr unsigned char kTextFrame = 0x81;  // FIN and opcode, the first byte
constexpr unsigned char kBinaryFrame = 0x82;

// The Sec-WebSocket-Accept that belongs to a Sec-WebSocket-Key (RFC 6455 §4.2.2).
std::string acceptFor(std::string_view key);

// The 101 for an upgrade request; empty if there is no Sec-WebSocket-Key in it.
std::string upgradeAnswer(std::string_view request);

// Writes the head of an unmasked frame: two, four or ten bytes. Returns how many.
inline size_t putFrameHead(char* out, unsigned char firstByte, uint64_t payloadBytes) {
    out[0] = static_cast<char>(firstByte);
    if (payloadBytes < 126) {
        out[1] = static_cast<char>(payloadBytes);
        return 2;
    }
    const size_t lengthBytes = payloadBytes <= 0xffff ? 2 : 8;
    out[1] = lengthBytes == 2 ? 126 : 127;
    for (size_t i = 0; i < lengthBytes; ++i) {
        out[2 + i] = static_cast<char>(payloadBytes >> (8 * (lengthBytes - 1 - i)));
    }
    return 2 + lengthBytes;
}

// A frame's head as it came; nothing about it is checked.
struct FrameHead {
    unsigned char firstByte = 0;
    size_t headBytes = 0;  // the key included; 0: the head is not complete
    uint64_t payloadBytes = 0;
    uint32_t key = 0;  // as it lies in memory
};

// Reads the head of a masked frame at `in`.
inline FrameHead readMaskedHead(const char* in, size_t size) {
    FrameHead head;
    if (size < 6) {
        return head;
    }
    head.firstByte = static_cast<unsigned char>(in[0]);
    const unsigned length = static_cast<unsigned char>(in[1]) & 0x7fU;
    const size_t lengthBytes = length < 126 ? 0 : length == 126 ? 2 : 8;
    if (size < 6 + lengthBytes) {
        return head;
    }
    head.payloadBytes = length;
    if (lengthBytes > 0) {
        head.payloadBytes = 0;
        for (size_t i = 0; i < lengthBytes; ++i) {
            head.payloadBytes = head.payloadBytes << 8 | static_cast<unsigned char>(in[2 + i]);
        }
    }
    std::memcpy(&head.key, in + 2 + lengthBytes, sizeof head.key);
    head.headBytes = 6 + lengthBytes;
    return head;
}

// Masks or unmasks (RFC 6455 §5.3) `size` bytes from `in` to `out`, which is the same place, lies before
// it, or does not overlap. Returns the key turned to the byte behind the last one.
//
// Each block is read whole before it is written, so the blocks become vector instructions although the two
// overlap.
inline uint32_t applyMask(char* out, const char* in, size_t size, uint32_t key) {
    const uint64_t wide = static_cast<uint64_t>(key) << 32 | key;
    for (; size >= 64; size -= 64, in += 64, out += 64) {
        uint64_t block[8];
        std::memcpy(block, in, sizeof block);
        for (uint64_t& word : block) {
            word ^= wide;
        }
        std::memcpy(out, block, sizeof block);
    }
    for (; size >= 8; size -= 8, in += 8, out += 8) {
        uint64_t word = 0;
        std::memcpy(&word, in, sizeof word);
        word ^= wide;
        std::memcpy(out, &word, sizeof word);
    }
    if (size >= 4) {
        uint32_t word = 0;
        std::memcpy(&word, in, sizeof word);
        word ^= key;
        std::memcpy(out, &word, sizeof word);
        size -= 4, in += 4, out += 4;
    }
    for (; size > 0; --size, ++in, ++out) {
        *out = static_cast<char>(*in ^ static_cast<char>(key));
        key = key >> 8 | key << 24;  // little-endian: the next byte of the key becomes the lowest
    }
    return key;
}

}  // namespace tnet
