// uri: percent-coding against a plain decoder, targets, authorities, origins, paths and queries against what
// they are made of.
//
//     input: the text
#include "http/uri.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/origin.h"
#include "http/types.h"
#include "tests/fuzz/fuzz_input.h"

namespace tnet {
namespace {

std::optional<std::string> plainDecode(std::string_view text, PlusRule plus) {
    constexpr std::string_view kDigits = "0123456789ABCDEFabcdef";
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
        char c = text[i];
        if (c == '+' && plus == PlusRule::Space) c = ' ';
        if (c == '%') {
            const std::string digits(text.substr(i + 1, 2));
            if (digits.size() < 2 || digits.find_first_not_of(kDigits) != std::string::npos)
                return std::nullopt;
            c = static_cast<char>(std::strtol(digits.c_str(), nullptr, 16));
            i += 2;
        }
        if (c == '\0') return std::nullopt;
        out += c;
    }
    return out;
}

std::vector<std::string_view> split(std::string_view text, char at) {
    std::vector<std::string_view> pieces;
    for (size_t end = text.find(at); end != std::string_view::npos; end = text.find(at)) {
        pieces.push_back(text.substr(0, end));
        text.remove_prefix(end + 1);
    }
    pieces.push_back(text);
    return pieces;
}

void checkCoding(std::string_view text) {
    for (const PlusRule plus : {PlusRule::Keep, PlusRule::Space}) {
        std::string out = "before";
        const std::optional<std::string> expected = plainDecode(text, plus);
        EXPECT_EQ(percentDecode(text, out, plus), expected.has_value());
        EXPECT_EQ(out, "before" + expected.value_or(""));
        const std::string encoded = percentEncode(text);
        std::string restored;
        EXPECT_EQ(percentDecode(encoded, restored, plus), text.find('\0') == std::string_view::npos);
        EXPECT_TRUE(restored.empty() || restored == text);
    }
}

void checkTarget(std::string_view text, bool isConnect, bool isOptions) {
    const std::optional<RequestTarget> target = parseTarget(text, isConnect, isOptions);
    if (!target) return;
    for (const char c : text) EXPECT_TRUE(c > ' ' && c <= '~' && c != '#');
    const std::string query = target->hasQuery ? "?" + std::string(target->query) : "";
    const std::string path(target->path);
    switch (target->form) {
        case TargetForm::Origin:
            EXPECT_EQ(path + query, text);
            EXPECT_EQ(path.substr(0, 1), "/");
            break;
        case TargetForm::Absolute: {
            const std::string front = std::string(target->scheme) + "://" + std::string(target->authority);
            EXPECT_TRUE(front + path + query == text || (path == "/" && front + query == text));
            break;
        }
        case TargetForm::Authority:
            EXPECT_TRUE(isConnect);
            EXPECT_EQ(target->authority, text);
            break;
        case TargetForm::Asterisk:
            EXPECT_TRUE(isOptions);
            EXPECT_EQ(text, "*");
            break;
    }
    const bool hasAuthority = target->form == TargetForm::Absolute || target->form == TargetForm::Authority;
    EXPECT_EQ(hasAuthority, !target->authority.empty());
    EXPECT_EQ(hasAuthority, isValidAuthority(target->authority));
}

void checkAuthority(std::string_view text) {
    const bool isHost = isValidHost(text);
    EXPECT_EQ(isValidAuthority(std::string(text) + ":80"), isHost);
    EXPECT_TRUE(!isHost || isValidAuthority(text));
    if (!isValidAuthority(text)) return;
    EXPECT_EQ(text.find_first_of("@,/?# \\"), std::string_view::npos) << text;
    for (const char c : text) EXPECT_TRUE(c > ' ' && c <= '~');
    EXPECT_TRUE(parseTarget("http://" + std::string(text) + "/", false, false)) << text;
}

std::string inUpperCase(std::string_view text) {
    std::string out(text);
    for (char& c : out) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - ('a' - 'A')) : c;
    return out;
}

void checkOrigin(std::string_view text) {
    const auto origin = parseOrigin(text);
    EXPECT_EQ(isSameOrigin(text, text), origin.has_value());
    if (!origin) return;
    const std::string_view authority = text.substr(text.find("://") + 3);
    EXPECT_TRUE(isValidAuthority(authority));
    EXPECT_TRUE(isValidHost(origin->host));
    const std::string whole = std::string(origin->scheme) + "://" + std::string(origin->host);
    EXPECT_TRUE(isSameOrigin(text, inUpperCase(text)));
    if (origin->port != 0) {
        EXPECT_TRUE(isSameOrigin(text, whole + ":" + std::to_string(origin->port)));
        EXPECT_FALSE(isSameOrigin(text, whole + ":" + std::to_string(origin->port ^ 1)));
    }
    const bool isHttp = equalsIgnoreCase(origin->scheme, "http");
    const bool isHttps = equalsIgnoreCase(origin->scheme, "https");
    EXPECT_EQ(isOriginOf(text, authority, false), isHttp || isHttps);
    EXPECT_EQ(isOriginOf(text, authority, true), isHttps);
}

void checkPath(std::string_view text) {
    std::string path;
    for (size_t i = 0; i < text.size(); ++i) {
        const std::string_view escape = text.substr(i, 3);
        const bool isDot = escape == "%2e" || escape == "%2E";
        const bool isSlash = escape == "%2f" || escape == "%2F";
        path += isDot ? '.' : isSlash ? '/' : text[i];
        if (isDot || isSlash) i += 2;
    }
    bool has = false;
    for (const std::string_view segment : split(path, '/')) has = has || segment == "." || segment == "..";
    EXPECT_EQ(hasDotSegments(text), has) << text;
}

void checkQuery(std::string_view text) {
    std::vector<std::string> expected;
    for (const std::string_view piece : split(text, '&')) {
        if (!piece.empty()) expected.emplace_back(piece);
    }
    size_t next = 0;
    for (const QueryParam& param : QueryParams(text)) {
        ASSERT_LT(next, expected.size());
        const std::string& piece = expected[next++];
        EXPECT_EQ(param.name, piece.substr(0, piece.find('=')));
        EXPECT_EQ(param.value, piece.find('=') < piece.size() ? piece.substr(piece.find('=') + 1) : "");
        const std::optional<std::string> name = plainDecode(param.name, PlusRule::Space);
        if (!name) continue;
        // The first of its name.
        for (const QueryParam& first : QueryParams(text)) {
            if (plainDecode(first.name, PlusRule::Space) != name) continue;
            EXPECT_EQ(queryParam(text, *name), plainDecode(first.value, PlusRule::Space));
            break;
        }
        if (next > 40) return;
    }
    EXPECT_EQ(next, expected.size());
}

}  // namespace
}  // namespace tnet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view text = tnet::FuzzInput(data, size).rest();
    tnet::checkCoding(text);
    tnet::checkTarget(text, false, false);
    tnet::checkTarget(text, false, true);
    tnet::checkTarget(text, true, false);
    tnet::checkAuthority(text);
    tnet::checkOrigin(text);
    tnet::checkPath(text);
    tnet::checkQuery(text);
    return 0;
}
