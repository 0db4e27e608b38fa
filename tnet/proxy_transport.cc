#include "tnet/proxy_transport.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <string_view>
#include <utility>

#include "tnet/log.h"
#include "tnet/proxy_header.h"

namespace tnet {
namespace {

class ProxyTransport final : public Transport {
public:
    explicit ProxyTransport(TransportPtr_t behind)
        : m_behind(std::move(behind)), m_header(std::make_unique<Header>()) {}

    IoResult handshake(int fd) override {
        if (m_header) {
            if (const IoResult result = readHeader(fd); result.status != IoStatus::Ok) return result;
            m_header.reset();
        }
        const IoResult result = m_behind->handshake(fd);
        m_isReady = result.status == IoStatus::Ok;
        return result;
    }

    IoResult read(int fd, char* into, size_t size) override { return m_behind->read(fd, into, size); }
    IoResult write(int fd, const iovec* pieces, int count) override {
        return m_behind->write(fd, pieces, count);
    }
    IoResult sendFile(int fd, int file, off_t offset, size_t size) override {
        return m_behind->sendFile(fd, file, offset, size);
    }
    IoResult endWrite(int fd) override { return m_behind->endWrite(fd); }
    bool hasPendingInput() const override { return m_behind->hasPendingInput(); }
    SecurityInfoPtr_t security() const override { return m_behind->security(); }
    bool wantsGracefulEnd() const override { return m_behind->wantsGracefulEnd(); }

    bool tellsPeer() const override { return true; }
    const PeerAddress* peer() const override { return m_isReady && m_hasPeer ? &m_peer : nullptr; }

    void release() noexcept override { delete this; }

private:
    struct Header {
        std::array<char, ProxyHeader::kMaxKeptBytes> bytes;
        size_t size = 0;
        size_t skip = 0;  // its rest, which says nothing
        bool isParsed = false;
    };

    ~ProxyTransport() = default;

    // Looks first and takes then: of what is there only the header is ours. Half a header is taken, too, or the
    // socket would stay readable and the loop spin.
    IoResult readHeader(int fd) {
        while (!m_header->isParsed) {
            char* const room = m_header->bytes.data() + m_header->size;
            const IoResult seen = receive(fd, room, m_header->bytes.size() - m_header->size, MSG_PEEK);
            if (seen.status != IoStatus::Ok) return seen;
            const std::string_view known(m_header->bytes.data(), m_header->size + seen.bytes);
            const ProxyHeader header = parseProxyHeader(known);
            if (header.status == ProxyHeader::Status::Malformed) {
                logger().debug("refused: no PROXY header");
                return {IoStatus::Failed, 0, std::make_error_code(std::errc::bad_message)};
            }
            const bool isParsed = header.status == ProxyHeader::Status::Complete;
            const size_t ours = isParsed ? std::min(header.bytes, known.size()) : known.size();
            if (const IoResult taken = take(fd, ours - m_header->size); taken.status != IoStatus::Ok)
                return taken;
            m_header->size = ours;
            if (!isParsed) continue;
            m_header->isParsed = true;
            m_header->skip = header.bytes - ours;
            m_hasPeer = header.source.has_value();
            if (m_hasPeer) m_peer = *header.source;
        }
        return skipRest(fd);
    }

    IoResult skipRest(int fd) {
        while (m_header->skip > 0) {
            const size_t size = std::min(m_header->skip, m_header->bytes.size());
            const IoResult skipped = receive(fd, m_header->bytes.data(), size, 0);
            if (skipped.status != IoStatus::Ok) return skipped;
            m_header->skip -= skipped.bytes;
        }
        return {};
    }

    // What was seen is there.
    IoResult take(int fd, size_t size) {
        char* into = m_header->bytes.data() + m_header->size;
        while (size > 0) {
            const IoResult taken = receive(fd, into, size, 0);
            if (taken.status != IoStatus::Ok) return taken;
            into += taken.bytes;
            size -= taken.bytes;
        }
        return {};
    }

    static IoResult receive(int fd, char* into, size_t size, int flags) {
        for (;;) {
            const ssize_t n = ::recv(fd, into, size, flags);
            if (n > 0) return {IoStatus::Ok, static_cast<size_t>(n), {}};
            if (n == 0) return {IoStatus::End, 0, {}};
            if (errno == EAGAIN || errno == EWOULDBLOCK) return {IoStatus::WantRead, 0, {}};
            if (errno != EINTR) return {IoStatus::Failed, 0, std::error_code(errno, std::generic_category())};
        }
    }

    TransportPtr_t m_behind;
    std::unique_ptr<Header> m_header;  // until it has come
    PeerAddress m_peer{};
    bool m_hasPeer = false;
    bool m_isReady = false;
};

}  // namespace

TransportFactory_t proxyProtocol(TransportFactory_t behind) {
    return [behind = std::move(behind)] { return TransportPtr_t(new ProxyTransport(behind())); };
}

}  // namespace tnet
