#include "websocket/utf8.h"

#include <array>
#include <cstddef>

namespace tnet {
namespace {

// The automaton of RFC 3629 §4 (Unicode, table 3-7). What may follow differs from 80..BF only for the second
// byte behind E0, ED, F0 and F4.
enum State : uint8_t {
    Refused,
    Between,
    One,      // one more byte: 80..BF
    Two,      // two more
    Three,    // three more
    AfterE0,  // A0..BF: less would be overlong
    AfterEd,  // 80..9F: more would be a surrogate
    AfterF0,  // 90..BF: less would be overlong
    AfterF4,  // 80..8F: more would be beyond 10FFFF
};
constexpr State kStates[] = {Refused, Between, One, Two, Three, AfterE0, AfterEd, AfterF0, AfterF4};

constexpr State afterFirst(unsigned byte) {
    if (byte < 0x80) return Between;
    if (byte < 0xC2) return Refused;  // C0 and C1 would be overlong
    if (byte < 0xE0) return One;
    if (byte == 0xE0) return AfterE0;
    if (byte == 0xED) return AfterEd;
    if (byte < 0xF0) return Two;
    if (byte == 0xF0) return AfterF0;
    if (byte < 0xF4) return Three;
    if (byte == 0xF4) return AfterF4;
    return Refused;
}

constexpr State next(State state, unsigned byte) {
    const auto within = [byte](unsigned low, unsigned high, State then) {
        return byte >= low && byte <= high ? then : Refused;
    };
    switch (state) {
        case Refused: return Refused;
        case Between: return afterFirst(byte);
        case One: return within(0x80, 0xBF, Between);
        case Two: return within(0x80, 0xBF, One);
        case Three: return within(0x80, 0xBF, Two);
        case AfterE0: return within(0xA0, 0xBF, One);
        case AfterEd: return within(0x80, 0x9F, One);
        case AfterF0: return within(0x90, 0xBF, Two);
        case AfterF4: return within(0x80, 0x8F, Two);
    }
    return Refused;
}

// Each byte has one row, a word with six bits for each state: how far to shift the next byte's row. So a
// step is a load, which does not wait for the step before, and one shift, which does.
constexpr unsigned kStateBits = 6;
constexpr uint64_t kStateMask = 63;

constexpr uint64_t shiftOf(State state) { return state * kStateBits; }

constexpr std::array<uint64_t, 256> makeRows() {
    std::array<uint64_t, 256> rows{};
    for (unsigned byte = 0; byte < rows.size(); ++byte) {
        for (const State state : kStates) rows[byte] |= shiftOf(next(state, byte)) << shiftOf(state);
    }
    return rows;
}
constexpr std::array<uint64_t, 256> kRows = makeRows();

uint64_t run(uint64_t shift, const char* from, const char* end) {
    for (; from != end; ++from) shift = kRows[static_cast<unsigned char>(*from)] >> (shift & kStateMask);
    return shift & kStateMask;
}

constexpr std::ptrdiff_t kBlockBytes = 64;

// A loop that the compiler turns into a few vector instructions.
bool isAsciiBlock(const char* block) {
    char gathered = 0;  // no wider than what it gathers, so that nothing is widened
    for (std::ptrdiff_t i = 0; i < kBlockBytes; ++i) gathered = static_cast<char>(gathered | block[i]);
    return (gathered & 0x80) == 0;
}

}  // namespace

bool Utf8Validator::check(std::string_view bytes) {
    static_assert(kBetween == shiftOf(Between));
    const char* at = bytes.data();
    const char* const end = at + bytes.size();
    uint64_t shift = m_state;
    while (end - at >= kBlockBytes && shift != shiftOf(Refused)) {
        if (shift != kBetween || !isAsciiBlock(at)) shift = run(shift, at, at + kBlockBytes);
        at += kBlockBytes;
    }
    if (shift != shiftOf(Refused)) shift = run(shift, at, end);
    m_state = static_cast<uint8_t>(shift);
    return shift != shiftOf(Refused);
}

bool isValidUtf8(std::string_view bytes) {
    Utf8Validator validator;
    return validator.check(bytes) && validator.isComplete();
}

}  // namespace tnet
