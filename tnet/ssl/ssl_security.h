// ssl_security: tells what a handshake agreed on, in plain values.
//
// Internal to //tnet/ssl. Threads: any.
#pragma once

#include "tnet/security_info.h"
#include "tnet/ssl/ssl_handle.h"

namespace tnet {

// Of a connection whose handshake is complete. Connections of a thread that agreed on the same share one object
// as long as there are few kinds of them, so that an idle connection need not own one.
SecurityInfoPtr_t securityOf(SSL* ssl);

}  // namespace tnet
