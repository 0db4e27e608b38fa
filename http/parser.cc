#include "http/parser.h"

#include <llhttp.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <utility>

#include "http/field_list.h"
#include "http/plain_head.h"
#include "http/uri.h"

namespace tnet {
namespace {

bool isBlank(char c) { return c == ' ' || c == '\t'; }

// For a name of the right length; nearly all clients spell it as the RFC does.
template <size_t N>
bool isNamed(const HttpHeaders::Field& field, const char (&name)[N]) {
    return std::memcmp(field.name.data(), name, N - 1) == 0 || equalsIgnoreCase(field.name, name);
}

bool framesBody(const HttpHeaders::Field& field) {
    return (field.name.size() == 14 && isNamed(field, "Content-Length")) ||
           (field.name.size() == 17 && isNamed(field, "Transfer-Encoding"));
}

}  // namespace

static_assert(static_cast<int>(HttpMethod::Delete) == HTTP_DELETE);
static_assert(static_cast<int>(HttpMethod::Connect) == HTTP_CONNECT);
static_assert(static_cast<int>(HttpMethod::Unlink) == HTTP_UNLINK);
static_assert(static_cast<int>(HttpMethod::Source) == HTTP_SOURCE);

// llhttp, with callbacks that note where things are.
struct HttpParser::Machine {
    llhttp_t pristine;  // as at the beginning of a message: cheaper to copy than to initialize
    llhttp_t state;

    explicit Machine(HttpParser* parser) {
        llhttp_init(&pristine, HTTP_REQUEST, &settings());
        pristine.data = parser;
        // Without a setter in 8.1: the guard has checked the version, and more strictly.
        pristine.lenient_flags = LENIENT_VERSION;
        state = pristine;
    }

    static HttpParser& of(llhttp_t* state) { return *static_cast<HttpParser*>(state->data); }

    static int onUrl(llhttp_t* state, const char* at, size_t size) {
        HttpParser& parser = of(state);
        parser.m_target.add(static_cast<size_t>(at - parser.m_base), size);
        return 0;
    }

    static int onHeaderField(llhttp_t* state, const char* at, size_t size) {
        HttpParser& parser = of(state);
        if (parser.m_inBody) return onTrailerText(parser, parser.m_name, {at, size});
        parser.m_name.add(static_cast<size_t>(at - parser.m_base), size);
        return 0;
    }

    static int onHeaderValue(llhttp_t* state, const char* at, size_t size) {
        HttpParser& parser = of(state);
        if (parser.m_inBody) return onTrailerText(parser, parser.m_value, {at, size});
        parser.m_value.add(static_cast<size_t>(at - parser.m_base), size);
        return 0;
    }

    static int onTrailerText(HttpParser& parser, Span& span, std::string_view piece) {
        span.add(parser.m_trailerText.size(), piece.size());
        parser.m_trailerText.append(piece);
        return 0;
    }

    static int onHeaderValueComplete(llhttp_t* state) {
        HttpParser& parser = of(state);
        parser.m_fieldError = parser.m_inBody ? parser.endTrailer() : parser.endField();
        return parser.m_fieldError != nullptr ? HPE_USER : 0;
    }

    static int onHeadersComplete(llhttp_t* state) {
        of(state).m_headersDone = true;
        return 0;
    }

    static int onChunkHeader(llhttp_t* state) {
        HttpParser& parser = of(state);
        const uint64_t room = UINT64_MAX - parser.m_announcedBytes;
        parser.m_announcedBytes += std::min(room, state->content_length);
        return 0;
    }

    static int onBody(llhttp_t* state, const char* at, size_t size) {
        if (size == 0) return 0;  // llhttp was called with nothing in the middle of a body
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
            s.on_chunk_header = onChunkHeader;
            s.on_body = onBody;
            s.on_message_complete = onMessageComplete;
            return s;
        }();
        return instance;
    }
};

HttpParser::HttpParser(const HttpLimits& limits)
    : m_limits(&limits),
      m_machine(std::make_unique<Machine>(this)),
      m_headGuard(limits),
      m_chunkGuard(limits) {}

HttpParser::~HttpParser() = default;

void HttpParser::begin(HttpRequest* request) {
    m_request = request;
    m_request->m_headers.beginRaw();
    m_host = {};
    m_announcedBytes = 0;
    m_fieldError = nullptr;
    m_fieldErrorStatus = 400;
    m_begun = m_inBody = m_headersDone = m_messageDone = m_sawHost = m_sawTransferEncoding = false;
    m_connectionClose = m_connectionKeepAlive = m_connectionUpgrade = m_upgrade = false;
}

HttpParser::Event HttpParser::parse(std::string_view& input) {
    return m_inBody ? parseBody(input) : parseHead(input);
}

void HttpParser::primeMachine() {
    m_machine->state = m_machine->pristine;
    m_headGuard.reset();
    m_fed = 0;
    m_target = m_name = m_value = Span{};
}

// Nothing if the head is not plain, or not all there.
std::optional<HttpParser::Event> HttpParser::parsePlainHead(std::string_view& input) {
    HttpRequest& request = *m_request;
    const PlainHead head = readPlainHead(input, *m_limits, request.m_headers);
    if (head.bytes == 0) {
        request.m_headers.beginRaw();
        return std::nullopt;
    }
    request.m_headers.appendRaw({input.data(), head.bytes});
    input.remove_prefix(head.bytes);
    request.m_method = head.method;
    request.m_minorVersion = head.minorVersion;
    m_target = {head.targetStart, head.targetSize};
    m_messageDone = true;
    for (size_t i = 0; i < request.m_headers.size(); ++i) {
        if (const char* const reason = noteField(request.m_headers[i]))
            return refuse(m_fieldErrorStatus, reason);
    }
    return finishHead();
}

HttpParser::Event HttpParser::parseHead(std::string_view& input) {
    if (!std::exchange(m_begun, true)) {
        if (const auto event = parsePlainHead(input)) return *event;
        primeMachine();
    }
    const HeadGuard::Verdict verdict = m_headGuard.check(input);
    HttpHeaders& headers = m_request->m_headers;
    headers.appendRaw(input.substr(0, verdict.headBytes));
    input.remove_prefix(verdict.headBytes);
    const std::string_view head = headers.raw();
    // The machine refuses a method at its first odd byte; what is wrong with it shows at its end.
    const bool hasMethod = m_fed > 0 || verdict.complete || head.find(' ') != std::string_view::npos;
    if (hasMethod) {
        m_base = head.data();
        // Bytes before a faulty line go to the machine too: what it finds in them came first.
        const int error = execute(head.substr(m_fed));
        m_fed = head.size();
        const bool stoppedBehindHead = m_messageDone && (error == HPE_PAUSED || error == HPE_PAUSED_UPGRADE);
        if (error != HPE_OK && !stoppedBehindHead) return refuseAsMachine();
    }
    if (verdict.status != 0) return refuse(verdict.status, verdict.reason);
    if (verdict.complete != m_headersDone) return refuseAsMachine();  // they differ about where the head ends
    return verdict.complete ? headComplete() : Event::NeedMore;
}

// Returns llhttp's verdict on `bytes`.
int HttpParser::execute(std::string_view bytes) {
    return llhttp_execute(&m_machine->state, bytes.data(), bytes.size());
}

HttpParser::Event HttpParser::headComplete() {
    const llhttp_t& state = m_machine->state;
    HttpRequest& request = *m_request;
    if (state.method >= kHttpMethodCount) return refuse(501, "method of another protocol");
    request.m_method = static_cast<HttpMethod>(state.method);
    request.m_minorVersion = std::min<uint8_t>(state.http_minor, 1);
    // RFC 9112 §3: single spaces.
    constexpr size_t kSpacesAndVersion = 10;
    const size_t expected = methodName(request.m_method).size() + m_target.size + kSpacesAndVersion;
    if (m_headGuard.requestLineBytes() != expected)
        return refuse(400, "request line is not method, target, version");
    return finishHead();
}

HttpParser::Event HttpParser::finishHead() {
    HttpRequest& request = *m_request;
    request.m_keepAlive = !m_connectionClose && (request.isHttp11() || m_connectionKeepAlive);
    request.m_upgradeOffered = request.isHttp11() && m_upgrade && m_connectionUpgrade;
    if (const char* const reason = checkFraming()) return refuse(400, reason);
    if (const char* const reason = checkTarget()) return refuse(400, reason);
    if (m_messageDone) return Event::Complete;
    m_inBody = true;
    m_chunkGuard.reset();
    m_trailerText.clear();
    m_announcedBytes = request.m_contentLength.value_or(0);
    return Event::Headers;
}

// RFC 9112 §3.2 (Host), §6.1 (Transfer-Encoding in 1.0), §6.3 (both framings).
const char* HttpParser::checkFraming() {
    HttpRequest& request = *m_request;
    if (request.isHttp11() && !m_sawHost) return "no Host";
    if (m_sawTransferEncoding && !request.isHttp11()) return "Transfer-Encoding in HTTP/1.0";
    if (m_sawTransferEncoding && request.m_contentLength) return "Content-Length with Transfer-Encoding";
    request.m_chunked = m_sawTransferEncoding;
    return nullptr;
}

const char* HttpParser::checkTarget() {
    HttpRequest& request = *m_request;
    request.m_target = request.m_headers.raw().substr(m_target.start, m_target.size);
    const auto target = parseTarget(request.m_target, request.m_method == HttpMethod::Connect,
                                    request.m_method == HttpMethod::Options);
    if (!target) return "request target";
    request.m_path = target->path;
    request.m_query = target->query;
    // RFC 9112 §3.2.2: what absolute-form says overrides Host.
    request.m_authority = target->authority.empty() ? m_host : target->authority;
    // Escapes and dot segments in the path are the router's to refuse: it decodes.
    if (request.m_path.empty()) request.m_path = request.m_target;
    return nullptr;
}

const char* HttpParser::endField() {
    const std::string_view head = m_request->m_headers.raw();
    const size_t end = m_value.start + m_value.size;
    // llhttp leaves the white space behind a value to us (RFC 9112 §5.1).
    while (m_value.size > 0 && isBlank(head[m_value.start + m_value.size - 1])) --m_value.size;
    if (m_value.size == 0) m_value.start = m_name.start;
    HttpHeaders& headers = m_request->m_headers;
    headers.addRaw(m_name.start, m_name.size, m_value.start, m_value.size);
    const size_t nameEnd = m_name.start + m_name.size;
    m_name = m_value = Span{};
    const HttpHeaders::Field field = headers[headers.size() - 1];
    if (framesBody(field)) {
        // Others take off spaces only: what is a length or a coding here is none to them.
        const std::string_view whole = head.substr(nameEnd, std::max(end, nameEnd) - nameEnd);
        if (whole.find('\t') != std::string_view::npos) return "tab in a field that frames the body";
    }
    return noteField(field);
}

// RFC 9110 §6.5.1: nothing that frames or routes a message may come behind its body.
const char* HttpParser::endTrailer() {
    const std::string_view text = m_trailerText;
    std::string_view value = text.substr(m_value.size > 0 ? m_value.start : 0, m_value.size);
    while (!value.empty() && isBlank(value.back())) value.remove_suffix(1);
    const std::string_view name = text.substr(m_name.start, m_name.size);
    m_name = m_value = Span{};
    for (const std::string_view forbidden : {"Connection", "Content-Length", "Transfer-Encoding", "Host"}) {
        if (equalsIgnoreCase(name, forbidden)) return "field that may not be a trailer";
    }
    if (!isToken(name) || !isFieldValue(value)) return "malformed trailer";
    m_request->m_trailers.add(name, value);
    return nullptr;
}

// What the framework itself must understand of a head. Returns what is wrong.
const char* HttpParser::noteField(HttpHeaders::Field field) {
    switch (field.name.size()) {
        case 4:
            if (!isNamed(field, "Host")) break;
            return noteHost(field.value);
        case 6:
            if (!isNamed(field, "Expect")) break;
            return noteExpect(field.value);
        case 7:
            if (isNamed(field, "Upgrade")) m_upgrade = true;
            break;
        case 10:
            if (isNamed(field, "Connection")) noteConnection(field.value);
            break;
        case 14:
            if (isNamed(field, "Content-Length")) return noteContentLength(field.value);
            break;
        case 17:
            if (isNamed(field, "Transfer-Encoding")) return noteTransferEncoding(field.value);
            break;
        default: break;
    }
    return nullptr;
}

// RFC 9110 §10.1.1: a list of expectations, of which one is known.
const char* HttpParser::noteExpect(std::string_view value) {
    for (FieldList list(value); const auto expectation = list.next();) {
        if (!equalsIgnoreCase(*expectation, "100-continue")) {
            m_fieldErrorStatus = 417;
            return "Expect";
        }
        m_request->m_expectContinue = true;
    }
    return nullptr;
}

void HttpParser::noteConnection(std::string_view options) {
    // Alone, as nearly always, they need no search.
    if (equalsIgnoreCase(options, "keep-alive")) {
        m_connectionKeepAlive = true;
    } else if (equalsIgnoreCase(options, "close")) {
        m_connectionClose = true;
    } else {
        for (FieldList list(options); const auto option = list.next();) {
            m_connectionClose = m_connectionClose || equalsIgnoreCase(*option, "close");
            m_connectionKeepAlive = m_connectionKeepAlive || equalsIgnoreCase(*option, "keep-alive");
            m_connectionUpgrade = m_connectionUpgrade || equalsIgnoreCase(*option, "upgrade");
        }
    }
}

const char* HttpParser::noteHost(std::string_view value) {
    if (std::exchange(m_sawHost, true)) return "more than one Host";
    m_host = value;
    if (value == m_validHost && !value.empty()) return nullptr;
    if (!isValidAuthority(value)) return "Host";
    m_validHost = value;
    return nullptr;
}

// RFC 9112 §6.1: chunked once, and last; nothing else is implemented here.
const char* HttpParser::noteTransferEncoding(std::string_view value) {
    if (std::exchange(m_sawTransferEncoding, true)) return "more than one Transfer-Encoding";
    if (equalsIgnoreCase(value, "chunked")) return nullptr;
    size_t chunked = 0;
    bool endsInChunked = false;
    FieldList codings(value);
    while (const auto coding = codings.next()) {
        endsInChunked = equalsIgnoreCase(*coding, "chunked");
        if (endsInChunked) ++chunked;
    }
    if (!endsInChunked) return "Transfer-Encoding does not end in chunked";
    if (chunked > 1) return "chunked twice";
    if (codings.hadEmpty()) return "empty transfer coding";
    m_fieldErrorStatus = 501;
    return "Transfer-Encoding is not implemented";
}

// RFC 9110 §8.6: 1*DIGIT. Lists of equal values are refused too.
const char* HttpParser::noteContentLength(std::string_view value) {
    if (m_request->m_contentLength) return "more than one Content-Length";
    uint64_t length = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), length);
    if (value.empty() || error != std::errc() || end != value.data() + value.size()) return "Content-Length";
    m_request->m_contentLength = length;
    return nullptr;
}

HttpParser::Event HttpParser::parseBody(std::string_view& input) {
    m_bodyPiece = {};
    llhttp_resume(&m_machine->state);
    const int error = execute(input);
    if (error != HPE_OK && error != HPE_PAUSED && !(error == HPE_PAUSED_UPGRADE && m_messageDone)) {
        return refuseAsMachine();
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

HttpParser::Event HttpParser::refuseAsMachine() {
    if (m_fieldError != nullptr) return refuse(m_fieldErrorStatus, m_fieldError);
    if (m_inBody) return refuse(400, "malformed chunked body");
    // RFC 9110 §15.6.2: a method that could be one is not implemented; the rest is no method.
    std::string_view method = m_request->m_headers.raw();
    method.remove_prefix(std::min(method.find_first_not_of("\r\n"), method.size()));
    method = method.substr(0, method.find(' '));
    if (isToken(method) && !methodFromName(method)) return refuse(501, "method");
    return refuse(400, "malformed head");
}

}  // namespace tnet
