// Chunked bodies with their trailers, against a plain decoder that has all the bytes; and cut against whole.
//
//     input: a line of fragment sizes, then the body
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "http/headers.h"
#include "http/parser.h"
#include "http/request.h"
#include "http/types.h"
#include "tests/fuzz/fuzz_input.h"

namespace tnet {
namespace {

using Event = HttpParser::Event;

constexpr std::string_view kHead = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
const HttpLimits kLimits{
    .headerBytes = 128, .headerCount = 4, .chunkLineBytes = 32, .chunkExtensionBytes = 64};

struct Decoded {
    enum class State : uint8_t { Waiting, Complete, Refused } state = State::Waiting;
    std::string body{};
    std::string trailers{};
    size_t used = 0;  // of the input
};

// A chunked body that is in order (RFC 9112 §7.1), or Waiting for whatever is not: it knows no strictness.
Decoded plainDecode(std::string_view in) {
    Decoded result;
    size_t at = 0;
    for (;;) {
        const size_t lineEnd = in.find("\r\n", at);
        if (lineEnd == std::string_view::npos) return result;
        const std::string line(in.substr(at, lineEnd - at));
        const size_t size = std::strtoull(line.c_str(), nullptr, 16);
        at = lineEnd + 2;
        if (size == 0) break;
        if (in.size() - at < size || in.substr(at + size, 2) != "\r\n") return result;
        result.body += in.substr(at, size);
        at += size + 2;
    }
    for (;;) {
        const size_t lineEnd = in.find("\r\n", at);
        if (lineEnd == std::string_view::npos) return result;
        const std::string_view line = in.substr(at, lineEnd - at);
        at = lineEnd + 2;
        if (line.empty()) break;
        result.trailers.append(line).append("\n");
    }
    result.state = Decoded::State::Complete;
    result.used = at;
    return result;
}

class Decoder {
public:
    explicit Decoder(const std::vector<std::string_view>& pieces) {
        m_parser.begin(&m_request);
        std::string_view head = kHead;
        EXPECT_EQ(m_parser.parse(head), Event::Headers);
        for (const std::string_view piece : pieces) {
            if (!feed(piece)) return;
        }
    }

    const Decoded& result() const { return m_result; }
    const HttpHeaders& trailers() const { return m_request.trailers(); }

private:
    bool feed(std::string_view piece) {
        const std::unique_ptr<char[]> exact(new char[piece.size()]);
        piece.copy(exact.get(), piece.size());
        std::string_view input(exact.get(), piece.size());
        for (;;) {
            const Event event = m_parser.parse(input);
            if (event == Event::Body) {
                m_result.body += m_parser.bodyPiece();
                continue;
            }
            if (event == Event::NeedMore) {
                EXPECT_TRUE(input.empty());
                m_result.used += piece.size();
                return true;
            }
            EXPECT_NE(event, Event::Headers);
            m_result.used += piece.size() - input.size();
            m_result.state = event == Event::Complete ? Decoded::State::Complete : Decoded::State::Refused;
            // What an error had read of its piece says nothing.
            if (event == Event::Error) m_result.used = 0;
            return false;
        }
    }

    HttpParser m_parser{kLimits};
    HttpRequest m_request{};
    Decoded m_result{};
};

std::string textOf(const HttpHeaders& trailers) {
    std::string text;
    for (size_t i = 0; i < trailers.size(); ++i)
        text.append(trailers[i].name).append(":").append(trailers[i].value).append("\n");
    return text;
}

std::string withoutBlanks(const std::string& text) {
    std::string rest;
    for (const char c : text) {
        if (c != ' ' && c != '\t') rest += c;
    }
    return rest;
}

void run(FuzzInput input) {
    const std::string_view sizes = input.line();
    const std::string_view body = input.rest();
    const Decoder whole({body});
    const Decoder inPieces(cut(body, sizes));
    EXPECT_EQ(inPieces.result().state, whole.result().state);
    EXPECT_EQ(inPieces.result().body, whole.result().body);
    EXPECT_EQ(inPieces.result().used, whole.result().used);
    if (whole.result().state != Decoded::State::Complete) return;
    EXPECT_EQ(textOf(inPieces.trailers()), textOf(whole.trailers()));
    const Decoded expected = plainDecode(body);
    EXPECT_EQ(expected.state, Decoded::State::Complete);
    EXPECT_EQ(expected.body, whole.result().body);
    EXPECT_EQ(expected.used, whole.result().used);
    EXPECT_EQ(withoutBlanks(expected.trailers), withoutBlanks(textOf(whole.trailers())));
}

}  // namespace
}  // namespace tnet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    tnet::run(tnet::FuzzInput(data, size));
    return 0;
}
