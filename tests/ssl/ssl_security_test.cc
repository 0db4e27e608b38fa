#include "tnet/ssl/ssl_security.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/ssl/ssl_pair.h"
#include "tests/support/test_pki.h"

namespace tnet {
namespace {

class SslSecurityTest : public testing::Test {
protected:
    SslServerStatePtr_t makeServer(ClientCertificate mode = ClientCertificate::None) const {
        return makeSslServer({.certificates = {m_pki.files("localhost"), m_pki.files("example")},
                              .protocols = {"http/1.1"},
                              .clientCertificate = mode,
                              .clientCaFile = m_pki.caFile()},
                             *SslTicketKeys::create(std::chrono::hours(1)));
    }

    SslClientStatePtr_t makeClient(const std::string& certificate = {}) const {
        SslClientSettings settings{.caFile = m_pki.caFile(), .protocols = {"http/1.1"}};
        if (!certificate.empty()) settings.certificate = m_pki.files(certificate);
        return makeSslClient(settings);
    }

    std::unique_ptr<SslPair> connect(const SslClientStatePtr_t& client, const SslServerStatePtr_t& server,
                                     const std::string& host = "localhost",
                                     TlsVersion version = TlsVersion::Tls13) const {
        auto pair = std::make_unique<SslPair>(withVersion(newSsl(client, host), version), server->newSsl());
        EXPECT_TRUE(pair->handshake()) << pair->clientError() << pair->serverError();
        return pair;
    }

    const TestPki& m_pki = TestPki::shared();
};

TEST_F(SslSecurityTest, TellsWhatWasAgreedOn) {
    const auto pair = connect(makeClient(), makeServer());
    const SecurityInfoPtr_t info = securityOf(pair->server());
    EXPECT_EQ(info->version, "TLSv1.3");
    EXPECT_EQ(info->cipher, "TLS_AES_128_GCM_SHA256");
    EXPECT_EQ(info->protocol, "http/1.1");
    EXPECT_EQ(info->serverName, "localhost");
    EXPECT_FALSE(info->isResumed);
    EXPECT_EQ(info->peer, nullptr);

    const auto old = connect(makeClient(), makeServer(), "127.0.0.1", TlsVersion::Tls12);
    const SecurityInfoPtr_t oldInfo = securityOf(old->server());
    EXPECT_EQ(oldInfo->version, "TLSv1.2");
    EXPECT_EQ(oldInfo->cipher, "ECDHE-ECDSA-AES128-GCM-SHA256");
    EXPECT_EQ(oldInfo->serverName, "");
}

TEST_F(SslSecurityTest, TellsWhatAClientSees) {
    const auto pair = connect(makeClient(), makeServer(), "www.example.org");
    const SecurityInfoPtr_t info = securityOf(pair->client());
    EXPECT_EQ(info->protocol, "http/1.1");
    EXPECT_EQ(info->serverName, "www.example.org");
    ASSERT_NE(info->peer, nullptr);
    EXPECT_EQ(info->peer->commonName, "example.org");
    EXPECT_EQ(info->peer->dnsNames, (std::vector<std::string>{"example.org", "www.example.org"}));
}

// The name may be one that no certificate has; the layers above judge it.
TEST_F(SslSecurityTest, TellsAnUnknownName) {
    for (const TlsVersion version : {TlsVersion::Tls12, TlsVersion::Tls13}) {
        const auto server = makeServer();
        SslPair pair(withServerName(withVersion(newSsl(makeClient(), "localhost"), version), "unknown.test"),
                     server->newSsl());
        ASSERT_TRUE(pair.handshake());
        EXPECT_EQ(securityOf(pair.server())->serverName, "unknown.test");
    }
}

TEST_F(SslSecurityTest, TellsThePeer) {
    const auto pair = connect(makeClient("client"), makeServer(ClientCertificate::Ask));
    const auto peer = securityOf(pair->server())->peer;
    ASSERT_NE(peer, nullptr);
    EXPECT_EQ(peer->subject, "CN=alice,O=Example");
    EXPECT_EQ(peer->issuer, "CN=tnet test CA,O=Example");
    EXPECT_EQ(peer->commonName, "alice");
    EXPECT_EQ(peer->emails, (std::vector<std::string>{"alice@example.org"}));
    EXPECT_EQ(peer->uris, (std::vector<std::string>{"spiffe://example.org/alice"}));
    EXPECT_TRUE(peer->dnsNames.empty());
    EXPECT_EQ(peer->sha256Fingerprint.size(), 64U);
    EXPECT_EQ(peer->sha256Fingerprint.find_first_not_of("0123456789abcdef"), std::string::npos);
    EXPECT_FALSE(peer->serialNumber.empty());
    EXPECT_EQ(peer->serialNumber.find_first_not_of("0123456789ABCDEF"), std::string::npos);
}

// RFC 4514 §2.4: what would look like another part of the name is escaped, UTF-8 is as it is.
TEST_F(SslSecurityTest, ANameCannotPretendToBeAnother) {
    const auto issue = [this](const std::string& file, const std::string& name) {
        m_pki.issue(file, {.commonName = name, .purpose = TestPki::Purpose::Client});
    };
    issue("client-comma", "eve,CN=alice");
    issue("client-umlaut", "J\xc3\xbcrgen");
    issue("client-line", "eve\r\nX: y");
    const auto server = makeServer(ClientCertificate::Require);
    const auto peerOf = [&](const std::string& file) {
        return securityOf(connect(makeClient(file), server)->server())->peer;
    };
    EXPECT_EQ(peerOf("client-comma")->subject, "CN=eve\\,CN=alice,O=Example");
    EXPECT_EQ(peerOf("client-comma")->commonName, "eve,CN=alice");
    EXPECT_EQ(peerOf("client-umlaut")->subject, "CN=J\xc3\xbcrgen,O=Example");
    EXPECT_EQ(peerOf("client-line")->subject, "CN=eve\\0D\\0AX: y,O=Example");
}

TEST_F(SslSecurityTest, APeerIsKnownAgainWhenItResumes) {
    const auto server = makeServer(ClientCertificate::Require);
    for (const TlsVersion version : {TlsVersion::Tls12, TlsVersion::Tls13}) {
        const auto client = makeClient("client");
        const auto first = connect(client, server, "localhost", version);
        const auto second = connect(client, server, "localhost", version);
        for (SSL* const side : {second->server(), second->client()}) {
            const SecurityInfoPtr_t info = securityOf(side);
            EXPECT_TRUE(info->isResumed);
            EXPECT_EQ(info->serverName, "localhost");
            ASSERT_NE(info->peer, nullptr);
        }
        EXPECT_EQ(securityOf(second->server())->peer->commonName, "alice");
        EXPECT_EQ(securityOf(second->client())->peer->commonName, "localhost");
    }
}

TEST_F(SslSecurityTest, APeerThatWasNotVerifiedIsNoPeer) {
    SslPair pair(newSsl(makeSslClient({.verifyPeer = false}), "wrong.test"), makeServer()->newSsl());
    ASSERT_TRUE(pair.handshake());
    ASSERT_NE(SSL_get0_peer_certificate(pair.client()), nullptr);
    EXPECT_EQ(securityOf(pair.client())->peer, nullptr);
}

// So that an idle connection of a server does not own one.
TEST_F(SslSecurityTest, ConnectionsOfAThreadShareIt) {
    const auto server = makeServer(ClientCertificate::Ask);
    const auto anonymous = makeClient();
    const auto alice = makeClient("client");
    const SecurityInfoPtr_t full = securityOf(connect(anonymous, server)->server());
    const SecurityInfoPtr_t resumed = securityOf(connect(anonymous, server)->server());
    const SecurityInfoPtr_t known = securityOf(connect(alice, server)->server());
    const SecurityInfoPtr_t knownResumed = securityOf(connect(alice, server)->server());
    EXPECT_NE(full, resumed);
    EXPECT_NE(full, known);
    EXPECT_NE(known, knownResumed);
    EXPECT_EQ(known->peer, knownResumed->peer);
    EXPECT_EQ(securityOf(connect(makeClient(), server)->server()), full);
    EXPECT_EQ(securityOf(connect(anonymous, server)->server()), resumed);
    EXPECT_EQ(securityOf(connect(makeClient("client"), server)->server()), known);
    EXPECT_EQ(securityOf(connect(alice, server)->server()), knownResumed);
    const auto pair = connect(makeClient(), server);
    std::thread([&] { EXPECT_NE(securityOf(pair->server()), full); }).join();
}

}  // namespace
}  // namespace tnet
