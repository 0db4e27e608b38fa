// types: opcodes, close codes and roles of the WebSocket protocol (RFC 6455).
//
// Threads: any.
#pragma once

#include <cstdint>

#include "tnet/cpp20.h"

namespace tnet {

// RFC 6455 §5.2, §11.8. The other values of the four bits are reserved and never made into a WsOpcode.
enum class WsOpcode : uint8_t {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
};

// Close, Ping and Pong: never fragmented, at most 125 bytes of payload (RFC 6455 §5.5).
constexpr bool isControl(WsOpcode opcode) { return (static_cast<uint8_t>(opcode) & 8) != 0; }

// Which end of the connection this process is. A client masks what it sends, a server does not
// (RFC 6455 §5.1).
enum class WsRole : uint8_t { Server, Client };

// RFC 6455 §7.4.1 and the registry that its §11.7 opened. Applications have 3000 to 4999 for their own,
// which is why functions take and give close codes as uint16_t.
enum class WsCloseCode : uint16_t {
    Normal = 1000,
    GoingAway = 1001,
    ProtocolError = 1002,
    UnsupportedData = 1003,
    NoStatus = 1005,  // never on the wire: the Close frame had no code
    Abnormal = 1006,  // never on the wire: the connection ended without a Close frame
    InvalidPayload = 1007,
    PolicyViolation = 1008,
    MessageTooBig = 1009,
    MandatoryExtension = 1010,
    InternalError = 1011,
    ServiceRestart = 1012,
    TryAgainLater = 1013,
    BadGateway = 1014,
};

// Whether a Close frame may carry this code: 1000 to 1003, 1007 to 1014, 3000 to 4999 (RFC 6455 §7.4).
bool isValidCloseCode(uint16_t onTheWire);

}  // namespace tnet
