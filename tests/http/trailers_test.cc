#include "http/trailers.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "http/headers.h"

namespace tnet {
namespace {

TEST(MayBeTrailerTest, NotWhatIsNeededBeforeTheBody) {
    for (const std::string_view name : {"Content-Length",
                                        "Transfer-Encoding",
                                        "Host",
                                        "Connection",
                                        "content-length",
                                        "HOST",
                                        "Trailer",
                                        "TE",
                                        "Upgrade",
                                        "Authorization",
                                        "Set-Cookie",
                                        "Cache-Control",
                                        "Content-Encoding",
                                        "Content-Type",
                                        "Content-Range",
                                        "Date",
                                        "Location",
                                        "Vary",
                                        "Via",
                                        "Expect",
                                        "If-None-Match",
                                        "Range",
                                        "Retry-After",
                                        "Warning",
                                        "Keep-Alive"}) {
        EXPECT_FALSE(mayBeTrailer(name)) << name;
    }
    for (const std::string_view name : {"ETag", "X-Sum", "Digest", "Server-Timing", "grpc-status",
                                        "Content-Digest", "Content-Lengths", "Hos", "X-Host", ""}) {
        EXPECT_TRUE(mayBeTrailer(name)) << name;
    }
}

TEST(AppendTrailersTest, LeavesOutWhatMayBeNone) {
    HttpHeaders trailers;
    std::string out = "0\r\n";
    EXPECT_EQ(appendTrailers(out, trailers), "");
    EXPECT_EQ(out, "0\r\n");
    trailers.add("X-Sum", "7");
    trailers.add("X-Empty", "");
    EXPECT_EQ(appendTrailers(out, trailers), "");
    EXPECT_EQ(out, "0\r\nX-Sum: 7\r\nX-Empty: \r\n");
    trailers.add("content-length", "5");
    trailers.add("Host", "evil.example");
    trailers.add("X-Last", "8");
    out.clear();
    EXPECT_EQ(appendTrailers(out, trailers), "content-length");
    EXPECT_EQ(out, "X-Sum: 7\r\nX-Empty: \r\nX-Last: 8\r\n");
}

}  // namespace
}  // namespace tnet
