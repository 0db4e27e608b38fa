#include "http/response_head.h"

#include <array>
#include <cassert>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <ctime>

#include "http/types.h"

namespace tnet {
namespace {

constexpr size_t kNumberBytes = 20;    // a 64-bit number in decimal
constexpr size_t kDateLineBytes = 37;  // so that the compiler writes it without a call
constexpr size_t kFixedBytes = 256;    // status line (reasons have at most 31), Date, framing, empty line

char* write(char* out, std::string_view text) {
    if (text.empty()) return out;  // may be null then
    std::memcpy(out, text.data(), text.size());
    return out + text.size();
}

char* writeNumber(char* out, uint64_t number) { return std::to_chars(out, out + kNumberBytes, number).ptr; }

char* writeStatusLine(char* out, int status) {
    if (status == 200) return write(out, "HTTP/1.1 200 OK\r\n");
    out = write(out, "HTTP/1.1 ");
    out = writeNumber(out, static_cast<uint64_t>(status));
    out = write(out, " ");
    out = write(out, reasonPhrase(status));
    return write(out, "\r\n");
}

bool isFramingField(std::string_view name) {
    switch (name.size()) {
        case 10: return equalsIgnoreCase(name, "Connection");
        case 14: return equalsIgnoreCase(name, "Content-Length");
        case 17: return equalsIgnoreCase(name, "Transfer-Encoding");
        default: return false;
    }
}

bool hasFramingField(const HttpHeaders& headers) {
    return headers.has("Connection") || headers.has("Content-Length") || headers.has("Transfer-Encoding");
}

char* writeHeadersWithoutFraming(char* out, const HttpHeaders& headers) {
    for (size_t i = 0; i < headers.size(); ++i) {
        const HttpHeaders::Field field = headers[i];
        if (isFramingField(field.name)) continue;
        out = write(out, field.name);
        out = write(out, ": ");
        out = write(out, field.value);
        out = write(out, "\r\n");
    }
    return out;
}

char* writeFraming(char* out, const ResponseFraming& framing) {
    switch (framing.body) {
        case ResponseFraming::Body::Length:
            out = write(out, "Content-Length: ");
            out = writeNumber(out, framing.length);
            out = write(out, "\r\n");
            break;
        case ResponseFraming::Body::Chunked: out = write(out, "Transfer-Encoding: chunked\r\n"); break;
        case ResponseFraming::Body::UntilClose:
        case ResponseFraming::Body::None: break;
    }
    switch (framing.connection) {
        case ResponseFraming::Connection::Unsaid: return out;
        case ResponseFraming::Connection::Close: return write(out, "Connection: close\r\n");
        case ResponseFraming::Connection::KeepAlive: return write(out, "Connection: keep-alive\r\n");
    }
    return out;
}

}  // namespace

std::string_view HttpDate::line(TimePoint now) {
    using namespace std::chrono;
    if (now < m_validUntil) return m_line;
    const auto wall = m_clock.wallNow().time_since_epoch();
    const auto second = floor<seconds>(wall);
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
    m_line.assign(text.data(), static_cast<size_t>(size));  // throws, or the line is valid
    m_validUntil = now + duration_cast<Duration>(seconds(1) - (wall - second));
    return m_line;
}

size_t responseHeadBound(const HttpResponse& response) { return kFixedBytes + response.headers().wireSize(); }

char* writeResponseHead(char* out, const HttpResponse& response, const ResponseFraming& framing,
                        std::string_view dateLine) {
    assert(dateLine.size() == kDateLineBytes);
    const HttpHeaders& headers = response.headers();
    out = writeStatusLine(out, response.status());
    // None of the names that are looked for below, by their lengths: as with nearly all responses.
    const bool isPlain = !headers.mayHaveNameOf(4U, 7U, 10U, 14U, 17U);
    if (isPlain || !headers.has("Date")) out = write(out, {dateLine.data(), kDateLineBytes});
    out = writeFraming(out, framing);
    if (isPlain) return write(headers.writeTo(out), "\r\n");
    // RFC 9110 §7.8: Upgrade is for the next hop only, which Connection has to say.
    if (headers.has("Upgrade")) out = write(out, "Connection: Upgrade\r\n");
    out = hasFramingField(headers) ? writeHeadersWithoutFraming(out, headers) : headers.writeTo(out);
    return write(out, "\r\n");
}

bool statusHasBody(int status) { return status >= 200 && status != 204 && status != 205 && status != 304; }

ResponseFraming framingWithoutBody(int status) {
    ResponseFraming framing;
    framing.body = status == 205 ? ResponseFraming::Body::Length : ResponseFraming::Body::None;
    return framing;
}

}  // namespace tnet
