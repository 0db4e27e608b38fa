// mask: the exclusive or that clients put on every payload (RFC 6455 §5.3). Masking and unmasking are the
// same operation.
//
//     payload of a text frame ──▶ unmaskAndCheckAscii ──▶ all ASCII: valid UTF-8, nothing more to do
//                                                   └───▶ otherwise:  Utf8Validator (utf8.h)
//
// Pure: in place, no allocation, any alignment. Payloads of up to 32 bytes are done without a loop, longer
// ones in a loop that the compiler turns into vector instructions.
//
// Threads: any.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "tnet/cpp20.h"

namespace tnet {

// `offset`: how many bytes of the frame's payload came before `bytes`; the frame may come in pieces of any
// size. `key`: in the order of the wire.
void applyMask(char* bytes, size_t size, std::array<uint8_t, 4> key, uint64_t offset);

// The same, and whether each byte that came out is ASCII (below 0x80), in one pass. True for no bytes.
bool unmaskAndCheckAscii(char* bytes, size_t size, std::array<uint8_t, 4> key, uint64_t offset);

}  // namespace tnet
