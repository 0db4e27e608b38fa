#include "tnet/ssl/ssl_client_state.h"

#include <gtest/gtest.h>
#include <openssl/x509v3.h>

#include <array>
#include <cstdlib>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "tests/ssl/ssl_pair.h"
#include "tests/support/test_pki.h"

namespace tnet {
namespace {

constexpr std::array kVersions{TlsVersion::Tls12, TlsVersion::Tls13};

class SslClientStateTest : public testing::Test {
protected:
    const TestPki& pki() const { return TestPki::shared(); }

    SslServerStatePtr_t makeServer(const std::string& certificate, bool hasTickets = false) const {
        SslTicketKeysPtr_t keys;
        if (hasTickets) keys = *SslTicketKeys::create(std::chrono::hours(1));
        return makeSslServer({.certificates = {pki().files(certificate)}}, keys);
    }

    SslClientStatePtr_t makeClient() const { return makeSslClient({.caFile = pki().caFile()}); }

    std::string errorOf(const SslClientSettings& wrong) const {
        const auto made = SslClientState::create(wrong);
        return made ? "" : made.error().message;
    }
};

TEST_F(SslClientStateTest, ErrorsNameTheSetting) {
    const std::string missing = pki().path("missing");
    const std::string text = pki().write("not-pem", "this is no PEM\n");
    struct Case {
        SslClientSettings settings;
        std::vector<std::string> says;
    };
    const std::array cases{
        Case{{.caFile = missing}, {missing, "No such file"}},
        Case{{.caFile = text}, {text, "no start line"}},
        Case{{.certificate = {missing, missing}}, {missing, "No such file"}},
        Case{{.certificate = {pki().files("client").chainFile, pki().files("client-rsa").keyFile}},
             {pki().files("client-rsa").keyFile, "is not the key of", pki().files("client").chainFile}},
        Case{{.certificate = {"", pki().files("client").keyFile}}, {"chainFile"}},
        Case{{.ciphers = "NONSENSE"}, {"ciphers \"NONSENSE\"", "no cipher match"}},
        Case{{.ciphersuites = "NONSENSE"}, {"ciphersuites \"NONSENSE\"", "no cipher match"}},
        Case{{.protocols = {""}}, {"protocols \"\""}},
    };
    EXPECT_EQ(errorOf({}), "");
    for (const Case& each : cases) {
        const std::string error = errorOf(each.settings);
        SCOPED_TRACE(error);
        for (const std::string& part : each.says) EXPECT_NE(error.find(part), std::string::npos) << part;
    }
}

TEST_F(SslClientStateTest, KnowsANameFromAnAddress) {
    struct Case {
        std::string host;
        std::string name;
        bool isAddress;
    };
    for (const Case& each :
         {Case{"example.org", "example.org", false}, Case{"example.org.", "example.org", false},
          Case{"127.0.0.1", "127.0.0.1", true}, Case{"127.0.0.1.example.org", "127.0.0.1.example.org", false},
          Case{"::1", "::1", true}, Case{"[::1]", "::1", true}, Case{"fe80::1%eth0", "fe80::1", true},
          Case{"[fe80::1%25eth0]", "fe80::1", true}, Case{"1.2.3", "1.2.3", false}, Case{"", "", false},
          Case{"[]", "", false}, Case{".", "", false}}) {
        const SslHost host(each.host);
        EXPECT_EQ(host.name, each.name) << each.host;
        EXPECT_EQ(host.isAddress, each.isAddress) << each.host;
    }
}

TEST_F(SslClientStateTest, ConnectsToTheRightOneOnly) {
    struct Case {
        std::string certificate;
        std::string host;
        long result;
    };
    constexpr long kWrongName = X509_V_ERR_HOSTNAME_MISMATCH;
    constexpr long kWrongAddress = X509_V_ERR_IP_ADDRESS_MISMATCH;
    const std::array cases{
        Case{"localhost", "localhost", X509_V_OK},
        Case{"localhost", "LOCALHOST.", X509_V_OK},
        Case{"localhost", "127.0.0.1", X509_V_OK},
        Case{"localhost", "::1", X509_V_OK},
        Case{"localhost", "[::1]", X509_V_OK},
        Case{"localhost-rsa", "localhost", X509_V_OK},
        Case{"example", "www.example.org", X509_V_OK},
        Case{"wildcard", "a.example.org", X509_V_OK},
        Case{"intermediate", "localhost", X509_V_OK},
        Case{"full-chain", "localhost", X509_V_OK},

        Case{"localhost", "example.org", kWrongName},
        Case{"localhost", "127.0.0.2", kWrongAddress},
        Case{"localhost", "::2", kWrongAddress},
        Case{"example", "a.example.org", kWrongName},
        Case{"example", "127.0.0.1", kWrongAddress},
        Case{"wildcard", "example.org", kWrongName},
        Case{"wildcard", "a.b.example.org", kWrongName},
        Case{"partial", "www.example.org", kWrongName},
        Case{"ip", "localhost", kWrongName},
        Case{"common-name", "localhost", kWrongName},
        Case{"localhost", "", kWrongName},
        Case{"localhost", ".", kWrongName},
        Case{"localhost", std::string("localhost\0.evil", 15), kWrongName},
        Case{"localhost", std::string(300, 'a'), kWrongName},
        Case{"expired", "localhost", X509_V_ERR_CERT_HAS_EXPIRED},
        Case{"not-yet-valid", "localhost", X509_V_ERR_CERT_NOT_YET_VALID},
        Case{"self-signed", "localhost", X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT},
        Case{"other-ca", "localhost", X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY},
        Case{"no-intermediate", "localhost", X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY},
        Case{"client", "localhost", X509_V_ERR_INVALID_PURPOSE},
    };
    const SslClientStatePtr_t client = makeClient();
    for (const TlsVersion version : kVersions) {
        for (const Case& each : cases) {
            SCOPED_TRACE(each.certificate + " for " + each.host);
            SslPair pair(withVersion(newSsl(client, each.host), version),
                         makeServer(each.certificate)->newSsl());
            EXPECT_EQ(pair.handshake(), each.result == X509_V_OK) << pair.serverError();
            EXPECT_EQ(SSL_get_verify_result(pair.client()), each.result);
            EXPECT_EQ(pair.clientError(), each.result == X509_V_OK ? "" : "certificate verify failed");
        }
    }
}

TEST_F(SslClientStateTest, VerificationCanBeOff) {
    const SslClientStatePtr_t client = makeSslClient({.verifyPeer = false});
    for (const char* const certificate : {"localhost", "expired", "self-signed", "other"}) {
        SslPair pair(newSsl(client, "localhost"), makeServer(certificate)->newSsl());
        EXPECT_TRUE(pair.handshake()) << pair.clientError();
        // What was found is still to be seen: such a peer is nobody's.
        EXPECT_NE(SSL_get_verify_result(pair.client()), X509_V_OK);
    }
    SslPair nameless(newSsl(client, ""), makeServer("localhost")->newSsl());
    EXPECT_TRUE(nameless.handshake()) << nameless.clientError();
    EXPECT_NE(SSL_get_verify_result(nameless.client()), X509_V_OK);
}

TEST_F(SslClientStateTest, TrustsACaThatIsNoRoot) {
    const SslClientStatePtr_t client = makeSslClient({.caFile = pki().intermediateCaFile()});
    SslPair good(newSsl(client, "localhost"), makeServer("no-intermediate")->newSsl());
    EXPECT_TRUE(good.handshake()) << good.clientError();
    SslPair bad(newSsl(client, "localhost"), makeServer("localhost")->newSsl());
    EXPECT_FALSE(bad.handshake());
}

// OpenSSL itself reads where the system's store is from these two.
class SystemStoreTest : public SslClientStateTest {
protected:
    SystemStoreTest() {
        ::setenv("SSL_CERT_FILE", pki().otherCaFile().c_str(), 1);
        ::setenv("SSL_CERT_DIR", "/nonexistent", 1);
    }
    ~SystemStoreTest() override {
        ::unsetenv("SSL_CERT_FILE");
        ::unsetenv("SSL_CERT_DIR");
    }
};

TEST_F(SystemStoreTest, IsTrustedWithoutACaFile) {
    const SslClientStatePtr_t client = makeSslClient({});
    SslPair good(newSsl(client, "localhost"), makeServer("other-ca")->newSsl());
    EXPECT_TRUE(good.handshake()) << good.clientError();
    SslPair bad(newSsl(client, "localhost"), makeServer("localhost")->newSsl());
    EXPECT_FALSE(bad.handshake());
    EXPECT_EQ(SSL_get_verify_result(bad.client()), X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
}

TEST_F(SystemStoreTest, IsNotTrustedBesidesACaFile) {
    const SslClientStatePtr_t client = makeClient();
    SslPair bad(newSsl(client, "localhost"), makeServer("other-ca")->newSsl());
    EXPECT_FALSE(bad.handshake());
}

// RFC 6066 §3: an address is no name to ask for.
TEST_F(SslClientStateTest, AsksForNamesOnly) {
    const SslServerStatePtr_t server = makeServer("localhost");
    SslPair named(newSsl(makeClient(), "localhost."), server->newSsl());
    ASSERT_TRUE(named.handshake());
    EXPECT_STREQ(SSL_get_servername(named.server(), TLSEXT_NAMETYPE_host_name), "localhost");
    SslPair unnamed(newSsl(makeClient(), "127.0.0.1"), server->newSsl());
    ASSERT_TRUE(unnamed.handshake());
    EXPECT_EQ(SSL_get_servername(unnamed.server(), TLSEXT_NAMETYPE_host_name), nullptr);
}

TEST_F(SslClientStateTest, ShowsItsCertificateAndChain) {
    const SslCertificateFiles bob = pki().issue("client-bob", {.commonName = "bob",
                                                               .issuer = TestPki::Issuer::Intermediate,
                                                               .purpose = TestPki::Purpose::Client,
                                                               .chain = TestPki::Chain::WithRoot});
    const auto server = makeSslServer({.certificates = {pki().files("localhost")},
                                       .clientCertificate = ClientCertificate::Require,
                                       .clientCaFile = pki().caFile()});
    SslPair pair(newSsl(makeSslClient({.caFile = pki().caFile(), .certificate = bob}), "localhost"),
                 server->newSsl());
    ASSERT_TRUE(pair.handshake()) << pair.serverError();
    EXPECT_EQ(sk_X509_num(SSL_get_peer_cert_chain(pair.server())), 1);  // the intermediate, and no root
}

TEST_F(SslClientStateTest, AcceptsNoOldVersion) {
    SslPtr_t server = makeServer("localhost")->newSsl();
    SslPair old(
        newSsl(makeSslClient({.caFile = pki().caFile(), .minVersion = TlsVersion::Tls13}), "localhost"),
        withVersion(std::move(server), TlsVersion::Tls12));
    EXPECT_FALSE(old.handshake());
}

// --- Resumption ---

class SslResumptionTest : public SslClientStateTest {
protected:
    bool resumes(const SslClientStatePtr_t& client, const SslServerStatePtr_t& server, TlsVersion version,
                 const std::string& host = "localhost") {
        SslPair pair(withVersion(newSsl(client, host), version), server->newSsl());
        EXPECT_TRUE(pair.handshake()) << pair.clientError() << pair.serverError();
        EXPECT_EQ(SSL_get_verify_result(pair.client()), X509_V_OK);
        return SSL_session_reused(pair.client()) == 1;
    }

    const SslServerStatePtr_t m_server = makeServer("localhost", true);
};

TEST_F(SslResumptionTest, IsPerHost) {
    for (const TlsVersion version : kVersions) {
        const SslClientStatePtr_t client = makeClient();
        EXPECT_FALSE(resumes(client, m_server, version, "localhost"));
        EXPECT_FALSE(resumes(client, m_server, version, "127.0.0.1"));
        EXPECT_TRUE(resumes(client, m_server, version, "localhost"));
        EXPECT_TRUE(resumes(client, m_server, version, "localhost."));
        EXPECT_TRUE(resumes(client, m_server, version, "127.0.0.1"));
    }
}

// Each connection is destroyed without close_notify, which in OpenSSL spoils its session.
TEST_F(SslResumptionTest, SurvivesConnectionsThatJustEnd) {
    for (const TlsVersion version : kVersions) {
        const SslClientStatePtr_t client = makeClient();
        EXPECT_FALSE(resumes(client, m_server, version));
        for (int i = 0; i < 3; ++i) EXPECT_TRUE(resumes(client, m_server, version));
    }
}

// RFC 8446 §C.4.
TEST_F(SslResumptionTest, UsesATicketOfTls13Once) {
    const SslClientStatePtr_t client = makeClient();
    EXPECT_FALSE(resumes(client, m_server, TlsVersion::Tls13));
    SslPair first(newSsl(client, "localhost"), m_server->newSsl());
    SslPair second(newSsl(client, "localhost"), m_server->newSsl());
    ASSERT_TRUE(first.handshake());
    ASSERT_TRUE(second.handshake());
    EXPECT_TRUE(SSL_session_reused(first.client()));
    EXPECT_FALSE(SSL_session_reused(second.client()));
}

TEST_F(SslResumptionTest, CanBeOff) {
    for (const TlsVersion version : kVersions) {
        const SslClientStatePtr_t client = makeSslClient({.caFile = pki().caFile(), .resumeSessions = false});
        EXPECT_FALSE(resumes(client, m_server, version));
        EXPECT_FALSE(resumes(client, m_server, version));
    }
}

// Nobody looks at a certificate when a session is resumed.
TEST_F(SslResumptionTest, EndsWithTheServersCertificate) {
    const SslServerStatePtr_t server = makeServer("expired", true);
    for (const TlsVersion version : kVersions) {
        const SslClientStatePtr_t client = makeClient();
        SslPtr_t lenient = withVersion(newSsl(client, "localhost"), version);
        SSL_set_verify(lenient.get(), SSL_VERIFY_PEER, [](int, X509_STORE_CTX*) { return 1; });
        SslPair first(std::move(lenient), server->newSsl());
        ASSERT_TRUE(first.handshake()) << first.clientError();
        SslPair second(withVersion(newSsl(client, "localhost"), version), server->newSsl());
        EXPECT_FALSE(second.handshake());
        EXPECT_EQ(SSL_get_verify_result(second.client()), X509_V_ERR_CERT_HAS_EXPIRED);
    }
}

TEST_F(SslResumptionTest, AnSslOutlivesTheState) {
    SslClientStatePtr_t client = makeClient();
    SslPair pair(newSsl(client, "localhost"), m_server->newSsl());
    client.reset();
    EXPECT_TRUE(pair.handshake()) << pair.clientError();
}

}  // namespace
}  // namespace tnet
