#include "http/response_head.h"

#include <array>
#include <charconv>
#include <cstdio>
#include <ctime>

#include "http/types.h"

namespace tnet {
namespace {

void appendNumber(std::string& out, uint64_t number) {
    std::array<char, 20> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
    out.append(digits.data(), static_cast<size_t>(end - digits.data()));
}

void appendStatusLine(std::string& out, int status) {
    if (status == 200) {
        out.append("HTTP/1.1 200 OK\r\n");
        return;
    }
    out.append("HTTP/1.1 ");
    appendNumber(out, static_cast<uint64_t>(status));
    out.append(" ").append(reasonPhrase(status)).append("\r\n");
}

bool isFramingField(std::string_view name) {
    switch (name.size()) {
        case 10: return equalsIgnoreCase(name, "Connection");
        case 14: return equalsIgnoreCase(name, "Content-Length");
        case 17: return equalsIgnoreCase(name, "Transfer-Encoding");
        default: return false;
    }
}

void appendHeaders(std::string& out, const HttpHeaders& headers) {
    bool ours = false;
    for (size_t i = 0; i < headers.size(); ++i) ours = ours || isFramingField(headers[i].name);
    if (!ours) {
        out.append(headers.wire());
        return;
    }
    for (size_t i = 0; i < headers.size(); ++i) {
        const HttpHeaders::Field field = headers[i];
        if (!isFramingField(field.name)) out.append(field.name).append(": ").append(field.value).append("\r\n");
    }
}

void appendFraming(std::string& out, const ResponseFraming& framing) {
    switch (framing.body) {
        case ResponseFraming::Body::Length:
            out.append("Content-Length: ");
            appendNumber(out, framing.length);
            out.append("\r\n");
            break;
        case ResponseFraming::Body::Chunked:
            out.append("Transfer-Encoding: chunked\r\n");
            break;
        case ResponseFraming::Body::UntilClose:
        case ResponseFraming::Body::None:
            break;
    }
    switch (framing.connection) {
        case ResponseFraming::Connection::Unsaid:
            break;
        case ResponseFraming::Connection::Close:
            out.append("Connection: close\r\n");
            break;
        case ResponseFraming::Connection::KeepAlive:
            out.append("Connection: keep-alive\r\n");
            break;
    }
}

}  // namespace

std::string_view HttpDate::line(TimePoint now) {
    using namespace std::chrono;
    if (now < m_validUntil) return m_line;
    const auto wall = m_clock.wallNow().time_since_epoch();
    const auto second = floor<seconds>(wall);
    m_validUntil = now + duration_cast<Duration>(seconds(1) - (wall - second));
    // Not strftime, whose names follow the locale.
    static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                              "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    const auto time = static_cast<std::time_t>(second.count());
    std::tm utc{};
    gmtime_r(&time, &utc);
    std::array<char, 64> text;
    const int size = std::snprintf(text.data(), text.size(), "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n",
                                   kDays[utc.tm_wday], utc.tm_mday, kMonths[utc.tm_mon], utc.tm_year + 1900,
                                   utc.tm_hour, utc.tm_min, utc.tm_sec);
    m_line.assign(text.data(), static_cast<size_t>(size));
    return m_line;
}

void appendResponseHead(std::string& out, const HttpResponse& response, const ResponseFraming& framing,
                        std::string_view dateLine) {
    appendStatusLine(out, response.status());
    if (!response.headers().has("Date")) out.append(dateLine);
    appendFraming(out, framing);
    appendHeaders(out, response.headers());
    out.append("\r\n");
}

bool statusHasBody(int status) {
    return status >= 200 && status != 204 && status != 304;
}

}  // namespace tnet
