// proxy_transport: connections that reach us through a proxy (HAProxy, a cloud's load balancer) which says in front
// of each, with the PROXY protocol, who its client is.
//
//     server.listen(address, proxyProtocol());                           // plain behind the header
//     server.listen(address, proxyProtocol(context->accepting()));       // TLS behind the header
//
// The header is read in the handshake, and only the header: what is behind it stays in the socket for the transport
// that follows. From then on Connection::peer(), and so HttpRequest::remoteAddress(), is the proxy's client;
// with LOCAL, UNKNOWN or UNSPEC it remains the proxy.
//
// A connection without a valid header fails (bad_message), and one whose header does not come is closed by
// ConnChecker's connectTimeout. The header is believed: let nobody but the proxy reach such a listener.
//
// Not looked at: TLVs (with them the CRC-32C of version 2), and the destination.
//
// Threads: any; a transport is its connection's. Lifetime: copies the factory.
#pragma once

#include "tnet/transport.h"

namespace tnet {

TransportFactory_t proxyProtocol(TransportFactory_t behind = plainTransport);

}  // namespace tnet
