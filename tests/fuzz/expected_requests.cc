#include "tests/fuzz/expected_requests.h"

#include "http/field_list.h"
#include "http/parser.h"
#include "http/request.h"

namespace tnet {
namespace {

// RFC 9112 §9.3, over all lines.
bool asksToKeepAlive(const HttpRequest& request) {
    const bool close = listContains(request.headers(), "Connection", "close");
    const bool keepAlive = listContains(request.headers(), "Connection", "keep-alive");
    return !close && (request.isHttp11() || keepAlive);
}

void noteHead(const HttpRequest& request, ExpectedRequest& expected) {
    expected.hasHead = true;
    expected.method = request.method();
    expected.target = std::string(request.target());
    expected.isHttp11 = request.isHttp11();
    expected.keepsAlive = asksToKeepAlive(request);
    expected.expectsContinue = request.headers().has("Expect");
}

// Reads one, from the front of `rest`.
ExpectedRequest readOne(HttpParser& parser, std::string_view& rest, const HttpLimits& limits) {
    HttpRequest request;
    ExpectedRequest expected;
    parser.begin(&request);
    while (!expected.isComplete && !expected.isRefused) {
        switch (parser.parse(rest)) {
            case HttpParser::Event::NeedMore:
                expected.isRefused = parser.announcedBytes() > limits.bodyBytes;
                return expected;
            case HttpParser::Event::Headers: noteHead(request, expected); break;
            case HttpParser::Event::Body: expected.body += parser.bodyPiece(); break;
            case HttpParser::Event::Complete:
                noteHead(request, expected);
                expected.isComplete = true;
                break;
            case HttpParser::Event::Error: expected.isRefused = true; break;
        }
        if (expected.hasHead && parser.announcedBytes() > limits.bodyBytes) {
            expected.isRefused = true;
            expected.isComplete = false;
        }
    }
    return expected;
}

}  // namespace

std::vector<ExpectedRequest> expectedRequests(std::string_view bytes, const HttpLimits& limits) {
    HttpParser parser(limits);
    std::vector<ExpectedRequest> all;
    std::string_view rest = bytes;
    while (!rest.empty() && (all.empty() || all.back().isComplete)) {
        all.push_back(readOne(parser, rest, limits));
        all.back().end = bytes.size() - rest.size();
    }
    return all;
}

}  // namespace tnet
