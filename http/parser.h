// HttpParser: turns the bytes of HTTP/1 requests into an HttpRequest, one request at a time.
//
//     bytes -> HeadGuard -> llhttp -> (ChunkGuard) -> HttpRequest, body pieces
//
// A pull parser: parse() consumes from its input until something happens and says what. It stops
// behind each complete request, so whoever drives it decides when the next one is looked at.
//
// Everything that RFC 9112 lets a server refuse as ambiguous is refused: docs/strictness.md lists it.
// parser.cc is the only includer of llhttp.
//
// Threads: one. Lifetime: the limits are borrowed for its life, the request from begin() to the next.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "http/head_guard.h"
#include "http/request.h"
#include "http/types.h"

namespace tnet {

class HttpParser {
public:
    enum class Event : uint8_t {
        NeedMore,  // the input is used up
        Headers,   // the head of a request with a body is complete
        Body,      // bodyPiece() is the next part of the body
        Complete,  // the request is complete
        Error,     // answer errorStatus() and close; the parser is done for
    };

    explicit HttpParser(const HttpLimits& limits);
    ~HttpParser();

    HttpParser(const HttpParser&) = delete;
    HttpParser& operator=(const HttpParser&) = delete;

    // Begins the next request, to be written into `request`, which is empty.
    void begin(HttpRequest* request);

    // Consumes from the front of `input`. Not to be called after Complete or Error without begin().
    Event parse(std::string_view& input);

    // After Body: a view into the input of that call.
    std::string_view bodyPiece() const { return m_bodyPiece; }

    // After Error.
    int errorStatus() const { return m_errorStatus; }
    const char* errorReason() const { return m_errorReason; }  // static

private:
    struct Machine;  // llhttp's

    Event parseHead(std::string_view& input);
    Event parseBody(std::string_view& input);
    int execute(std::string_view bytes);
    Event headComplete();
    const char* checkFraming();
    const char* checkTarget();
    const char* noteField(HttpHeaders::Field field);
    const char* noteTransferEncoding(std::string_view value);
    const char* noteContentLength(std::string_view value);
    Event refuse(int status, const char* reason);
    Event refuseAsMachine(std::string_view input);

    const HttpLimits* m_limits;
    std::unique_ptr<Machine> m_machine;
    HeadGuard m_headGuard;
    ChunkGuard m_chunkGuard;
    HttpRequest* m_request = nullptr;
    std::string_view m_bodyPiece;
    int m_errorStatus = 0;
    const char* m_errorReason = "";

    bool m_inBody = false;
    bool m_headersDone = false;   // llhttp's callbacks of the current parse(): the head ended
    bool m_messageDone = false;   // the message ended
    const char* m_fieldError = nullptr;  // what noteField refused
    int m_fieldErrorStatus = 400;
    uint8_t m_hosts = 0;
    bool m_sawTransferEncoding = false;
    bool m_connectionClose = false;
    bool m_connectionKeepAlive = false;
    bool m_connectionUpgrade = false;
    bool m_upgrade = false;
};

}  // namespace tnet
