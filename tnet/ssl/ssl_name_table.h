// SslNameTable: finds what belongs to a server's name (SNI) by the names that certificates have.
//
// Exact names go before wildcards. A wildcard stands for exactly one whole label, the first (RFC 9525 §6.3):
// "*.example.org" is for "a.example.org", but neither for "example.org" nor for "a.b.example.org". Case and a
// dot at the end do not matter.
//
// Internal to //tnet/ssl. Threads: immutable once filled.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "tnet/cpp20.h"

namespace tnet {

class SslNameTable {
public:
    // A name of a certificate. The first one stays if it is there already; nothing that is neither a name nor a
    // wildcard as above is ever found.
    void add(std::string_view name, size_t value);

    // No memory is allocated.
    std::optional<size_t> find(std::string_view serverName) const;

private:
    struct Hash {
        using is_transparent = void;
        size_t operator()(std::string_view name) const { return std::hash<std::string_view>{}(name); }
    };
    using Map = std::unordered_map<std::string, size_t, Hash, std::equal_to<>>;

    Map m_exact{};
    Map m_wildcards{};  // by what follows "*."
};

}  // namespace tnet
