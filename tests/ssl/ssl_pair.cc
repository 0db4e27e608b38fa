#include "tests/ssl/ssl_pair.h"

#include <openssl/err.h>

#include <array>
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

std::string SslPair::fromServer(std::string_view bytes) {
    return transfer(m_server.get(), m_client.get(), bytes);
}

std::string SslPair::fromClient(std::string_view bytes) {
    return transfer(m_client.get(), m_server.get(), bytes);
}

}  // namespace tnet
