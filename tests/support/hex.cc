#include "tests/support/hex.h"

#include <stdexcept>

namespace tnet {
namespace {

constexpr std::string_view kDigits = "0123456789abcdef";

size_t valueOf(char digit) {
    const char lower = digit >= 'A' && digit <= 'F' ? static_cast<char>(digit + ('a' - 'A')) : digit;
    const size_t value = kDigits.find(lower);
    if (value == std::string_view::npos) throw std::invalid_argument("no hexadecimal digit");
    return value;
}

}  // namespace

std::string fromHex(std::string_view digits) {
    std::string bytes;
    while (!digits.empty()) {
        if (digits.front() == ' ') {
            digits.remove_prefix(1);
            continue;
        }
        if (digits.size() < 2) throw std::invalid_argument("half a byte");
        bytes += static_cast<char>(valueOf(digits[0]) * 16 + valueOf(digits[1]));
        digits.remove_prefix(2);
    }
    return bytes;
}

std::string toHex(std::string_view bytes) {
    std::string digits;
    for (const char c : bytes) {
        const auto byte = static_cast<unsigned char>(c);
        digits += {kDigits[byte / 16], kDigits[byte % 16]};
    }
    return digits;
}

}  // namespace tnet
