// Origins, in tables.
#include "http/origin.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace tnet {
namespace {

std::string written(std::string_view text) {
    const auto origin = parseOrigin(text);
    if (!origin) return "none";
    return std::string(origin->scheme) + " " + std::string(origin->host) + " " + std::to_string(origin->port);
}

TEST(ParseOriginTest, IsSchemeHostAndPort) {
    struct Row {
        std::string_view text;
        std::string_view parts;
    };
    constexpr Row kRows[] = {
        {"https://a.example", "https a.example 443"},
        {"http://a.example", "http a.example 80"},
        {"HTTP://A.example", "HTTP A.example 80"},
        {"wss://a.example", "wss a.example 443"},
        {"ws://a.example", "ws a.example 80"},
        {"https://a.example:8443", "https a.example 8443"},
        {"https://a.example:", "https a.example 443"},  // RFC 3986 §3.2.3
        {"https://a.example:0443", "https a.example 443"},
        {"http://a.example:0", "http a.example 0"},
        {"https://127.0.0.1:8080", "https 127.0.0.1 8080"},
        {"https://[::1]", "https [::1] 443"},
        {"https://[::1]:8443", "https [::1] 8443"},
        {"chrome-extension://abcdef", "chrome-extension abcdef 0"},
        {"x+y-z.1://a:7", "x+y-z.1 a 7"},
        {"", "none"},
        {"null", "none"},
        {"*", "none"},
        {"a.example", "none"},
        {"//a.example", "none"},
        {"://a.example", "none"},
        {"1http://a.example", "none"},
        {"ht tp://a.example", "none"},
        {"https:a.example", "none"},
        {"https:/a.example", "none"},
        {"https://", "none"},
        {"https://a.example/", "none"},
        {"https://a.example/path", "none"},
        {"https://a.example?q", "none"},
        {"https://a.example#f", "none"},
        {"https://user@a.example", "none"},
        {"https://a.example:65536", "none"},
        {"https://a.example:x", "none"},
        {"https://a.example:80:80", "none"},
        {"https://::1", "none"},
        {"https://a.example https://b.example", "none"},
        {"https://a.example, https://b.example", "none"},
        {" https://a.example", "none"},
        {"https://a.example ", "none"},
    };
    for (const Row& row : kRows) EXPECT_EQ(written(row.text), row.parts) << row.text;
}

TEST(IsSameOriginTest, ComparesWhatTheyStandFor) {
    struct Row {
        std::string_view a;
        std::string_view b;
        bool same;
    };
    constexpr Row kRows[] = {
        {"https://a.example", "https://a.example", true},
        {"https://a.example", "https://a.example:443", true},
        {"http://a.example:80", "http://a.example", true},
        {"HTTPS://A.Example", "https://a.example", true},
        {"https://[2001:DB8::1]", "https://[2001:db8::1]:443", true},
        {"x://a", "x://a", true},
        {"https://a.example", "http://a.example", false},
        {"https://a.example:80", "http://a.example:80", false},
        {"https://a.example", "https://a.example:80", false},
        {"https://a.example", "https://a.example:8443", false},
        {"https://a.example", "https://b.example", false},
        {"https://a.example", "https://a.example.", false},
        {"https://a.example", "https://www.a.example", false},
        {"https://a.example", "https://a.example.evil.example", false},
        {"http://a.example", "http://a.example:0", false},
        {"null", "null", false},
        {"", "", false},
        {"*", "*", false},
        {"https://a.example/", "https://a.example/", false},
    };
    for (const Row& row : kRows) {
        EXPECT_EQ(isSameOrigin(row.a, row.b), row.same) << row.a << " " << row.b;
        EXPECT_EQ(isSameOrigin(row.b, row.a), row.same) << row.a << " " << row.b;
    }
}

// Behind a proxy that takes TLS off, the Host that comes is the client's, and the scheme is not known.
TEST(IsOriginOfTest, ComparesAPageWithWhereItsRequestWent) {
    struct Row {
        std::string_view origin;
        std::string_view authority;
        bool plain;
        bool overTls;
    };
    constexpr Row kRows[] = {
        {"https://push.example", "push.example", true, true},
        {"https://push.example", "push.example:443", true, true},
        {"https://push.example", "Push.Example", true, true},
        {"https://PUSH.example:443", "push.EXAMPLE", true, true},
        {"https://push.example", "push.example:", true, true},
        {"https://push.example:8443", "push.example:8443", true, true},
        {"https://[::1]:8443", "[::1]:8443", true, true},
        {"http://push.example", "push.example", true, false},
        {"http://push.example", "push.example:80", true, false},
        {"http://push.example:8080", "push.example:8080", true, false},
        {"http://push.example", "push.example:443", false, false},
        {"https://push.example", "push.example:80", false, false},
        {"https://push.example", "push.example:8443", false, false},
        {"https://push.example:8443", "push.example", false, false},
        {"https://evil.example", "push.example", false, false},
        {"https://push.example.evil.example", "push.example", false, false},
        {"https://evil.example:443", "push.example:443", false, false},
        {"ws://push.example", "push.example", false, false},
        {"file://push.example", "push.example", false, false},
        {"null", "push.example", false, false},
        {"", "push.example", false, false},
        {"https://push.example", "", false, false},
        {"https://push.example/", "push.example", false, false},
        {"push.example", "push.example", false, false},
        {"https://push.example", "push.example, push.example", false, false},
    };
    for (const Row& row : kRows) {
        EXPECT_EQ(isOriginOf(row.origin, row.authority, false), row.plain)
            << row.origin << " " << row.authority;
        EXPECT_EQ(isOriginOf(row.origin, row.authority, true), row.overTls)
            << row.origin << " " << row.authority;
    }
}

}  // namespace
}  // namespace tnet
