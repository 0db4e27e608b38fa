#include "tnet/ssl/ssl_name_table.h"

#include <algorithm>
#include <array>

namespace tnet {
namespace {

constexpr size_t kMaxNameBytes = 255;  // RFC 1035 §2.3.4

// Lower case, without the dot at the end; empty: too long for a name.
class Normalized {
public:
    explicit Normalized(std::string_view name) {
        if (name.ends_with('.')) name.remove_suffix(1);
        if (name.size() > m_bytes.size()) return;
        m_size = name.size();
        std::transform(name.begin(), name.end(), m_bytes.begin(),
                       [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    }

    std::string_view view() const { return {m_bytes.data(), m_size}; }

private:
    std::array<char, kMaxNameBytes> m_bytes;
    size_t m_size = 0;
};

}  // namespace

void SslNameTable::add(std::string_view name, size_t value) {
    const Normalized normalized(name);
    std::string_view key = normalized.view();
    const bool isWildcard = key.starts_with("*.");
    if (isWildcard) key.remove_prefix(2);
    if (key.empty() || key.find('*') != std::string_view::npos) return;
    (isWildcard ? m_wildcards : m_exact).try_emplace(std::string(key), value);
}

std::optional<size_t> SslNameTable::find(std::string_view serverName) const {
    const Normalized normalized(serverName);
    const std::string_view name = normalized.view();
    const auto exact = m_exact.find(name);
    if (exact != m_exact.end()) return exact->second;
    const size_t dot = name.find('.');
    if (dot == 0 || dot == std::string_view::npos) return std::nullopt;
    const auto wildcard = m_wildcards.find(name.substr(dot + 1));
    if (wildcard != m_wildcards.end()) return wildcard->second;
    return std::nullopt;
}

}  // namespace tnet
