// HttpResponse: what a handler answers: a status, headers and a body. A value; build it and return it.
//
//     return HttpResponse::json(R"({"ok":true})").header("Cache-Control", "no-store");
//
// The framework adds Date, Content-Length or Transfer-Encoding, and Connection; what a handler sets of
// the latter three is left out, since a wrong one corrupts the connection.
//
// Threads: a value; one thread at a time, any thread.
#pragma once

#include <memory>
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

    explicit HttpResponse(int status = 200) : m_status(status) {}

    // With the Content-Type that the name says: text/plain and text/html in UTF-8, application/json. A string
    // that is given away is taken over; all else is copied.
    static HttpResponse text(std::string body, int status = 200);
    static HttpResponse text(std::string_view body, int status = 200) {
        return text(std::string(body), status);
    }
    static HttpResponse text(const char* body, int status = 200) { return text(std::string(body), status); }
    static HttpResponse html(std::string body, int status = 200);
    static HttpResponse html(std::string_view body, int status = 200) {
        return html(std::string(body), status);
    }
    static HttpResponse html(const char* body, int status = 200) { return html(std::string(body), status); }
    static HttpResponse json(std::string body, int status = 200);
    static HttpResponse json(std::string_view body, int status = 200) {
        return json(std::string(body), status);
    }
    static HttpResponse json(const char* body, int status = 200) { return json(std::string(body), status); }
    static HttpResponse redirect(std::string_view location, int status = 302);
    // A short text that names the status: "404 Not Found\n".
    static HttpResponse error(int status);

    // header replaces all fields of that name, addHeader keeps them: two cookies are two
    // addHeader("Set-Cookie", ...). Both throw std::invalid_argument for what would break the message; see
    // HttpHeaders.
    HttpResponse& header(std::string_view name, std::string_view value) & {
        m_headers.set(name, value);
        return *this;
    }
    HttpResponse&& header(std::string_view name, std::string_view value) && {
        m_headers.set(name, value);
        return std::move(*this);
    }

    HttpResponse& addHeader(std::string_view name, std::string_view value) & {
        m_headers.add(name, value);
        return *this;
    }
    HttpResponse&& addHeader(std::string_view name, std::string_view value) && {
        m_headers.add(name, value);
        return std::move(*this);
    }

    // Text (std::string, which is taken over; std::string_view or a literal, copied), shared bytes (referenced, not
    // copied: one for any number of responses), or part of a file. Statuses that have no body (1xx, 204, 205,
    // 304: RFC 9110 §6.4.1) are sent without it.
    template <class Body>
    HttpResponse& setBody(Body body) & {
        assignBody(std::move(body));
        return *this;
    }
    template <class Body>
    HttpResponse&& setBody(Body body) && {
        assignBody(std::move(body));
        return std::move(*this);
    }
    HttpResponse& setStatus(int status) {
        m_status = status;
        return *this;
    }

    int status() const { return m_status; }
    HttpHeaders& headers() { return m_headers; }
    const HttpHeaders& headers() const { return m_headers; }
    size_t bodySize() const;

    // The body; at most one of the three is there.
    const std::string& text() const { return m_text; }
    std::string& text() { return m_text; }
    const SharedBytesPtr_t* sharedBody() const {
        return m_other ? std::get_if<SharedBytesPtr_t>(m_other.get()) : nullptr;
    }
    const FileBody* fileBody() const { return m_other ? std::get_if<FileBody>(m_other.get()) : nullptr; }

private:
    using OtherBody = std::variant<SharedBytesPtr_t, FileBody>;

    void assignBody(std::string text) {
        m_text = std::move(text);
        m_other.reset();
    }
    void assignBody(std::string_view text) { assignBody(std::string(text)); }
    void assignBody(const char* text) { assignBody(std::string(text)); }
    void assignBody(OtherBody other) {
        m_text.clear();
        m_other = std::make_shared<const OtherBody>(std::move(other));
    }

    int m_status;
    HttpHeaders m_headers;
    std::string m_text;
    std::shared_ptr<const OtherBody> m_other;  // null: the body is m_text
};

}  // namespace tnet
