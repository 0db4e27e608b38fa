// Which handshakes leave OpenSSL's connection object behind, and which do not.
#include "tnet/ssl/tls_secrets.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>

#include "tests/support/scripted_transport.h"
#include "tests/support/test_pki.h"
#include "tests/support/tls_client.h"
#include "tnet/ssl/ssl_transport.h"

namespace tnet {
namespace {

constexpr int kNoFd = -1;

using SetUp = std::function<void(SSL_CTX*)>;

struct Handshake {
    TlsVersion version = TlsVersion::Tls13;
    SetUp server{};
    SetUp client{};
    bool isCompact = true;
};

// How many connections went on as compact ones; it also says something on each.
uint64_t compactOnes(const Handshake& how) {
    const SslCtxPtr_t ctx(SSL_CTX_new(TLS_server_method()));
    const SslCertificateFiles files = TestPki::shared().files("localhost");
    EXPECT_EQ(SSL_CTX_use_certificate_chain_file(ctx.get(), files.chainFile.c_str()), 1);
    EXPECT_EQ(SSL_CTX_use_PrivateKey_file(ctx.get(), files.keyFile.c_str(), SSL_FILETYPE_PEM), 1);
    SslTransport::prepareCompact(ctx.get());
    if (how.server) how.server(ctx.get());
    const auto shared = std::make_shared<SslTransport::Shared>();
    shared->isCompact = how.isCompact;
    const auto lower = ScriptedTransport::create();
    SslPtr_t ssl(SSL_new(ctx.get()));
    SSL_set_accept_state(ssl.get());
    const TransportPtr_t server = SslTransport::create(std::move(ssl), shared, lower->handOut());
    TlsClient client(how.version, how.client);
    IoStatus status = server->handshake(kNoFd).status;
    for (int i = 0; i < 5 && status == IoStatus::WantRead; ++i) {
        lower->feed(client.takeOutput());
        status = server->handshake(kNoFd).status;
        client.feed(lower->takeWritten());
    }
    EXPECT_EQ(status, IoStatus::Ok);
    if (status != IoStatus::Ok) return 0;
    client.send("ping");
    lower->feed(client.takeOutput());
    std::string room(100, '\0');
    EXPECT_EQ(server->read(kNoFd, room.data(), room.size()).bytes, 4u);
    std::string text = "pong";
    const iovec piece{text.data(), text.size()};
    EXPECT_EQ(server->write(kNoFd, &piece, 1).bytes, 4u);
    client.feed(lower->takeWritten());
    EXPECT_EQ(client.takeReceived(), "pong") << client.error();
    return shared->counters.read().compact;
}

TEST(TlsSecretsTest, AnOrdinaryHandshakeIsCompact) { EXPECT_EQ(compactOnes({}), 1u); }

TEST(TlsSecretsTest, NothingIsWhereItIsNotAskedFor) { EXPECT_EQ(compactOnes({.isCompact = false}), 0u); }

TEST(TlsSecretsTest, Tls12StaysOpenssls) { EXPECT_EQ(compactOnes({.version = TlsVersion::Tls12}), 0u); }

TEST(TlsSecretsTest, KnownExtensionsDoNotMatter) {
    const auto chooseProtocol = [](SSL_CTX* ctx) {
        SSL_CTX_set_alpn_select_cb(
            ctx,
            [](SSL*, const unsigned char** chosen, unsigned char* size, const unsigned char* offered,
               unsigned int, void*) {
                *chosen = offered + 1;
                *size = offered[0];
                return SSL_TLSEXT_ERR_OK;
            },
            nullptr);
    };
    EXPECT_EQ(compactOnes({.server = chooseProtocol,
                           .client =
                               [](SSL_CTX* ctx) {
                                   SSL_CTX_set_alpn_protos(
                                       ctx, reinterpret_cast<const unsigned char*>("\x02h1"), 3);
                                   SSL_CTX_set_post_handshake_auth(ctx, 1);
                               }}),
              1u);
    // A HelloRetryRequest, since the client guesses the group wrong.
    EXPECT_EQ(compactOnes({.server =
                               [](SSL_CTX* ctx) {
                                   SSL_CTX_ctrl(ctx, SSL_CTRL_SET_GROUPS_LIST, 0, const_cast<char*>("P-384"));
                               }}),
              1u);
}

// RFC 6066 §4: records would have to be shorter.
TEST(TlsSecretsTest, ShortRecordsStayOpenssls) {
    EXPECT_EQ(compactOnes({.client =
                               [](SSL_CTX* ctx) {
                                   SSL_CTX_set_tlsext_max_fragment_length(ctx,
                                                                          TLSEXT_max_fragment_length_512);
                               }}),
              0u);
}

// What a later OpenSSL may negotiate, nobody here knows yet: 65001 stands for it.
TEST(TlsSecretsTest, WhatIsNotKnownStaysOpenssls) {
    const auto extend = [](unsigned int where) {
        return [where](SSL_CTX* ctx) {
            EXPECT_EQ(SSL_CTX_add_custom_ext(
                          ctx, 65001, where,
                          [](SSL*, unsigned int, unsigned int, const unsigned char** out, size_t* size, X509*,
                             size_t, int*, void*) {
                              *out = nullptr;
                              *size = 0;
                              return 1;
                          },
                          nullptr, nullptr,
                          [](SSL*, unsigned int, unsigned int, const unsigned char*, size_t, X509*, size_t,
                             int*, void*) { return 1; },
                          nullptr),
                      1);
        };
    };
    constexpr unsigned int kHello = SSL_EXT_CLIENT_HELLO;
    EXPECT_EQ(compactOnes({.client = extend(kHello | SSL_EXT_TLS1_3_ENCRYPTED_EXTENSIONS)}), 1u)
        << "offered, but not answered";
    for (const unsigned int answer : {SSL_EXT_TLS1_3_ENCRYPTED_EXTENSIONS, SSL_EXT_TLS1_3_SERVER_HELLO})
        EXPECT_EQ(compactOnes({.server = extend(kHello | answer), .client = extend(kHello | answer)}), 0u);
}

}  // namespace
}  // namespace tnet
