// PushAccess: which pages may use the service.
#include "examples/push/access.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "http/parser.h"
#include "http/request.h"
#include "http/types.h"

namespace tnet {
namespace {

bool allows(const PushAccess& access, std::string_view host, std::string_view origin) {
    std::string bytes = "GET /ws HTTP/1.1\r\nHost: " + std::string(host) + "\r\n";
    if (!origin.empty()) bytes += "Origin: " + std::string(origin) + "\r\n";
    bytes += "\r\n";
    const HttpLimits limits;
    HttpParser parser(limits);
    HttpRequest request;
    parser.begin(&request);
    std::string_view input = bytes;
    EXPECT_EQ(parser.parse(input), HttpParser::Event::Complete);
    return access.allowsOrigin(request);
}

// A page at https://push.example got 403 if its proxy passed "Host: push.example:443" on, or if somebody had typed
// "Push.Example": the text after "://" was compared with Host, byte by byte.
TEST(PushAccessTest, AServicesOwnPagesMayUseItHoweverTheyAreWritten) {
    const PushAccess access;
    EXPECT_TRUE(allows(access, "push.example", ""));
    EXPECT_TRUE(allows(access, "push.example", "https://push.example"));
    EXPECT_TRUE(allows(access, "push.example:443", "https://push.example"));
    EXPECT_TRUE(allows(access, "push.example:80", "http://push.example"));
    EXPECT_TRUE(allows(access, "Push.Example", "https://push.example"));
    EXPECT_TRUE(allows(access, "localhost:8080", "http://localhost:8080"));
    EXPECT_FALSE(allows(access, "push.example:80", "https://push.example"));
    EXPECT_FALSE(allows(access, "push.example", "https://push.example:8443"));
    EXPECT_FALSE(allows(access, "push.example", "https://evil.example"));
    EXPECT_FALSE(allows(access, "push.example", "null"));
    EXPECT_FALSE(allows(access, "push.example", "push.example"));
}

TEST(PushAccessTest, ListedOriginsMayUseItHoweverTheyAreWritten) {
    PushAccess access;
    access.origins = {"https://Friend.example:443", "http://other.example:8080", "null"};
    EXPECT_TRUE(allows(access, "push.example", "https://friend.example"));
    EXPECT_TRUE(allows(access, "push.example", "http://other.example:8080"));
    EXPECT_TRUE(allows(access, "push.example", "null"));  // listed to the letter: pages of files
    EXPECT_FALSE(allows(access, "push.example", "http://friend.example"));
    EXPECT_FALSE(allows(access, "push.example", "https://friend.example.evil.example"));
    access.origins = {"*"};
    EXPECT_TRUE(allows(access, "push.example", "https://evil.example"));
}

}  // namespace
}  // namespace tnet
