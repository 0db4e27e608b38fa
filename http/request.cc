#include "http/request.h"

#include "http/uri.h"

namespace tnet {
namespace {

constexpr size_t kKeptBodyCapacity = 64 << 10;

}  // namespace

std::string_view HttpRequest::param(std::string_view name) const {
    for (const PathParam& param : m_params) {
        if (param.name == name) return param.value;
    }
    return {};
}

std::optional<std::string> HttpRequest::queryParam(std::string_view name) const {
    return tnet::queryParam(m_query, name);
}

// Ready for the next request, whose parsing begins the headers anew; capacities stay, but for what a
// large body needed.
void HttpRequest::clear() {
    m_method = HttpMethod::Get;
    m_minorVersion = 1;
    m_chunked = false;
    m_keepAlive = true;
    m_expectContinue = false;
    m_upgradeOffered = false;
    m_contentLength.reset();
    m_target = m_path = m_query = m_authority = {};
    if (!m_trailers.empty()) m_trailers.clear();
    m_body.clear();
    if (m_body.capacity() > kKeptBodyCapacity) std::string().swap(m_body);
    m_params.clear();
    m_decoded.clear();
}

}  // namespace tnet
