#include "bench/http_answer.h"

#include <strings.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace tnet {
namespace {

constexpr std::string_view kBody = "Hello, World!";
constexpr size_t kMaxHeadBytes = 8192;

std::optional<size_t> contentLength(std::string_view head) {
    constexpr std::string_view kName = "\r\nContent-Length:";
    for (size_t at = head.find("\r\n"); at != std::string_view::npos; at = head.find("\r\n", at + 2)) {
        std::string_view field = head.substr(at);
        if (field.size() <= kName.size() || strncasecmp(field.data(), kName.data(), kName.size()) != 0) {
            continue;
        }
        field.remove_prefix(kName.size());
        field.remove_prefix(std::min(field.find_first_not_of(' '), field.size()));
        size_t length = 0;
        const auto result = std::from_chars(field.data(), field.data() + field.size(), length);
        return result.ec == std::errc() ? std::optional<size_t>(length) : std::nullopt;
    }
    return std::nullopt;
}

}  // namespace

Answer checkAnswer(std::string_view input) {
    const size_t headEnd = input.find("\r\n\r\n");
    if (headEnd == std::string_view::npos) {
        return {input.size() > kMaxHeadBytes ? Verdict::Wrong : Verdict::Incomplete};
    }
    const std::string_view head = input.substr(0, headEnd);
    if (!head.starts_with("HTTP/1.1 200 ") || contentLength(head) != kBody.size()) {
        return {Verdict::Wrong};
    }
    const std::string_view body = input.substr(headEnd + 4, kBody.size());
    if (body.size() < kBody.size()) {
        return {Verdict::Incomplete};
    }
    return {body == kBody ? Verdict::Complete : Verdict::Wrong, headEnd + 4 + kBody.size()};
}

}  // namespace tnet
