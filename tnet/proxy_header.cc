#include "tnet/proxy_header.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <string>

namespace tnet {
namespace {

using Status = ProxyHeader::Status;

constexpr std::string_view kTextBegin = "PROXY ";
constexpr size_t kMaxTextBytes = 107;  // with CRLF: §2.1

constexpr std::string_view kSignature("\r\n\r\n\0\r\nQUIT\n", 12);  // §2.2
constexpr size_t kFixedBytes = 16;
constexpr uint8_t kLocal = 0x20;  // version 2 in the upper half
constexpr uint8_t kProxy = 0x21;

constexpr ProxyHeader kMalformed{Status::Malformed};

// Whether `bytes` are, or may become, something that begins with `begin`.
bool mayBegin(std::string_view bytes, std::string_view begin) {
    const size_t known = std::min(bytes.size(), begin.size());
    return bytes.substr(0, known) == begin.substr(0, known);
}

// --- Version 1 ---

// The next field of `line`, which one space ends, or the line.
std::string_view takeField(std::string_view& line) {
    const size_t space = line.find(' ');
    const std::string_view field = line.substr(0, space);
    // A line that ends in a space has one more field, which is empty.
    line = space == std::string_view::npos ? std::string_view() : line.substr(space + 1);
    return field;
}

// In decimal, without sign or leading zeros.
std::optional<uint16_t> parsePort(std::string_view text) {
    uint16_t port = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
    const bool isWhole = error == std::errc() && end == text.data() + text.size();
    if (!isWhole || (text.size() > 1 && text.front() == '0')) return std::nullopt;
    return port;
}

std::optional<PeerAddress> makePeer(int family, std::string_view host, uint16_t port) {
    // inet_pton ends at a NUL, and knows no other bytes that are not the address's.
    if (host.find('\0') != std::string_view::npos) return std::nullopt;
    const std::string text(host);
    if (family == AF_INET) {
        sockaddr_in v4{};
        v4.sin_family = AF_INET;
        v4.sin_port = htons(port);
        if (::inet_pton(AF_INET, text.c_str(), &v4.sin_addr) != 1) return std::nullopt;
        return PeerAddress(reinterpret_cast<const sockaddr*>(&v4), sizeof(v4));
    }
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    if (::inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr) != 1) return std::nullopt;
    return PeerAddress(reinterpret_cast<const sockaddr*>(&v6), sizeof(v6));
}

// `line`: behind "PROXY ", without CRLF.
ProxyHeader parseLine(std::string_view line, size_t bytes) {
    const size_t fields = static_cast<size_t>(std::count(line.begin(), line.end(), ' ')) + 1;
    const std::string_view protocol = takeField(line);
    if (protocol == "UNKNOWN") return {Status::Complete, bytes};  // whatever follows, §2.1
    if ((protocol != "TCP4" && protocol != "TCP6") || fields != 5) return kMalformed;
    const int family = protocol == "TCP4" ? AF_INET : AF_INET6;
    const std::string_view source = takeField(line);
    const std::string_view destination = takeField(line);
    const auto sourcePort = parsePort(takeField(line));
    const auto destinationPort = parsePort(line);
    if (!sourcePort || !destinationPort) return kMalformed;
    const auto peer = makePeer(family, source, *sourcePort);
    if (!peer || !makePeer(family, destination, *destinationPort)) return kMalformed;
    return {Status::Complete, bytes, peer};
}

ProxyHeader parseText(std::string_view bytes) {
    const std::string_view possible = bytes.substr(0, kMaxTextBytes);
    const size_t end = possible.find('\n');
    if (end == std::string_view::npos) {
        // Only the line's end may hold a CR, and nothing but a LF follows it.
        const size_t cr = possible.find('\r');
        if (bytes.size() >= kMaxTextBytes || (cr != std::string_view::npos && cr + 1 != possible.size()))
            return kMalformed;
        return {};
    }
    if (end <= kTextBegin.size() || possible.find('\r') != end - 1) return kMalformed;
    return parseLine(possible.substr(kTextBegin.size(), end - 1 - kTextBegin.size()), end + 1);
}

// --- Version 2 ---

uint16_t readUint16(std::string_view bytes, size_t at) {
    return static_cast<uint16_t>(static_cast<uint8_t>(bytes[at]) << 8U | static_cast<uint8_t>(bytes[at + 1]));
}

// Of the families that a stream listener may be told: how long their addresses are. None: not to be accepted.
std::optional<size_t> addressBytes(uint8_t family) {
    switch (family) {
        case 0x00: return 0;           // UNSPEC
        case 0x11: return 12;          // TCP over IPv4
        case 0x21: return 36;          // TCP over IPv6
        case 0x31: return 216;         // Unix stream
        default: return std::nullopt;  // datagrams, and what is not assigned
    }
}

std::optional<PeerAddress> readSource(uint8_t family, std::string_view block) {
    if (family == 0x11) {
        sockaddr_in v4{};
        v4.sin_family = AF_INET;
        v4.sin_port = htons(readUint16(block, 8));
        std::memcpy(&v4.sin_addr, block.data(), sizeof(v4.sin_addr));
        return PeerAddress(reinterpret_cast<const sockaddr*>(&v4), sizeof(v4));
    }
    if (family == 0x21) {
        sockaddr_in6 v6{};
        v6.sin6_family = AF_INET6;
        v6.sin6_port = htons(readUint16(block, 32));
        std::memcpy(&v6.sin6_addr, block.data(), sizeof(v6.sin6_addr));
        return PeerAddress(reinterpret_cast<const sockaddr*>(&v6), sizeof(v6));
    }
    if (family == 0x31) return PeerAddress();  // "unix:", like any peer on a Unix socket
    return std::nullopt;
}

ProxyHeader parseBinary(std::string_view bytes) {
    if (bytes.size() > 12) {
        const auto command = static_cast<uint8_t>(bytes[12]);
        if (command != kLocal && command != kProxy) return kMalformed;
    }
    if (bytes.size() < kFixedBytes) return {};
    const bool isLocal = static_cast<uint8_t>(bytes[12]) == kLocal;
    const auto family = static_cast<uint8_t>(bytes[13]);
    const size_t length = readUint16(bytes, 14);
    const size_t whole = kFixedBytes + length;
    if (isLocal) return {Status::Complete, whole};  // the rest is ignored, its family, too: §2.2
    const std::optional<size_t> needed = addressBytes(family);
    if (!needed || length < *needed) return kMalformed;
    if (bytes.size() < kFixedBytes + *needed) return {};
    return {Status::Complete, whole, readSource(family, bytes.substr(kFixedBytes))};
}

}  // namespace

ProxyHeader parseProxyHeader(std::string_view bytes) {
    static_assert(ProxyHeader::kMaxKeptBytes == kFixedBytes + 216);
    if (mayBegin(bytes, kSignature)) return bytes.empty() ? ProxyHeader{} : parseBinary(bytes);
    if (mayBegin(bytes, kTextBegin)) return parseText(bytes);
    return kMalformed;
}

}  // namespace tnet
