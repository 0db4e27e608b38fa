#include "http/head_guard.h"

#include <cstring>
#include <utility>

#include "http/headers.h"

namespace tnet {
namespace {

bool isControl(unsigned char byte) { return byte < 0x20 || byte == 0x7F; }

bool isHexDigit(unsigned char byte) {
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F');
}

bool isDigit(char c) { return c >= '0' && c <= '9'; }

bool isBlank(char c) { return c == ' ' || c == '\t'; }

bool isTokenByte(unsigned char byte) {
    const char c = static_cast<char>(byte);
    return isToken({&c, 1});
}

}  // namespace

HeadGuard::Verdict HeadGuard::check(std::string_view bytes) {
    const char* const begin = bytes.data();
    const char* const end = begin + bytes.size();
    const char* line = begin;  // where what is here of the current line begins
    const auto refuse = [&](Fault fault) {
        return Verdict{static_cast<size_t>(line - begin), false, fault.status, fault.reason};
    };
    while (line != end) {
        const auto* const lf =
            static_cast<const char*>(std::memchr(line, '\n', static_cast<size_t>(end - line)));
        const char* pieceEnd = lf != nullptr ? lf : end;
        // A CR that ends a piece is half a line end; llhttp refuses one anywhere else.
        const bool endsInCr = pieceEnd != line ? pieceEnd[-1] == '\r' : m_sawCr;
        if (pieceEnd != line && m_sawCr) return refuse({400, "CR without LF"});
        if (pieceEnd != line && endsInCr) --pieceEnd;
        if (lf != nullptr && !endsInCr) return refuse({400, "LF without CR"});
        if (pieceEnd != line) {
            if (m_lineBytes == 0) {
                if (const Fault fault = checkFirstByte(*line); fault.status != 0) return refuse(fault);
            }
            if (const Fault fault = addToLine(line, static_cast<size_t>(pieceEnd - line));
                fault.status != 0) {
                return refuse(fault);
            }
        }
        m_sawCr = lf == nullptr && endsInCr;
        if (lf == nullptr) break;
        bool headComplete = false;
        if (const Fault fault = endLine(headComplete); fault.status != 0) return refuse(fault);
        line = lf + 1;
        if (headComplete) return {static_cast<size_t>(line - begin), true, 0, nullptr};
    }
    return {bytes.size(), false, 0, nullptr};
}

// RFC 9112 §2.2: no white space between the start line and the first header; §5.2: no folded lines.
// RFC 9110 §5.1: a field name has at least one byte.
HeadGuard::Fault HeadGuard::checkFirstByte(char first) const {
    if (isBlank(first))
        return {400, m_inRequestLine ? "white space before the request line" : "folded header line"};
    if (first == ':' && !m_inRequestLine) return {400, "header without a name"};
    return {};
}

HeadGuard::Fault HeadGuard::addToLine(const char* piece, size_t size) {
    m_lineBytes += size;
    if (m_inRequestLine) {
        if (size >= m_tail.size()) {
            std::memcpy(m_tail.data(), piece + size - m_tail.size(), m_tail.size());
        } else {
            std::memmove(m_tail.data(), m_tail.data() + size, m_tail.size() - size);
            std::memcpy(m_tail.data() + m_tail.size() - size, piece, size);
        }
        if (m_lineBytes > m_limits->requestLineBytes) return {414, "request line too long"};
        return {};
    }
    if (m_headerBytes + m_lineBytes > m_limits->headerBytes) return {431, "headers too large"};
    if (m_lineBytes > 0 && m_lines >= m_limits->headerCount) return {431, "too many headers"};
    return {};
}

HeadGuard::Fault HeadGuard::endLine(bool& headComplete) {
    const size_t lineBytes = std::exchange(m_lineBytes, size_t{0});
    if (!m_inRequestLine) {
        headComplete = lineBytes == 0;
        m_headerBytes += lineBytes + 2;
        ++m_lines;
        return {};
    }
    if (lineBytes == 0) {
        if (std::exchange(m_skippedEmpty, true)) return {400, "empty lines before the request line"};
        return {};
    }
    m_requestLineBytes = lineBytes;
    m_inRequestLine = false;
    return checkVersion();
}

// RFC 9112 §2.3, and RFC 9110 §6.2: a higher minor version is one this server can answer.
HeadGuard::Fault HeadGuard::checkVersion() const {
    const bool isVersion = std::memcmp(m_tail.data(), "HTTP/", 5) == 0 && isDigit(m_tail[5]) &&
                           m_tail[6] == '.' && isDigit(m_tail[7]) && m_requestLineBytes > m_tail.size();
    if (!isVersion) return {400, "request line does not end in a version"};
    if (m_tail[5] != '1') return {505, "HTTP version"};
    return {};
}

const char* ChunkGuard::check(std::string_view framing, int& status) {
    for (const char c : framing) {
        if (const char* const reason = checkOne(static_cast<unsigned char>(c), status)) return reason;
    }
    return nullptr;
}

// RFC 9112 §7.1.
const char* ChunkGuard::checkOne(unsigned char byte, int& status) {
    status = 400;
    switch (m_state) {
        case State::SizeFirst:
            m_lineBytes = 0;
            m_lastChunk = true;
            if (!isHexDigit(byte)) return "chunk size is not hexadecimal";
            m_state = State::Size;
            return sizeLineByte(byte);
        case State::Size:
        case State::ExtensionName:
        case State::ExtensionNameMore:
        case State::ExtensionValue:
        case State::ExtensionToken:
        case State::ExtensionQuoted:
        case State::ExtensionQuoteEnd: return sizeLineByte(byte);
        case State::SizeLf:
            if (byte != '\n') return "CR without LF in chunk size";
            m_state = m_lastChunk ? State::TrailerFirst : State::DataCr;
            return nullptr;
        case State::DataCr:
            if (byte != '\r') return "no CRLF after chunk data";
            m_state = State::DataLf;
            return nullptr;
        case State::DataLf:
            if (byte != '\n') return "no CRLF after chunk data";
            m_state = State::SizeFirst;
            return nullptr;
        case State::TrailerFirst:
        case State::Trailer:
        case State::TrailerLf:
        case State::EndLf: return trailerByte(byte, status);
        case State::Done: break;
    }
    return "bytes behind the last chunk";
}

const char* ChunkGuard::sizeLineByte(unsigned char byte) {
    if (++m_lineBytes > m_limits->chunkLineBytes) return "chunk size line too long";
    if (m_state != State::Size) {
        if (++m_extensionBytes > m_limits->chunkExtensionBytes) return "chunk extensions too large";
        return extensionByte(byte);
    }
    if (isHexDigit(byte)) {
        m_lastChunk = m_lastChunk && byte == '0';
    } else if (byte == '\r') {
        m_state = State::SizeLf;
    } else if (byte == ';') {
        m_state = State::ExtensionName;
    } else {
        return "chunk size is not hexadecimal";
    }
    return nullptr;
}

// RFC 9112 §7.1.1, without the white space that "bad" senders put there: ";" token [ "=" (token / quoted) ].
const char* ChunkGuard::extensionByte(unsigned char byte) {
    constexpr const char* kMalformed = "malformed chunk extension";
    switch (m_state) {
        case State::ExtensionName:
        case State::ExtensionValue:
            if (byte == '"' && m_state == State::ExtensionValue) {
                m_state = State::ExtensionQuoted;
                return nullptr;
            }
            if (!isTokenByte(byte)) return kMalformed;
            m_state = m_state == State::ExtensionName ? State::ExtensionNameMore : State::ExtensionToken;
            return nullptr;
        case State::ExtensionQuoted:
            if (byte == '"') {
                m_state = State::ExtensionQuoteEnd;
            } else if (isControl(byte) && byte != '\t') {
                return kMalformed;
            }
            return nullptr;
        default: break;
    }
    if (byte == '\r') {
        m_state = State::SizeLf;
    } else if (byte == ';') {
        m_state = State::ExtensionName;
    } else if (byte == '=' && m_state == State::ExtensionNameMore) {
        m_state = State::ExtensionValue;
    } else if (!isTokenByte(byte) || m_state == State::ExtensionQuoteEnd) {
        return kMalformed;
    }
    return nullptr;
}

const char* ChunkGuard::trailerByte(unsigned char byte, int& status) {
    switch (m_state) {
        case State::TrailerFirst:
            if (byte == '\r') {
                m_state = State::EndLf;
                return nullptr;
            }
            if (isBlank(static_cast<char>(byte))) return "folded trailer line";
            if (byte == ':') return "trailer without a name";
            if (++m_trailers > m_limits->headerCount) return status = 431, "too many trailers";
            m_state = State::Trailer;
            break;
        case State::TrailerLf:
            if (byte != '\n') return "CR without LF in trailers";
            m_state = State::TrailerFirst;
            return nullptr;
        case State::EndLf:
            if (byte != '\n') return "CR without LF in trailers";
            m_state = State::Done;
            return nullptr;
        default: break;
    }
    if (++m_trailerBytes > m_limits->headerBytes) return status = 431, "trailers too large";
    if (byte == '\r') {
        m_state = State::TrailerLf;
        return nullptr;
    }
    if (isControl(byte) && byte != '\t') return "control byte in trailers";
    return nullptr;
}

}  // namespace tnet
