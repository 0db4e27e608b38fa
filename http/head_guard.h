// HeadGuard and ChunkGuard: what llhttp is too lenient about, checked on the bytes themselves.
//
// llhttp 8.1 takes a lone LF for a line end in places, several spaces in the request line, folded header
// lines, empty field names, and chunk extensions without limit. Two readers that disagree about where a
// line ends is how requests are smuggled (RFC 9112 §2.2, §11.2), so every line of a request passes here,
// too. What llhttp in its strict mode does refuse, such as control bytes within a line of the head, is
// left to it; tests/http/hostile_requests.cc holds the two together to the letter.
//
//     head:    bytes -> HeadGuard -> llhttp
//     chunked: bytes -> llhttp -> what it did not call body -> ChunkGuard -> only then the body piece
//
// Pure: no I/O, no allocation. A message may come in pieces of any size; the verdict is the same.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "http/types.h"

namespace tnet {

class HeadGuard {
public:
    explicit HeadGuard(const HttpLimits& limits) : m_limits(&limits) {}

    // For a new message.
    void reset() { *this = HeadGuard(*m_limits); }

    struct Verdict {
        size_t headBytes;  // how many of the bytes belong to lines of the head that are in order
        bool complete;     // the empty line that ends the head is the last of them
        int status;        // 0: in order so far; otherwise answer this and close
        const char* reason;
    };
    Verdict check(std::string_view bytes);

    // The length of the request line, without its line end; once it is complete.
    size_t requestLineBytes() const { return m_requestLineBytes; }

private:
    struct Fault {
        int status = 0;
        const char* reason = nullptr;
    };

    Fault checkFirstByte(char first) const;
    Fault addToLine(const char* piece, size_t size);
    Fault endLine(bool& headComplete);
    Fault checkVersion() const;

    const HttpLimits* m_limits;
    size_t m_lineBytes = 0;    // of the current line so far
    size_t m_headerBytes = 0;  // of the header lines before it
    size_t m_lines = 0;        // header lines before it
    size_t m_requestLineBytes = 0;
    std::array<char, 8> m_tail{};  // the last bytes of the request line: its version
    bool m_sawCr = false;          // the last byte was a CR
    bool m_inRequestLine = true;
    bool m_skippedEmpty = false;  // one empty line before the request line is allowed: RFC 9112 §2.2
};

class ChunkGuard {
public:
    explicit ChunkGuard(const HttpLimits& limits) : m_limits(&limits) {}
    void reset() { *this = ChunkGuard(*m_limits); }

    // `framing`: bytes of a chunked body that are not chunk data, all of them, in order. Returns null,
    // or what is wrong with them; `status` is then 400, or 431 for too many trailers.
    const char* check(std::string_view framing, int& status);

private:
    enum class State : uint8_t {
        SizeFirst,
        Size,
        ExtensionName,
        ExtensionNameMore,
        ExtensionValue,
        ExtensionToken,
        ExtensionQuoted,
        ExtensionQuoteEnd,
        SizeLf,
        DataCr,
        DataLf,
        TrailerFirst,
        Trailer,
        TrailerLf,
        EndLf,
        Done,
    };

    const char* checkOne(unsigned char byte, int& status);
    const char* sizeLineByte(unsigned char byte);
    const char* extensionByte(unsigned char byte);
    const char* trailerByte(unsigned char byte, int& status);

    const HttpLimits* m_limits;
    State m_state = State::SizeFirst;
    bool m_lastChunk = true;  // only zeros in the size so far
    size_t m_lineBytes = 0;
    size_t m_extensionBytes = 0;
    size_t m_trailerBytes = 0;
    size_t m_trailers = 0;
};

}  // namespace tnet
