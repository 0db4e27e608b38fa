// What an established connection agreed on, as plain values.
//
// Internal to //tnet/ssl. Threads: any.
#pragma once

#include "tnet/security_info.h"
#include "tnet/ssl/ssl_handle.h"

namespace tnet {

SecurityInfoPtr_t securityOf(SSL* ssl);

}  // namespace tnet
