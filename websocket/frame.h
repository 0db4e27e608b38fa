// frame: the bytes around WebSocket payloads (RFC 6455 §5), read and written.
//
//     input ──▶ WsFrameDecoder ──▶ WsFrameHeader;  input now begins with the frame's payload
//        ▲                                                     │
//        └───────── the frame after it ◀── whoever takes payloadBytes off the front
//
//     writeFrameHeader, then the payload ──▶ output
//
// Pure: no I/O, no allocation. Input may come in pieces of any size; a header that is all there is read
// where it lies, one that is cut is put together in the decoder.
//
// Threads: one at a time per decoder; the functions any.
// Lifetime: nothing points into the input but WsClosePayload::reason, and reasons of errors are static.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "websocket/types.h"

namespace tnet {

constexpr size_t kMaxFrameHeaderBytes = 14;
constexpr size_t kMaxControlPayloadBytes = 125;                       // RFC 6455 §5.5
constexpr size_t kMaxCloseReasonBytes = kMaxControlPayloadBytes - 2;  // RFC 6455 §5.5.1

struct WsFrameHeader {
    uint64_t payloadBytes = 0;
    std::array<uint8_t, 4> maskKey{};  // zeros unless masked
    WsOpcode opcode = WsOpcode::Continuation;
    bool fin = false;
    bool rsv1 = false;  // the message is compressed (RFC 7692 §6)
    bool masked = false;
};

// --- Reading headers ---

class WsFrameDecoder {
public:
    struct Settings {
        WsRole role = WsRole::Server;  // which end we are: frames come masked to a server, bare to a client
        bool rsv1Allowed = false;      // permessage-deflate was negotiated
    };

    explicit WsFrameDecoder(Settings settings) : m_settings(settings) {}

    enum class Step : uint8_t { NeedMore, Header, Error };
    struct Verdict {
        Step step;
        const char* reason;  // Error: what is wrong, static; otherwise null
    };

    // Takes a header off the front of `input`.
    //   NeedMore: `input` was all taken, and the header goes on in what comes next.
    //   Header:   `header` is filled in, and `input` begins with the frame's payload. The caller takes
    //             payloadBytes from it, and from the pieces to come, before it asks for the next header.
    //   Error:    fail the connection with WsCloseCode::ProtocolError; the decoder is not to be used again.
    // What is refused, each at the first byte that tells: reserved bits and opcodes, control frames in
    // fragments or with more than 125 bytes, lengths not in their shortest form or of 2^63 and more, a mask
    // that is missing or should not be there (RFC 6455 §5.1, §5.2, §5.5); RSV1 on anything but the first
    // frame of a message (RFC 7692 §6.1); a continuation of nothing, and a message begun inside another
    // (RFC 6455 §5.4).
    Verdict decode(std::string_view& input, WsFrameHeader& header);

private:
    struct Parsed {
        size_t headerBytes;  // zero: not all there yet, or an error
        const char* error;
    };

    Parsed parse(std::string_view bytes, WsFrameHeader& header) const;
    const char* checkFirstByte(uint8_t byte) const;
    Verdict decodeCut(std::string_view& input, WsFrameHeader& header);
    Verdict accept(const WsFrameHeader& header);

    std::array<char, kMaxFrameHeaderBytes> m_stash;  // the front of a header that was cut
    uint8_t m_stashedBytes = 0;
    Settings m_settings;
    bool m_inMessage = false;  // a data frame without FIN came: a continuation has to follow
};

// --- Writing headers ---

// 2 to 14.
constexpr size_t frameHeaderBytes(uint64_t payloadBytes, bool masked) {
    return (payloadBytes < 126 ? 2 : payloadBytes < 65536 ? 4 : 10) + (masked ? size_t{4} : 0);
}

// The following write frameHeaderBytes bytes to `out` and return the end of them. payloadBytes is below
// 2^63, and for control frames at most kMaxControlPayloadBytes. They do not check that the frame makes sense.

// As servers send: without a mask.
inline char* writeFrameHeader(char* out, WsOpcode opcode, bool fin, bool rsv1, uint64_t payloadBytes) {
    out[0] = static_cast<char>((fin ? 0x80 : 0) | (rsv1 ? 0x40 : 0) | static_cast<uint8_t>(opcode));
    if (payloadBytes < 126) {
        out[1] = static_cast<char>(payloadBytes);
        return out + 2;
    }
    const int lengthBytes = payloadBytes < 65536 ? 2 : 8;
    out[1] = lengthBytes == 2 ? 126 : 127;
    for (int i = 0; i < lengthBytes; ++i) {
        out[2 + i] = static_cast<char>(payloadBytes >> (8 * (lengthBytes - 1 - i)));
    }
    return out + 2 + lengthBytes;
}

// As clients send. The payload is to be masked with the same key (mask.h).
char* writeMaskedFrameHeader(char* out, WsOpcode opcode, bool fin, bool rsv1, uint64_t payloadBytes,
                             std::array<uint8_t, 4> maskKey);

// --- Payloads of Close frames (RFC 6455 §5.5.1) ---

struct WsClosePayload {
    uint16_t code;            // WsCloseCode::NoStatus if the frame had none (RFC 6455 §7.1.5)
    std::string_view reason;  // UTF-8; points into the payload
};

struct WsParsedClose {
    WsClosePayload payload;  // in order only if `error` is null
    WsCloseCode failWith;    // what to fail the connection with: ProtocolError or InvalidPayload
    const char* error;       // what is wrong, static; null: nothing
};

// `payload`: all of it, unmasked.
WsParsedClose parseClosePayload(std::string_view payload);

// Writes at most kMaxControlPayloadBytes to `out` and returns the end of them: nothing for NoStatus,
// otherwise the code and as much of `reason`, which is UTF-8, as fits without cutting a character. `code` is
// NoStatus or isValidCloseCode. `reason` must not overlap `out`.
char* writeClosePayload(char* out, uint16_t code, std::string_view reason);

}  // namespace tnet
