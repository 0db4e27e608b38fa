#include "tests/websocket/ws_life_fixture.h"

#include <array>
#include <utility>

#include "websocket/frame.h"
#include "websocket/mask.h"

namespace tnet {
namespace {

constexpr std::array<uint8_t, 4> kMaskKey{0x37, 0xfa, 0x21, 0x3d};

std::string nameOf(WsOpcode opcode) {
    switch (opcode) {
        case WsOpcode::Continuation: return "more";
        case WsOpcode::Text: return "text";
        case WsOpcode::Binary: return "binary";
        case WsOpcode::Close: return "close";
        case WsOpcode::Ping: return "ping";
        case WsOpcode::Pong: return "pong";
    }
    return "?";
}

std::string showPayload(const WsWireFrame& frame) {
    if (frame.opcode == WsOpcode::Close && frame.payload.size() >= 2) {
        const auto high = static_cast<uint8_t>(frame.payload[0]);
        const auto low = static_cast<uint8_t>(frame.payload[1]);
        const std::string reason = frame.payload.substr(2);
        return std::to_string(high * 256 + low) + (reason.empty() ? "" : " " + reason);
    }
    if (frame.payload.size() > 40) return std::to_string(frame.payload.size()) + " bytes";
    return frame.payload;
}

}  // namespace

std::string clientFrame(WsOpcode opcode, std::string_view payload, bool fin, bool rsv1) {
    std::string frame(frameHeaderBytes(payload.size(), true), '\0');
    writeMaskedFrameHeader(frame.data(), opcode, fin, rsv1, payload.size(), kMaskKey);
    const size_t headerBytes = frame.size();
    frame.append(payload);
    applyMask(frame.data() + headerBytes, payload.size(), kMaskKey, 0);
    return frame;
}

std::string clientClose(uint16_t code, std::string_view reason) {
    std::array<char, kMaxControlPayloadBytes> payload;
    const char* const end = writeClosePayload(payload.data(), code, reason);
    return clientFrame(WsOpcode::Close, {payload.data(), static_cast<size_t>(end - payload.data())});
}

std::string openingRequest(std::string_view target, std::string_view fields) {
    return getRequest(target,
                      "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
                          std::string(fields));
}

std::vector<WsWireFrame> takeFrames(std::string& bytes) {
    std::vector<WsWireFrame> frames;
    std::string_view rest = bytes;
    while (rest.size() >= 2) {
        // Each frame is decoded on its own: fragments are the tests' to look at.
        WsFrameDecoder decoder({WsRole::Client, true});
        WsFrameHeader header;
        std::string_view input = rest;
        if ((static_cast<uint8_t>(rest[0]) & 0x0F) == 0) {  // a continuation needs something to continue
            WsFrameHeader ignored;
            std::string_view begin("\x01\x00", 2);
            decoder.decode(begin, ignored);
        }
        const auto verdict = decoder.decode(input, header);
        if (verdict.step == WsFrameDecoder::Step::Error) {
            ADD_FAILURE() << verdict.reason;
            rest = {};
            break;
        }
        if (verdict.step == WsFrameDecoder::Step::NeedMore || input.size() < header.payloadBytes) break;
        const auto size = static_cast<size_t>(header.payloadBytes);
        frames.push_back({header.opcode, header.fin, header.rsv1, std::string(input.substr(0, size))});
        rest = input.substr(size);
    }
    bytes = std::string(rest);
    return frames;
}

std::string show(const std::vector<WsWireFrame>& frames) {
    std::string text;
    for (const WsWireFrame& frame : frames) {
        if (!text.empty()) text += ' ';
        text += nameOf(frame.opcode) + (frame.rsv1 ? "*" : "") + "(" + showPayload(frame) + ")";
        if (!frame.fin) text += "...";
    }
    return text;
}

// --- WsPeer ---

std::vector<WsWireFrame> WsPeer::frames() {
    m_bytes += m_peer->collect();
    return takeFrames(m_bytes);
}

// --- WsLifeTest ---

void WsLifeTest::serve(WsRoute route, WsServer::Settings settings) {
    if (!m_ws) m_ws = std::make_unique<WsServer>(router(), std::move(settings));
    route.onOpen = [this, then = std::move(route.onOpen)](const WsConnectionPtr_t& connection) {
        opened.push_back(connection);
        if (then) then(connection);
    };
    route.onClose = [this, then = std::move(route.onClose)](const WsConnectionPtr_t& connection,
                                                            WsCloseCode code, std::string_view reason) {
        closes.push_back({code, std::string(reason)});
        if (then) then(connection, code, reason);
    };
    EXPECT_TRUE(m_ws->route("/", std::move(route)));
}

void WsLifeTest::destroyServer() {
    m_ws.reset();
    startOver();
}

std::unique_ptr<WsPeer> WsLifeTest::begin(std::string_view fields, std::string_view behind) {
    auto peer = std::make_unique<WsPeer>(connect());
    peer->m_peer->feed(openingRequest("/", fields) + std::string(behind));
    peer->m_bytes = peer->m_peer->collect();
    const size_t end = peer->m_bytes.find("\r\n\r\n");
    if (!peer->m_bytes.starts_with("HTTP/1.1 101") || end == std::string::npos) return peer;
    peer->m_head = peer->m_bytes.substr(0, end + 4);
    peer->m_bytes.erase(0, end + 4);
    return peer;
}

std::unique_ptr<WsPeer> WsLifeTest::open(std::string_view fields, std::string_view behind) {
    auto peer = begin(fields, behind);
    EXPECT_NE(peer->head(), "") << "not opened: " << peer->m_bytes;
    return peer;
}

// --- WsClient ---

WsClient::WsClient(const Address& address, std::string_view target)
    : m_client(BlockingClient::connectTo(address)) {
    if (!m_client.valid() || !m_client.send(openingRequest(target))) return;
    std::string head;
    while (!head.ends_with("\r\n\r\n")) {
        const std::string byte = m_client.receive(1);
        if (byte.empty()) return;
        head += byte;
    }
    m_isOpen = head.starts_with("HTTP/1.1 101");
}

WsWireFrame WsClient::receive() {
    std::string bytes;
    for (size_t wanted = 2;;) {
        const std::string more = m_client.receive(wanted);
        if (more.size() < wanted) return {WsOpcode::Continuation, true, false, {}};
        bytes += more;
        const auto length = static_cast<uint8_t>(bytes[1]) & 0x7FU;
        const size_t headerBytes = length < 126 ? 2U : length == 126 ? 4U : 10U;
        if (bytes.size() < headerBytes) {
            wanted = headerBytes - bytes.size();
            continue;
        }
        uint64_t size = length;
        if (length >= 126) {
            size = 0;
            for (size_t i = 2; i < headerBytes; ++i) size = size << 8 | static_cast<uint8_t>(bytes[i]);
        }
        wanted = headerBytes + static_cast<size_t>(size) - bytes.size();
        if (wanted > 0) continue;
        const std::vector<WsWireFrame> frames = takeFrames(bytes);
        return frames.empty() ? WsWireFrame{WsOpcode::Continuation, true, false, {}} : frames[0];
    }
}

}  // namespace tnet
