#include "tnet/ssl/tls_secrets.h"

#include <openssl/crypto.h>

#include <cassert>

namespace tnet {
namespace {

thread_local TlsSecrets::Capture* t_capture = nullptr;

int nibble(char digit) {
    if (digit >= '0' && digit <= '9') return digit - '0';
    if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
    return -1;
}

// Returns how many bytes; 0 if it is no hexadecimal text of even length, or too long.
size_t decodeHex(std::string_view text, std::span<uint8_t> into) {
    if (text.size() % 2 != 0 || text.size() / 2 > into.size()) return 0;
    for (size_t i = 0; i < text.size() / 2; ++i) {
        const int high = nibble(text[2 * i]);
        const int low = nibble(text[2 * i + 1]);
        if (high < 0 || low < 0) return 0;
        into[i] = static_cast<uint8_t>(high << 4 | low);
    }
    return text.size() / 2;
}

uint64_t countRecords(std::string_view records) {
    uint64_t count = 0;
    while (records.size() >= kRecordHeaderBytes) {
        const size_t body =
            static_cast<size_t>(static_cast<uint8_t>(records[3])) << 8 | static_cast<uint8_t>(records[4]);
        assert(records.size() >= kRecordHeaderBytes + body && "OpenSSL writes whole records");
        records.remove_prefix(std::min(records.size(), kRecordHeaderBytes + body));
        ++count;
    }
    return count;
}

}  // namespace

TlsSecrets::~TlsSecrets() {
    OPENSSL_cleanse(m_client.bytes.data(), m_client.bytes.size());
    OPENSSL_cleanse(m_server.bytes.data(), m_server.bytes.size());
}

void TlsSecrets::captureFrom(SSL_CTX* ctx) { SSL_CTX_set_keylog_callback(ctx, onKeyLog); }

TlsSecrets::Capture::Capture(TlsSecrets& into, const SslBuffers& buffers)
    : m_secrets(into), m_buffers(buffers) {
    t_capture = this;
    if (into.m_client.size > 0) m_countFrom = buffers.output.size();
}

TlsSecrets::Capture::~Capture() {
    t_capture = nullptr;
    if (m_countFrom == SIZE_MAX) return;
    m_secrets.m_written += countRecords(m_buffers.output.view().substr(m_countFrom));
}

// "LABEL client-random secret". The server's secret is told when its Finished is sent, under the key before; the
// client's when its Finished is verified, and nothing is written in between.
void TlsSecrets::onKeyLog(const SSL*, const char* line) {
    if (t_capture == nullptr) return;
    const std::string_view text(line);
    TlsSecrets& secrets = t_capture->m_secrets;
    const std::string_view hex = text.substr(text.rfind(' ') + 1);
    if (text.starts_with("SERVER_TRAFFIC_SECRET_0 ")) {
        secrets.m_server.size = decodeHex(hex, secrets.m_server.bytes);
    } else if (text.starts_with("CLIENT_TRAFFIC_SECRET_0 ")) {
        secrets.m_client.size = decodeHex(hex, secrets.m_client.bytes);
        t_capture->m_countFrom = t_capture->m_buffers.output.size();
    }
}

std::unique_ptr<TlsRecords> TlsSecrets::makeRecords(SSL* ssl) const {
    if (SSL_version(ssl) != TLS1_3_VERSION || SSL_is_server(ssl) != 1 || SSL_has_pending(ssl) == 1)
        return nullptr;
    // The client asked for shorter records (RFC 6066 §4).
    const SSL_SESSION* const session = SSL_get_session(ssl);
    if (session != nullptr &&
        SSL_SESSION_get_max_fragment_length(session) != TLSEXT_max_fragment_length_DISABLED)
        return nullptr;
    const TlsSuite* const suite = TlsSuite::find(SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(ssl)));
    if (suite == nullptr) return nullptr;
    if (m_client.size != suite->secretBytes || m_server.size != suite->secretBytes) return nullptr;
    return std::make_unique<TlsRecords>(*suite, std::span(m_client.bytes.data(), m_client.size),
                                        std::span(m_server.bytes.data(), m_server.size), m_written);
}

}  // namespace tnet
