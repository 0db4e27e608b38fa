#include "http/parser.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "http/request.h"
#include "http/types.h"

namespace tnet {
namespace {

using namespace std::string_view_literals;

using Event = HttpParser::Event;

constexpr size_t kWhole = SIZE_MAX;
constexpr size_t kFragments[] = {kWhole, 1, 2, 3, 4, 5, 6, 7, 8, 16, 31};

std::string wireOf(const HttpHeaders& headers) {
    std::string text(headers.wireSize(), '?');
    headers.writeTo(text.data());
    return text;
}

// All that a handler can see of a request.
std::string describe(const HttpRequest& request, std::string_view body) {
    std::string text(methodName(request.method()));
    text.append(request.isHttp11() ? " 1.1 " : " 1.0 ").append(request.target());
    text.append(" path=").append(request.path()).append(" query=").append(request.query());
    text.append(" authority=").append(request.authority()).append("\n");
    text.append(wireOf(request.headers()));
    if (request.hasBody()) text.append("body, ");
    if (request.contentLength())
        text.append("length ").append(std::to_string(*request.contentLength())).append(", ");
    text.append("[").append(body).append("]\n").append(wireOf(request.trailers()));
    return text;
}

// What happened: "head", then a description per request; at last "error <status>", or "inside" if the
// input ends within a request.
using Events = std::vector<std::string>;

class ParserRun {
public:
    explicit ParserRun(const HttpLimits& limits = defaults()) : m_parser(limits) { begin(); }

    // False after an error.
    bool feed(std::string_view bytes) {
        const std::vector<char> exact(bytes.begin(), bytes.end());  // a sanitizer sees its end
        std::string_view input(exact.data(), exact.size());
        // Behind a body piece the request may be complete without another byte.
        while (!input.empty() || m_isPieceTaken) {
            m_isInside = true;
            if (!step(input)) return false;
        }
        return true;
    }

    Events end() {
        if (m_isInside) m_events.emplace_back("inside");
        return m_events;
    }

private:
    static const HttpLimits& defaults() {
        static const HttpLimits limits;
        return limits;
    }

    bool step(std::string_view& input) {
        const Event event = m_parser.parse(input);
        m_isPieceTaken = event == Event::Body;
        switch (event) {
            case Event::NeedMore: EXPECT_TRUE(input.empty()); return true;
            case Event::Headers:
                m_events.emplace_back("head");
                EXPECT_TRUE(m_request->hasBody());
                return true;
            case Event::Body:
                EXPECT_FALSE(m_parser.bodyPiece().empty());
                m_body += m_parser.bodyPiece();
                return true;
            case Event::Complete:
                m_events.push_back(describe(*m_request, m_body));
                begin();
                return true;
            case Event::Error:
                m_events.push_back("error " + std::to_string(m_parser.errorStatus()));
                EXPECT_STRNE(m_parser.errorReason(), "");
                m_isInside = false;
                return false;
        }
        return false;
    }

    void begin() {
        m_request = std::make_unique<HttpRequest>();
        m_body.clear();
        m_isInside = false;
        m_parser.begin(m_request.get());
    }

    HttpParser m_parser;
    std::unique_ptr<HttpRequest> m_request{};
    std::string m_body{};
    Events m_events{};
    bool m_isInside = false;
    bool m_isPieceTaken = false;
};

Events parseCut(std::string_view bytes, const std::function<size_t()>& nextSize) {
    ParserRun run;
    while (!bytes.empty()) {
        const std::string_view piece = bytes.substr(0, nextSize());
        bytes.remove_prefix(piece.size());
        if (!run.feed(piece)) break;
    }
    return run.end();
}

Events parseCut(std::string_view bytes, size_t fragment) {
    return parseCut(bytes, [fragment] { return fragment; });
}

void expectAtEveryCut(std::string_view bytes, const Events& expected) {
    SCOPED_TRACE(::testing::PrintToString(std::string(bytes.substr(0, 200))));
    for (const size_t fragment : kFragments) EXPECT_EQ(parseCut(bytes, fragment), expected) << fragment;
}

struct Row {
    std::string bytes;
    Events events;
};

// Valid requests, each with what they are.
const std::vector<Row>& validRequests() {
    const std::string host = "Host: a\r\n";
    static const std::vector<Row> rows = {
        {"GET / HTTP/1.1\r\n" + host + "\r\n", {"GET 1.1 / path=/ query= authority=a\nHost: a\r\n[]\n"}},
        {"GET / HTTP/1.0\r\n\r\n", {"GET 1.0 / path=/ query= authority=\n[]\n"}},
        {"\r\nGET / HTTP/1.1\r\n" + host + "\r\n", {"GET 1.1 / path=/ query= authority=a\nHost: a\r\n[]\n"}},
        // Targets.
        {"GET /a%20b/c?d=e&f?g HTTP/1.1\r\n" + host + "\r\n",
         {"GET 1.1 /a%20b/c?d=e&f?g path=/a%20b/c query=d=e&f?g authority=a\nHost: a\r\n[]\n"}},
        {"GET /? HTTP/1.1\r\n" + host + "\r\n", {"GET 1.1 /? path=/ query= authority=a\nHost: a\r\n[]\n"}},
        {"GET http://b.example:81/c?d HTTP/1.1\r\n" + host + "\r\n",
         {"GET 1.1 http://b.example:81/c?d path=/c query=d authority=b.example:81\nHost: a\r\n[]\n"}},
        {"GET http://b.example HTTP/1.1\r\n" + host + "\r\n",
         {"GET 1.1 http://b.example path=/ query= authority=b.example\nHost: a\r\n[]\n"}},
        {"OPTIONS * HTTP/1.1\r\n" + host + "\r\n",
         {"OPTIONS 1.1 * path=* query= authority=a\nHost: a\r\n[]\n"}},
        {"CONNECT b.example:443 HTTP/1.1\r\nHost: b.example:443\r\n\r\n",
         {"CONNECT 1.1 b.example:443 path=b.example:443 query= authority=b.example:443\n"
          "Host: b.example:443\r\n[]\n"}},
        // Fields.
        {"GET / HTTP/1.1\r\nhOsT:a.example:80\r\nX: \t b \tc \t \r\nEmpty:\r\nBlank: \t\r\nX: "
         "d\r\nY:\xC3\xA9\xFF\r\n\r\n",
         {"GET 1.1 / path=/ query= authority=a.example:80\n"
          "hOsT: a.example:80\r\nX: b \tc\r\nEmpty: \r\nBlank: \r\nX: d\r\nY: \xC3\xA9\xFF\r\n[]\n"}},
        {"GET / HTTP/1.1\r\n" + host + "Connection: close, foo\r\nUpgrade: x\r\nExpect: 100-continue\r\n\r\n",
         {"GET 1.1 / path=/ query= authority=a\nHost: a\r\nConnection: close, foo\r\nUpgrade: x\r\n"
          "Expect: 100-continue\r\n[]\n"}},
        // Bodies with a length.
        {"POST /p HTTP/1.1\r\n" + host + "Content-Length: 5\r\n\r\nhello",
         {"head",
          "POST 1.1 /p path=/p query= authority=a\nHost: a\r\nContent-Length: 5\r\nbody, length 5, "
          "[hello]\n"}},
        {"POST /p HTTP/1.0\r\ncontent-length:00005\r\n\r\nhello",
         {"head",
          "POST 1.0 /p path=/p query= authority=\ncontent-length: 00005\r\nbody, length 5, [hello]\n"}},
        {"POST /p HTTP/1.1\r\n" + host + "Content-Length: 0\r\n\r\n",
         {"POST 1.1 /p path=/p query= authority=a\nHost: a\r\nContent-Length: 0\r\nlength 0, []\n"}},
        {"GET /p HTTP/1.1\r\n" + host + "Content-Length: 3\r\n\r\n\r\n\n",
         {"head",
          "GET 1.1 /p path=/p query= authority=a\nHost: a\r\nContent-Length: 3\r\nbody, length 3, "
          "[\r\n\n]\n"}},
        {"POST /p HTTP/1.1\r\n" + host + "Content-Length: 18\r\n\r\nGET / HTTP/1.1\r\n\r\n",
         {"head",
          "POST 1.1 /p path=/p query= authority=a\nHost: a\r\nContent-Length: 18\r\n"
          "body, length 18, [GET / HTTP/1.1\r\n\r\n]\n"}},
        // Chunked ones.
        {"POST /p HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
         {"head",
          "POST 1.1 /p path=/p query= authority=a\nHost: a\r\nTransfer-Encoding: chunked\r\nbody, "
          "[hello]\n"}},
        {"POST /p HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         {"head",
          "POST 1.1 /p path=/p query= authority=a\nHost: a\r\nTransfer-Encoding: chunked\r\nbody, []\n"}},
        {"POST /p HTTP/1.1\r\n" + host +
             "Transfer-Encoding: Chunked\r\n\r\n1;a\r\nx\r\n00a;b;c=\"d;e "
             "f\";g=h\r\n0\r\n\r\n0123z\r\nB\r\n\r\nabcdefghi\r\n000;g\r\n\r\n",
         {"head",
          "POST 1.1 /p path=/p query= authority=a\nHost: a\r\nTransfer-Encoding: Chunked\r\n"
          "body, [x0\r\n\r\n0123z\r\nabcdefghi]\n"}},
        {"POST /p HTTP/1.1\r\n" + host +
             "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum:  7 \r\nY:\r\n\r\n",
         {"head",
          "POST 1.1 /p path=/p query= authority=a\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: "
          "X-Sum\r\n"
          "body, [abc]\nX-Sum: 7\r\nY: \r\n"}},
        // An upgrade that somebody may ignore does not end HTTP.
        {"POST /p HTTP/1.1\r\n" + host + "Connection: Upgrade\r\nUpgrade: x/1\r\nContent-Length: 2\r\n\r\nhi",
         {"head",
          "POST 1.1 /p path=/p query= authority=a\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x/1\r\n"
          "Content-Length: 2\r\nbody, length 2, [hi]\n"}},
    };
    return rows;
}

TEST(HttpParserTest, ValidRequestsAreTheSameAtEveryCut) {
    for (const Row& row : validRequests()) expectAtEveryCut(row.bytes, row.events);
}

TEST(HttpParserTest, PipelinedRequestsAreTheSameAtEveryCut) {
    Row all;
    for (const Row& row : validRequests()) {
        all.bytes += row.bytes;
        all.events.insert(all.events.end(), row.events.begin(), row.events.end());
    }
    expectAtEveryCut(all.bytes, all.events);
    std::minstd_rand random(11);
    for (int i = 0; i < 300; ++i) {
        ASSERT_EQ(parseCut(all.bytes, [&random] { return 1 + random() % 40; }), all.events) << i;
    }
}

// A head that is there as a whole may be read without llhttp (readPlainHead); one that comes byte by byte
// never is.
TEST(HttpParserTest, AlmostPlainHeadsAreTheSameWholeAndByteByByte) {
    constexpr std::string_view kPlain =
        "GET /a?b=c HTTP/1.1\r\nHost: a.example\r\nUser-Agent: some (text; in) parens\r\nAccept: */*\r\n"
        "Connection: keep-alive\r\n\r\n";
    constexpr std::string_view kTelling = "\r\n \t:;,/?#%.*@0159aA\0\x1F\x7F\x80\xFF-"sv;
    std::minstd_rand random(5);
    const auto below = [&random](size_t limit) { return random() % limit; };
    // Of several faults, which one is seen first depends on how much is there.
    const auto firstOf = [](const Events& events) {
        return events.front().starts_with("error") ? "error" : events.front();
    };
    for (int i = 0; i < 20000; ++i) {
        std::string bytes(kPlain);
        for (size_t n = below(3) + 1; n > 0; --n) {
            const size_t at = below(bytes.size());
            switch (below(4)) {
                case 0: bytes[at] = kTelling[below(kTelling.size())]; break;
                case 1: bytes.insert(at, 1, kTelling[below(kTelling.size())]); break;
                case 2: bytes.erase(at, below(4) + 1); break;
                default: bytes.insert(below(bytes.size()), bytes.substr(at, below(20))); break;
            }
        }
        ASSERT_EQ(firstOf(parseCut(bytes, kWhole)), firstOf(parseCut(bytes, 1)))
            << ::testing::PrintToString(bytes);
    }
}

TEST(HttpParserTest, EveryMethodOfHttpIsParsed) {
    for (size_t i = 0; i < kHttpMethodCount; ++i) {
        const auto method = static_cast<HttpMethod>(i);
        const std::string name(methodName(method));
        const std::string target = method == HttpMethod::Connect ? "a:1" : "/";
        const std::string authority = method == HttpMethod::Connect ? "a:1" : "a";
        expectAtEveryCut(name + " " + target + " HTTP/1.1\r\nHost: a\r\n\r\n",
                         {name + " 1.1 " + target + " path=" + target + " query= authority=" + authority +
                          "\nHost: a\r\n[]\n"});
    }
}

TEST(HttpParserTest, MethodsOfOtherProtocolsAreNotImplemented) {
    for (const std::string name : {"DESCRIBE", "SETUP", "PLAY", "ANNOUNCE", "RECORD", "FLUSH", "PRI"}) {
        expectAtEveryCut(name + " / HTTP/1.1\r\nHost: a\r\n\r\n", {"error 501"});
    }
}

TEST(HttpParserTest, RequestsThatEndEarlyWait) {
    for (const Row& row : validRequests()) {
        for (size_t size = 1; size < row.bytes.size(); ++size) {
            const Events events = parseCut(std::string_view(row.bytes).substr(0, size), kWhole);
            ASSERT_FALSE(events.empty());
            EXPECT_EQ(events.back(), "inside") << row.bytes.substr(0, size);
        }
    }
}

TEST(HttpParserTest, BodyPiecesAreViewsOfTheInput) {
    const HttpLimits limits;
    HttpParser parser(limits);
    HttpRequest request;
    parser.begin(&request);
    const std::string bytes =
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    std::string_view input = bytes;
    ASSERT_EQ(parser.parse(input), Event::Headers);
    EXPECT_TRUE(input.starts_with("3\r\n"));
    ASSERT_EQ(parser.parse(input), Event::Body);
    EXPECT_EQ(parser.bodyPiece(), "abc");
    EXPECT_EQ(parser.bodyPiece().data(), bytes.data() + bytes.find("abc"));
    ASSERT_EQ(parser.parse(input), Event::Body);
    EXPECT_EQ(parser.bodyPiece(), "de");
    ASSERT_EQ(parser.parse(input), Event::Complete);
    EXPECT_TRUE(input.empty());
}

TEST(HttpParserTest, StopsExactlyBehindARequest) {
    const std::string next = "GET /next HTTP/1.1\r\n";
    const std::string requests[] = {
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    };
    const HttpLimits limits;
    for (const std::string& bytes : requests) {
        HttpParser parser(limits);
        HttpRequest request;
        parser.begin(&request);
        const std::string all = bytes + next;
        std::string_view input = all;
        Event event = Event::NeedMore;
        do {
            event = parser.parse(input);
        } while (event == Event::Headers || event == Event::Body);
        EXPECT_EQ(event, Event::Complete) << bytes;
        EXPECT_EQ(input, next) << bytes;
    }
}

TEST(HttpParserTest, IsUsedAgainAfterAnythingThatWent) {
    const HttpLimits limits;
    HttpParser parser(limits);
    const std::string before[] = {
        "GET / HT",
        "BAD",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n",
        "GET / HTTP/1.1\r\nExpect: x\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhel",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    };
    for (const std::string& bytes : before) {
        HttpRequest first;
        parser.begin(&first);
        std::string_view input = bytes;
        Event event = Event::NeedMore;
        do {
            event = parser.parse(input);
        } while (event == Event::Headers || event == Event::Body);
        HttpRequest second;
        parser.begin(&second);
        std::string_view good = "GET /good HTTP/1.1\r\nHost: b\r\n\r\n";
        ASSERT_EQ(parser.parse(good), Event::Complete) << bytes;
        EXPECT_EQ(describe(second, {}), "GET 1.1 /good path=/good query= authority=b\nHost: b\r\n[]\n")
            << bytes;
    }
}

TEST(HttpParserTest, QueryParametersAreDecoded) {
    const HttpLimits limits;
    HttpParser parser(limits);
    HttpRequest request;
    parser.begin(&request);
    std::string_view input = "GET /?a=1%202+3&b&bad=%zz HTTP/1.1\r\nHost: a\r\n\r\n";
    ASSERT_EQ(parser.parse(input), Event::Complete);
    EXPECT_EQ(request.queryParam("a"), "1 2 3");
    EXPECT_EQ(request.queryParam("b"), "");
    EXPECT_EQ(request.queryParam("bad"), std::nullopt);
    EXPECT_EQ(request.queryParam("c"), std::nullopt);
    EXPECT_EQ(request.param("a"), "");
}

// RFC 9112 §7.1.1 allows it, but llhttp 8.1 takes the ';' behind an unquoted value for the line's end.
// Nobody sends such chunks; stricter than the rule is safe.
TEST(HttpParserTest, AnExtensionBehindAnUnquotedValueIsRefused) {
    expectAtEveryCut(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;a=b;c\r\nx\r\n0\r\n\r\n",
        {"head", "error 400"});
}

// One of each kind here; hostile_test has them all, through the whole stack.
TEST(HttpParserTest, RefusalsAreTheSameAtEveryCut) {
    struct Refused {
        std::string bytes;
        Events events;
    };
    const std::string line = "GET / HTTP/1.1\r\n";
    const std::string chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    const Refused rows[] = {
        {"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", {"error 501"}},
        {"G@T / HTTP/1.1\r\nHost: a\r\n\r\n", {"error 400"}},
        {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", {"error 505"}},
        {"GET / HTTP/1.x\r\nHost: a\r\n\r\n", {"error 400"}},
        {"GET / HTPP/1.1\r\nHost: a\r\n\r\n", {"error 400"}},
        {"GET x HTTP/1.1\r\nHost: a\r\n\r\n", {"error 400"}},
        {line + "\r\n", {"error 400"}},
        {line + "Host: a\r\nHost: a\r\n\r\n", {"error 400"}},
        {line + "Host: a b\r\n\r\n", {"error 400"}},
        {line + "Host : a\r\n\r\n", {"error 400"}},
        {"GE\rT / HTTP/1.1\r\nHost: a\r\n\r\n", {"error 400"}},
        {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", {"error 400"}},
        {"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", {"error 400"}},
        {"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", {"error 400"}},
        {"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", {"error 400"}},
        {line + "Host: a\r\nX: b\rY: c\r\n\r\n", {"error 400"}},
        {line + "Host: a\r\nX:\rY: c\r\n\r\n", {"error 400"}},
        {line + "Host: a\r\nX: b\r\r\n\r\n", {"error 400"}},
        {line + "Host: a\r\n\r\r\n", {"error 400"}},
        {line + "Host: a\r\n\rX\r\n\r\n", {"error 400"}},
        {line + "Host: a\r\nX: b\x0B\r\n\r\n", {"error 400"}},
        {line + "Host: a\r\nX: " + std::string(1, '\0') + "\r\n\r\n", {"error 400"}},
        {line + "Host: a\r\nX: \x7F\r\n\r\n", {"error 400"}},
        {line + "Host: a\r\nno colon\r\n\r\n", {"error 400"}},
        {line + "Host: a\r\n: x\r\n\r\n", {"error 400"}},
        {line + "Host: a\r\nExpect: x\r\n\r\n", {"error 417"}},
        {line + "Host: a\r\nX:" + std::string(20000, ' ') + "\r\n\r\n", {"error 431"}},
        {"GET /" + std::string(9000, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n", {"error 414"}},
        {line + "Host: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", {"error 400"}},
        {line + "Host: a\r\nContent-Length: +1\r\n\r\n", {"error 400"}},
        {line + "Host: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", {"error 400"}},
        {line + "Host: a\r\nTransfer-Encoding: gzip\r\n\r\n", {"error 400"}},
        {line + "Host: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", {"error 501"}},
        {"GET / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", {"error 400"}},
        {chunked + "x\r\n", {"head", "error 400"}},
        {chunked + "5\r\nhelloX", {"head", "error 400"}},
        {chunked + "5;" + std::string(300, 'a') + "\r\n", {"head", "error 400"}},
        {chunked + "0\r\n\n", {"head", "error 400"}},
        {chunked + "0\r\nno colon\r\n\r\n", {"head", "error 400"}},
        {chunked + "0\r\nX: " + std::string(20000, 'v') + "\r\n\r\n", {"head", "error 431"}},
    };
    for (const Refused& row : rows) expectAtEveryCut(row.bytes, row.events);
}

}  // namespace
}  // namespace tnet
