// Transport: how a connection's bytes get through its socket: plainly, or through TLS.
//
//     layers above  ->  Connection  ->  Transport  ->  descriptor
//
// A call says how much it moved and what stopped it. The connection owns the descriptor and the
// waiting; a transport never blocks, never waits, and never calls back. A listener or a connector
// chooses the transport; HTTP and WebSocket cannot tell which one they run on.
//
// Threads: the connection's loop only. Lifetime: owned by one connection through TransportPtr_t.
#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <system_error>

#include "tnet/peer_address.h"
#include "tnet/security_info.h"

namespace tnet {

enum class IoStatus : uint8_t {
    Ok,         // moved at least one byte, or the step is complete
    WantRead,   // nothing moved; call again when the descriptor is readable
    WantWrite,  // nothing moved; call again when the descriptor is writable
    End,        // the peer ended its direction cleanly
    Failed,     // see error
};

struct IoResult {
    IoStatus status = IoStatus::Ok;
    size_t bytes = 0;
    std::error_code error{};
};

class Transport {
public:
    // Advances the handshake. Ok: complete. Called until then, and never again.
    virtual IoResult handshake(int fd) = 0;

    virtual IoResult read(int fd, char* into, size_t size) = 0;

    // Takes a prefix of the `count` pieces; bytes says how much. What is not taken is offered again, first, by
    // the next write or sendFile: a transport may have begun to work on it.
    virtual IoResult write(int fd, const iovec* pieces, int count) = 0;

    // Takes up to `size` bytes of `file` from `offset` on. A file that is shorter than asked is Failed.
    virtual IoResult sendFile(int fd, int file, off_t offset, size_t size) = 0;

    // Ends our direction (FIN; with TLS close_notify first). Ok: sent.
    virtual IoResult endWrite(int fd) = 0;

    // Input that is already here although the descriptor may never become readable again. After a read that says
    // WantRead, too: then it had its turn, and is to be called again in the next round.
    virtual bool hasPendingInput() const = 0;

    // What the handshake agreed on; null if there was none. Once it is complete it stays the same object.
    virtual SecurityInfoPtr_t security() const { return nullptr; }

    // Of a transport that is told who the peer is (PROXY protocol): it is not whom the socket names.
    virtual bool tellsPeer() const { return false; }
    // Who it is, once the handshake is complete; null before, and if it was not told: then it is whom the
    // socket names.
    virtual const PeerAddress* peer() const { return nullptr; }

    // True if a close should end our direction and await the peer's end, rather than just close.
    virtual bool wantsGracefulEnd() const = 0;

    // The owner is done with it.
    virtual void release() noexcept = 0;

protected:
    Transport() = default;
    Transport(const Transport&) = delete;
    Transport& operator=(const Transport&) = delete;
    ~Transport() = default;
};

struct TransportRelease {
    void operator()(Transport* transport) const noexcept { transport->release(); }
};
using TransportPtr_t = std::unique_ptr<Transport, TransportRelease>;

// One per connection that a listener accepts or a connector opens.
using TransportFactory_t = std::function<TransportPtr_t()>;

// Plain TCP or Unix-domain bytes. Shared by all connections: costs none of them any memory.
TransportPtr_t plainTransport();

}  // namespace tnet
