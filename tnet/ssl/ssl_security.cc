#include "tnet/ssl/ssl_security.h"

namespace tnet {

SecurityInfoPtr_t securityOf(SSL* ssl) {
    SecurityInfo info;
    info.version = SSL_get_version(ssl);
    return std::make_shared<SecurityInfo>(info);
}

}  // namespace tnet
