// SslSessionCache: the sessions that a client can resume, the newest of each host.
//
// Internal to //tnet/ssl. Threads: any.
#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "tnet/ssl/ssl_handle.h"

namespace tnet {

class SslSessionCache {
public:
    explicit SslSessionCache(size_t maxHosts) : m_maxHosts(maxHosts) {}

    // Copies `session` in place of what `host` had. Beyond maxHosts the one that was put longest ago goes.
    void put(const std::string& host, const SSL_SESSION* session);

    // For one connection; null: there is none, or its time is over, or that of the certificate which the server
    // showed for it. A session of TLS 1.3 is gone afterwards: a ticket that is used twice tells that both
    // connections are the same client's (RFC 8446 §C.4).
    SslSessionPtr_t take(std::string_view host);

    size_t size() const;

private:
    struct Entry {
        std::string host;
        SslSessionPtr_t session;
    };
    using Entries = std::list<Entry>;

    void erase(Entries::iterator entry);  // with m_mutex held

    const size_t m_maxHosts;
    mutable std::mutex m_mutex;
    Entries m_entries{};                                             // the newest first
    std::unordered_map<std::string_view, Entries::iterator> m_by{};  // by Entry::host
};

}  // namespace tnet
