// TLS for scripted peers: TNET_TEST_TLS is the version, "1.2" or "1.3"; if TNET_TEST_TLS_CUT is set, too, the bytes
// on the wire are cut rather than what they say; if TNET_TEST_TLS_COMPACT is set, the server's connections
// are compact.
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "tests/support/peer_security.h"
#include "tests/support/test_pki.h"
#include "tests/support/tls_client.h"
#include "tnet/ssl/ssl_client_state.h"
#include "tnet/ssl/ssl_server_state.h"
#include "tnet/ssl/ssl_transport.h"

namespace tnet {
namespace {

void useOnly(TlsVersion version, SSL* ssl) {
    const int number = version == TlsVersion::Tls12 ? TLS1_2_VERSION : TLS1_3_VERSION;
    SSL_set_min_proto_version(ssl, number);
    SSL_set_max_proto_version(ssl, number);
}

bool isCompact() {
    static const bool isSet = std::getenv("TNET_TEST_TLS_COMPACT") != nullptr;
    return isSet;
}

const SslServerState& serverState() {
    static const auto state = [] {
        auto made = SslServerState::create({.certificates = {TestPki::shared().files("localhost")}}, nullptr);
        if (!made) throw std::runtime_error(made.error().message);
        if (isCompact()) SslTransport::prepareCompact((*made)->context());
        return *made;
    }();
    return *state;
}

const SslClientState& clientState() {
    static const auto state = [] {
        auto made = SslClientState::create({.caFile = TestPki::shared().caFile()});
        if (!made) throw std::runtime_error(made.error().message);
        return *made;
    }();
    return *state;
}

// One SSL_CTX for all: it takes as long to make as a handshake.
SslPtr_t newClient(TlsVersion version) {
    static const SslCtxPtr_t ctx(SSL_CTX_new(TLS_client_method()));
    SslPtr_t ssl(SSL_new(ctx.get()));
    useOnly(version, ssl.get());
    SSL_set_connect_state(ssl.get());
    return ssl;
}

class PeerTls final : public PeerSecurity {
public:
    PeerTls(TlsVersion version, bool cutsWire, Connection::Origin origin)
        : m_ours(origin == Connection::Origin::Accepted
                     ? serverState().newSsl()
                     : clientState().newSsl(std::make_shared<const SslHost>("localhost"))),
          m_end(origin == Connection::Origin::Accepted ? TlsClient(newClient(version))
                                                       : TlsClient(serverState().newSsl())),
          m_cutsWire(cutsWire) {
        useOnly(version, m_ours.get());
    }

    TransportPtr_t over(TransportPtr_t lower) override {
        static const auto shared = [] {
            auto made = std::make_shared<SslTransport::Shared>();
            made->isCompact = isCompact();
            return made;
        }();
        return SslTransport::create(std::move(m_ours), shared, std::move(lower));
    }

    void receive(std::string_view wire) override {
        m_end.feed(wire);
        EXPECT_EQ(m_end.error(), "") << "what the connection sent is not in order";
    }
    std::string takeReceived() override { return m_end.takeReceived(); }
    bool hasReceivedEnd() const override { return m_end.sawCloseNotify(); }
    bool isEstablished() const override { return m_end.isEstablished(); }

    void send(std::string_view bytes) override { m_end.send(bytes); }
    void sendEnd() override { m_end.sendCloseNotify(); }
    std::string takeOutput() override { return m_end.takeOutput(); }
    bool cutsWire() const override { return m_cutsWire; }

private:
    SslPtr_t m_ours;  // until over()
    TlsClient m_end;
    bool m_cutsWire;
};

std::unique_ptr<PeerSecurity> createPeerTls(Connection::Origin origin) {
    static const bool isOld = std::string_view(std::getenv("TNET_TEST_TLS")) == "1.2";
    static const bool cutsWire = std::getenv("TNET_TEST_TLS_CUT") != nullptr;
    return std::make_unique<PeerTls>(isOld ? TlsVersion::Tls12 : TlsVersion::Tls13, cutsWire, origin);
}

[[maybe_unused]] const bool isOn = [] {
    if (std::getenv("TNET_TEST_TLS") != nullptr) PeerSecurity::setFactory(createPeerTls);
    return true;
}();

}  // namespace
}  // namespace tnet
