// HttpParser: turns the bytes of HTTP/1 requests into an HttpRequest, one request at a time.
//
//     bytes -> HeadGuard -> llhttp -> (ChunkGuard) -> HttpRequest, body pieces
//       └─ a plain head -> readPlainHead -> HttpRequest
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
#include <optional>
#include <string>
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

    // Begins the next request, to be written into `request`, which is new or was cleared.
    void begin(HttpRequest* request);

    // Consumes from the front of `input`. Not to be called after Complete or Error without begin().
    Event parse(std::string_view& input);

    // After Body: a view into the input of that call.
    std::string_view bodyPiece() const { return m_bodyPiece; }

    // What has been announced of the body so far: its Content-Length, or the chunk sizes read.
    uint64_t announcedBytes() const { return m_announcedBytes; }

    // After Error.
    int errorStatus() const { return m_errorStatus; }
    const char* errorReason() const { return m_errorReason; }  // static

private:
    struct Machine;  // llhttp's

    // A piece of text in the head or among the trailers, by position, since the text may move.
    struct Span {
        uint32_t start = 0;
        uint32_t size = 0;

        void add(size_t at, size_t bytes) {
            if (size == 0) start = static_cast<uint32_t>(at);
            size += static_cast<uint32_t>(bytes);
        }
    };

    Event parseHead(std::string_view& input);
    std::optional<Event> parsePlainHead(std::string_view& input);
    void primeMachine();
    Event parseBody(std::string_view& input);
    int execute(std::string_view bytes);
    Event headComplete();
    Event finishHead();
    const char* checkFraming();
    const char* checkTarget();
    const char* endField();
    const char* endTrailer();
    const char* noteField(HttpHeaders::Field field);
    const char* noteExpect(std::string_view value);
    void noteConnection(std::string_view options);
    const char* noteHost(std::string_view value);
    const char* noteTransferEncoding(std::string_view value);
    const char* noteContentLength(std::string_view value);
    Event refuse(int status, const char* reason);
    Event refuseAsMachine();

    const HttpLimits* m_limits;
    std::unique_ptr<Machine> m_machine;
    HeadGuard m_headGuard;
    ChunkGuard m_chunkGuard;
    HttpRequest* m_request = nullptr;
    std::string_view m_bodyPiece;
    int m_errorStatus = 0;
    const char* m_errorReason = "";

    const char* m_base = nullptr;  // position 0 of the spans
    size_t m_fed = 0;              // bytes of the head that llhttp has had
    Span m_target;
    Span m_name;                // } of the field that
    Span m_value;               // } is being parsed
    std::string m_trailerText;  // what trailers are parsed from
    std::string_view m_host;    // Host's value; of the head
    std::string m_validHost;    // the last one that was found valid: they repeat
    uint64_t m_announcedBytes = 0;
    const char* m_fieldError = nullptr;  // what noteField refused, and
    int m_fieldErrorStatus = 400;        // how

    bool m_begun = false;  // something of this request has been looked at
    bool m_inBody = false;
    bool m_headersDone = false;  // } llhttp called back
    bool m_messageDone = false;  // } in this parse()
    bool m_sawHost = false;
    bool m_sawTransferEncoding = false;
    bool m_connectionClose = false;
    bool m_connectionKeepAlive = false;
    bool m_connectionUpgrade = false;
    bool m_upgrade = false;
};

}  // namespace tnet
