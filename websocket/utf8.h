// Utf8Validator: is it UTF-8 (RFC 3629)? Text that comes in pieces is refused at the earliest byte that
// decides (RFC 6455 §8.1).
//
//     "κόσμ" | E0 .. : true, true; isComplete() is false
//     "κόσμ" | E0 80 : false, whether 80 comes with E0 or after it: no valid sequence begins with E0 80
//
// Overlong forms, surrogates (D800 to DFFF) and what lies beyond 10FFFF are no UTF-8. Pieces may end
// anywhere; the verdict is the same. Blocks of ASCII go by at the speed of memory, everything else takes one
// step of an automaton per byte, without a branch.
//
// Pure: no allocation; one byte of state.
#pragma once

#include <cstdint>
#include <string_view>

#include "tnet/cpp20.h"

namespace tnet {

class Utf8Validator {
public:
    // For a new text.
    void reset() { m_state = kBetween; }

    // False as soon as a byte cannot continue valid UTF-8, and from then on until reset().
    bool check(std::string_view bytes);

    // Whether all that came so far is valid and does not end inside a sequence.
    bool isComplete() const { return m_state == kBetween; }

private:
    // A state is named by how far the table's rows are shifted for it: see utf8.cc.
    static constexpr uint8_t kBetween = 6;

    uint8_t m_state = kBetween;
};

// Whether all of it is UTF-8.
bool isValidUtf8(std::string_view bytes);

}  // namespace tnet
