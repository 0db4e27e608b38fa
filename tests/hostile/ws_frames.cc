#include "tests/hostile/ws_frames.h"

namespace tnet {

std::string upgradeRequest(std::string_view path, std::string_view extension) {
    std::string request("GET ");
    request.append(path).append(
        " HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n");
    if (!extension.empty()) request.append("Sec-WebSocket-Extensions: ").append(extension).append("\r\n");
    return request.append("\r\n");
}

std::string maskedFrame(WsOpcode opcode, std::string_view payload, WsFin fin, WsRsv1 rsv1) {
    std::string frame(frameHeaderBytes(payload.size(), true), '\0');
    writeMaskedFrameHeader(frame.data(), opcode, fin == WsFin::Last, rsv1 == WsRsv1::Compressed,
                           payload.size(), {0, 0, 0, 0});
    return frame.append(payload);
}

}  // namespace tnet
