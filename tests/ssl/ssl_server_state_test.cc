#include "tnet/ssl/ssl_server_state.h"

#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <array>
#include <chrono>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/ssl/ssl_pair.h"
#include "tests/support/manual_clock.h"
#include "tests/support/test_pki.h"
#include "tnet/ssl/ssl_error.h"

namespace tnet {
namespace {

constexpr std::array kVersions{TlsVersion::Tls12, TlsVersion::Tls13};

std::string contentOf(const std::string& file) {
    std::ostringstream content;
    content << std::ifstream(file).rdbuf();
    return content.str();
}

// The common name that the server has shown.
std::string shownTo(SSL* client) {
    X509* const certificate = SSL_get0_peer_certificate(client);
    if (certificate == nullptr) return "none";
    std::array<char, 100> name{};
    X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name.data(), name.size());
    return name.data();
}

int keyTypeShownTo(SSL* client) {
    return EVP_PKEY_get_base_id(X509_get0_pubkey(SSL_get0_peer_certificate(client)));
}

void setCiphers(SSL* ssl, const char* ciphers) {
    SSL_set_security_level(ssl, 0);
    ASSERT_EQ(SSL_set_cipher_list(ssl, ciphers), 1) << ciphers;
}

void setGroups(SSL* ssl, const char* groups) {
    ASSERT_EQ(SSL_ctrl(ssl, SSL_CTRL_SET_GROUPS_LIST, 0, const_cast<char*>(groups)), 1) << groups;
}

class SslServerStateTest : public testing::Test {
protected:
    const TestPki& pki() const { return TestPki::shared(); }

    SslServerSettings settings(const std::string& certificate = "localhost") const {
        return {.certificates = {pki().files(certificate)}};
    }

    // Of a client that trusts anybody, unless it is told otherwise.
    SslPtr_t clientSsl(TlsVersion version, const SslClientSettings& how = {.verifyPeer = false}) const {
        return withVersion(newSsl(makeSslClient(how), "localhost"), version);
    }

    std::string errorOf(const SslServerSettings& wrong) const {
        const auto made = SslServerState::create(wrong, nullptr);
        return made ? "" : made.error().message;
    }

    SslTicketKeysPtr_t makeKeys() const { return *SslTicketKeys::create(std::chrono::seconds(100), m_clock); }

    ManualClock m_clock;
};

// --- Set-up ---

TEST_F(SslServerStateTest, ErrorsNameTheSetting) {
    const std::string missing = pki().path("missing");
    struct Case {
        std::function<void(SslServerSettings&)> spoil;
        std::vector<std::string> says;
    };
    const std::array cases{
        Case{[](auto& s) { s.certificates.clear(); }, {"certificates"}},
        Case{[&](auto& s) {
                 s.certificates.push_back({missing, missing});
             },
             {missing, "No such file"}},
        Case{[&](auto& s) { s.certificates.push_back(pki().files("localhost-small-rsa")); },
             {pki().files("localhost-small-rsa").chainFile, "ee key too small"}},
        Case{[](auto& s) { s.ciphers = "NONSENSE"; }, {"ciphers \"NONSENSE\"", "no cipher match"}},
        Case{[](auto& s) { s.ciphersuites = "NONSENSE"; }, {"ciphersuites \"NONSENSE\"", "no cipher match"}},
        Case{[](auto& s) {
                 s.protocols = {"h2", ""};
             },
             {"protocols \"\""}},
        Case{[](auto& s) { s.protocols = {std::string(256, 'x')}; }, {"protocols \"xxx"}},
        Case{[](auto& s) { s.clientCertificate = ClientCertificate::Ask; }, {"clientCaFile"}},
        Case{[&](auto& s) {
                 s.clientCertificate = ClientCertificate::Require;
                 s.clientCaFile = missing;
             },
             {missing, "No such file"}},
        Case{[](auto& s) { s.ticketLifetime = std::chrono::seconds(-1); }, {"ticketLifetime", "-1"}},
        Case{[](auto& s) { s.ticketLifetime = std::chrono::hours(24 * 8); }, {"ticketLifetime", "691200"}},
    };
    EXPECT_EQ(errorOf(settings()), "");
    for (const Case& each : cases) {
        SslServerSettings wrong = settings();
        each.spoil(wrong);
        const std::string error = errorOf(wrong);
        SCOPED_TRACE(error);
        for (const std::string& part : each.says) EXPECT_NE(error.find(part), std::string::npos) << part;
    }
}

// --- Versions, ciphers ---

TEST_F(SslServerStateTest, SpeaksTls12AndTls13) {
    struct Case {
        TlsVersion minVersion;
        TlsVersion offered;
        bool isSpoken;
    };
    for (const Case& each :
         {Case{TlsVersion::Tls12, TlsVersion::Tls12, true}, Case{TlsVersion::Tls12, TlsVersion::Tls13, true},
          Case{TlsVersion::Tls13, TlsVersion::Tls12, false},
          Case{TlsVersion::Tls13, TlsVersion::Tls13, true}}) {
        SslServerSettings how = settings();
        how.minVersion = each.minVersion;
        SslPair pair(clientSsl(each.offered), makeSslServer(how)->newSsl());
        EXPECT_EQ(pair.handshake(), each.isSpoken) << pair.serverError();
        if (!each.isSpoken) {
            EXPECT_EQ(pair.serverError(), "unsupported protocol");
            continue;
        }
        EXPECT_EQ(SSL_version(pair.server()),
                  each.offered == TlsVersion::Tls13 ? TLS1_3_VERSION : TLS1_2_VERSION);
        EXPECT_EQ(pair.fromServer("hello"), "hello");
        EXPECT_EQ(pair.fromClient("hello"), "hello");
    }
}

TEST_F(SslServerStateTest, RefusesTls11) {
    SslPtr_t client = clientSsl(TlsVersion::Tls12);
    setCiphers(client.get(), "ALL");
    SSL_set_min_proto_version(client.get(), TLS1_VERSION);
    SSL_set_max_proto_version(client.get(), TLS1_1_VERSION);
    SslPtr_t server = makeSslServer(settings())->newSsl();
    SSL_set_security_level(server.get(), 0);  // level 2 alone would refuse it
    SslPair pair(std::move(client), std::move(server));
    EXPECT_FALSE(pair.handshake());
    EXPECT_EQ(pair.serverError(), "unsupported protocol");
}

TEST_F(SslServerStateTest, TakesModernCiphersOnly) {
    struct Case {
        const char* offered;
        const char* chosen;  // null: none
    };
    const std::array cases{
        Case{"ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"},
        Case{"ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384"},
        Case{"ECDHE-RSA-CHACHA20-POLY1305:ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-CHACHA20-POLY1305"},
        Case{"ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-RSA-AES256-GCM-SHA384"},
        Case{"ECDHE-RSA-AES128-SHA256", nullptr},
        Case{"ECDHE-RSA-AES128-SHA", nullptr},
        Case{"AES128-GCM-SHA256", nullptr},
        Case{"DHE-RSA-AES128-GCM-SHA256", nullptr},
        Case{"AECDH-AES128-SHA", nullptr},
    };
    const auto server = makeSslServer(settings("localhost-rsa"));
    for (const Case& each : cases) {
        SslPtr_t client = clientSsl(TlsVersion::Tls12);
        setCiphers(client.get(), each.offered);
        SslPair pair(std::move(client), server->newSsl());
        EXPECT_EQ(pair.handshake(), each.chosen != nullptr) << each.offered << " " << pair.serverError();
        if (each.chosen != nullptr) {
            EXPECT_STREQ(SSL_get_cipher_name(pair.server()), each.chosen);
        } else {
            EXPECT_EQ(pair.serverError(), "no shared cipher");
        }
    }
}

TEST_F(SslServerStateTest, CiphersCanBeSet) {
    SslServerSettings how = settings();
    how.ciphers = "ECDHE-ECDSA-CHACHA20-POLY1305";
    how.ciphersuites = "TLS_CHACHA20_POLY1305_SHA256";
    const auto server = makeSslServer(how);
    SslPair old(clientSsl(TlsVersion::Tls12), server->newSsl());
    ASSERT_TRUE(old.handshake());
    EXPECT_STREQ(SSL_get_cipher_name(old.server()), "ECDHE-ECDSA-CHACHA20-POLY1305");
    SslPair modern(clientSsl(TlsVersion::Tls13), server->newSsl());
    ASSERT_TRUE(modern.handshake());
    EXPECT_STREQ(SSL_get_cipher_name(modern.server()), "TLS_CHACHA20_POLY1305_SHA256");
}

TEST_F(SslServerStateTest, ExchangesKeysOverModernGroupsOnly) {
    const auto server = makeSslServer(settings());
    for (const TlsVersion version : kVersions) {
        for (const char* const groups : {"X25519", "P-256", "P-384"}) {
            SslPtr_t client = clientSsl(version);
            // The certificate's own curve must be offered to TLS 1.2, RFC 8422 §5.1.
            setGroups(client.get(), version == TlsVersion::Tls13 ? groups : "X25519:P-256:P-384");
            SslPair pair(std::move(client), server->newSsl());
            EXPECT_TRUE(pair.handshake()) << groups << " " << pair.serverError();
        }
        SslPtr_t client = clientSsl(version);
        setGroups(client.get(), "P-521:X448");
        SslPair pair(std::move(client), server->newSsl());
        EXPECT_FALSE(pair.handshake());
    }
}

// Neither side does it for the other.
TEST_F(SslServerStateTest, DoesNotRenegotiate) {
    for (const bool isClientAsking : {true, false}) {
        SslPair pair(clientSsl(TlsVersion::Tls12), makeSslServer(settings())->newSsl());
        ASSERT_TRUE(pair.handshake());
        SSL* const asking = isClientAsking ? pair.client() : pair.server();
        SSL* const asked = isClientAsking ? pair.server() : pair.client();
        SSL_clear_options(asking, SSL_OP_NO_RENEGOTIATION);
        ASSERT_EQ(SSL_renegotiate(asking), 1);
        SSL_do_handshake(asking);
        char byte = 0;
        EXPECT_LE(SSL_read(asked, &byte, 1), 0);
        ERR_clear_error();
        // The client is told by an alert; the server waits for a ClientHello that does not come.
        SSL_do_handshake(asking);
        EXPECT_LE(SSL_read(asking, &byte, 1), 0);
        EXPECT_EQ(SSL_in_init(asked), 0);
        EXPECT_EQ(takeOpensslError().message(), "no renegotiation");
    }
}

// --- Names ---

TEST_F(SslServerStateTest, ChoosesTheCertificateByName) {
    SslServerSettings how = settings("localhost");
    for (const char* const name : {"wildcard", "example", "other", "localhost-rsa"})
        how.certificates.push_back(pki().files(name));
    const auto server = makeSslServer(how);
    struct Case {
        const char* asked;  // null: without SNI
        std::string shown;
        bool isKnown;
    };
    const std::array cases{
        Case{"localhost", "localhost", true},         Case{"example.org", "example.org", true},
        Case{"EXAMPLE.ORG", "example.org", true},     Case{"www.example.org", "example.org", true},
        Case{"a.example.org", "*.example.org", true}, Case{"a.b.example.org", "localhost", false},
        Case{"other.test", "other.test", true},       Case{"other.test.", "other.test", true},
        Case{"unknown.test", "localhost", false},     Case{nullptr, "localhost", false},
    };
    for (const TlsVersion version : kVersions) {
        for (const Case& each : cases) {
            SCOPED_TRACE(each.asked != nullptr ? each.asked : "no name");
            SslPtr_t client = withVersion(newSsl(makeSslClient({.verifyPeer = false}), "127.0.0.1"), version);
            if (each.asked != nullptr) client = withServerName(std::move(client), each.asked);
            bool isAcknowledged = false;
            SslPair pair(std::move(client), server->newSsl());
            pair.onServerExtension([&](unsigned int type) {
                isAcknowledged = isAcknowledged || type == TLSEXT_TYPE_server_name;
            });
            ASSERT_TRUE(pair.handshake()) << pair.serverError();
            EXPECT_EQ(shownTo(pair.client()), each.shown);
            EXPECT_EQ(isAcknowledged, each.isKnown);
        }
    }
}

// As servers have them that still serve clients without elliptic curves' signatures.
TEST_F(SslServerStateTest, ChoosesTheKeyByWhatTheClientCan) {
    SslServerSettings how = settings("other");
    how.certificates.push_back(pki().files("localhost-rsa"));
    how.certificates.push_back(pki().files("localhost"));
    for (const bool isDefault : {false, true}) {
        if (isDefault) how.certificates.erase(how.certificates.begin());
        const auto server = makeSslServer(how);
        SslPair both(clientSsl(TlsVersion::Tls12), server->newSsl());
        ASSERT_TRUE(both.handshake());
        EXPECT_EQ(keyTypeShownTo(both.client()), EVP_PKEY_EC);
        SslPtr_t rsaClient = clientSsl(TlsVersion::Tls12);
        setCiphers(rsaClient.get(), "ECDHE-RSA-AES128-GCM-SHA256");
        SslPair rsa(std::move(rsaClient), server->newSsl());
        ASSERT_TRUE(rsa.handshake()) << rsa.serverError();
        EXPECT_EQ(keyTypeShownTo(rsa.client()), EVP_PKEY_RSA);
        EXPECT_EQ(shownTo(rsa.client()), "localhost");
    }
}

// A certificate that SNI has chosen must not leave the default one's other key behind.
TEST_F(SslServerStateTest, AChosenCertificateIsTheOnlyOne) {
    SslServerSettings how = settings("localhost-rsa");
    how.certificates.push_back(pki().files("other"));
    const auto server = makeSslServer(how);
    SslPtr_t client = withServerName(clientSsl(TlsVersion::Tls12), "other.test");
    setCiphers(client.get(), "ECDHE-RSA-AES128-GCM-SHA256");
    SslPair pair(std::move(client), server->newSsl());
    EXPECT_FALSE(pair.handshake());
    EXPECT_EQ(pair.serverError(), "no shared cipher");
}

TEST_F(SslServerStateTest, SendsTheChainWithoutTheRoot) {
    struct Case {
        std::string certificate;
        int sent;
    };
    for (const Case& each : {Case{"localhost", 1}, Case{"self-signed", 1}, Case{"intermediate", 2},
                             Case{"full-chain", 2}, Case{"no-intermediate", 1}}) {
        for (const bool isChosen : {false, true}) {
            SslServerSettings how = settings(isChosen ? "other" : each.certificate);
            if (isChosen) how.certificates.push_back(pki().files(each.certificate));
            // Whom clients' certificates are checked against must not become part of it.
            how.clientCertificate = ClientCertificate::Ask;
            how.clientCaFile =
                pki().write("cas.pem", contentOf(pki().caFile()) + contentOf(pki().intermediateCaFile()));
            SslPair pair(clientSsl(TlsVersion::Tls13), makeSslServer(how)->newSsl());
            ASSERT_TRUE(pair.handshake()) << pair.serverError();
            EXPECT_EQ(sk_X509_num(SSL_get_peer_cert_chain(pair.client())), each.sent) << each.certificate;
        }
    }
}

// --- ALPN ---

TEST_F(SslServerStateTest, AgreesOnAProtocol) {
    struct Case {
        std::vector<std::string> ours;
        std::vector<std::string> theirs;
        std::string chosen;
        bool isAgreed = true;
    };
    const std::array cases{
        Case{{"http/1.1"}, {"http/1.1"}, "http/1.1"},
        Case{{"http/1.1"}, {"h2", "http/1.1"}, "http/1.1"},
        Case{{"h2", "http/1.1"}, {"http/1.1", "h2"}, "h2"},
        Case{{"http/1.1"}, {}, ""},
        Case{{}, {"h2"}, ""},
        Case{{"http/1.1"}, {"h2"}, "", false},
        Case{{"http/1.1"}, {"http/1.0", "http/1.11", "http/1."}, "", false},
    };
    for (const TlsVersion version : kVersions) {
        for (const Case& each : cases) {
            SslServerSettings how = settings();
            how.protocols = each.ours;
            SslPair pair(clientSsl(version, {.verifyPeer = false, .protocols = each.theirs}),
                         makeSslServer(how)->newSsl());
            ASSERT_EQ(pair.handshake(), each.isAgreed) << pair.serverError();
            if (!each.isAgreed) {
                EXPECT_EQ(pair.clientError(), "tlsv1 alert no application protocol");
                continue;
            }
            for (SSL* const side : {pair.client(), pair.server()}) {
                const unsigned char* name = nullptr;
                unsigned int size = 0;
                SSL_get0_alpn_selected(side, &name, &size);
                EXPECT_EQ(std::string(reinterpret_cast<const char*>(name), size), each.chosen);
            }
        }
    }
}

// --- Clients' certificates ---

TEST_F(SslServerStateTest, ChecksClientsCertificates) {
    struct Case {
        ClientCertificate mode;
        std::string shown;  // empty: none
        long result;
        const char* error;  // null: accepted
    };
    constexpr auto kNone = ClientCertificate::None;
    constexpr auto kAsk = ClientCertificate::Ask;
    constexpr auto kRequire = ClientCertificate::Require;
    constexpr const char* kRefused = "certificate verify failed";
    const std::array cases{
        Case{kNone, "client", X509_V_OK, nullptr},
        Case{kAsk, "", X509_V_OK, nullptr},
        Case{kAsk, "client", X509_V_OK, nullptr},
        Case{kAsk, "client-rsa", X509_V_OK, nullptr},
        Case{kAsk, "client-other-ca", X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, kRefused},
        Case{kAsk, "client-expired", X509_V_ERR_CERT_HAS_EXPIRED, kRefused},
        Case{kAsk, "client-self-signed", X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, kRefused},
        Case{kAsk, "localhost", X509_V_ERR_INVALID_PURPOSE, kRefused},
        Case{kRequire, "", X509_V_OK, "peer did not return a certificate"},
        Case{kRequire, "client", X509_V_OK, nullptr},
        Case{kRequire, "client-other-ca", X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, kRefused},
    };
    for (const TlsVersion version : kVersions) {
        for (const Case& each : cases) {
            SCOPED_TRACE(each.shown);
            SslServerSettings how = settings();
            how.clientCertificate = each.mode;
            how.clientCaFile = pki().caFile();
            SslClientSettings client{.verifyPeer = false};
            if (!each.shown.empty()) client.certificate = pki().files(each.shown);
            SslPair pair(clientSsl(version, client), makeSslServer(how)->newSsl());
            EXPECT_EQ(pair.handshake(), each.error == nullptr);
            EXPECT_EQ(pair.serverError(), each.error != nullptr ? each.error : "");
            EXPECT_EQ(SSL_get_verify_result(pair.server()), each.result);
            const bool isSeen = SSL_get0_peer_certificate(pair.server()) != nullptr;
            if (each.error != nullptr) continue;
            EXPECT_EQ(isSeen, each.mode != kNone && !each.shown.empty());
        }
    }
}

// A client with several certificates chooses by these (RFC 8446 §4.2.4).
TEST_F(SslServerStateTest, NamesTheCasItTrusts) {
    SslServerSettings how = settings();
    how.clientCertificate = ClientCertificate::Ask;
    how.clientCaFile = pki().caFile();
    for (const TlsVersion version : kVersions) {
        SslPtr_t client = clientSsl(version);
        std::string named;
        SSL_set_cert_cb(
            client.get(),
            [](SSL* ssl, void* names) {
                const STACK_OF(X509_NAME)* const list = SSL_get0_peer_CA_list(ssl);
                for (int i = 0; i < sk_X509_NAME_num(list); ++i) {
                    std::array<char, 100> text{};
                    X509_NAME_oneline(sk_X509_NAME_value(list, i), text.data(), text.size());
                    *static_cast<std::string*>(names) += text.data();
                }
                return 1;
            },
            &named);
        SslPair pair(std::move(client), makeSslServer(how)->newSsl());
        ASSERT_TRUE(pair.handshake());
        EXPECT_EQ(named, "/O=Example/CN=tnet test CA");
    }
}

// As of an organization whose root signs others, too.
TEST_F(SslServerStateTest, ACaNeedNotBeARoot) {
    SslServerSettings how = settings();
    how.clientCertificate = ClientCertificate::Require;
    how.clientCaFile = pki().intermediateCaFile();
    const SslCertificateFiles ofIntermediate =
        pki().issue("client-intermediate", {.commonName = "bob",
                                            .issuer = TestPki::Issuer::Intermediate,
                                            .purpose = TestPki::Purpose::Client,
                                            .chain = TestPki::Chain::LeafOnly});
    const auto server = makeSslServer(how);
    SslPair trusted(clientSsl(TlsVersion::Tls13, {.verifyPeer = false, .certificate = ofIntermediate}),
                    server->newSsl());
    EXPECT_TRUE(trusted.handshake()) << trusted.serverError();
    SslPair other(clientSsl(TlsVersion::Tls13, {.verifyPeer = false, .certificate = pki().files("client")}),
                  server->newSsl());
    EXPECT_FALSE(other.handshake());
}

// --- Tickets ---

class SslTicketTest : public SslServerStateTest {
protected:
    static constexpr std::chrono::seconds kLifetime{100};

    // One more connection of `client`; was a session resumed?
    bool resumes(const SslClientStatePtr_t& client, const SslServerStatePtr_t& server, TlsVersion version) {
        SslPair pair(withVersion(newSsl(client, "localhost"), version), server->newSsl());
        EXPECT_TRUE(pair.handshake()) << pair.clientError() << pair.serverError();
        EXPECT_EQ(SSL_session_reused(pair.client()), SSL_session_reused(pair.server()));
        m_tickets = SSL_SESSION_has_ticket(SSL_get_session(pair.client()));
        m_earlyData = SSL_SESSION_get_max_early_data(SSL_get_session(pair.client()));
        return SSL_session_reused(pair.server()) == 1;
    }

    int m_tickets = 0;
    unsigned int m_earlyData = 0;
};

TEST_F(SslTicketTest, ResumeAcrossLoopsAndReloads) {
    const SslTicketKeysPtr_t keys = makeKeys();
    const auto one = makeSslServer(settings(), keys);
    const auto other = makeSslServer(settings(), keys);
    for (const TlsVersion version : kVersions) {
        SCOPED_TRACE(version == TlsVersion::Tls12 ? "TLS 1.2" : "TLS 1.3");
        const auto client = makeSslClient({.caFile = pki().caFile()});
        EXPECT_FALSE(resumes(client, one, version));
        EXPECT_EQ(m_earlyData, 0U);
        EXPECT_TRUE(resumes(client, one, version));
        EXPECT_TRUE(resumes(client, other, version));
        EXPECT_FALSE(resumes(client, makeSslServer(settings(), makeKeys()), version));
    }
}

TEST_F(SslTicketTest, LastForTwoLifetimesOfTheKeys) {
    for (const TlsVersion version : kVersions) {
        const auto server = makeSslServer(settings(), makeKeys());
        const auto current = makeSslClient({.caFile = pki().caFile()});
        const auto previous = makeSslClient({.caFile = pki().caFile()});
        const auto tooOld = makeSslClient({.caFile = pki().caFile()});
        for (const auto& client : {current, previous, tooOld}) resumes(client, server, version);
        m_clock.advance(kLifetime - std::chrono::seconds(1));
        EXPECT_TRUE(resumes(current, server, version));
        m_clock.advance(kLifetime);
        EXPECT_TRUE(resumes(previous, server, version));
        m_clock.advance(std::chrono::seconds(1));
        EXPECT_FALSE(resumes(tooOld, server, version));
    }
}

TEST_F(SslTicketTest, ATicketOfTheFormerKeyIsReplaced) {
    const auto server = makeSslServer(settings(), makeKeys());
    const auto ticketNameOf = [](SSL* client) {
        const unsigned char* ticket = nullptr;
        size_t size = 0;
        SSL_SESSION_get0_ticket(SSL_get_session(client), &ticket, &size);
        return std::string(reinterpret_cast<const char*>(ticket), SslTicketKeys::kNameBytes);
    };
    for (const TlsVersion version : kVersions) {
        const auto client = makeSslClient({.caFile = pki().caFile()});
        SslPair first(withVersion(newSsl(client, "localhost"), version), server->newSsl());
        ASSERT_TRUE(first.handshake());
        m_clock.advance(kLifetime);
        SslPair second(withVersion(newSsl(client, "localhost"), version), server->newSsl());
        ASSERT_TRUE(second.handshake());
        EXPECT_TRUE(SSL_session_reused(second.server()));
        EXPECT_NE(ticketNameOf(first.client()), ticketNameOf(second.client()));
    }
}

TEST_F(SslTicketTest, WithoutKeysThereAreNone) {
    const auto server = makeSslServer(settings());
    for (const TlsVersion version : kVersions) {
        const auto client = makeSslClient({.caFile = pki().caFile()});
        EXPECT_FALSE(resumes(client, server, version));
        EXPECT_EQ(m_tickets, 0);
        EXPECT_FALSE(resumes(client, server, version));
    }
}

TEST_F(SslTicketTest, OneIsSent) {
    int sent = 0;
    SslPair pair(clientSsl(TlsVersion::Tls13), makeSslServer(settings(), makeKeys())->newSsl());
    pair.onServerMessage([&](int type) { sent += type == SSL3_MT_NEWSESSION_TICKET ? 1 : 0; });
    ASSERT_TRUE(pair.handshake());
    EXPECT_EQ(sent, 1);
}

TEST_F(SslTicketTest, CarryTheClientsCertificate) {
    SslServerSettings how = settings();
    how.clientCertificate = ClientCertificate::Require;
    how.clientCaFile = pki().caFile();
    const auto server = makeSslServer(how, makeKeys());
    for (const TlsVersion version : kVersions) {
        const auto client = makeSslClient({.caFile = pki().caFile(), .certificate = pki().files("client")});
        EXPECT_FALSE(resumes(client, server, version));
        SslPair pair(withVersion(newSsl(client, "localhost"), version), server->newSsl());
        ASSERT_TRUE(pair.handshake());
        EXPECT_TRUE(SSL_session_reused(pair.server()));
        EXPECT_EQ(shownTo(pair.server()), "alice");
        EXPECT_EQ(SSL_get_verify_result(pair.server()), X509_V_OK);
    }
}

// RFC 6066 §3. A session of one name went on for another, and with TLS 1.2 the handler saw the first: a client could
// resume what it had with a.example under the rules of b.example.
TEST_F(SslTicketTest, AreForOneNameOnly) {
    SslServerSettings how = settings();
    how.certificates.push_back(pki().files("other"));
    const auto server = makeSslServer(how, makeKeys());
    struct Case {
        const char* first;
        const char* second;
        bool isResumed;
    };
    const std::array cases{
        Case{"localhost", "localhost", true},
        Case{"localhost", "LOCALHOST", true},
        Case{"localhost", "other.test", false},
        Case{"other.test", "localhost", false},
        Case{"unknown.test", "unknown.test", true},  // no certificate has it
        Case{"unknown.test", "stranger.test", false},
        Case{"unknown.test", "localhost", false},
        Case{nullptr, nullptr, true},
        Case{nullptr, "localhost", false},
        Case{"localhost", nullptr, false},
        Case{"localhost", "localhost.", false},
    };
    for (const TlsVersion version : kVersions) {
        for (const Case& each : cases) {
            SCOPED_TRACE(std::string(each.first ? each.first : "none") + ", then " +
                         (each.second ? each.second : "none"));
            const SslCtxPtr_t ctx(SSL_CTX_new(TLS_client_method()));
            const auto connect = [&](const char* name, SSL_SESSION* session) {
                SslPtr_t ssl = withVersion(SslPtr_t(SSL_new(ctx.get())), version);
                SSL_set_connect_state(ssl.get());
                if (session != nullptr) SSL_set_session(ssl.get(), session);
                if (name != nullptr) ssl = withServerName(std::move(ssl), name);
                auto pair = std::make_unique<SslPair>(std::move(ssl), server->newSsl());
                EXPECT_TRUE(pair->handshake()) << pair->clientError() << pair->serverError();
                const char* const seen = SSL_get_servername(pair->server(), TLSEXT_NAMETYPE_host_name);
                if (name != nullptr) {
                    // A resumed session of TLS 1.2 has the name as it was written first.
                    EXPECT_STRCASEEQ(seen != nullptr ? seen : each.isResumed ? name : "", name);
                }
                return pair;
            };
            const auto first = connect(each.first, nullptr);
            const SslSessionPtr_t session(SSL_get1_session(first->client()));
            const auto second = connect(each.second, session.get());
            EXPECT_EQ(SSL_session_reused(second->server()) == 1, each.isResumed);
            if (!each.isResumed || version == TlsVersion::Tls13) continue;
            // A renewed ticket is for the same name.
            m_clock.advance(kLifetime);
            const auto third = connect(each.second, session.get());
            EXPECT_EQ(SSL_session_reused(third->server()), 1);
            const SslSessionPtr_t renewed(SSL_get1_session(third->client()));
            EXPECT_EQ(SSL_session_reused(connect(each.second, renewed.get())->server()), 1);
        }
    }
}

// Whoever was let in when others were trusted, or nobody was asked, has to show a certificate now.
TEST_F(SslTicketTest, EndWithTheRulesTheyWereMadeUnder) {
    const SslTicketKeysPtr_t keys = makeKeys();
    SslServerSettings asking = settings();
    asking.clientCertificate = ClientCertificate::Ask;
    asking.clientCaFile = pki().caFile();
    SslServerSettings others = asking;
    others.clientCaFile = pki().otherCaFile();
    SslServerSettings requiring = asking;
    requiring.clientCertificate = ClientCertificate::Require;
    const std::array rules{settings(), asking, requiring, others};
    for (const TlsVersion version : kVersions) {
        for (const SslServerSettings& before : rules) {
            for (const SslServerSettings& after : rules) {
                const auto client =
                    makeSslClient({.caFile = pki().caFile(), .certificate = pki().files("client")});
                SslPair first(withVersion(newSsl(client, "localhost"), version),
                              makeSslServer(before, keys)->newSsl());
                if (!first.handshake()) continue;  // `others` do not know it
                SslPair second(withVersion(newSsl(client, "localhost"), version),
                               makeSslServer(after, keys)->newSsl());
                second.handshake();
                EXPECT_EQ(SSL_session_reused(second.server()) == 1, &before == &after);
            }
        }
    }
}

// OpenSSL would take the session as it is, however long ago the certificate has expired.
TEST_F(SslTicketTest, EndWithTheClientsCertificate) {
    SslServerSettings how = settings();
    how.clientCertificate = ClientCertificate::Require;
    how.clientCaFile = pki().caFile();
    const auto server = makeSslServer(how, makeKeys());
    for (const TlsVersion version : kVersions) {
        const auto client =
            makeSslClient({.caFile = pki().caFile(), .certificate = pki().files("client-expired")});
        SslPtr_t lenient = server->newSsl();
        SSL_set_verify(lenient.get(), SSL_VERIFY_PEER, [](int, X509_STORE_CTX*) { return 1; });
        SslPair first(withVersion(newSsl(client, "localhost"), version), std::move(lenient));
        ASSERT_TRUE(first.handshake()) << first.serverError();
        SslPair second(withVersion(newSsl(client, "localhost"), version), server->newSsl());
        EXPECT_FALSE(second.handshake());
        EXPECT_EQ(SSL_get_verify_result(second.server()), X509_V_ERR_CERT_HAS_EXPIRED);
    }
}

// --- OCSP ---

TEST_F(SslServerStateTest, StaplesAnOcspResponse) {
    SslCertificateFiles stapled = pki().files("localhost");
    stapled.ocspFile = pki().makeOcsp("localhost", TestPki::Ocsp::Good);
    SslCertificateFiles old = pki().files("example");
    old.ocspFile = pki().makeOcsp("example", TestPki::Ocsp::Old);
    const auto server = makeSslServer({.certificates = {pki().files("other"), stapled, old}});
    struct Case {
        const char* name;
        bool isAsked;
        std::string shown;
    };
    const std::array cases{
        Case{"localhost", true, contentOf(stapled.ocspFile)},
        Case{"localhost", false, ""},
        Case{"example.org", true, ""},
        Case{"other.test", true, ""},
    };
    for (const TlsVersion version : kVersions) {
        for (const Case& each : cases) {
            SslPtr_t client = withServerName(clientSsl(version), each.name);
            if (each.isAsked)
                SSL_ctrl(client.get(), SSL_CTRL_SET_TLSEXT_STATUS_REQ_TYPE, TLSEXT_STATUSTYPE_ocsp, nullptr);
            SslPair pair(std::move(client), server->newSsl());
            ASSERT_TRUE(pair.handshake()) << pair.serverError();
            unsigned char* response = nullptr;
            const long size = SSL_ctrl(pair.client(), SSL_CTRL_GET_TLSEXT_STATUS_REQ_OCSP_RESP, 0, &response);
            const std::string shown =
                size > 0 ? std::string(reinterpret_cast<char*>(response), static_cast<size_t>(size)) : "";
            EXPECT_EQ(shown, each.shown) << each.name;
        }
    }
}

// An SSL needs nothing of the state that it was made of.
TEST_F(SslServerStateTest, AnSslOutlivesIt) {
    SslServerSettings how = settings();
    how.certificates.push_back(pki().files("other"));
    auto server = makeSslServer(how, makeKeys());
    SslPair pair(withServerName(clientSsl(TlsVersion::Tls13), "other.test"), server->newSsl());
    server.reset();
    ASSERT_TRUE(pair.handshake()) << pair.serverError();
    EXPECT_EQ(shownTo(pair.client()), "other.test");
}

}  // namespace
}  // namespace tnet
