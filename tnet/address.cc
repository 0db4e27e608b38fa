#include "tnet/address.h"

#include <arpa/inet.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <optional>

namespace tnet {

namespace {

constexpr std::string_view kUnixPrefix = "unix:";
constexpr size_t kPathOffset = offsetof(sockaddr_un, sun_path);
constexpr size_t kMaxPathBytes = sizeof(sockaddr_un::sun_path) - 1;  // one for the terminating NUL

Error badAddress(std::string_view text, const std::string& reason,
                 std::errc code = std::errc::invalid_argument) {
    return makeError(code, "address \"" + std::string(text) + "\": " + reason);
}

// Decimal digits only, no leading zero.
template <class Number>
std::optional<Number> parseNumber(std::string_view digits) {
    if (digits.size() > 1 && digits.front() == '0') return std::nullopt;
    Number number = 0;
    const char* const end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(digits.data(), end, number);
    if (error != std::errc() || stop != end) return std::nullopt;
    return number;
}

bool parseNumericHost(int family, std::string_view host, void* bytes) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (host.size() >= text.size() || host.find('\0') != std::string_view::npos) return false;
    std::copy(host.begin(), host.end(), text.begin());
    return inet_pton(family, text.data(), bytes) == 1;
}

bool isLocalhost(std::string_view host) {
    constexpr std::string_view kName = "localhost";
    return std::equal(host.begin(), host.end(), kName.begin(), kName.end(),
                      [](char a, char b) { return a == b || (a >= 'A' && a <= 'Z' && a - 'A' + 'a' == b); });
}

// The number of an interface that is given by name or number; zero if there is none.
uint32_t parseScope(std::string_view scope) {
    if (const auto number = parseNumber<uint32_t>(scope)) return *number;
    if (scope.find('\0') != std::string_view::npos) return 0;
    return if_nametoindex(std::string(scope).c_str());
}

std::string scopeText(uint32_t scope) {
    std::array<char, IF_NAMESIZE> name{};
    if (if_indextoname(scope, name.data()) != nullptr) return name.data();
    return std::to_string(scope);
}

}  // namespace

Address::Address() : m_size(sizeof(sa_family_t)) {
    std::memset(&m_storage, 0, sizeof(m_storage));
    m_storage.base.sa_family = AF_UNSPEC;
}

Result<Address> Address::parse(std::string_view text) {
    if (text.starts_with(kUnixPrefix)) return parseUnix(text, text.substr(kUnixPrefix.size()));

    const size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) return badAddress(text, "no port");
    const auto port = parseNumber<uint16_t>(text.substr(colon + 1));
    if (!port) return badAddress(text, "the port is not a number from 0 to 65535");
    std::string_view host = text.substr(0, colon);

    Address address;
    if (!host.starts_with('[')) {
        if (isLocalhost(host)) return loopback(*port);
        if (!parseNumericHost(AF_INET, host, &address.m_storage.v4.sin_addr)) {
            return badAddress(text,
                              "neither IPv4, nor IPv6 in brackets, nor localhost, nor unix:path; other names "
                              "are not resolved");
        }
        address.m_storage.v4.sin_family = AF_INET;
        address.m_size = sizeof(sockaddr_in);
        return address.withPort(*port);
    }

    if (!host.ends_with(']')) return badAddress(text, "no closing bracket before the port");
    host = host.substr(1, host.size() - 2);
    const size_t percent = host.find('%');
    if (!parseNumericHost(AF_INET6, host.substr(0, percent), &address.m_storage.v6.sin6_addr)) {
        return badAddress(text, "no IPv6 address in the brackets");
    }
    if (percent != std::string_view::npos) {
        const uint32_t scope = parseScope(host.substr(percent + 1));
        if (scope == 0) return badAddress(text, "no such interface", std::errc::no_such_device);
        address.m_storage.v6.sin6_scope_id = scope;
    }
    address.m_storage.v6.sin6_family = AF_INET6;
    address.m_size = sizeof(sockaddr_in6);
    return address.withPort(*port);
}

Result<Address> Address::parseUnix(std::string_view text, std::string_view name) {
    const bool isAbstractName = name.starts_with('@');
    if (isAbstractName) name.remove_prefix(1);
    if (name.empty()) return badAddress(text, "no path");
    if (name.size() > kMaxPathBytes) {
        return badAddress(text, "the path is longer than " + std::to_string(kMaxPathBytes) + " bytes");
    }
    if (name.find('\0') != std::string_view::npos) return badAddress(text, "the path contains a NUL");

    Address address;
    sockaddr_un& local = address.m_storage.local;
    local.sun_family = AF_UNIX;
    // Either way there is one NUL: before an abstract name (unix(7)), after a path.
    std::copy(name.begin(), name.end(), local.sun_path + (isAbstractName ? 1 : 0));
    address.m_size = static_cast<socklen_t>(kPathOffset + name.size() + 1);
    return address;
}

Address Address::fromSockaddr(const sockaddr* address, socklen_t length) {
    Address copy;
    if (address == nullptr || length < sizeof(sa_family_t)) return copy;

    sa_family_t family = AF_UNSPEC;
    std::memcpy(&family, address, sizeof(family));
    if (family == AF_INET && length >= sizeof(sockaddr_in)) {
        copy.m_size = sizeof(sockaddr_in);
    } else if (family == AF_INET6 && length >= sizeof(sockaddr_in6)) {
        copy.m_size = sizeof(sockaddr_in6);
    } else if (family == AF_UNIX) {
        copy.m_size = std::min<socklen_t>(length, sizeof(sockaddr_un));
    } else {
        return copy;
    }
    std::memcpy(&copy.m_storage, address, copy.m_size);

    const sockaddr_un& local = copy.m_storage.local;
    if (family == AF_UNIX && local.sun_path[0] != '\0') {
        // The system may or may not count the NUL after a path, or what lies behind it: always one.
        const size_t pathBytes = strnlen(local.sun_path, copy.m_size - kPathOffset);
        copy.m_size = static_cast<socklen_t>(std::min(kPathOffset + pathBytes + 1, sizeof(sockaddr_un)));
        std::memset(copy.m_storage.local.sun_path + pathBytes, 0, sizeof(local.sun_path) - pathBytes);
    }
    return copy;
}

Address Address::loopback(uint16_t port) {
    Address address = any(port);
    address.m_storage.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

Address Address::any(uint16_t port) {
    Address address;
    address.m_storage.v4.sin_family = AF_INET;
    address.m_storage.v4.sin_addr.s_addr = htonl(INADDR_ANY);
    address.m_storage.v4.sin_port = htons(port);
    address.m_size = sizeof(sockaddr_in);
    return address;
}

Address Address::withPort(uint16_t port) const {
    Address copy = *this;
    if (family() == AF_INET) copy.m_storage.v4.sin_port = htons(port);
    if (family() == AF_INET6) copy.m_storage.v6.sin6_port = htons(port);
    return copy;
}

bool Address::isAbstract() const {
    return isUnix() && m_size > kPathOffset && m_storage.local.sun_path[0] == '\0';
}

uint16_t Address::port() const {
    if (family() == AF_INET) return ntohs(m_storage.v4.sin_port);
    if (family() == AF_INET6) return ntohs(m_storage.v6.sin6_port);
    return 0;
}

std::string Address::unixPath() const {
    if (!isUnix() || isAbstract() || m_size <= kPathOffset) return {};
    return std::string(m_storage.local.sun_path, strnlen(m_storage.local.sun_path, m_size - kPathOffset));
}

std::string Address::toString() const {
    switch (family()) {
        case AF_INET: return host() + ":" + std::to_string(port());
        case AF_INET6: return "[" + host() + "]:" + std::to_string(port());
        default: return host();
    }
}

std::string Address::host() const {
    std::array<char, INET6_ADDRSTRLEN> text{};
    switch (family()) {
        case AF_INET: return inet_ntop(AF_INET, &m_storage.v4.sin_addr, text.data(), text.size());
        case AF_INET6: {
            std::string host = inet_ntop(AF_INET6, &m_storage.v6.sin6_addr, text.data(), text.size());
            const uint32_t scope = m_storage.v6.sin6_scope_id;
            if (scope != 0) host += "%" + scopeText(scope);
            return host;
        }
        case AF_UNIX: {
            std::string name(kUnixPrefix);
            const size_t nameBytes = m_size - kPathOffset;
            if (isAbstract()) return name + "@" + std::string(m_storage.local.sun_path + 1, nameBytes - 1);
            return name + std::string(m_storage.local.sun_path, strnlen(m_storage.local.sun_path, nameBytes));
        }
        default: return "unspecified";
    }
}

bool operator==(const Address& a, const Address& b) {
    if (a.family() != b.family()) return false;
    const Address::Storage& left = a.m_storage;
    const Address::Storage& right = b.m_storage;
    switch (a.family()) {
        case AF_INET:
            return left.v4.sin_port == right.v4.sin_port &&
                   left.v4.sin_addr.s_addr == right.v4.sin_addr.s_addr;
        case AF_INET6:
            return left.v6.sin6_port == right.v6.sin6_port &&
                   left.v6.sin6_scope_id == right.v6.sin6_scope_id &&
                   std::memcmp(&left.v6.sin6_addr, &right.v6.sin6_addr, sizeof(in6_addr)) == 0;
        case AF_UNIX: return a.m_size == b.m_size && std::memcmp(&left.local, &right.local, a.m_size) == 0;
        default: return true;
    }
}

}  // namespace tnet
