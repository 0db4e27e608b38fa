// WsDeflater and WsInflater: what one compresses the other restores, whatever the settings, the cuts and the messages
// before; and a hostile payload stops at the room that it is given, and comes out alike however it is cut.
//
//     input: four bytes of settings, a line of piece sizes, then the bytes
#include "websocket/deflate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fuzz/fuzz_input.h"

namespace tnet {
namespace {

using State = WsInflater::State;

constexpr size_t kMostBytes = 4096;

struct Inflated {
    std::string text{};
    State state = State::NeedInput;

    bool operator==(const Inflated&) const = default;
};

// A message that comes in pieces, into buffers of `room` bytes; at most kMostBytes of it.
Inflated inflate(WsInflater& inflater, const std::vector<std::string_view>& pieces, size_t room) {
    Inflated result;
    std::vector<char> buffer(room);
    for (size_t i = 0; i < pieces.size(); ++i) {
        std::string_view input = pieces[i];
        do {
            const auto step = inflater.inflate(input, i + 1 == pieces.size(), buffer.data(), room);
            EXPECT_LE(step.written, room);
            result.text.append(buffer.data(), step.written);
            result.state = step.state;
            if (result.text.size() > kMostBytes) return result;
        } while (result.state == State::NeedRoom);
        if (result.state == State::Malformed) return result;
        EXPECT_NE(result.state, State::NoMemory);
        EXPECT_TRUE(input.empty());
    }
    return result;
}

void roundTrip(FuzzInput input) {
    const uint8_t flags = input.byte();
    const int windowBits = 9 + input.byte() % 7;
    const uint8_t levels = input.byte();
    const size_t room = size_t{1} + input.byte();
    const std::string_view sizes = input.line();
    WsDeflater deflater({windowBits, (flags & 1) != 0, levels % 10, 1 + levels / 10 % 9});
    WsInflater inflater({windowBits, (flags & 1) != 0});
    // Twice: the second one refers to the first, unless it may not.
    for (int round = 0; round < 2; ++round) {
        std::string payload;
        const auto pieces = cut(input.rest(), sizes);
        for (size_t i = 0; i < pieces.size(); ++i)
            EXPECT_TRUE(deflater.deflate(pieces[i], i + 1 == pieces.size(), payload));
        if (pieces.empty() && !deflater.deflate({}, true, payload)) FAIL();
        const Inflated result = inflate(inflater, cut(payload, sizes), room);
        if (input.rest().size() <= kMostBytes) {
            EXPECT_EQ(result.state, State::MessageEnd);
            EXPECT_EQ(result.text, input.rest());
        }
        if ((flags & 2) != 0) deflater.release();
        if ((flags & 4) != 0) inflater.compact();
    }
}

void hostile(FuzzInput input) {
    const uint8_t flags = input.byte();
    input.byte();
    input.byte();
    const size_t room = size_t{1} + input.byte();
    const std::string_view sizes = input.line();
    // With a smaller window the room decides whether a distance beyond it is found.
    const WsInflater::Settings settings{15, (flags & 1) != 0};
    WsInflater whole(settings);
    WsInflater inPieces(settings);
    const Inflated expected = inflate(whole, {input.rest()}, kMostBytes + 1);
    if (input.rest().empty()) return;
    const Inflated result = inflate(inPieces, cut(input.rest(), sizes), room);
    if (expected.text.size() > kMostBytes) {
        EXPECT_GT(result.text.size(), kMostBytes);
        return;
    }
    EXPECT_EQ(result.state, expected.state);
    // How much zlib has written when it meets a fault depends on the room.
    const bool isFault = expected.state == State::Malformed;
    const size_t common = isFault ? std::min(result.text.size(), expected.text.size()) : SIZE_MAX;
    EXPECT_EQ(result.text.substr(0, common), expected.text.substr(0, common));
}

}  // namespace
}  // namespace tnet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const tnet::FuzzInput input(data, size);
    tnet::roundTrip(input);
    tnet::hostile(input);
    return 0;
}
