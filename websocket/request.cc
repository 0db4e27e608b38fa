#include "websocket/request.h"

#include <algorithm>

#include "http/types.h"
#include "http/uri.h"

namespace tnet {

// Neither names nor values have a NUL in them: HTTP refuses it in a head and decoded into a path.
WsRequest::WsRequest(const HttpRequest& request) : m_peer(request.peer()), m_security(request.security()) {
    size_t bytes = request.target().size();
    for (const PathParam& param : request.params()) bytes += param.name.size() + param.value.size() + 2;
    const HttpHeaders& headers = request.headers();
    for (size_t i = 0; i < headers.size(); ++i) bytes += headers[i].name.size() + headers[i].value.size() + 2;
    m_text.reserve(bytes);

    m_text.append(request.target());
    m_targetEnd = static_cast<uint32_t>(m_text.size());
    for (const PathParam& param : request.params()) append(param.name, param.value);
    m_paramsEnd = static_cast<uint32_t>(m_text.size());
    for (size_t i = 0; i < headers.size(); ++i) append(headers[i].name, headers[i].value);
}

void WsRequest::append(std::string_view name, std::string_view value) {
    m_text.append(name).push_back('\0');
    m_text.append(value).push_back('\0');
}

std::string_view WsRequest::find(size_t from, size_t to, std::string_view name,
                                 const SameName& isSame) const {
    std::string_view left = text(from, to);
    while (!left.empty()) {
        const size_t nameEnd = left.find('\0');
        const size_t valueEnd = left.find('\0', nameEnd + 1);
        if (isSame(left.substr(0, nameEnd), name)) return left.substr(nameEnd + 1, valueEnd - nameEnd - 1);
        left.remove_prefix(valueEnd + 1);
    }
    return {};
}

std::string_view WsRequest::path() const {
    const auto parsed = parseTarget(target(), false, false);
    return parsed ? parsed->path : std::string_view();
}

std::string_view WsRequest::query() const {
    const auto parsed = parseTarget(target(), false, false);
    return parsed ? parsed->query : std::string_view();
}

std::optional<std::string> WsRequest::queryParam(std::string_view name) const {
    return tnet::queryParam(query(), name);
}

std::string_view WsRequest::header(std::string_view name) const {
    return find(m_paramsEnd, m_text.size(), name, equalsIgnoreCase);
}

// RFC 6265 §4.2.1: name=value pairs, separated by "; ".
std::optional<std::string_view> WsRequest::cookie(std::string_view name) const {
    std::string_view left = header("Cookie");
    while (!left.empty()) {
        const size_t end = std::min(left.find(';'), left.size());
        std::string_view pair = left.substr(0, end);
        pair.remove_prefix(std::min(pair.find_first_not_of(" \t"), pair.size()));
        const size_t equals = pair.find('=');
        if (equals != std::string_view::npos && pair.substr(0, equals) == name)
            return pair.substr(equals + 1);
        left.remove_prefix(std::min(end + 1, left.size()));
    }
    return std::nullopt;
}

}  // namespace tnet
