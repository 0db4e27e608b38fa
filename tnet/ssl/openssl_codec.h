// OpensslCodec: the codec that is OpenSSL's own: handshakes, and the records of TLS 1.2 and of clients.
//
// Internal to //tnet/ssl. Threads: one. Lifetime: its transport's.
#pragma once

#include <cstdint>

#include "tnet/ssl/ssl_codec.h"
#include "tnet/ssl/ssl_handle.h"

namespace tnet {

class OpensslCodec final : public SslCodec {
public:
    // `ssl` has no BIO yet.
    explicit OpensslCodec(SslPtr_t ssl);
    ~OpensslCodec() override;

    // Ok: complete. NeedsInput: the input is used up. Failed: see error. May add to the output.
    Opened handshake(SslBuffers& buffers);

    SSL* ssl() const { return m_ssl.get(); }

    Opened open(SslBuffers& buffers, char* into, size_t size) override;
    bool seal(SslBuffers& buffers, PlainPieces& plain) override;
    void end(SslBuffers& buffers) override;
    bool hasPendingInput() const override { return SSL_pending(m_ssl.get()) > 0; }

private:
    class KeptBuffer;

    Opened failed(int reason);
    void fitWriteBuffer(size_t recordBytes);

    SslPtr_t m_ssl;
    bool m_isWritingShort = false;
    uint8_t m_warmPlace = 0;  // of its thread's warm connections, if it is there
};

}  // namespace tnet
