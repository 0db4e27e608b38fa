// HttpParser, over requests that follow each other: what happens does not depend on how the bytes are cut, and what
// is accepted is in order.
//
//     input: a line of fragment sizes, then the bytes
#include "http/parser.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "http/headers.h"
#include "http/request.h"
#include "http/types.h"
#include "http/uri.h"
#include "tests/fuzz/fuzz_input.h"

namespace tnet {
namespace {

using Event = HttpParser::Event;

// Small, so that inputs of a kilobyte reach them.
const HttpLimits kLimits{.requestLineBytes = 256,
                         .headerBytes = 512,
                         .headerCount = 12,
                         .chunkLineBytes = 32,
                         .chunkExtensionBytes = 64};

void checkFields(const HttpHeaders& fields) {
    EXPECT_LE(fields.size(), kLimits.headerCount);
    for (size_t i = 0; i < fields.size(); ++i) {
        const auto& [name, value] = fields[i];
        EXPECT_TRUE(isToken(name)) << name;
        EXPECT_TRUE(isFieldValue(value)) << value;
        EXPECT_EQ(value.find_first_not_of(" \t"), value.empty() ? std::string_view::npos : 0) << value;
        EXPECT_TRUE(value.empty() || (value.back() != ' ' && value.back() != '\t')) << value;
    }
}

void checkHead(const HttpRequest& request) {
    checkFields(request.headers());
    const std::string_view head = request.headers().raw();
    EXPECT_TRUE(head.ends_with("\r\n\r\n"));
    EXPECT_EQ(head.find('\0'), std::string_view::npos);
    for (size_t i = 0; i < head.size(); ++i) {
        EXPECT_EQ(head[i] == '\n', i > 0 && head[i - 1] == '\r') << "a line end that is not CRLF, at " << i;
    }
    EXPECT_TRUE(request.authority().empty() || isValidAuthority(request.authority()));
    EXPECT_TRUE(!request.isHttp11() || !request.authority().empty());
    EXPECT_FALSE(request.headers().has("Content-Length") && request.headers().has("Transfer-Encoding"));
    EXPECT_FALSE(request.path().empty());
}

// All that happens, as text; the pieces of a body put together.
class Run {
public:
    explicit Run(std::string_view fragmentsOf, std::string_view sizes) {
        for (const std::string_view piece : cut(fragmentsOf, sizes)) {
            if (!feed(piece)) return;
        }
    }

    const std::string& events() const { return m_events; }

private:
    bool feed(std::string_view piece) {
        // Of the exact size, so that a sanitizer sees each step beyond it.
        const std::unique_ptr<char[]> exact(new char[piece.size()]);
        piece.copy(exact.get(), piece.size());
        std::string_view input(exact.get(), piece.size());
        // Behind a piece of a body the request may be complete without another byte.
        for (bool isPieceTaken = false; !input.empty() || isPieceTaken;) {
            if (!m_request) begin();
            const Event event = m_parser.parse(input);
            isPieceTaken = event == Event::Body;
            EXPECT_TRUE(event != Event::NeedMore || input.empty());
            if (!note(event)) return false;
        }
        return true;
    }

    void begin() {
        m_request = std::make_unique<HttpRequest>();
        m_parser.begin(m_request.get());
        m_bodyBytes = 0;
        m_hasHead = false;
        m_events += "begin\n";
    }

    bool note(Event event) {
        switch (event) {
            case Event::NeedMore: return true;
            case Event::Headers: noteHead(); return true;
            case Event::Body:
                EXPECT_TRUE(m_hasHead);
                EXPECT_FALSE(m_parser.bodyPiece().empty());
                m_bodyBytes += m_parser.bodyPiece().size();
                EXPECT_LE(m_bodyBytes, m_parser.announcedBytes());
                m_events += m_parser.bodyPiece();
                return true;
            case Event::Complete: noteComplete(); return true;
            case Event::Error: break;
        }
        const int status = m_parser.errorStatus();
        EXPECT_TRUE(status == 400 || status == 414 || status == 417 || status == 431 || status == 501 ||
                    status == 505)
            << status;
        EXPECT_STRNE(m_parser.errorReason(), "");
        // Of two defects, the cuts may decide which is found first, and so the status.
        m_events += "\nerror";
        return false;
    }

    void noteHead() {
        EXPECT_FALSE(m_hasHead);
        m_hasHead = true;
        checkHead(*m_request);
        m_events.append("head ").append(methodName(m_request->method())).append(m_request->headers().raw());
        m_events.append(m_request->path()).append("?").append(m_request->query()).append("@");
        m_events.append(m_request->authority()).append("\n");
    }

    void noteComplete() {
        if (!m_hasHead) noteHead();
        checkFields(m_request->trailers());
        EXPECT_EQ(m_bodyBytes, m_parser.announcedBytes());
        EXPECT_EQ(m_bodyBytes, m_request->contentLength().value_or(m_bodyBytes));
        const HttpHeaders& trailers = m_request->trailers();
        for (size_t i = 0; i < trailers.size(); ++i)
            m_events.append("\n").append(trailers[i].name).append(":").append(trailers[i].value);
        m_events += "\ncomplete\n";
        m_request.reset();
    }

    HttpParser m_parser{kLimits};
    std::unique_ptr<HttpRequest> m_request{};
    std::string m_events{};
    uint64_t m_bodyBytes = 0;
    bool m_hasHead = false;
};

}  // namespace
}  // namespace tnet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    tnet::FuzzInput input(data, size);
    const std::string_view sizes = input.line();
    // Behind it: a method that has no space yet is looked at in part only, and what is wrong with it shows later.
    const std::string bytes = std::string(input.rest()) + " \r\n\r\n";
    EXPECT_EQ(tnet::Run(bytes, sizes).events(), tnet::Run(bytes, {}).events());
    return 0;
}
