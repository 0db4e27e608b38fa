#include "tnet/ssl/ssl_transport.h"

#include "tnet/ssl/ssl_error.h"

namespace tnet {

void SslTransport::prepare(SSL_CTX*) {}

TransportPtr_t SslTransport::create(SslPtr_t, std::shared_ptr<Shared>, TransportPtr_t lower) { return lower; }

}  // namespace tnet
