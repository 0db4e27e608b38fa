#include "tests/support/tls_client.h"

#include <gtest/gtest.h>
#include <openssl/err.h>

#include <array>
#include <utility>

#include "tnet/ssl/ssl_error.h"

namespace tnet {

TlsClient::TlsClient(TlsVersion version, const std::function<void(SSL_CTX*)>& setUp, SSL_SESSION* session)
    : m_ctx(SSL_CTX_new(TLS_client_method())) {
    const int number = version == TlsVersion::Tls12 ? TLS1_2_VERSION : TLS1_3_VERSION;
    SSL_CTX_set_min_proto_version(m_ctx.get(), number);
    SSL_CTX_set_max_proto_version(m_ctx.get(), number);
    if (setUp) setUp(m_ctx.get());
    m_ssl.reset(SSL_new(m_ctx.get()));
    SSL_set_connect_state(m_ssl.get());
    if (session != nullptr) SSL_set_session(m_ssl.get(), session);
    begin();
}

TlsClient::TlsClient(SslPtr_t ssl) : m_ssl(std::move(ssl)) { begin(); }

void TlsClient::begin() {
    m_in = BIO_new(BIO_s_mem());
    m_out = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(m_in, -1);
    SSL_set_bio(m_ssl.get(), m_in, m_out);
    advance();
}

void TlsClient::feed(std::string_view records) {
    if (!records.empty()) BIO_write(m_in, records.data(), static_cast<int>(records.size()));
    advance();
}

void TlsClient::advance() {
    if (!isEstablished()) {
        ERR_clear_error();
        const int result = SSL_do_handshake(m_ssl.get());
        if (result != 1) return noteError(result);
        m_established = true;
    }
    std::array<char, 16384> plain;
    for (;;) {
        ERR_clear_error();
        const int result = SSL_read(m_ssl.get(), plain.data(), static_cast<int>(plain.size()));
        if (result <= 0) return noteError(result);
        m_received.append(plain.data(), static_cast<size_t>(result));
    }
}

void TlsClient::noteError(int result) {
    const int reason = SSL_get_error(m_ssl.get(), result);
    if (reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_ZERO_RETURN || !m_error.empty()) return;
    m_error = takeOpensslError().message();
}

void TlsClient::send(std::string_view bytes) {
    if (!isEstablished()) {
        ADD_FAILURE() << "no handshake yet: " << m_error;
        return;
    }
    if (bytes.empty()) return;
    ERR_clear_error();
    EXPECT_GT(SSL_write(m_ssl.get(), bytes.data(), static_cast<int>(bytes.size())), 0)
        << takeOpensslError().message();
}

void TlsClient::sendCloseNotify() { SSL_shutdown(m_ssl.get()); }

void TlsClient::sendKeyUpdate(bool askForTheirs) {
    EXPECT_EQ(
        SSL_key_update(m_ssl.get(), askForTheirs ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED),
        1);
}

std::string TlsClient::takeOutput() {
    std::string taken(BIO_pending(m_out), '\0');  // BIO_reset would clear all that the BIO ever held
    if (!taken.empty()) BIO_read(m_out, taken.data(), static_cast<int>(taken.size()));
    return taken;
}

std::string TlsClient::takeReceived() { return std::exchange(m_received, std::string()); }

}  // namespace tnet
