#include "tests/faults/wire.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <ctime>

namespace tnet {
namespace {

// OpenSSL writes without MSG_NOSIGNAL. The process does not ignore the signal, so that the server's would end it.
class PipeSignalBlock {
public:
    PipeSignalBlock() {
        sigemptyset(&m_pipe);
        sigaddset(&m_pipe, SIGPIPE);
        pthread_sigmask(SIG_BLOCK, &m_pipe, &m_before);
    }
    ~PipeSignalBlock() {
        const int error = errno;
        const timespec now{};
        sigtimedwait(&m_pipe, nullptr, &now);
        pthread_sigmask(SIG_SETMASK, &m_before, nullptr);
        errno = error;
    }
    PipeSignalBlock(const PipeSignalBlock&) = delete;
    PipeSignalBlock& operator=(const PipeSignalBlock&) = delete;

private:
    sigset_t m_pipe;
    sigset_t m_before;
};

}  // namespace

Wire::Wire(const Address& address, SSL_CTX* tls) : m_socket(BlockingClient::connectTo(address)) {
    m_valid = m_socket.valid();
    if (!m_valid || tls == nullptr) return;
    m_ssl.reset(SSL_new(tls));
    SSL_set_fd(m_ssl.get(), m_socket.fd());
    ERR_clear_error();
    const PipeSignalBlock block;
    errno = 0;
    m_valid = SSL_connect(m_ssl.get()) == 1;
    m_timedOut = !m_valid && errno == EAGAIN;
    if (!m_valid && std::getenv("TNET_FAULT_VERBOSE") != nullptr) ERR_print_errors_fp(stderr);
}

Wire::~Wire() = default;

bool Wire::send(std::string_view bytes) {
    if (!m_ssl) return m_socket.send(bytes);
    const PipeSignalBlock block;
    ERR_clear_error();
    return bytes.empty() || SSL_write(m_ssl.get(), bytes.data(), static_cast<int>(bytes.size())) > 0;
}

bool Wire::receiveSome(std::string& into, size_t most) {
    std::array<char, 16384> buffer;
    most = std::min(most, buffer.size());
    errno = 0;
    ssize_t n = 0;
    if (m_ssl) {
        const PipeSignalBlock block;
        ERR_clear_error();
        errno = 0;
        n = SSL_read(m_ssl.get(), buffer.data(), static_cast<int>(most));
    } else {
        n = ::recv(m_socket.fd(), buffer.data(), most, 0);
    }
    if (n <= 0) {
        m_timedOut = errno == EAGAIN;
        return false;
    }
    into.append(buffer.data(), static_cast<size_t>(n));
    return true;
}

void Wire::reset() { m_socket.reset(); }

}  // namespace tnet
