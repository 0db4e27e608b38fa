// autobahn_utf8: the texts of Autobahn's groups 6.5 to 6.23, most of them from Markus Kuhn's UTF-8 decoder
// stress test, each with the byte that decides.
//
// Pure data. Threads: any. Lifetime: static.
#pragma once

#include <string_view>
#include <vector>

namespace tnet {

struct AutobahnText {
    static constexpr int kValid = -1;
    static constexpr int kEndsInside = -2;  // right up to its end, which is inside a character

    std::string_view number;
    std::string_view hex;
    int wrongByte;  // index of the first byte that no valid UTF-8 can have there, or one of the above
};

const std::vector<AutobahnText>& autobahnTexts();

}  // namespace tnet
