// autobahn_cases: the public list of the Autobahn test suite, groups 1 to 10, as transcripts of our own.
//
// Each is written for a route that echoes, and expects the strict result: where Autobahn also takes a
// "non-strict" one, it is wrong here. Chops, by which Autobahn sends some cases, do not change the bytes.
// Groups 12 and 13, compression, are played by autobahn_deflate_test; there is no group 8 or 11.
//
// Pure data. Threads: any. Lifetime: static, but for what autobahnLargeCase makes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/websocket/ws_fixture.h"
#include "websocket/types.h"

namespace tnet {

struct AutobahnCase {
    std::string number;
    std::string bytes;             // what the client sends behind its handshake
    std::vector<WsFrame> answers;  // what the server sends, up to its Close
    uint16_t closeCode;  // of the server's Close, which ends its direction of TCP; NoStatus: no code
    size_t decidesAt;    // the byte that makes it send the Close is the last one of this many
    size_t chop = 0;     // a size of pieces that the case is run at besides kFragments; zero: none
};

// Groups 1 to 7 and 10.
const std::vector<AutobahnCase>& autobahnCases();

// Group 9, by its numbers.
struct AutobahnLarge {
    std::string number;
    WsOpcode opcode;
    std::string_view pattern;  // repeated
    size_t messageBytes;
    size_t frameBytes;  // zero: one frame
    size_t chop;        // zero: whole
    size_t messages;
};
const std::vector<AutobahnLarge>& autobahnLargeCases();

// `divisor`: of the sizes of message and frames and of the number of messages; none becomes zero that was not.
AutobahnCase autobahnLargeCase(const AutobahnLarge& row, size_t divisor);

}  // namespace tnet
