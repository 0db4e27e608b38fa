// WsMessages: the messages that ws_load sends, and the bytes that it must get back for them.
//
//   payload:  0000000042 the same filler in every message …
//
// Message N carries N as ten decimal digits (the last of them only, where the payload is shorter), so a
// lost, doubled, reordered, damaged or misdirected one is another one's bytes. A server sends each back as
// one unmasked frame (RFC 6455 §5.2), which is known to the last bit: checking is comparing.
//
// Masked frames are kept ready with one filler for each of sixteen keys, so sending one is a copy and ten
// digits, and neighbouring messages never have the same key.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "bench/ws_wire.h"

namespace tnet {

enum class WsPayload { Text, Utf8, Binary };  // Text: ASCII only. Utf8: characters of one to four bytes

class WsMessages {
public:
    WsMessages(WsPayload payload, size_t payloadBytes);

    // What a server's frame takes, head included.
    size_t frameBytes() const { return m_headBytes + m_payloadBytes; }

    // Appends message `number`, masked.
    void append(std::string& out, uint64_t number) const;

    // Do the `size` bytes at `data` stand at `offset` of the frame for message `number`?
    bool matches(uint64_t number, size_t offset, const char* data, size_t size) const;

    // What to say if they do not.
    std::string describeMismatch(uint64_t number, size_t offset, const char* data, size_t size) const;

private:
    static constexpr size_t kDigits = 10;
    static constexpr size_t kKeys = 16;
    using Digits = std::array<char, kDigits>;
    struct Masked {
        std::string frame;  // of a message whose digits are all '0'
        uint32_t key = 0;
    };

    static Digits digitsOf(uint64_t number);

    size_t m_payloadBytes = 0;
    size_t m_headBytes = 0;   // of a server's frame
    size_t m_digitBytes = 0;  // how many of the digits there is room for
    std::string m_frame;      // a server's, with all digits '0'
    std::array<Masked, kKeys> m_masked;
};

}  // namespace tnet
