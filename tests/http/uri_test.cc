#include "http/uri.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tnet {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;

// Long enough for scans that look at blocks of bytes to begin, cross and end one.
constexpr size_t kSpan = 35;

std::string decoded(std::string_view in, PlusRule plus = PlusRule::Keep) {
    std::string out;
    EXPECT_TRUE(percentDecode(in, out, plus)) << in;
    return out;
}

std::optional<RequestTarget> get(std::string_view target) { return parseTarget(target, false, false); }
std::optional<RequestTarget> options(std::string_view target) { return parseTarget(target, false, true); }
std::optional<RequestTarget> connect(std::string_view target) { return parseTarget(target, true, false); }

bool isOneOf(char c, std::string_view set) { return set.find(c) != std::string_view::npos; }

bool isAlphanumeric(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// --- percentDecode, percentEncode ---

TEST(PercentDecodeTest, DecodesEveryByteButNul) {
    for (unsigned byte = 1; byte < 256; ++byte) {
        const std::string expected(1, static_cast<char>(byte));
        for (const std::string_view digits : {"0123456789ABCDEF"sv, "0123456789abcdef"sv}) {
            const std::string escape = {'%', digits[byte >> 4], digits[byte & 15]};
            EXPECT_EQ(decoded(escape), expected) << escape;
        }
    }
}

TEST(PercentDecodeTest, DecodesOnceAndAppends) {
    EXPECT_EQ(decoded(""), "");
    EXPECT_EQ(decoded("plain"), "plain");
    EXPECT_EQ(decoded("%2541"), "%41");
    EXPECT_EQ(decoded("a%20b%2fc"), "a b/c");
    EXPECT_EQ(decoded("%41%42%43"), "ABC");
    std::string out = "before:";
    EXPECT_TRUE(percentDecode("%41", out, PlusRule::Keep));
    EXPECT_EQ(out, "before:A");
}

TEST(PercentDecodeTest, FindsEscapesAtEveryOffset) {
    for (size_t before = 0; before < kSpan; ++before) {
        for (size_t after = 0; after < kSpan; ++after) {
            const std::string head(before, 'h');
            const std::string tail(after, 't');
            EXPECT_EQ(decoded(head + "%41" + tail), head + "A" + tail);
            EXPECT_EQ(decoded(head + "+" + tail, PlusRule::Space), head + " " + tail);
            EXPECT_EQ(decoded(head + "+" + tail, PlusRule::Keep), head + "+" + tail);
        }
    }
}

TEST(PercentDecodeTest, RefusesWhatIsMalformedAndLeavesTheResultAlone) {
    const std::vector<std::string> inputs = {
        "%",      "%4",  "a%",   "a%4",  "%%41", "%4%41", "%g1",   "%1g",  "%:1",    "%1:",
        "%/1",    "%@1", "%1@",  "%`1",  "%1`",  "%G1",   "% 1",   "%+1",  "%-1",    "%0x",
        "%u0041", "%00", "a%00", "%00b", "\0"s,  "a\0b"s, "%4\0"s, "%41%", "x+y%zz", "%41%00",
    };
    for (const std::string& input : inputs) {
        for (const PlusRule plus : {PlusRule::Keep, PlusRule::Space}) {
            std::string out = "kept";
            EXPECT_FALSE(percentDecode(input, out, plus)) << input;
            EXPECT_EQ(out, "kept") << input;
        }
    }
}

TEST(PercentDecodeTest, PlusIsASpaceOnlyWhereAsked) {
    EXPECT_EQ(decoded("a+b", PlusRule::Keep), "a+b");
    EXPECT_EQ(decoded("a+b", PlusRule::Space), "a b");
    EXPECT_EQ(decoded("a%2Bb", PlusRule::Space), "a+b");
    EXPECT_EQ(decoded("a%20b", PlusRule::Space), "a b");
}

TEST(PercentDecodeTest, AnEscapeEndsWithTheView) {
    const std::string_view text = "ab%41";
    std::string out;
    EXPECT_FALSE(percentDecode(text.substr(0, 4), out, PlusRule::Keep));
    EXPECT_FALSE(percentDecode(text.substr(0, 3), out, PlusRule::Keep));
}

TEST(PercentEncodeTest, KeepsUnreservedOnly) {
    for (unsigned byte = 0; byte < 256; ++byte) {
        const char c = static_cast<char>(byte);
        const std::string encoded = percentEncode({&c, 1});
        EXPECT_EQ(encoded.size(), isAlphanumeric(c) || isOneOf(c, "-._~") ? 1U : 3U) << byte;
        if (byte != 0) {
            EXPECT_EQ(decoded(encoded, PlusRule::Space), std::string(1, c));
        }
    }
    EXPECT_EQ(percentEncode("/a b+\xC3\xA9\0"sv), "%2Fa%20b%2B%C3%A9%00");
    EXPECT_EQ(percentEncode(""), "");
}

// --- parseTarget ---

TEST(ParseTargetTest, OriginForm) {
    struct Case {
        std::string_view target, path, query;
        bool hasQuery;
    };
    const std::vector<Case> cases = {
        {"/", "/", "", false},
        {"/a/b", "/a/b", "", false},
        {"/a?", "/a", "", true},
        {"/?q", "/", "q", true},
        {"/a?b=c&d", "/a", "b=c&d", true},
        {"/a?b?c", "/a", "b?c", true},
        {"/a?/b", "/a", "/b", true},
        {"//a//", "//a//", "", false},
        {"//host/a", "//host/a", "", false},
        {"/%41%zz%", "/%41%zz%", "", false},
        {"/../a", "/../a", "", false},
        {"/http://a.example/", "/http://a.example/", "", false},
        {"/{|}\"<>\\^`", "/{|}\"<>\\^`", "", false},
    };
    for (const Case& c : cases) {
        const auto target = get(c.target);
        ASSERT_TRUE(target) << c.target;
        EXPECT_EQ(target->form, TargetForm::Origin);
        EXPECT_EQ(target->path, c.path);
        EXPECT_EQ(target->query, c.query);
        EXPECT_EQ(target->hasQuery, c.hasQuery) << c.target;
        EXPECT_EQ(target->scheme, "");
        EXPECT_EQ(target->authority, "");
        EXPECT_EQ(target->path.data(), c.target.data());  // a view, not a copy
        EXPECT_TRUE(options(c.target));
        EXPECT_FALSE(connect(c.target)) << c.target;
    }
}

TEST(ParseTargetTest, AbsoluteForm) {
    struct Case {
        std::string_view target, scheme, authority, path, query;
        bool hasQuery;
    };
    const std::vector<Case> cases = {
        {"http://a.example/", "http", "a.example", "/", "", false},
        {"http://a.example", "http", "a.example", "/", "", false},
        {"https://a.example:443/b", "https", "a.example:443", "/b", "", false},
        {"HTTP://A.Example/B", "HTTP", "A.Example", "/B", "", false},
        {"hTTpS://a", "hTTpS", "a", "/", "", false},
        {"http://a?b", "http", "a", "/", "b", true},
        {"http://a?", "http", "a", "/", "", true},
        {"http://a?b@c/d", "http", "a", "/", "b@c/d", true},
        {"http://a/b@c", "http", "a", "/b@c", "", false},
        {"http://a:/b?c", "http", "a:", "/b", "c", true},
        {"http://[::1]:8080/b", "http", "[::1]:8080", "/b", "", false},
        {"http://127.0.0.1//", "http", "127.0.0.1", "//", "", false},
    };
    for (const Case& c : cases) {
        const auto target = get(c.target);
        ASSERT_TRUE(target) << c.target;
        EXPECT_EQ(target->form, TargetForm::Absolute);
        EXPECT_EQ(target->scheme, c.scheme);
        EXPECT_EQ(target->authority, c.authority);
        EXPECT_EQ(target->path, c.path) << c.target;
        EXPECT_EQ(target->query, c.query);
        EXPECT_EQ(target->hasQuery, c.hasQuery) << c.target;
        EXPECT_FALSE(connect(c.target)) << c.target;
    }
}

TEST(ParseTargetTest, RefusesOtherAbsoluteForms) {
    const std::vector<std::string_view> targets = {
        "ftp://a/",
        "ws://a/",
        "httpx://a/",
        "htt://a/",
        "http:/a",
        "http:a",
        "http:",
        "http",
        "http//a/",
        "://a/",
        ":",
        "http:///a",
        "http://",
        "http://?q",
        "http://:80/",
        "http://u@a/",
        "http://u:p@a/",
        "http://@a/",
        "http://a:65536/",
        "http://a:x/",
        "http://a:80:80/",
        "http://a b/",
        "http://a,b/",
        "http://[::1/",
        "http://a%/",
        "http://a%zz/",
        "http://a\\b/",
        "http://a#f",
        "http://a/#f",
        "http://a/b c",
        "http://a?b#c",
        " http://a/",
    };
    for (const std::string_view target : targets) EXPECT_FALSE(get(target)) << target;
}

TEST(ParseTargetTest, AuthorityFormIsForConnectOnly) {
    for (const std::string_view text : {"a.example:443"sv, "127.0.0.1:1"sv, "[::1]:65535"sv}) {
        const auto target = connect(text);
        ASSERT_TRUE(target) << text;
        EXPECT_EQ(target->form, TargetForm::Authority);
        EXPECT_EQ(target->authority, text);
        EXPECT_EQ(target->path, "");
        EXPECT_FALSE(target->hasQuery);
        EXPECT_FALSE(get(text)) << text;
        EXPECT_FALSE(options(text)) << text;
    }
    const std::vector<std::string_view> refused = {
        "",       "a",       "a:",   "a:0",          "a:000",   ":443",    "a:65536",
        "a:443/", "a:443?q", "*",    "[::1]",        "[::1]:",  "u@a:443", "a b:443",
        "a:443 ", "a:+443",  "a:-1", "http://a:443", "a:443#f", "a,b:443",
    };
    for (const std::string_view text : refused) EXPECT_FALSE(connect(text)) << text;
}

TEST(ParseTargetTest, AsteriskFormIsForOptionsOnly) {
    const auto target = options("*");
    ASSERT_TRUE(target);
    EXPECT_EQ(target->form, TargetForm::Asterisk);
    EXPECT_EQ(target->path, "");
    EXPECT_EQ(target->authority, "");
    EXPECT_FALSE(get("*"));
    for (const std::string_view text : {"**"sv, "*/"sv, "*?q"sv, " *"sv, "* "sv})
        EXPECT_FALSE(options(text)) << text;
}

TEST(ParseTargetTest, RefusesWhatBelongsToNoForm) {
    for (const std::string_view text : {""sv, "a"sv, "a/b"sv, "?q"sv, "#"sv, "."sv, "%2F"sv, " "sv, "\\"sv}) {
        EXPECT_FALSE(get(text)) << text;
    }
}

// Which bytes may stand in a target, each in a path and in a query, before and behind block boundaries.
TEST(ParseTargetTest, KnowsEveryByteAtEveryOffset) {
    for (unsigned byte = 0; byte < 256; ++byte) {
        const char c = static_cast<char>(byte);
        const bool isAllowed = byte > 0x20 && byte < 0x7F && c != '#';
        for (size_t before = 0; before < kSpan; ++before) {
            for (const size_t after : {0, 1, 7, 8, 9}) {
                const std::string filler = std::string(before, 'a') + c + std::string(after, 'a');
                EXPECT_EQ(get("/" + filler).has_value(), isAllowed) << byte << " at " << before;
                EXPECT_EQ(get("/?" + filler).has_value(), isAllowed) << byte << " at " << before;
                EXPECT_EQ(get("http://h/" + filler).has_value(), isAllowed) << byte << " at " << before;
            }
        }
    }
}

TEST(ParseTargetTest, FindsTheQueryAtEveryOffset) {
    for (size_t before = 0; before < kSpan; ++before) {
        for (size_t after = 0; after < kSpan; ++after) {
            const std::string path = "/" + std::string(before, 'p');
            const std::string query(after, 'q');
            const std::string text = path + "?" + query;
            const auto target = get(text);
            ASSERT_TRUE(target);
            EXPECT_EQ(target->path, path);
            EXPECT_EQ(target->query, query);
        }
    }
}

// A view of a piece of something longer, whatever follows it.
TEST(ParseTargetTest, EndsWithTheView) {
    for (const char next : {'a', '?', ' ', '\0', '/'}) {
        for (size_t size = 1; size < kSpan; ++size) {
            const std::string path = "/" + std::string(size - 1, 'p');
            const std::string text = path + std::string(kSpan, next);
            const auto target = get(std::string_view(text).substr(0, size));
            ASSERT_TRUE(target) << text << " " << size;
            EXPECT_EQ(target->path, path);
            EXPECT_FALSE(target->hasQuery);
        }
    }
}

// For a sanitizer: blocks of memory that end where the text does.
TEST(UriTest, ReadsNothingBeyondTheView) {
    const std::vector<std::string_view> texts = {
        "/",   "/a", "/a?b", "/%4",  "http://a", "http:", "a:",  "[::1]", "[",
        "a%4", "*",  "%",    "/a/.", "/%2",      "a=1&b", "ab=", "ab",    "abcdefg:1"};
    for (const std::string_view text : texts) {
        const std::vector<char> exact(text.begin(), text.end());
        const std::string_view view(exact.data(), exact.size());
        std::string out;
        percentDecode(view, out, PlusRule::Space);
        for (const bool isConnect : {false, true}) parseTarget(view, isConnect, true);
        EXPECT_EQ(isValidAuthority(view), isValidAuthority(text));
        EXPECT_EQ(hasDotSegments(view), hasDotSegments(text));
        EXPECT_EQ(queryParam(view, "abc"), std::nullopt);
        EXPECT_EQ(queryParam(view, "b=2"), std::nullopt);
    }
}

// --- isValidHost, isValidAuthority ---

TEST(HostTest, Names) {
    for (const std::string_view host :
         {"a"sv, "a.example"sv, "A-B_c~d"sv, "127.0.0.1"sv, "999.1.1.1"sv, "a."sv, "%41%2f"sv, "a%20b"sv,
          "!$&'()*+;="sv, "xn--caf-dma.example"sv, "a-name-longer-than-one-block-of-the-scan.example"sv,
          "a-name-with-an-escape-behind-the-first-block.%65xample"sv}) {
        EXPECT_TRUE(isValidHost(host)) << host;
        EXPECT_TRUE(isValidAuthority(host)) << host;
    }
    for (const std::string_view host :
         {""sv,    "a,b"sv,   "a, b"sv, "a b"sv, " a"sv,   "a "sv,  "a/b"sv,         "a?b"sv,   "a#b"sv,
          "a@b"sv, "a[b"sv,   "a]"sv,   "%"sv,   "%4"sv,   "%4g"sv, "a%00"sv,        "a\0b"sv,  "a\\b"sv,
          "a|b"sv, "\"a\""sv, "<a>"sv,  "{a}"sv, "a^b"sv,  "a`b"sv, "caf\xC3\xA9"sv, "a\x7F"sv, "a\tb"sv,
          "."sv,   ".."sv,    "..."sv,  ".a"sv,  "a..b"sv, "a.."sv, "%41..b"sv}) {
        EXPECT_FALSE(isValidHost(host)) << host;
        EXPECT_FALSE(isValidAuthority(host)) << host;
    }
    EXPECT_FALSE(isValidHost("a:80"));
    EXPECT_FALSE(isValidHost("a:"));
}

TEST(HostTest, KnowsEveryByteAtEveryOffset) {
    for (unsigned byte = 0; byte < 256; ++byte) {
        const char c = static_cast<char>(byte);
        const bool isAllowed = isAlphanumeric(c) || isOneOf(c, "-._~!$&'()*+;=");
        for (size_t before = 0; before < kSpan; ++before) {
            const std::string host = std::string(before, 'a') + c + "a.example";
            const bool isEmptyLabel = c == '.' && before == 0;
            EXPECT_EQ(isValidHost(host), isAllowed && !isEmptyLabel) << byte << " at " << before;
        }
    }
}

TEST(HostTest, Literals) {
    for (const std::string_view host :
         {"[::]"sv, "[::1]"sv, "[2001:db8::1]"sv, "[2001:DB8:0:0:0:0:0:1]"sv, "[::ffff:127.0.0.1]"sv,
          "[1111:2222:3333:4444:5555:6666:123.123.123.123]"sv, "[v1.a]"sv, "[V1f.a:b]"sv,
          "[vF.!$&'()*+;=]"sv}) {
        EXPECT_TRUE(isValidHost(host)) << host;
    }
    for (const std::string_view host : {"["sv,
                                        "]"sv,
                                        "[]"sv,
                                        "[::1"sv,
                                        "::1"sv,
                                        "[::1]]"sv,
                                        "[[::1]]"sv,
                                        "[::1]a"sv,
                                        "a[::1]"sv,
                                        "[1::2::3]"sv,
                                        "[:1]"sv,
                                        "[12345::]"sv,
                                        "[::g]"sv,
                                        "[1:2:3:4:5:6:7]"sv,
                                        "[1:2:3:4:5:6:7:8:9]"sv,
                                        "[127.0.0.1]"sv,
                                        "[a.example]"sv,
                                        "[::256.0.0.1]"sv,
                                        "[fe80::1%eth0]"sv,
                                        "[fe80::1%25eth0]"sv,
                                        "[::1 ]"sv,
                                        "[ ::1]"sv,
                                        "[::1\0]"sv,
                                        "[::1\0x]"sv,
                                        "[::%31]"sv,
                                        "[0000000000000000000000000000000000000000000000000000000::1]"sv,
                                        "[v]"sv,
                                        "[v.a]"sv,
                                        "[v1]"sv,
                                        "[v1.]"sv,
                                        "[vg.a]"sv,
                                        "[v1.a,b]"sv,
                                        "[v1.a%41]"sv,
                                        "[v1.a/b]"sv,
                                        "[w1.a]"sv,
                                        "[v1.[]"sv,
                                        "[v1.a\0]"sv}) {
        EXPECT_FALSE(isValidHost(host)) << host;
        EXPECT_FALSE(isValidAuthority(host)) << host;
    }
}

TEST(AuthorityTest, Ports) {
    for (const std::string_view authority : {"a:0"sv, "a:80"sv, "a:65535"sv, "a:"sv, "a:00080"sv,
                                             "127.0.0.1:8080"sv, "[::1]:80"sv, "[::1]:"sv, "[v1.a:b]:80"sv}) {
        EXPECT_TRUE(isValidAuthority(authority)) << authority;
    }
    for (const std::string_view authority : {":"sv,
                                             ":80"sv,
                                             "a:65536"sv,
                                             "a:99999999999999999999"sv,
                                             "a:4294967376"sv,
                                             "a:80:"sv,
                                             "a::80"sv,
                                             "a:8 0"sv,
                                             "a:+80"sv,
                                             "a:-1"sv,
                                             "a:0x50"sv,
                                             "a:80a"sv,
                                             "a:80\0"sv,
                                             "::1"sv,
                                             "[::1]80"sv,
                                             "[::1]:65536"sv,
                                             "[::1]::80"sv,
                                             "[]:80"sv,
                                             "[:80"sv,
                                             "u@a:80"sv,
                                             "u:p@a"sv,
                                             "@a"sv,
                                             "a@"sv,
                                             "u@[::1]"sv}) {
        EXPECT_FALSE(isValidAuthority(authority)) << authority;
    }
}

// --- hasDotSegments ---

TEST(DotSegmentsTest, FindsThemPlainAndEncoded) {
    for (const std::string_view path :
         {"/."sv, "/.."sv, "/./"sv, "/../"sv, "/a/./b"sv, "/a/../b"sv, "/a/.."sv, "/%2e"sv, "/%2E%2e/a"sv,
          "/.%2E/a"sv, "/%2e./a"sv, "."sv, ".."sv, "../a"sv, "/a%2F..%2Fb"sv, "/..%2f"sv, "/a%2f.."sv,
          "/%zz/.."sv, "//.."sv}) {
        EXPECT_TRUE(hasDotSegments(path)) << path;
    }
    for (const std::string_view path :
         {""sv,         "/"sv,          "/a"sv,    "/a/b"sv,         "/..."sv,        "/.a"sv,
          "/a."sv,      "/a../b"sv,     "/..a"sv,  "/.a."sv,         "/.a/b"sv,       "/a..b/cd"sv,
          "/a.b/c.d"sv, "/%2e%2e%2e"sv, "/%2ea"sv, "/%252e"sv,       "/%252e%252e"sv, "/.%"sv,
          "/..%"sv,     "/..%00"sv,     "/%2"sv,   "/.well-known"sv, "/a%2Fb"sv,      "//"sv,
          "/.\\."sv,    "/. ."sv}) {
        EXPECT_FALSE(hasDotSegments(path)) << path;
    }
}

// --- Queries ---

TEST(QueryParamsTest, IteratesRawPieces) {
    using Pairs = std::vector<std::pair<std::string, std::string>>;
    const std::vector<std::pair<std::string_view, Pairs>> cases = {
        {"", {}},
        {"&", {}},
        {"&&&", {}},
        {"a", {{"a", ""}}},
        {"a=", {{"a", ""}}},
        {"=", {{"", ""}}},
        {"=b", {{"", "b"}}},
        {"a=b", {{"a", "b"}}},
        {"a=b=c", {{"a", "b=c"}}},
        {"a=1&b=2", {{"a", "1"}, {"b", "2"}}},
        {"&a=1&&b&", {{"a", "1"}, {"b", ""}}},
        {"a=1&a=2", {{"a", "1"}, {"a", "2"}}},
        {"a;b=1;c", {{"a;b", "1;c"}}},
        {"%41+%zz=x+y", {{"%41+%zz", "x+y"}}},
    };
    for (const auto& [query, expected] : cases) {
        Pairs found;
        for (const QueryParam& param : QueryParams(query)) found.emplace_back(param.name, param.value);
        EXPECT_EQ(found, expected) << query;
    }
}

TEST(QueryParamTest, FindsTheFirstAndDecodesIt) {
    EXPECT_EQ(queryParam("a=1&b=2&a=3", "a"), "1");
    EXPECT_EQ(queryParam("a=1&b=2", "b"), "2");
    EXPECT_EQ(queryParam("q=x+y%2Bz%26%3d", "q"), "x y+z&=");
    EXPECT_EQ(queryParam("a", "a"), "");
    EXPECT_EQ(queryParam("a=", "a"), "");
    EXPECT_EQ(queryParam("=v", ""), "v");
    EXPECT_EQ(queryParam("%61=1", "a"), "1");
    EXPECT_EQ(queryParam("a%20b=1", "a b"), "1");
    EXPECT_EQ(queryParam("a+b=1", "a b"), "1");
    EXPECT_EQ(queryParam("a%2Bb=1", "a+b"), "1");
    EXPECT_EQ(queryParam("%C3%A9=1", "\xC3\xA9"), "1");
}

TEST(QueryParamTest, FindsNothing) {
    EXPECT_FALSE(queryParam("", "a"));
    EXPECT_FALSE(queryParam("", ""));
    EXPECT_FALSE(queryParam("ab=1&b=a", "a"));
    EXPECT_FALSE(queryParam("a=1", "ab"));
    EXPECT_FALSE(queryParam("A=1", "a"));
    EXPECT_FALSE(queryParam("a+b=1", "a+b"));
    EXPECT_FALSE(queryParam("a=%", "a"));
    EXPECT_FALSE(queryParam("a=%zz", "a"));
    EXPECT_FALSE(queryParam("a=%00", "a"));
    EXPECT_FALSE(queryParam("a=%zz&a=1", "a")) << "the first is meant, and it is malformed";
    EXPECT_FALSE(queryParam("%00=1", "\0"sv));
    EXPECT_FALSE(queryParam("%zz=1", "%zz"));
    EXPECT_FALSE(queryParam("%6=1", "a"));
}

TEST(QueryParamTest, SkipsNamesThatAreMalformed) {
    EXPECT_EQ(queryParam("a%zz=1&a=2", "a"), "2");
    EXPECT_EQ(queryParam("%=1&a=2", "a"), "2");
}

}  // namespace
}  // namespace tnet
