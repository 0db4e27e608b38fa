#include "tnet/ssl/ssl_context.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>

#include <string>
#include <vector>

#include "tests/support/test_pki.h"

namespace tnet {

static int s_keyLogs = 0;  // how often such a callback was set

namespace {

class SslContextTest : public testing::Test {
protected:
    const TestPki& pki() const { return TestPki::shared(); }
};

TEST_F(SslContextTest, AServerNamesItsFiles) {
    SslCertificateFiles one = pki().files("localhost");
    one.ocspFile = pki().makeOcsp("localhost", TestPki::Ocsp::Good);
    const SslCertificateFiles other = pki().files("example");
    const auto context = SslContext::createServer({.certificates = {one, other},
                                                   .clientCertificate = ClientCertificate::Ask,
                                                   .clientCaFile = pki().caFile()});
    ASSERT_TRUE(context) << context.error().message;
    EXPECT_EQ((*context)->files(),
              (std::vector<std::string>{one.chainFile, one.keyFile, one.ocspFile, other.chainFile,
                                        other.keyFile, pki().caFile()}));
}

TEST_F(SslContextTest, AClientNamesItsFiles) {
    const SslCertificateFiles shown = pki().files("client");
    const auto context = SslContext::createClient({.caFile = pki().caFile(), .certificate = shown});
    ASSERT_TRUE(context) << context.error().message;
    EXPECT_EQ((*context)->files(),
              (std::vector<std::string>{shown.chainFile, shown.keyFile, pki().caFile()}));
    const auto plain = SslContext::createClient({});
    ASSERT_TRUE(plain) << plain.error().message;
    EXPECT_TRUE((*plain)->files().empty());
}

TEST_F(SslContextTest, ErrorsNameTheFile) {
    const std::string missing = pki().path("missing");
    const auto server = SslContext::createServer({.certificates = {{missing, missing}}});
    ASSERT_FALSE(server);
    EXPECT_EQ(server.error().message, missing + ": No such file or directory");
    const auto client = SslContext::createClient({.caFile = missing});
    ASSERT_FALSE(client);
    EXPECT_EQ(client.error().message, missing + ": No such file or directory");
}

TEST_F(SslContextTest, ErrorsNameATicketLifetimeThatIsNone) {
    for (const int seconds : {-1, 7 * 24 * 3600 + 1}) {
        const auto made = SslContext::createServer(
            {.certificates = {pki().files("localhost")}, .ticketLifetime = std::chrono::seconds(seconds)});
        ASSERT_FALSE(made);
        EXPECT_NE(made.error().message.find("ticketLifetime"), std::string::npos) << made.error().message;
    }
}

TEST_F(SslContextTest, AReloadReadsTheFilesAgain) {
    const TestPki own;
    const SslCertificateFiles files = own.files("localhost");
    const auto server = SslContext::createServer({.certificates = {files}});
    ASSERT_TRUE(server) << server.error().message;
    const auto client = SslContext::createClient({.caFile = own.caFile()});
    ASSERT_TRUE(client) << client.error().message;
    for (const SslContextPtr_t& context : {*server, *client}) {
        EXPECT_TRUE(context->reload());
        const std::string file = context->files().front();
        own.write(file.substr(own.directory().size() + 1), "this is no PEM\n");
        const Status failed = context->reload();
        ASSERT_FALSE(failed);
        EXPECT_NE(failed.error().message.find(file), std::string::npos) << failed.error().message;
    }
    own.issue("localhost", {});
    EXPECT_TRUE((*server)->reload());
}

TEST_F(SslContextTest, CountsNothingBeforeThereIsAConnection) {
    const auto context = SslContext::createServer({.certificates = {pki().files("localhost")}});
    ASSERT_TRUE(context) << context.error().message;
    EXPECT_EQ((*context)->stats().handshakes, 0U);
    EXPECT_EQ((*context)->stats().failed, 0U);
}

// --- Compact connections ---

SslServerSettings compactSettings() {
    SslServerSettings settings;
    settings.certificates = {TestPki::shared().files("localhost")};
    settings.compactConnections = true;
    return settings;
}

// What is validated for FIPS is OpenSSL's record layer, not ours.
TEST_F(SslContextTest, CompactConnectionsAreRefusedUnderFips) {
    ASSERT_EQ(EVP_set_default_properties(nullptr, "fips=yes"), 1);
    const auto refused = SslContext::createServer(compactSettings());
    ASSERT_EQ(EVP_set_default_properties(nullptr, ""), 1);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, std::errc::not_supported);
    EXPECT_TRUE(refused.error().message.starts_with("compactConnections: OpenSSL is set up for FIPS"))
        << refused.error().message;
    EXPECT_TRUE(SslContext::createServer(compactSettings()));
}

TEST_F(SslContextTest, KernelTlsNeedsCompactConnections) {
    SslServerSettings settings = compactSettings();
    settings.kernelTls = true;
    EXPECT_TRUE(SslContext::createServer(settings));
    settings.compactConnections = false;
    const auto refused = SslContext::createServer(settings);
    ASSERT_FALSE(refused);
    EXPECT_TRUE(refused.error().message.starts_with("kernelTls: needs compactConnections"))
        << refused.error().message;
}

// OpenSSL tells a key log's callback everything that a connection is secret by.
TEST_F(SslContextTest, OnlyCompactConnectionsHaveAKeyLogCallback) {
    s_keyLogs = 0;
    EXPECT_TRUE(SslContext::createClient({.caFile = pki().caFile()}));
    EXPECT_TRUE(SslContext::createServer({.certificates = {pki().files("localhost")}}));
    EXPECT_EQ(s_keyLogs, 0);
    const auto compact = SslContext::createServer(compactSettings());
    EXPECT_EQ(s_keyLogs, 1);
    EXPECT_TRUE((*compact)->reload());
    EXPECT_EQ(s_keyLogs, 2);
}

}  // namespace
}  // namespace tnet

// In place of libssl's.
extern "C" void SSL_CTX_set_keylog_callback(SSL_CTX*, SSL_CTX_keylog_cb_func callback) {
    if (callback != nullptr) ++tnet::s_keyLogs;
}
