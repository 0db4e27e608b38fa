#include "websocket/types.h"

namespace tnet {

// RFC 6455 §7.4.1: 1004 is reserved; 1005, 1006 and 1015 are for reporting, not for sending. §7.4.2: what
// lies between the registered codes and 3000 is for future versions of the protocol.
bool isValidCloseCode(uint16_t onTheWire) {
    return (onTheWire >= 1000 && onTheWire <= 1003) || (onTheWire >= 1007 && onTheWire <= 1014) ||
           (onTheWire >= 3000 && onTheWire <= 4999);
}

}  // namespace tnet
