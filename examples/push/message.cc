#include "examples/push/message.h"

#include <charconv>

namespace tnet {

std::optional<uint64_t> parseMessageId(std::string_view text) {
    uint64_t id = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), id);
    if (error != std::errc() || stop != text.data() + text.size()) return std::nullopt;
    return id;
}

}  // namespace tnet
