// Wire: a client's end of a connection that blocks: plain, or through TLS.
//
// Threads: one. What it does does not suffer unless its thread does.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "tests/support/loop_fixture.h"
#include "tnet/address.h"
#include "tnet/ssl/ssl_handle.h"

namespace tnet {

class Wire {
public:
    // `tls` is null: plain. Not valid() if it did not come to be connected.
    Wire(const Address& address, SSL_CTX* tls);
    ~Wire();
    Wire(const Wire&) = delete;
    Wire& operator=(const Wire&) = delete;

    bool valid() const { return m_valid; }

    // False: the connection is over.
    bool send(std::string_view bytes);

    // Appends what comes next, at most `most` bytes. False: the connection is over, or, see timedOut(), silent.
    bool receiveSome(std::string& into, size_t most = 16384);

    bool timedOut() const { return m_timedOut; }  // kTestDeadline passed without a byte

    void reset();

private:
    BlockingClient m_socket;
    SslPtr_t m_ssl;
    bool m_valid = false;
    bool m_timedOut = false;
};

}  // namespace tnet
