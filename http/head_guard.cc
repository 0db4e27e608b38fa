#include "http/head_guard.h"

#include <algorithm>
#include <cstring>

namespace tnet {
namespace {

// RFC 9110 §5.5, RFC 9112 §2.2: no control bytes but HTAB within a line. Written without early exit so
// that the compiler makes vector code of it.
bool hasControlBytes(std::string_view line) {
    unsigned bad = 0;
    for (const char c : line) {
        const auto byte = static_cast<unsigned char>(c);
        bad |= static_cast<unsigned>(byte < 0x20) & static_cast<unsigned>(byte != '\t');
        bad |= static_cast<unsigned>(byte == 0x7F);
    }
    return bad != 0;
}

bool isHexDigit(unsigned char byte) {
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F');
}

bool isBlank(unsigned char byte) {
    return byte == ' ' || byte == '\t';
}

}  // namespace

HeadGuard::Verdict HeadGuard::check(std::string_view bytes) {
    size_t at = 0;
    const auto refuse = [&at](int status, const char* reason) { return Verdict{at, false, status, reason}; };
    while (at < bytes.size()) {
        const std::string_view rest = bytes.substr(at);
        const auto* const lf = static_cast<const char*>(std::memchr(rest.data(), '\n', rest.size()));
        // The piece of the current line that is here, without its line end.
        size_t pieceSize = lf != nullptr ? static_cast<size_t>(lf - rest.data()) : rest.size();
        const bool crIsHere = pieceSize > 0 && rest[pieceSize - 1] == '\r';
        if (m_sawCr && pieceSize > 0) return refuse(400, "CR without LF");
        if (lf != nullptr && !crIsHere && !m_sawCr) return refuse(400, "LF without CR");
        if (crIsHere) --pieceSize;
        const std::string_view piece = rest.substr(0, pieceSize);
        if (m_lineBytes == 0 && !piece.empty()) {
            if (const char* const reason = beginLine(piece.front())) return refuse(400, reason);
        }
        if (hasControlBytes(piece)) return refuse(400, "control byte in the head");
        m_lineBytes += pieceSize;
        if (m_inRequestLine) {
            countRequestLine(piece);
            if (m_lineBytes > m_limits->requestLineBytes) return refuse(414, "request line too long");
            if (m_spaces > 2) return refuse(400, "more than two spaces in the request line");
        } else {
            if (m_headerBytes + m_lineBytes > m_limits->headerBytes) return refuse(431, "headers too large");
            if (m_lineBytes > 0 && m_lines >= m_limits->headerCount) return refuse(431, "too many headers");
        }
        if (lf == nullptr) {
            m_sawCr = crIsHere;
            return {bytes.size(), false, 0, nullptr};
        }
        m_sawCr = false;
        at += static_cast<size_t>(lf - rest.data()) + 1;
        const bool emptyLine = m_lineBytes == 0;
        if (m_inRequestLine) {
            if (emptyLine && m_skippedEmpty) return refuse(400, "empty lines before the request line");
            if (!emptyLine && m_spaces != 2) return refuse(400, "request line is not method, target, version");
            m_skippedEmpty = true;
            m_inRequestLine = emptyLine;
        } else {
            if (emptyLine) return {at, true, 0, nullptr};
            m_headerBytes += m_lineBytes + 2;
            ++m_lines;
        }
        m_lineBytes = 0;
    }
    return {at, false, 0, nullptr};
}

// RFC 9112 §2.2: no white space between the start line and the first header; §5.2: no folded lines.
const char* HeadGuard::beginLine(char first) {
    if (!isBlank(static_cast<unsigned char>(first))) return nullptr;
    return m_inRequestLine ? "white space before the request line" : "folded header line";
}

// RFC 9112 §3: method SP target SP version, single spaces.
void HeadGuard::countRequestLine(std::string_view piece) {
    m_spaces += static_cast<size_t>(std::count(piece.begin(), piece.end(), ' '));
    if (piece.find('\t') != std::string_view::npos) m_spaces += 3;  // never a separator here
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
        case State::Extension:
            return sizeLineByte(byte);
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
        case State::EndLf:
            return trailerByte(byte, status);
        case State::Done:
            break;
    }
    return "bytes behind the last chunk";
}

const char* ChunkGuard::sizeLineByte(unsigned char byte) {
    if (++m_lineBytes > m_limits->chunkLineBytes) return "chunk size line too long";
    if (byte == '\r') {
        m_state = State::SizeLf;
        return nullptr;
    }
    if (m_state == State::Size) {
        if (isHexDigit(byte)) {
            m_lastChunk = m_lastChunk && byte == '0';
            return nullptr;
        }
        if (byte != ';') return "chunk size is not hexadecimal";
        m_state = State::Extension;
    }
    if (byte < 0x20 || byte == 0x7F) return "control byte in chunk extension";
    if (++m_extensionBytes > m_limits->chunkExtensionBytes) return "chunk extensions too large";
    return nullptr;
}

const char* ChunkGuard::trailerByte(unsigned char byte, int& status) {
    switch (m_state) {
        case State::TrailerFirst:
            if (byte == '\r') {
                m_state = State::EndLf;
                return nullptr;
            }
            if (isBlank(byte)) return "folded trailer line";
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
        default:
            break;
    }
    if (++m_trailerBytes > m_limits->headerBytes) return status = 431, "trailers too large";
    if (byte == '\r') {
        m_state = State::TrailerLf;
        return nullptr;
    }
    if ((byte < 0x20 && byte != '\t') || byte == 0x7F) return "control byte in trailers";
    return nullptr;
}

}  // namespace tnet
