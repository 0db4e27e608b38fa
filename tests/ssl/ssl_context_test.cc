#include "tnet/ssl/ssl_context.h"

#include <gtest/gtest.h>

#include "tests/ssl/ssl_pair.h"
#include "tests/support/test_pki.h"
#include "tnet/ssl/ssl_client_state.h"
#include "tnet/ssl/ssl_server_state.h"

namespace tnet {
namespace {

TEST(SslContextTest, VerifiesTheHost) {
    const TestPki& pki = TestPki::shared();
    auto server = SslServerState::create({.certificates = {pki.files("localhost")}});
    ASSERT_TRUE(server) << server.error().message;
    auto client = SslClientState::create({.caFile = pki.caFile()});
    ASSERT_TRUE(client) << client.error().message;
    for (const char* const host : {"localhost", "127.0.0.1"}) {
        SslPair pair((*client)->newSsl(host), (*server)->newSsl());
        ASSERT_TRUE(pair.handshake()) << pair.clientError() << pair.serverError();
        EXPECT_EQ(pair.fromServer("hello"), "hello");
        EXPECT_EQ(pair.fromClient("hello"), "hello");
    }
    SslPair pair((*client)->newSsl("example.org"), (*server)->newSsl());
    EXPECT_FALSE(pair.handshake());
    EXPECT_EQ(SSL_get_verify_result(pair.client()), X509_V_ERR_HOSTNAME_MISMATCH);
}

}  // namespace
}  // namespace tnet
