#include "http/response.h"

#include "http/types.h"

namespace tnet {
namespace {

HttpResponse withType(std::string_view type, std::string body, int status) {
    HttpResponse response(status);
    response.headers().add("Content-Type", type);
    response.setBody(std::move(body));
    return response;
}

}  // namespace

HttpResponse HttpResponse::text(std::string body, int status) {
    return withType("text/plain; charset=utf-8", std::move(body), status);
}

HttpResponse HttpResponse::html(std::string body, int status) {
    return withType("text/html; charset=utf-8", std::move(body), status);
}

HttpResponse HttpResponse::json(std::string body, int status) {
    return withType("application/json", std::move(body), status);
}

HttpResponse HttpResponse::redirect(std::string_view location, int status) {
    HttpResponse response(status);
    response.headers().add("Location", location);
    return response;
}

HttpResponse HttpResponse::error(int status) {
    std::string body = std::to_string(status);
    if (const std::string_view reason = reasonPhrase(status); !reason.empty())
        body.append(" ").append(reason);
    return text(body + "\n", status);
}

size_t HttpResponse::bodySize() const {
    if (const SharedBytesPtr_t* const shared = sharedBody()) return *shared ? (*shared)->size() : 0;
    if (const FileBody* const file = fileBody()) return file->size;
    return m_text.size();
}

}  // namespace tnet
