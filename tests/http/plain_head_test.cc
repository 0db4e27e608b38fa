#include "http/plain_head.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "http/headers.h"
#include "http/types.h"

namespace tnet {
namespace {

// A copy that ends where the text does, so that a sanitizer sees a read beyond it.
PlainHead read(std::string_view text, HttpHeaders& headers, const HttpLimits& limits = {}) {
    const std::vector<char> exact(text.begin(), text.end());
    headers.beginRaw();
    const PlainHead head = readPlainHead({exact.data(), exact.size()}, limits, headers);
    headers.appendRaw(text.substr(0, head.bytes));
    return head;
}

bool isPlain(std::string_view text, const HttpLimits& limits = {}) {
    HttpHeaders headers;
    return read(text, headers, limits).bytes > 0;
}

TEST(PlainHeadTest, AHeadIsReadToItsEnd) {
    const std::string_view head =
        "HEAD /a?b HTTP/1.0\r\nHost: a.example:80\r\nUser-Agent:x (y; z)  \r\nEmpty:\r\nBlank: \r\n\r\n";
    HttpHeaders headers;
    const PlainHead result = read(std::string(head) + "GET ", headers);
    EXPECT_EQ(result.bytes, head.size());
    EXPECT_EQ(result.method, HttpMethod::Head);
    EXPECT_EQ(result.minorVersion, 0);
    EXPECT_EQ(head.substr(result.targetStart, result.targetSize), "/a?b");
    ASSERT_EQ(headers.size(), 4U);
    EXPECT_EQ(headers.get("Host"), "a.example:80");
    EXPECT_EQ(headers.get("User-Agent"), "x (y; z)");
    EXPECT_EQ(headers.find("Empty"), "");
    EXPECT_EQ(headers.find("Blank"), "");
}

// At each place a scan of eight bytes may begin and end.
TEST(PlainHeadTest, ValuesAndTargetsOfEveryLengthArePlainAndOneOddByteIsFound) {
    for (size_t size = 0; size < 40; ++size) {
        const std::string text(size, '~');
        EXPECT_TRUE(isPlain("GET /" + text + " HTTP/1.1\r\nA: " + text + "\r\n\r\n")) << size;
        for (size_t at = 0; at < size; ++at) {
            for (const char odd : {'\0', '\t', '\n', '\r', '\x1F', '\x7F', '\x80', '\xFF'}) {
                std::string with = text;
                with[at] = odd;
                EXPECT_FALSE(isPlain("GET /" + with + " HTTP/1.1\r\n\r\n")) << size << " " << at;
                // White space in front of a value is not part of it.
                if (odd == '\t' && at == 0) continue;
                EXPECT_FALSE(isPlain("GET / HTTP/1.1\r\nA: " + with + "\r\n\r\n")) << size << " " << at;
            }
        }
    }
}

TEST(PlainHeadTest, NoPrefixIsPlain) {
    const std::string_view head = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for (size_t size = 0; size < head.size(); ++size) EXPECT_FALSE(isPlain(head.substr(0, size))) << size;
}

TEST(PlainHeadTest, WhatIsOutOfTheOrdinaryIsLeftToLlhttp) {
    for (const std::string_view head : {
             "POST / HTTP/1.1\r\n\r\n",
             "get / HTTP/1.1\r\n\r\n",
             "\r\nGET / HTTP/1.1\r\n\r\n",
             "GET  / HTTP/1.1\r\n\r\n",
             "GET /  HTTP/1.1\r\n\r\n",
             "GET / HTTP/1.1 \r\n\r\n",
             "GET / HTTP/1.2\r\n\r\n",
             "GET / HTTP/2.0\r\n\r\n",
             "GET /\r\n\r\n",
             "GET * HTTP/1.1\r\n\r\n",
             "GET http://a/ HTTP/1.1\r\n\r\n",
             "GET / HTTP/1.1\n\n",
             "GET / HTTP/1.1\r\nA: b\n\r\n",
             "GET / HTTP/1.1\r\nA: b\r\n\n",
             "GET / HTTP/1.1\r\nA: b\r\r\n\r\n",
             "GET / HTTP/1.1\r\nA : b\r\n\r\n",
             "GET / HTTP/1.1\r\n A: b\r\n\r\n",
             "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
             "GET / HTTP/1.1\r\n: b\r\n\r\n",
             "GET / HTTP/1.1\r\nA\r\n\r\n",
             "GET / HTTP/1.1\r\ncontent-LENGTH: 0\r\n\r\n",
             "GET / HTTP/1.1\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n",
         }) {
        EXPECT_FALSE(isPlain(head)) << ::testing::PrintToString(head);
    }
}

TEST(PlainHeadTest, WhatExceedsALimitIsLeftToTheGuard) {
    const std::string_view head = "GET /0123 HTTP/1.1\r\nHost: a\r\nA: b\r\n\r\n";
    HttpLimits limits;
    limits.requestLineBytes = 20;  // with the line's end
    limits.headerBytes = 15;
    limits.headerCount = 2;
    EXPECT_TRUE(isPlain(head, limits));
    for (size_t HttpLimits::*const limit :
         {&HttpLimits::requestLineBytes, &HttpLimits::headerBytes, &HttpLimits::headerCount}) {
        HttpLimits less = limits;
        --(less.*limit);
        EXPECT_FALSE(isPlain(head, less));
    }
}

}  // namespace
}  // namespace tnet
