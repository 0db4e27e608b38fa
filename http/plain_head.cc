#include "http/plain_head.h"

#include <cstring>

#include "http/scan.h"

namespace tnet {
namespace {

constexpr std::string_view kVersion = " HTTP/1.";
constexpr size_t kVersionBytes = kVersion.size() + 3;  // the minor version and CRLF

bool startsWith(const char* at, const char* end, std::string_view text) {
    return static_cast<size_t>(end - at) >= text.size() && std::memcmp(at, text.data(), text.size()) == 0;
}

bool isLineEnd(const char* at, const char* end) { return end - at >= 2 && at[0] == '\r' && at[1] == '\n'; }

bool isBlank(char c) { return c == ' ' || c == '\t'; }

bool announcesBody(std::string_view name) {
    switch (name.size()) {
        case 14: return equalsIgnoreCase(name, "Content-Length");
        case 17: return equalsIgnoreCase(name, "Transfer-Encoding");
        default: return false;
    }
}

// Positions in the text that begins at `begin`.
uint32_t distance(const char* begin, const char* at) { return static_cast<uint32_t>(at - begin); }

// Reads the request line; null if it is not plain, otherwise what follows it.
const char* readRequestLine(const char* begin, const char* end, PlainHead& head) {
    const bool isHead = startsWith(begin, end, "HEAD ");
    if (!isHead && !startsWith(begin, end, "GET ")) return nullptr;
    if (isHead) head.method = HttpMethod::Head;
    const char* const target = begin + (isHead ? 5 : 4);
    if (target == end || *target != '/') return nullptr;
    const char* const targetEnd = skipPrintable<0x21>(target, end);
    if (static_cast<size_t>(end - targetEnd) < kVersionBytes || !startsWith(targetEnd, end, kVersion))
        return nullptr;
    const char* const minor = targetEnd + kVersion.size();
    if ((*minor != '1' && *minor != '0') || !isLineEnd(minor + 1, end)) return nullptr;
    head.minorVersion = *minor == '1' ? 1 : 0;
    head.targetStart = distance(begin, target);
    head.targetSize = distance(target, targetEnd);
    return minor + 3;
}

// Reads one header line; null if it is not plain, otherwise what follows it.
const char* readField(const char* begin, const char* name, const char* end, HttpHeaders& headers) {
    const char* const nameEnd = skipToken(name, end);
    if (nameEnd == end || nameEnd == name || *nameEnd != ':') return nullptr;
    const std::string_view nameText(name, static_cast<size_t>(nameEnd - name));
    if (announcesBody(nameText)) return nullptr;
    const char* value = nameEnd + 1;
    while (value != end && isBlank(*value)) ++value;
    const char* valueEnd = skipPrintable<0x20>(value, end);
    if (!isLineEnd(valueEnd, end)) return nullptr;
    const char* const next = valueEnd + 2;
    while (valueEnd != value && valueEnd[-1] == ' ') --valueEnd;
    headers.addRaw(distance(begin, name), static_cast<uint32_t>(nameText.size()), distance(begin, value),
                   distance(value, valueEnd));
    return next;
}

}  // namespace

PlainHead readPlainHead(std::string_view input, const HttpLimits& limits, HttpHeaders& headers) {
    const char* const begin = input.data();
    const char* const end = begin + input.size();
    PlainHead head;
    const char* const fields = readRequestLine(begin, end, head);
    if (fields == nullptr || static_cast<size_t>(fields - begin) > limits.requestLineBytes) return head;
    const char* at = fields;
    while (!isLineEnd(at, end)) {
        at = readField(begin, at, end, headers);
        if (at == nullptr || headers.size() > limits.headerCount) return head;
    }
    if (static_cast<size_t>(at - fields) > limits.headerBytes) return head;
    head.bytes = static_cast<size_t>(at + 2 - begin);
    return head;
}

}  // namespace tnet
