#include "tnet/ssl/ssl_reloader.h"

#include <sys/stat.h>

#include <cassert>
#include <utility>

#include "tnet/log.h"

namespace tnet {

SslReloader::SslReloader(IOLoop* loop, SslContextPtr_t context, std::chrono::milliseconds interval)
    : m_loop(loop),
      m_context(std::move(context)),
      m_files(m_context->files()),
      m_states(lookAtAll()),
      m_timer(loop->runEvery(interval, [this] { check(); })) {
    assert(interval > std::chrono::milliseconds::zero() && "an SslReloader's interval is positive");
}

SslReloader::~SslReloader() { m_loop->cancel(m_timer); }

SslReloader::FileState SslReloader::look(const std::string& file) {
    struct stat found {};
    if (::stat(file.c_str(), &found) != 0) return {};
    return {found.st_dev, found.st_ino, found.st_size, found.st_mtim.tv_sec, found.st_mtim.tv_nsec};
}

std::vector<SslReloader::FileState> SslReloader::lookAtAll() const {
    std::vector<FileState> states;
    states.reserve(m_files.size());
    for (const std::string& file : m_files) states.push_back(look(file));
    return states;
}

void SslReloader::check() {
    std::vector<FileState> states = lookAtAll();
    if (states == m_states) return;
    // Looked at before they are read: what changes in between is a change next time.
    m_states = std::move(states);
    const Status reloaded = m_context->reload();
    if (reloaded) {
        logger().info("TLS: reloaded {} and what belongs to it", m_files.front());
    } else {
        logger().error("TLS: not reloaded, the former certificates stay: {}", reloaded.error().message);
    }
}

}  // namespace tnet
