#include "tnet/ssl/ssl_session_cache.h"

#include <ctime>
#include <utility>

#include "tnet/ssl/openssl_compat.h"

namespace tnet {
namespace {

bool isUsable(const SSL_SESSION* session) {
    if (SSL_SESSION_is_resumable(session) != 1) return false;
    if (madeAt(session) + SSL_SESSION_get_timeout(session) <= std::time(nullptr)) return false;
    // Resuming shows no certificate, so nobody else would see that it has expired.
    const X509* const peer = SSL_SESSION_get0_peer(const_cast<SSL_SESSION*>(session));
    return peer == nullptr || isAfterNow(X509_get0_notAfter(peer));
}

// OpenSSL spoils the session of a connection that ends without close_notify, so each has its own.
SslSessionPtr_t copyOf(const SSL_SESSION* session) { return SslSessionPtr_t(SSL_SESSION_dup(session)); }

}  // namespace

void SslSessionCache::put(const std::string& host, const SSL_SESSION* session) {
    SslSessionPtr_t copy = copyOf(session);
    if (!copy) return;
    const std::lock_guard lock(m_mutex);
    const auto old = m_by.find(host);
    if (old != m_by.end()) erase(old->second);
    m_entries.push_front({host, std::move(copy)});
    m_by.emplace(m_entries.front().host, m_entries.begin());
    if (m_entries.size() > m_maxHosts) erase(std::prev(m_entries.end()));
}

SslSessionPtr_t SslSessionCache::take(std::string_view host) {
    const std::lock_guard lock(m_mutex);
    const auto found = m_by.find(host);
    if (found == m_by.end()) return nullptr;
    const Entries::iterator entry = found->second;
    SslSessionPtr_t taken;
    const SSL_SESSION* const session = entry->session.get();
    const bool isLeft = isUsable(session) && SSL_SESSION_get_protocol_version(session) < TLS1_3_VERSION;
    if (isLeft) return copyOf(session);
    if (isUsable(session)) taken = std::move(entry->session);
    erase(entry);
    return taken;
}

size_t SslSessionCache::size() const {
    const std::lock_guard lock(m_mutex);
    return m_entries.size();
}

void SslSessionCache::erase(Entries::iterator entry) {
    m_by.erase(entry->host);
    m_entries.erase(entry);
}

}  // namespace tnet
