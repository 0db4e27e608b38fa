#include "http/response_head.h"

#include <gtest/gtest.h>

#include <chrono>
#include <climits>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "http/response.h"
#include "tests/support/manual_clock.h"

namespace tnet {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::system_clock;

using Body = ResponseFraming::Body;
using Field = ResponseFraming::Connection;

constexpr std::string_view kDate = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";

system_clock::time_point wallAt(int64_t unixSeconds, milliseconds part = {}) {
    return system_clock::time_point(seconds(unixSeconds)) + part;
}

std::string headOf(const HttpResponse& response, const ResponseFraming& framing = {}) {
    std::vector<char> room(responseHeadBound(response));  // a sanitizer sees its end
    return {room.data(), writeResponseHead(room.data(), response, framing, kDate)};
}

// --- Date ---

TEST(HttpDateTest, IsAnImfFixdate) {
    struct Row {
        int64_t unixSeconds;
        std::string_view line;
    };
    constexpr Row kRows[] = {
        {784111777, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"},  // RFC 9110 §5.6.7's own example
        {0, "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"},
        {951782400, "Date: Tue, 29 Feb 2000 00:00:00 GMT\r\n"},
        {1609459199, "Date: Thu, 31 Dec 2020 23:59:59 GMT\r\n"},
        {4102444800, "Date: Fri, 01 Jan 2100 00:00:00 GMT\r\n"},  // beyond 32 bits
    };
    for (const Row& row : kRows) {
        ManualClock clock;
        clock.setWall(wallAt(row.unixSeconds));
        EXPECT_EQ(HttpDate(clock).line(clock.now()), row.line);
    }
}

TEST(HttpDateTest, ChangesWithTheSecondOfTheDay) {
    ManualClock clock;
    clock.setWall(wallAt(784111777, milliseconds(400)));
    HttpDate date(clock);
    EXPECT_EQ(date.line(clock.now()), "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
    clock.advance(milliseconds(599));
    EXPECT_EQ(date.line(clock.now()), "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
    clock.advance(milliseconds(1));
    EXPECT_EQ(date.line(clock.now()), "Date: Sun, 06 Nov 1994 08:49:38 GMT\r\n");
    clock.advance(milliseconds(999));
    EXPECT_EQ(date.line(clock.now()), "Date: Sun, 06 Nov 1994 08:49:38 GMT\r\n");
    clock.advance(std::chrono::hours(30));
    EXPECT_EQ(date.line(clock.now()), "Date: Mon, 07 Nov 1994 14:49:38 GMT\r\n");
}

// A clock that counts how often it is asked.
class CountingClock final : public Clock {
public:
    TimePoint now() const override { return m_clock.now(); }
    system_clock::time_point wallNow() const override {
        ++m_asked;
        return m_clock.wallNow();
    }
    ManualClock& manual() { return m_clock; }
    int asked() const { return m_asked; }

private:
    ManualClock m_clock;
    mutable int m_asked = 0;
};

TEST(HttpDateTest, IsComputedOnceASecond) {
    CountingClock clock;
    HttpDate date(clock);
    for (int i = 0; i < 3000; ++i) {
        date.line(clock.now());
        clock.manual().advance(milliseconds(1));
    }
    EXPECT_LE(clock.asked(), 4);
    EXPECT_GE(clock.asked(), 3);
}

TEST(HttpDateTest, FollowsTheTimeOfDayWithinASecondWhenItIsSet) {
    ManualClock clock;
    clock.setWall(wallAt(784111777));
    HttpDate date(clock);
    date.line(clock.now());
    for (const int64_t jump : {784111777 - 86400, 784111777 + 86400}) {
        clock.setWall(wallAt(jump));
        clock.advance(seconds(1));
        ManualClock expected;
        expected.setWall(wallAt(jump + 1));
        EXPECT_EQ(date.line(clock.now()), HttpDate(expected).line(expected.now()));
    }
}

TEST(HttpDateTest, StandsBeforeTheEpochToo) {
    ManualClock clock;
    clock.setWall(wallAt(-1, milliseconds(250)));
    HttpDate date(clock);
    EXPECT_EQ(date.line(clock.now()), "Date: Wed, 31 Dec 1969 23:59:59 GMT\r\n");
    clock.advance(milliseconds(750));
    EXPECT_EQ(date.line(clock.now()), "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n");
}

// --- The head ---

TEST(ResponseHeadTest, StatusLinesKeepTheirSpace) {
    EXPECT_EQ(headOf(HttpResponse(200)),
              "HTTP/1.1 200 OK\r\n" + std::string(kDate) + "Content-Length: 0\r\n\r\n");
    EXPECT_EQ(headOf(HttpResponse(404)).substr(0, 24), "HTTP/1.1 404 Not Found\r\n");
    // RFC 9112 §4: the space stays where there is no phrase.
    EXPECT_EQ(headOf(HttpResponse(299)).substr(0, 15), "HTTP/1.1 299 \r\n");
}

TEST(ResponseHeadTest, FramingIsWhatTheSenderSays) {
    struct Row {
        ResponseFraming framing;
        std::string_view lines;
    };
    const Row rows[] = {
        {{Body::Length, 13, Field::Unsaid}, "Content-Length: 13\r\n"},
        {{Body::Length, 18446744073709551615U, Field::Unsaid}, "Content-Length: 18446744073709551615\r\n"},
        {{Body::Chunked, 0, Field::Unsaid}, "Transfer-Encoding: chunked\r\n"},
        {{Body::UntilClose, 0, Field::Close}, "Connection: close\r\n"},
        {{Body::None, 0, Field::Unsaid}, ""},
        {{Body::Length, 0, Field::Close}, "Content-Length: 0\r\nConnection: close\r\n"},
        {{Body::Length, 0, Field::KeepAlive}, "Content-Length: 0\r\nConnection: keep-alive\r\n"},
    };
    for (const Row& row : rows) {
        EXPECT_EQ(headOf(HttpResponse(200), row.framing),
                  "HTTP/1.1 200 OK\r\n" + std::string(kDate) + std::string(row.lines) + "\r\n");
    }
}

TEST(ResponseHeadTest, FramingFieldsOfTheHandlerAreLeftOut) {
    HttpResponse response(200);
    response.headers().add("X-First", "1");
    for (const std::string_view name : {"Content-Length", "cOnTeNt-LeNgTh", "Transfer-Encoding",
                                        "TRANSFER-ENCODING", "Connection", "connection"}) {
        response.headers().add(name, "7");
    }
    response.headers().add("X-Last", "2");
    EXPECT_EQ(headOf(response, {Body::Length, 3, Field::Close}),
              "HTTP/1.1 200 OK\r\n" + std::string(kDate) +
                  "Content-Length: 3\r\nConnection: close\r\nX-First: 1\r\nX-Last: 2\r\n\r\n");
}

TEST(ResponseHeadTest, FieldsThatResembleThemStay) {
    HttpResponse response(200);
    response.headers().add("Content-Lengths", "1");
    response.headers().add("Connections", "2");
    response.headers().add("Keep-Alives", "3");  // as long as Connection
    EXPECT_NE(headOf(response).find("Content-Lengths: 1\r\nConnections: 2\r\nKeep-Alives: 3\r\n\r\n"),
              std::string::npos);
}

TEST(ResponseHeadTest, AHandlersDateIsTheOnlyOne) {
    HttpResponse response(200);
    response.headers().add("date", "Mon, 01 Jan 2001 00:00:00 GMT");
    EXPECT_EQ(headOf(response),
              "HTTP/1.1 200 OK\r\nContent-Length: 0\r\ndate: Mon, 01 Jan 2001 00:00:00 GMT\r\n\r\n");
}

TEST(ResponseHeadTest, NeedsNoMoreRoomThanItsBound) {
    for (const int status : {200, 431, 511, 599, 99999, INT_MIN}) {
        for (const size_t fields : {0, 1, 100}) {
            HttpResponse response(status);
            for (size_t i = 0; i < fields; ++i) response.headers().add("X", std::string(100, 'v'));
            const std::string head = headOf(response, {Body::Length, UINT64_MAX, Field::KeepAlive});
            EXPECT_LE(head.size(), responseHeadBound(response));
            EXPECT_TRUE(head.ends_with("\r\n\r\n"));
        }
    }
}

TEST(ResponseHeadTest, SomeStatusesHaveNoBody) {
    for (const int status : {100, 101, 103, 199, 204, 205, 304}) {
        EXPECT_FALSE(statusHasBody(status)) << status;
        EXPECT_EQ(framingWithoutBody(status).body, status == 205 ? Body::Length : Body::None) << status;
        EXPECT_EQ(framingWithoutBody(status).length, 0U) << status;
    }
    for (const int status : {200, 201, 206, 300, 303, 305, 400, 404, 500, 599}) {
        EXPECT_TRUE(statusHasBody(status)) << status;
    }
}

// --- HttpResponse ---

// None of these compiled but the literal and the string that is moved.
TEST(HttpResponseTest, TakesEveryKindOfText) {
    const std::string_view view = std::string_view("text and more").substr(0, 4);
    const std::string text = "text";
    const char* const pointer = "text";
    for (const HttpResponse& response :
         {HttpResponse::text(view), HttpResponse::text(text), HttpResponse::text(std::string("text")),
          HttpResponse::text(pointer), HttpResponse::text("text"), HttpResponse::html(view),
          HttpResponse::html("text"), HttpResponse::json(view), HttpResponse::json("text"),
          HttpResponse().setBody(view), HttpResponse().setBody(text),
          HttpResponse().setBody(std::string("text")), HttpResponse().setBody(pointer),
          HttpResponse().setBody("text")}) {
        EXPECT_EQ(response.text(), "text");
        EXPECT_EQ(response.status(), 200);
    }
    EXPECT_EQ(HttpResponse::text(view, 404).status(), 404);
    EXPECT_EQ(HttpResponse::text("text", 404).status(), 404);
}

// header() twice kept the last cookie only, and addHeader() was there on headers() alone, which ends a chain.
TEST(HttpResponseTest, AddHeaderKeepsAndHeaderReplaces) {
    HttpResponse response =
        HttpResponse::text("a").addHeader("Set-Cookie", "a=1").addHeader("set-cookie", "b=2");
    EXPECT_EQ(response.headers().size(), 3U);
    EXPECT_EQ(response.headers()[1].value, "a=1");
    EXPECT_EQ(response.headers()[2].value, "b=2");
    response.addHeader("X", "1").header("Set-Cookie", "c=3");
    EXPECT_EQ(response.headers().size(), 3U);
    EXPECT_EQ(response.headers().get("Set-Cookie"), "c=3");
    EXPECT_THROW(response.addHeader("X", "1\r\nY: 2"), std::invalid_argument);
}

TEST(HttpResponseTest, MakersSayTheirType) {
    struct Row {
        HttpResponse response;
        int status;
        std::string_view type;
        std::string_view body;
    };
    const Row rows[] = {
        {HttpResponse::text("a"), 200, "text/plain; charset=utf-8", "a"},
        {HttpResponse::text("a", 201), 201, "text/plain; charset=utf-8", "a"},
        {HttpResponse::html("<p>", 404), 404, "text/html; charset=utf-8", "<p>"},
        {HttpResponse::json("{}"), 200, "application/json", "{}"},
        {HttpResponse::error(404), 404, "text/plain; charset=utf-8", "404 Not Found\n"},
        {HttpResponse::error(599), 599, "text/plain; charset=utf-8", "599\n"},
    };
    for (const Row& row : rows) {
        EXPECT_EQ(row.response.status(), row.status);
        EXPECT_EQ(row.response.headers().get("Content-Type"), row.type);
        EXPECT_EQ(row.response.text(), row.body);
        EXPECT_EQ(row.response.bodySize(), row.body.size());
    }
    const HttpResponse redirect = HttpResponse::redirect("/there");
    EXPECT_EQ(redirect.status(), 302);
    EXPECT_EQ(redirect.headers().get("Location"), "/there");
    EXPECT_EQ(HttpResponse::redirect("/", 308).status(), 308);
}

TEST(HttpResponseTest, EveryKindOfBodyHasItsSize) {
    EXPECT_EQ(HttpResponse(200).bodySize(), 0U);
    EXPECT_EQ(HttpResponse(200).setBody("12345").bodySize(), 5U);
    EXPECT_EQ(HttpResponse(200).setBody(std::make_shared<const std::string>("123")).bodySize(), 3U);
    EXPECT_EQ(HttpResponse(200).setBody(SharedBytesPtr_t()).bodySize(), 0U);
    EXPECT_EQ(HttpResponse(200).setBody(HttpResponse::FileBody{nullptr, 0, 77}).bodySize(), 77U);
}

TEST(HttpResponseTest, HeaderReplaces) {
    const HttpResponse response = HttpResponse::text("a").header("Content-Type", "text/x").header("X", "1");
    EXPECT_EQ(response.headers().size(), 2U);
    EXPECT_EQ(response.headers().get("Content-Type"), "text/x");
}

}  // namespace
}  // namespace tnet
