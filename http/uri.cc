#include "http/uri.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "http/types.h"

namespace tnet {
namespace {

// --- Classes of bytes: each scan below looks for the first byte of some of them ---

constexpr uint8_t kNotTarget = 1 << 0;  // may stand nowhere in a request target
constexpr uint8_t kNotName = 1 << 1;    // is not a character of a registered name: ':' and '%', too
constexpr uint8_t kReserved = 1 << 2;   // percentEncode encodes it
constexpr uint8_t kQuestion = 1 << 3;
constexpr uint8_t kPercent = 1 << 4;
constexpr uint8_t kPlus = 1 << 5;
constexpr uint8_t kDot = 1 << 6;
constexpr uint8_t kNul = 1 << 7;

constexpr std::string_view kSubDelims = "!$&'()*+;=";  // RFC 3986 §2.2, but for ',': see isValidHost
constexpr std::string_view kHexDigits = "0123456789ABCDEF";

constexpr bool isDigit(char c) { return c >= '0' && c <= '9'; }

constexpr bool isUnreserved(char c) {
    return isDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view("-._~").find(c) != std::string_view::npos;
}

constexpr uint8_t computeClasses(char c) {
    const auto byte = static_cast<unsigned char>(c);
    const bool isName = isUnreserved(c) || kSubDelims.find(c) != std::string_view::npos;
    unsigned classes = 0;
    if (byte <= 0x20 || byte >= 0x7F || c == '#') classes |= kNotTarget;
    if (!isName) classes |= kNotName;
    if (!isUnreserved(c)) classes |= kReserved;
    if (c == '?') classes |= kQuestion;
    if (c == '%') classes |= kPercent;
    if (c == '+') classes |= kPlus;
    if (c == '.') classes |= kDot;
    if (c == '\0') classes |= kNul;
    return static_cast<uint8_t>(classes);
}

constexpr std::array<uint8_t, 256> makeClassTable() {
    std::array<uint8_t, 256> table{};
    for (size_t byte = 0; byte < table.size(); ++byte) table[byte] = computeClasses(static_cast<char>(byte));
    return table;
}
constexpr std::array<uint8_t, 256> kClasses = makeClassTable();

constexpr size_t kBlock = 8;

unsigned classesOf(char c) { return kClasses[static_cast<unsigned char>(c)]; }

// Written out: a load and an OR per byte, which the compiler does not make of a loop at -O2.
unsigned classesOfBlock(const char* at) {
    return classesOf(at[0]) | classesOf(at[1]) | classesOf(at[2]) | classesOf(at[3]) |  //
           classesOf(at[4]) | classesOf(at[5]) | classesOf(at[6]) | classesOf(at[7]);
}

// Where the first byte of `classes` at or after `from` is; the text's size if there is none.
size_t findClass(std::string_view text, size_t from, unsigned classes) {
    const char* const bytes = text.data();
    const size_t size = text.size();
    size_t at = from;
    while (at + kBlock <= size && (classesOfBlock(bytes + at) & classes) == 0) at += kBlock;
    while (at < size && (classesOf(bytes[at]) & classes) == 0) ++at;
    return at;
}

bool hasClass(std::string_view text, unsigned classes) { return findClass(text, 0, classes) != text.size(); }

// --- Escapes ---

constexpr int kMalformed = -1;

int hexValue(char c) {
    if (isDigit(c)) return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return kMalformed;
}

// What the "%HH" at `at` stands for, 1..255; kMalformed for %00 and what is no escape.
int escapedByte(std::string_view text, size_t at) {
    if (text.size() - at < 3) return kMalformed;
    const int high = hexValue(text[at + 1]);
    const int low = hexValue(text[at + 2]);
    if (high < 0 || low < 0 || (high | low) == 0) return kMalformed;
    return high << 4 | low;
}

// Whether `encoded`, decoded with PlusRule::Space, is `text`.
bool decodesTo(std::string_view encoded, std::string_view text) {
    size_t at = 0;
    for (const char expected : text) {
        if (at == encoded.size()) return false;
        const bool isEscape = encoded[at] == '%';
        const int byte = isEscape             ? escapedByte(encoded, at)
                         : encoded[at] == '+' ? ' '
                                              : static_cast<unsigned char>(encoded[at]);
        if (byte != static_cast<unsigned char>(expected)) return false;
        at += isEscape ? 3 : 1;
    }
    return at == encoded.size();
}

// --- Authorities ---

// RFC 3986 §3.2.2: IPv6address. No zone, which RFC 6874 would add and inet_pton does not know.
bool isIPv6Address(std::string_view text) {
    std::array<char, INET6_ADDRSTRLEN> terminated{};
    if (text.size() >= terminated.size()) return false;
    if (text.find('\0') != std::string_view::npos) return false;  // inet_pton would stop there
    std::copy(text.begin(), text.end(), terminated.begin());
    in6_addr ignored;
    return inet_pton(AF_INET6, terminated.data(), &ignored) == 1;
}

// RFC 3986 §3.2.2: "v" 1*HEXDIG "." 1*( unreserved / sub-delims / ":" ).
bool isIPvFuture(std::string_view text) {
    if (text.empty() || (text[0] != 'v' && text[0] != 'V')) return false;
    const size_t dot = text.find('.');
    if (dot == std::string_view::npos || dot < 2 || dot + 1 == text.size()) return false;
    const auto isHexDigit = [](char c) { return hexValue(c) >= 0; };
    const auto isAddressByte = [](char c) { return c == ':' || (classesOf(c) & kNotName) == 0; };
    return std::all_of(text.begin() + 1, text.begin() + static_cast<ptrdiff_t>(dot), isHexDigit) &&
           std::all_of(text.begin() + static_cast<ptrdiff_t>(dot) + 1, text.end(), isAddressByte);
}

// RFC 3986 §3.2.2: IP-literal. `text` begins with '['.
size_t literalSize(std::string_view text) {
    const size_t bracket = text.find(']');
    if (bracket == std::string_view::npos) return 0;
    const std::string_view address = text.substr(1, bracket - 1);
    return isIPv6Address(address) || isIPvFuture(address) ? bracket + 1 : 0;
}

// RFC 3986 §3.2.2: reg-name. IPv4 addresses are names by their characters. RFC 1034 §3.1: no label but the root's is
// empty; ".." would lead whoever looks for a directory of that name out of where they are.
size_t registeredNameSize(std::string_view text) {
    size_t at = findClass(text, 0, kNotName);
    while (at < text.size() && text[at] == '%' && escapedByte(text, at) != kMalformed) {
        at = findClass(text, at + 3, kNotName);
    }
    const std::string_view name = text.substr(0, at);
    const bool hasEmptyLabel = name.substr(0, 1) == "." || name.find("..") != std::string_view::npos;
    return hasEmptyLabel ? 0 : at;
}

// How many bytes at the front of `text` are a host; 0 if none are.
size_t hostSize(std::string_view text) {
    return !text.empty() && text[0] == '[' ? literalSize(text) : registeredNameSize(text);
}

constexpr int kMaxPort = 65535;
constexpr int kBadPort = -1;

// `port`: what follows the host, from its ':' on. 0 if there is none, or none after ':'.
int portNumber(std::string_view port) {
    if (port.empty()) return 0;
    if (port[0] != ':') return kBadPort;
    int number = 0;
    for (const char c : port.substr(1)) {
        if (!isDigit(c)) return kBadPort;
        number = number * 10 + (c - '0');
        if (number > kMaxPort) return kBadPort;
    }
    return number;
}

// --- Request targets ---

// The functions below fill `result` and return whether the target is of their form.

// From the path on, which begins at `at`.
bool parsePathAndQuery(std::string_view target, size_t at, RequestTarget& result) {
    const size_t pathEnd = findClass(target, at, kNotTarget | kQuestion);
    result.path = target.substr(at, pathEnd - at);
    if (pathEnd == target.size()) return true;
    if (target[pathEnd] != '?') return false;
    result.query = target.substr(pathEnd + 1);
    result.hasQuery = true;
    return !hasClass(result.query, kNotTarget);
}

bool parseAbsolute(std::string_view target, RequestTarget& result) {
    constexpr std::string_view kSeparator = "://";
    result.form = TargetForm::Absolute;
    const size_t schemeSize = std::min(target.find(':'), target.size());
    result.scheme = target.substr(0, schemeSize);
    if (!equalsIgnoreCase(result.scheme, "http") && !equalsIgnoreCase(result.scheme, "https")) return false;
    if (target.substr(schemeSize, kSeparator.size()) != kSeparator) return false;

    const size_t start = schemeSize + kSeparator.size();
    const size_t end = std::min(target.find_first_of("/?", start), target.size());
    result.authority = target.substr(start, end - start);
    if (!isValidAuthority(result.authority)) return false;
    if (!parsePathAndQuery(target, end, result)) return false;
    if (result.path.empty()) result.path = "/";  // RFC 9110 §4.2.3
    return true;
}

bool parseAuthority(std::string_view target, RequestTarget& result) {
    const size_t size = hostSize(target);
    result.form = TargetForm::Authority;
    result.authority = target;
    return size > 0 && portNumber(target.substr(size)) > 0;
}

bool parseAnyForm(std::string_view target, bool isConnect, bool isOptions, RequestTarget& result) {
    if (isConnect) return parseAuthority(target, result);
    if (target.empty()) return false;
    if (target[0] == '/') return parsePathAndQuery(target, 0, result);
    if (target != "*") return parseAbsolute(target, result);
    result.form = TargetForm::Asterisk;
    return isOptions;
}

// --- Paths ---

bool isDotSegment(size_t size, size_t dots) { return size == dots && (dots == 1 || dots == 2); }

}  // namespace

bool percentDecode(std::string_view in, std::string& appendTo, PlusRule plus) {
    const size_t sizeBefore = appendTo.size();
    const unsigned stops = plus == PlusRule::Space ? kPercent | kNul | kPlus : kPercent | kNul;
    for (size_t at = 0;;) {
        const size_t stop = findClass(in, at, stops);
        appendTo.append(in.substr(at, stop - at));
        if (stop == in.size()) return true;
        if (in[stop] == '+') {
            appendTo.push_back(' ');
            at = stop + 1;
            continue;
        }
        const int byte = in[stop] == '%' ? escapedByte(in, stop) : kMalformed;
        if (byte == kMalformed) {
            appendTo.resize(sizeBefore);
            return false;
        }
        appendTo.push_back(static_cast<char>(byte));
        at = stop + 3;
    }
}

std::string percentEncode(std::string_view in) {
    std::string out;
    out.reserve(in.size());
    for (const char c : in) {
        if ((classesOf(c) & kReserved) == 0) {
            out.push_back(c);
            continue;
        }
        const auto byte = static_cast<unsigned char>(c);
        out.push_back('%');
        out.push_back(kHexDigits[byte >> 4]);
        out.push_back(kHexDigits[byte & 0xF]);
    }
    return out;
}

std::optional<RequestTarget> parseTarget(std::string_view target, bool isConnect, bool isOptions) {
    RequestTarget result;
    if (!parseAnyForm(target, isConnect, isOptions, result)) return std::nullopt;
    return result;
}

bool isValidAuthority(std::string_view authority) {
    const size_t size = hostSize(authority);
    return size > 0 && portNumber(authority.substr(size)) != kBadPort;
}

bool isValidHost(std::string_view host) { return !host.empty() && hostSize(host) == host.size(); }

bool hasDotSegments(std::string_view path) {
    if (!hasClass(path, kDot | kPercent)) return false;
    size_t size = 0;  // } of the segment
    size_t dots = 0;  // } so far
    for (size_t at = 0; at < path.size();) {
        const int escaped = path[at] == '%' ? escapedByte(path, at) : kMalformed;
        const char c = escaped == kMalformed ? path[at] : static_cast<char>(escaped);
        at += escaped == kMalformed ? 1 : 3;
        if (c == '/') {
            if (isDotSegment(size, dots)) return true;
            size = 0;
            dots = 0;
            continue;
        }
        ++size;
        if (c == '.') ++dots;
    }
    return isDotSegment(size, dots);
}

QueryParams::Iterator::Iterator(std::string_view query, size_t from) : m_query(query) { seek(from); }

QueryParams::Iterator& QueryParams::Iterator::operator++() {
    seek(m_next);
    return *this;
}

void QueryParams::Iterator::seek(size_t from) {
    m_piece = std::min(m_query.find_first_not_of('&', from), m_query.size());
    m_next = std::min(m_query.find('&', m_piece), m_query.size());
    const std::string_view piece = m_query.substr(m_piece, m_next - m_piece);
    const size_t nameSize = std::min(piece.find('='), piece.size());
    m_param.name = piece.substr(0, nameSize);
    m_param.value = piece.substr(std::min(nameSize + 1, piece.size()));
}

std::optional<std::string> queryParam(std::string_view query, std::string_view name) {
    for (const QueryParam& param : QueryParams(query)) {
        if (!decodesTo(param.name, name)) continue;
        std::string value;
        if (!percentDecode(param.value, value, PlusRule::Space)) return std::nullopt;
        return value;
    }
    return std::nullopt;
}

}  // namespace tnet
