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

// RFC 8446 §4: what a server may answer in a ServerHello, a HelloRetryRequest or EncryptedExtensions without any
// consequence for what comes after the handshake. Everything else is left to OpenSSL: shorter records
// (max_fragment_length, record_size_limit), early data, and what nobody here has heard of yet.
bool isKnownExtension(uint32_t type) {
    switch (type) {
        case TLSEXT_TYPE_server_name:
        case TLSEXT_TYPE_supported_groups:
        case TLSEXT_TYPE_application_layer_protocol_negotiation:
        case TLSEXT_TYPE_psk:
        case TLSEXT_TYPE_supported_versions:
        case TLSEXT_TYPE_cookie:
        case TLSEXT_TYPE_key_share: return true;
        default: return false;
    }
}

// Takes fields off the front of a message; once one of them is not there, everything is empty.
class Fields {
public:
    explicit Fields(std::string_view bytes) : m_bytes(bytes) {}

    std::string_view take(size_t size) {
        m_isWhole = m_isWhole && size <= m_bytes.size();
        if (!m_isWhole) return {};
        const std::string_view taken = m_bytes.substr(0, size);
        m_bytes.remove_prefix(size);
        return taken;
    }
    uint32_t number(size_t size) {
        uint32_t value = 0;
        for (const char byte : take(size)) value = value << 8 | static_cast<uint8_t>(byte);
        return value;
    }
    std::string_view vector(size_t lengthSize) { return take(number(lengthSize)); }

    bool isEmpty() const { return m_bytes.empty(); }
    bool isWhole() const { return m_isWhole; }

private:
    std::string_view m_bytes;
    bool m_isWhole = true;
};

bool areKnownExtensions(std::string_view extensions) {
    Fields fields(extensions);
    bool areKnown = true;
    while (fields.isWhole() && !fields.isEmpty()) {
        areKnown = isKnownExtension(fields.number(2)) && areKnown;
        fields.vector(2);
    }
    return areKnown && fields.isWhole();
}

}  // namespace

TlsSecrets::TlsSecrets(SSL* ssl) : m_ssl(ssl) {
    SSL_set_msg_callback(ssl, onMessage);
    SSL_ctrl(ssl, SSL_CTRL_SET_MSG_CALLBACK_ARG, 0, this);
}

TlsSecrets::~TlsSecrets() {
    SSL_set_msg_callback(m_ssl, nullptr);
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

void TlsSecrets::onMessage(int isSent, int, int contentType, const void* bytes, size_t size, SSL*,
                           void* self) {
    if (isSent != 1 || contentType != SSL3_RT_HANDSHAKE) return;
    static_cast<TlsSecrets*>(self)->noteMessage({static_cast<const char*>(bytes), size});
}

// RFC 8446 §4.1.3, §4.1.4 and §4.3.1.
void TlsSecrets::noteMessage(std::string_view message) {
    constexpr size_t kVersionAndRandomBytes = 34;
    constexpr size_t kCipherAndCompressionBytes = 3;
    Fields fields(message);
    const uint32_t type = fields.number(1);
    if (type != SSL3_MT_SERVER_HELLO && type != SSL3_MT_ENCRYPTED_EXTENSIONS) return;
    fields.number(3);  // the length
    if (type == SSL3_MT_SERVER_HELLO) {
        fields.take(kVersionAndRandomBytes);
        fields.vector(1);  // the session id
        fields.take(kCipherAndCompressionBytes);
    }
    const bool areKnown =
        areKnownExtensions(fields.vector(2)) && fields.isWhole() && m_extensions != Extensions::Unknown;
    m_extensions = areKnown ? Extensions::Known : Extensions::Unknown;
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

std::unique_ptr<TlsRecords> TlsSecrets::makeRecords() const {
    if (SSL_version(m_ssl) != TLS1_3_VERSION || SSL_has_pending(m_ssl) == 1) return nullptr;
    if (m_extensions != Extensions::Known) return nullptr;
    const TlsSuite* const suite = TlsSuite::find(SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(m_ssl)));
    if (suite == nullptr) return nullptr;
    if (m_client.size != suite->secretBytes || m_server.size != suite->secretBytes) return nullptr;
    return std::make_unique<TlsRecords>(*suite, std::span(m_client.bytes.data(), m_client.size),
                                        std::span(m_server.bytes.data(), m_server.size), m_written);
}

}  // namespace tnet
