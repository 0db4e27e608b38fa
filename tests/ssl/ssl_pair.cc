#include "tests/ssl/ssl_pair.h"

#include <openssl/err.h>

#include <array>
#include <stdexcept>
#include <utility>

#include "tnet/ssl/ssl_error.h"

namespace tnet {
namespace {

enum class Progress : uint8_t { Done, Waiting, Failed };

Progress progressOf(SSL* ssl, int result, std::string& error) {
    if (result > 0) return Progress::Done;
    const int reason = SSL_get_error(ssl, result);
    if (reason == SSL_ERROR_WANT_READ || reason == SSL_ERROR_WANT_WRITE) return Progress::Waiting;
    if (error.empty()) error = takeOpensslError().message();
    return Progress::Failed;
}

std::string transfer(SSL* from, SSL* to, std::string_view bytes) {
    std::array<char, 4096> buffer;
    if (SSL_write(from, bytes.data(), static_cast<int>(bytes.size())) <= 0) return {};
    const int n = SSL_read(to, buffer.data(), static_cast<int>(buffer.size()));
    return n > 0 ? std::string(buffer.data(), static_cast<size_t>(n)) : std::string();
}

}  // namespace

SslServerStatePtr_t makeSslServer(const SslServerSettings& settings, SslTicketKeysPtr_t ticketKeys) {
    auto made = SslServerState::create(settings, std::move(ticketKeys));
    if (!made) throw std::runtime_error(made.error().message);
    return *made;
}

SslClientStatePtr_t makeSslClient(const SslClientSettings& settings) {
    auto made = SslClientState::create(settings);
    if (!made) throw std::runtime_error(made.error().message);
    return *made;
}

SslPtr_t newSsl(const SslClientStatePtr_t& client, const std::string& host) {
    return client->newSsl(std::make_shared<const SslHost>(host));
}

SslPtr_t withVersion(SslPtr_t ssl, TlsVersion version) {
    const int number = version == TlsVersion::Tls13 ? TLS1_3_VERSION : TLS1_2_VERSION;
    SSL_set_min_proto_version(ssl.get(), number);
    SSL_set_max_proto_version(ssl.get(), number);
    return ssl;
}

SslPtr_t withServerName(SslPtr_t ssl, const std::string& name) {
    SSL_ctrl(ssl.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
             const_cast<char*>(name.c_str()));
    return ssl;
}

SslPair::SslPair(SslPtr_t client, SslPtr_t server)
    : m_client(std::move(client)), m_server(std::move(server)) {
    BIO* clientEnd = nullptr;
    BIO* serverEnd = nullptr;
    BIO_new_bio_pair(&clientEnd, 1 << 18, &serverEnd, 1 << 18);
    SSL_set_bio(m_client.get(), clientEnd, clientEnd);
    SSL_set_bio(m_server.get(), serverEnd, serverEnd);
}

bool SslPair::handshake() {
    Progress client = Progress::Waiting;
    Progress server = Progress::Waiting;
    for (int round = 0; round < 10 && (client != Progress::Done || server != Progress::Done); ++round) {
        ERR_clear_error();
        if (client == Progress::Waiting)
            client = progressOf(m_client.get(), SSL_do_handshake(m_client.get()), m_clientError);
        ERR_clear_error();
        if (server == Progress::Waiting)
            server = progressOf(m_server.get(), SSL_do_handshake(m_server.get()), m_serverError);
    }
    if (client == Progress::Done) {
        char byte = 0;
        ERR_clear_error();
        client = progressOf(m_client.get(), SSL_peek(m_client.get(), &byte, 1), m_clientError);
    }
    return client != Progress::Failed && server == Progress::Done;
}

void SslPair::onServerExtension(std::function<void(unsigned int type)> observe) {
    m_onExtension = std::move(observe);
    const auto callback = [](SSL*, int isFromServer, int type, const unsigned char*, int, void* self) {
        if (isFromServer == 1) static_cast<SslPair*>(self)->m_onExtension(static_cast<unsigned int>(type));
    };
    void (*const plain)(SSL*, int, int, const unsigned char*, int, void*) = callback;
    SSL_callback_ctrl(m_client.get(), SSL_CTRL_SET_TLSEXT_DEBUG_CB, reinterpret_cast<void (*)()>(plain));
    SSL_ctrl(m_client.get(), SSL_CTRL_SET_TLSEXT_DEBUG_ARG, 0, this);
}

void SslPair::onServerMessage(std::function<void(int type)> observe) {
    m_onMessage = std::move(observe);
    SSL_set_msg_callback(m_client.get(), [](int isSent, int, int contentType, const void* bytes, size_t size,
                                            SSL*, void* self) {
        if (isSent == 0 && contentType == SSL3_RT_HANDSHAKE && size > 0)
            static_cast<SslPair*>(self)->m_onMessage(*static_cast<const unsigned char*>(bytes));
    });
    SSL_ctrl(m_client.get(), SSL_CTRL_SET_MSG_CALLBACK_ARG, 0, this);
}

std::string SslPair::fromServer(std::string_view bytes) {
    return transfer(m_server.get(), m_client.get(), bytes);
}

std::string SslPair::fromClient(std::string_view bytes) {
    return transfer(m_client.get(), m_server.get(), bytes);
}

}  // namespace tnet
