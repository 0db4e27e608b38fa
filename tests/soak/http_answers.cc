#include "tests/soak/http_answers.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace tnet {

bool HttpAnswers::take(std::string_view bytes) {
    while (!bytes.empty()) {
        if (m_expected.empty())
            return fail("bytes that nobody asked for: " + std::string(bytes.substr(0, 80)));
        if (!(m_isInBody ? takeBody(bytes) : takeHead(bytes))) return false;
    }
    return true;
}

bool HttpAnswers::takeHead(std::string_view& bytes) {
    constexpr std::string_view kEnd = "\r\n\r\n";
    // The end may lie across two reads.
    const size_t before = m_head.size();
    m_head += bytes;
    const size_t end = m_head.find(kEnd, before < kEnd.size() ? 0 : before - kEnd.size() + 1);
    if (end == std::string::npos) {
        bytes = {};
        return true;
    }
    bytes.remove_prefix(end + kEnd.size() - before);
    m_head.resize(end + 2);
    return readHead();
}

bool HttpAnswers::readHead() {
    constexpr std::string_view kLength = "\r\nContent-Length: ";
    const std::string status = "HTTP/1.1 " + std::to_string(m_expected.front().status) + " ";
    if (!m_head.starts_with(status)) return fail("an answer that begins with " + m_head.substr(0, 80));
    const size_t length = m_head.find(kLength);
    if (length == std::string::npos) return fail("no Content-Length");
    const char* const number = m_head.data() + length + kLength.size();
    if (std::from_chars(number, m_head.data() + m_head.size(), m_bodyBytes).ec != std::errc()) {
        return fail("no number in Content-Length");
    }
    const auto& body = m_expected.front().body;
    if (body && body->size() != m_bodyBytes)
        return fail("a body of " + std::to_string(m_bodyBytes) + " bytes");
    m_head.clear();
    m_head.shrink_to_fit();  // connections wait long, and hold nothing meanwhile
    m_isInBody = true;
    m_taken = 0;
    if (m_bodyBytes == 0) finish();
    return true;
}

bool HttpAnswers::takeBody(std::string_view& bytes) {
    const std::string_view piece = bytes.substr(0, m_bodyBytes - m_taken);
    const auto& body = m_expected.front().body;
    if (body && body->substr(m_taken, piece.size()) != piece) {
        return fail("another byte than expected, behind " + std::to_string(m_taken));
    }
    m_taken += piece.size();
    bytes.remove_prefix(piece.size());
    if (m_taken == m_bodyBytes) finish();
    return true;
}

void HttpAnswers::finish() {
    m_expected.pop_front();
    m_isInBody = false;
    if (m_expected.empty()) std::deque<Expected>().swap(m_expected);
}

bool HttpAnswers::fail(std::string error) {
    m_error = std::move(error);
    return false;
}

}  // namespace tnet
