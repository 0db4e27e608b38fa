// ws_client: opens a WebSocket for a load, blocking (on loopback nothing waits long), and reads its frames.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "bench/load_socket.h"
#include "bench/ws_messages.h"

namespace tnet {

// Sends the upgrade request over `fd` and reads the answer (RFC 6455 §4.1): a 101 with Upgrade, Connection,
// the Sec-WebSocket-Accept that belongs to this connection's key, no extension and no subprotocol, and
// nothing behind it. Ends the program if it is anything else.
void openWebSocket(int fd, const LoadTarget& target, const std::string& path);

// Where a connection stands in what it must get: the frames of messages `number`, `number` + stride, …
struct WsProgress {
    uint64_t number = 0;
    size_t offset = 0;  // what has come of that frame

    // Checks `size` bytes against what must come next; ends the program if they are something else.
    // Returns how many frames they have completed.
    size_t take(const WsMessages& messages, uint64_t stride, const char* data, size_t size);
};

// Sends message `number` over the blocking `fd` and waits for its echo.
void exchangeMessage(int fd, const WsMessages& messages, uint64_t number);

// For all that was sent to wait in the kernel's buffers would be wrong: ends the program if `fd` does not
// take all of it.
void sendWhole(int fd, const std::string& bytes);

}  // namespace tnet
