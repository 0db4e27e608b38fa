// HttpResponse: what a handler answers: a status, headers and a body. A value; build it and return it.
//
//     return HttpResponse::json(R"({"ok":true})").header("Cache-Control", "no-store");
//
// The framework adds Date, Content-Length or Transfer-Encoding, and Connection; what a handler sets of
// the latter three is left out, since a wrong one corrupts the connection.
//
// Threads: a value; one thread at a time, any thread.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "http/headers.h"
#include "tnet/send_queue.h"

namespace tnet {

class HttpResponse {
public:
    struct FileBody {
        SharedFilePtr_t file;
        off_t offset = 0;
        size_t size = 0;  // exactly this much is sent
    };
    using Body = std::variant<std::string, SharedBytesPtr_t, FileBody>;

    explicit HttpResponse(int status = 200) : m_status(status) {}

    static HttpResponse text(std::string body, int status = 200);  // text/plain; charset=utf-8
    static HttpResponse html(std::string body, int status = 200);  // text/html; charset=utf-8
    static HttpResponse json(std::string body, int status = 200);  // application/json
    static HttpResponse redirect(std::string_view location, int status = 302);
    // A short text that names the status: "404 Not Found\n".
    static HttpResponse error(int status);

    // Set replaces, add keeps others of the name. Both throw std::invalid_argument for what would
    // break the message; see HttpHeaders.
    HttpResponse& header(std::string_view name, std::string_view value) & {
        m_headers.set(name, value);
        return *this;
    }
    HttpResponse&& header(std::string_view name, std::string_view value) && {
        m_headers.set(name, value);
        return std::move(*this);
    }

    // Shared bytes are referenced, not copied: one for any number of responses.
    HttpResponse& setBody(Body body) & {
        m_body = std::move(body);
        return *this;
    }
    HttpResponse&& setBody(Body body) && {
        m_body = std::move(body);
        return std::move(*this);
    }
    HttpResponse& setStatus(int status) {
        m_status = status;
        return *this;
    }

    int status() const { return m_status; }
    HttpHeaders& headers() { return m_headers; }
    const HttpHeaders& headers() const { return m_headers; }
    const Body& body() const { return m_body; }
    size_t bodySize() const;

    // For the sender.
    Body takeBody() { return std::move(m_body); }

private:
    int m_status;
    HttpHeaders m_headers;
    Body m_body;
};

}  // namespace tnet
