// SslTransport: a connection's bytes through TLS, with OpenSSL, over the transport below.
//
//     Connection -> write -> SSL_write -> records of the thread's output buffer  -> lower transport -> fd
//     Connection <- read  <- SSL_read  <- records of the thread's input buffer   <- lower transport <- fd
//
// OpenSSL never sees the descriptor: what one system call brought, and what one will take, lies in buffers that
// the connections of a thread share. A connection has bytes of its own only while it must: a record that has
// not come whole, and records that the kernel did not take.
//
// A write is told as taken as its records leave, and its last byte when the last of them is with the kernel: until
// then the caller offers the same bytes again (as Transport::write says), and they are not encrypted twice.
//
// Internal to //tnet/ssl; SslContext makes them. Threads: the connection's loop. Lifetime: its connection's.
#pragma once

#include <memory>
#include <string>

#include "tnet/ssl/ssl_handle.h"
#include "tnet/ssl/ssl_stats.h"
#include "tnet/transport.h"

namespace tnet {

class SslTransport {
public:
    // Of all transports of a context. Settings do not change once the first is made.
    struct Shared {
        SslCounters counters{};
        std::string plainAnswer{};  // for a client that speaks HTTP without TLS, before the close
        bool isCompact = false;     // TlsRecords instead of OpenSSL after handshakes that allow it
        bool kernelTls = false;     // hand the keys to the kernel where it takes them; only if isCompact
    };

    // Once for each SSL_CTX whose connections are to be compact: makes OpenSSL tell their keys.
    static void prepareCompact(SSL_CTX* ctx);

    // `ssl` is set up but has no BIO, and SSL_set_accept_state or SSL_set_connect_state was called. The lower
    // transport is what moves the encrypted bytes.
    static TransportPtr_t create(SslPtr_t ssl, std::shared_ptr<Shared> shared,
                                 TransportPtr_t lower = plainTransport());
};

}  // namespace tnet
