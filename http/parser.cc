#include "http/parser.h"

#include <llhttp.h>

#include <algorithm>
#include <cassert>

#include "http/uri.h"

namespace tnet {

static_assert(static_cast<int>(HttpMethod::Delete) == HTTP_DELETE);
static_assert(static_cast<int>(HttpMethod::Connect) == HTTP_CONNECT);
static_assert(static_cast<int>(HttpMethod::Unlink) == HTTP_UNLINK);
static_assert(static_cast<int>(HttpMethod::Source) == HTTP_SOURCE);

// llhttp with callbacks that write into the parser's request.
struct HttpParser::Machine {
    llhttp_t state;

    static HttpParser& of(llhttp_t* state) { return *static_cast<HttpParser*>(state->data); }

    static HttpHeaders& fields(HttpParser& parser) {
        return parser.m_inBody ? parser.m_request->m_trailers : parser.m_request->m_headers;
    }

    static int onUrl(llhttp_t* state, const char* at, size_t size) {
        of(state).m_request->m_target.append(at, size);
        return 0;
    }

    static int onHeaderField(llhttp_t* state, const char* at, size_t size) {
        fields(of(state)).appendName({at, size});
        return 0;
    }

    static int onHeaderValue(llhttp_t* state, const char* at, size_t size) {
        fields(of(state)).appendValue({at, size});
        return 0;
    }

    static int onHeaderValueComplete(llhttp_t* state) {
        HttpParser& parser = of(state);
        const HttpHeaders::Field field = fields(parser).endField();
        if (parser.m_inBody) return 0;
        parser.m_fieldError = parser.noteField(field);
        return parser.m_fieldError != nullptr ? HPE_USER : 0;
    }

    static int onHeadersComplete(llhttp_t* state) {
        of(state).m_headersDone = true;
        return 0;
    }

    static int onBody(llhttp_t* state, const char* at, size_t size) {
        of(state).m_bodyPiece = {at, size};
        return HPE_PAUSED;
    }

    static int onMessageComplete(llhttp_t* state) {
        of(state).m_messageDone = true;
        return HPE_PAUSED;  // stops exactly behind the message
    }

    static const llhttp_settings_t& settings() {
        static const llhttp_settings_t instance = [] {
            llhttp_settings_t s;
            llhttp_settings_init(&s);
            s.on_url = onUrl;
            s.on_header_field = onHeaderField;
            s.on_header_value = onHeaderValue;
            s.on_header_value_complete = onHeaderValueComplete;
            s.on_headers_complete = onHeadersComplete;
            s.on_body = onBody;
            s.on_message_complete = onMessageComplete;
            return s;
        }();
        return instance;
    }
};

HttpParser::HttpParser(const HttpLimits& limits)
    : m_limits(&limits), m_machine(std::make_unique<Machine>()), m_headGuard(limits), m_chunkGuard(limits) {}

HttpParser::~HttpParser() = default;

void HttpParser::begin(HttpRequest* request) {
    llhttp_init(&m_machine->state, HTTP_REQUEST, &Machine::settings());
    m_machine->state.data = this;
    m_headGuard.reset();
    m_request = request;
    m_inBody = m_headersDone = m_messageDone = false;
    m_fieldError = nullptr;
    m_fieldErrorStatus = 400;
    m_hosts = 0;
    m_sawTransferEncoding = m_connectionClose = m_connectionKeepAlive = m_connectionUpgrade = m_upgrade = false;
}

HttpParser::Event HttpParser::parse(std::string_view& input) {
    return m_inBody ? parseBody(input) : parseHead(input);
}

HttpParser::Event HttpParser::parseHead(std::string_view& input) {
    const HeadGuard::Verdict verdict = m_headGuard.check(input);
    const std::string_view head = input.substr(0, verdict.headBytes);
    // Bytes before a faulty line go to the machine too: what it finds in them came first.
    const int error = execute(head);
    const bool stoppedBehindHead = m_messageDone && (error == HPE_PAUSED || error == HPE_PAUSED_UPGRADE);
    if (error != HPE_OK && !stoppedBehindHead) return refuseAsMachine(head);
    if (verdict.status != 0) return refuse(verdict.status, verdict.reason);
    input.remove_prefix(verdict.headBytes);
    if (verdict.complete != m_headersDone) return refuse(400, "head ends where no line ends");
    return verdict.complete ? headComplete() : Event::NeedMore;
}

// Returns llhttp's verdict on `bytes`.
int HttpParser::execute(std::string_view bytes) {
    return llhttp_execute(&m_machine->state, bytes.data(), bytes.size());
}

HttpParser::Event HttpParser::headComplete() {
    const llhttp_t& state = m_machine->state;
    HttpRequest& request = *m_request;
    if (state.http_major != 1 || state.http_minor > 1) return refuse(505, "HTTP version");
    if (state.method >= kHttpMethodCount) return refuse(501, "method of another protocol");
    request.m_method = static_cast<HttpMethod>(state.method);
    request.m_minorVersion = state.http_minor;
    request.m_keepAlive = !m_connectionClose && (request.isHttp11() || m_connectionKeepAlive);
    request.m_upgradeOffered = request.isHttp11() && m_upgrade && m_connectionUpgrade;
    if (const char* const reason = checkFraming()) return refuse(400, reason);
    if (const char* const reason = checkTarget()) return refuse(400, reason);
    if (m_messageDone) return Event::Complete;
    m_inBody = true;
    m_chunkGuard.reset();
    return Event::Headers;
}

// RFC 9112 §3.2 (Host), §6.1 (Transfer-Encoding in 1.0), §6.3 (both framings).
const char* HttpParser::checkFraming() {
    HttpRequest& request = *m_request;
    if (request.isHttp11() && m_hosts == 0) return "no Host";
    if (m_sawTransferEncoding && !request.isHttp11()) return "Transfer-Encoding in HTTP/1.0";
    if (m_sawTransferEncoding && request.m_contentLength) return "Content-Length with Transfer-Encoding";
    request.m_chunked = m_sawTransferEncoding;
    return nullptr;
}

const char* HttpParser::checkTarget() {
    HttpRequest& request = *m_request;
    const auto target = parseTarget(request.m_target, request.m_method == HttpMethod::Connect,
                                    request.m_method == HttpMethod::Options);
    if (!target) return "request target";
    request.m_path = target->path;
    request.m_query = target->query;
    // RFC 9112 §3.2.2: what absolute-form says overrides Host.
    request.m_authority = target->authority.empty() ? request.m_headers.get("Host") : target->authority;
    // Escapes and dot segments in the path are the router's to refuse: it decodes.
    if (request.m_path.empty()) request.m_path = request.m_target;
    return nullptr;
}

// What the framework itself must understand of a head. Returns what is wrong.
const char* HttpParser::noteField(HttpHeaders::Field field) {
    switch (field.name.size()) {
        case 4:
            if (!equalsIgnoreCase(field.name, "Host")) break;
            if (++m_hosts > 1) return "more than one Host";
            return isValidAuthority(field.value) ? nullptr : "Host";
        case 6:
            if (!equalsIgnoreCase(field.name, "Expect")) break;
            if (equalsIgnoreCase(field.value, "100-continue")) {
                m_request->m_expectContinue = true;
                return nullptr;
            }
            m_fieldErrorStatus = 417;  // RFC 9110 §10.1.1
            return "Expect";
        case 7:
            if (equalsIgnoreCase(field.name, "Upgrade")) m_upgrade = true;
            break;
        case 10:
            if (!equalsIgnoreCase(field.name, "Connection")) break;
            m_connectionClose = m_connectionClose || listContains(field.value, "close");
            m_connectionKeepAlive = m_connectionKeepAlive || listContains(field.value, "keep-alive");
            m_connectionUpgrade = m_connectionUpgrade || listContains(field.value, "upgrade");
            break;
        case 14:
            if (equalsIgnoreCase(field.name, "Content-Length")) return noteContentLength(field.value);
            break;
        case 17:
            if (equalsIgnoreCase(field.name, "Transfer-Encoding")) return noteTransferEncoding(field.value);
            break;
        default:
            break;
    }
    return nullptr;
}

// RFC 9112 §6.1: chunked once, and last; nothing else is implemented here.
const char* HttpParser::noteTransferEncoding(std::string_view value) {
    if (m_sawTransferEncoding) return "more than one Transfer-Encoding";
    m_sawTransferEncoding = true;
    if (equalsIgnoreCase(value, "chunked")) return nullptr;
    const size_t comma = value.rfind(',');
    if (comma == std::string_view::npos || !listContains(value.substr(comma + 1), "chunked")) {
        return "Transfer-Encoding does not end in chunked";
    }
    if (listContains(value.substr(0, comma), "chunked")) return "chunked twice";
    m_fieldErrorStatus = 501;
    return "Transfer-Encoding is not implemented";
}

// RFC 9110 §8.6: 1*DIGIT. Lists of equal values are refused too.
const char* HttpParser::noteContentLength(std::string_view value) {
    constexpr size_t kMostDigits = 18;  // fits 63 bits
    if (m_request->m_contentLength) return "more than one Content-Length";
    uint64_t length = 0;
    for (const char c : value) {
        if (c < '0' || c > '9') return "Content-Length";
        length = length * 10 + static_cast<uint64_t>(c - '0');
    }
    if (value.empty() || value.size() > kMostDigits) return "Content-Length";
    m_request->m_contentLength = length;
    return nullptr;
}

HttpParser::Event HttpParser::parseBody(std::string_view& input) {
    m_bodyPiece = {};
    llhttp_resume(&m_machine->state);
    const int error = execute(input);
    if (error != HPE_OK && error != HPE_PAUSED && !(error == HPE_PAUSED_UPGRADE && m_messageDone)) {
        return refuseAsMachine(input);
    }
    const size_t used = error == HPE_OK
                            ? input.size()
                            : static_cast<size_t>(llhttp_get_error_pos(&m_machine->state) - input.data());
    const std::string_view framing = input.substr(0, used - m_bodyPiece.size());
    input.remove_prefix(used);
    if (m_request->m_chunked) {
        int status = 0;
        if (const char* const reason = m_chunkGuard.check(framing, status)) return refuse(status, reason);
    }
    if (!m_bodyPiece.empty()) return Event::Body;
    return m_messageDone ? Event::Complete : Event::NeedMore;
}

HttpParser::Event HttpParser::refuse(int status, const char* reason) {
    m_errorStatus = status;
    m_errorReason = reason;
    return Event::Error;
}

// `input`: what the machine was given when it failed.
HttpParser::Event HttpParser::refuseAsMachine(std::string_view input) {
    const llhttp_t& state = m_machine->state;
    if (m_fieldError != nullptr) return refuse(m_fieldErrorStatus, m_fieldError);
    const char* const reason = state.reason != nullptr ? state.reason : "malformed request";
    if (state.error == HPE_INVALID_VERSION && std::string_view(reason) == "Invalid HTTP version") return refuse(505, reason);
    if (state.error == HPE_INVALID_METHOD) {
        // RFC 9110 §15.6.2: a method that could be one is not implemented; the rest is no method.
        const auto at = static_cast<size_t>(llhttp_get_error_pos(&state) - input.data());
        return refuse(at < input.size() && isToken(input.substr(at, 1)) ? 501 : 400, "method");
    }
    return refuse(400, reason);
}

}  // namespace tnet
