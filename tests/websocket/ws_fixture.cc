#include "tests/websocket/ws_fixture.h"

#include <algorithm>
#include <iomanip>
#include <sstream>
#include <utility>

#include "websocket/connection.h"
#include "websocket/frame.h"
#include "websocket/mask.h"

namespace tnet {
namespace {

constexpr size_t kShownBytes = 48;

uint64_t bigEndian(std::string_view bytes) {
    uint64_t value = 0;
    for (const char c : bytes) value = value << 8 | static_cast<uint8_t>(c);
    return value;
}

// Takes frames off the front of `rest`.
class FrameReader {
public:
    explicit FrameReader(std::string_view bytes) : m_rest(bytes) {}

    WsFrames readAll() {
        while (!m_rest.empty() && m_frames.problem.empty() && readOne()) continue;
        m_frames.rest = m_rest;
        return std::move(m_frames);
    }

private:
    // False: not all of a frame is there, or there is a problem.
    bool readOne() {
        if (m_rest.size() < 2) return false;
        const auto first = static_cast<uint8_t>(m_rest[0]);
        const auto second = static_cast<uint8_t>(m_rest[1]);
        const uint8_t length = second & 0x7F;
        if ((second & 0x80) != 0) return refuse("masked");
        if ((first & 0x30) != 0) return refuse("RSV2 or RSV3");
        const size_t lengthBytes = length < 126 ? 0 : length == 126 ? 2 : 8;
        if (m_rest.size() < 2 + lengthBytes) return false;
        const uint64_t size = lengthBytes == 0 ? length : bigEndian(m_rest.substr(2, lengthBytes));
        if (lengthBytes == 2 && size < 126) return refuse("length not the shortest");
        if (lengthBytes == 8 && size < 65536) return refuse("length not the shortest");
        WsFrame frame{static_cast<WsOpcode>(first & 0x0F), {}, (first & 0x80) != 0, (first & 0x40) != 0};
        if (const char* const problem = check(frame, size)) return refuse(problem);
        if (m_rest.size() - 2 - lengthBytes < size) return false;
        frame.payload = m_rest.substr(2 + lengthBytes, size);
        m_rest.remove_prefix(2 + lengthBytes + size);
        m_isClosed = frame.opcode == WsOpcode::Close;
        if (!isControl(frame.opcode)) m_isInMessage = !frame.fin;
        m_frames.all.push_back(std::move(frame));
        return true;
    }

    const char* check(const WsFrame& frame, uint64_t size) const {
        if (m_isClosed) return "something behind a Close";
        switch (frame.opcode) {
            case WsOpcode::Continuation:
                if (frame.rsv1) return "RSV1 on a continuation";
                return m_isInMessage ? nullptr : "continuation of nothing";
            case WsOpcode::Text:
            case WsOpcode::Binary: return m_isInMessage ? "message inside another" : nullptr;
            case WsOpcode::Close:
                if (size == 1) return "half a close code";
                [[fallthrough]];
            case WsOpcode::Ping:
            case WsOpcode::Pong:
                return frame.fin && !frame.rsv1 && size <= 125 ? nullptr : "malformed control frame";
        }
        return "reserved opcode";
    }

    bool refuse(const char* problem) {
        m_frames.problem = problem;
        return false;
    }

    WsFrames m_frames{};
    std::string_view m_rest;
    bool m_isInMessage = false;
    bool m_isClosed = false;
};

void printBytes(std::ostream& out, std::string_view bytes) {
    out << bytes.size() << " \"";
    for (const char c : bytes.substr(0, kShownBytes)) {
        if (c >= ' ' && c <= '~') {
            out << c;
        } else {
            out << "\\x" << std::hex << std::setw(2) << std::setfill('0')
                << static_cast<int>(static_cast<uint8_t>(c)) << std::dec;
        }
    }
    out << (bytes.size() > kShownBytes ? "\"..." : "\"");
}

}  // namespace

// --- What clients send ---

std::string upgradeRequest(std::string_view target, std::string_view fields) {
    std::string lines = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
    lines.append("Sec-WebSocket-Key: ").append(kClientKey).append("\r\n").append(fields);
    return getRequest(target, lines);
}

std::string clientFrame(WsOpcode opcode, std::string_view payload, bool fin, bool rsv1) {
    std::string frame(frameHeaderBytes(payload.size(), true), '\0');
    writeMaskedFrameHeader(frame.data(), opcode, fin, rsv1, payload.size(), kClientMaskKey);
    const size_t headerBytes = frame.size();
    frame.append(payload);
    applyMask(frame.data() + headerBytes, payload.size(), kClientMaskKey, 0);
    return frame;
}

std::string clientFrameOf(uint8_t firstByte, std::string_view payload) {
    std::string frame = clientFrame(WsOpcode::Binary, payload);
    frame[0] = static_cast<char>(firstByte);
    return frame;
}

std::string clientClose(uint16_t code, std::string_view reason) {
    std::string payload;
    if (code != static_cast<uint16_t>(WsCloseCode::NoStatus)) {
        payload = {static_cast<char>(code >> 8), static_cast<char>(code)};
    }
    return clientFrame(WsOpcode::Close, payload.append(reason));
}

// --- What the server sends ---

std::optional<uint16_t> WsFrames::closeCode() const {
    if (all.empty() || all.back().opcode != WsOpcode::Close) return std::nullopt;
    const std::string& payload = all.back().payload;
    if (payload.empty()) return static_cast<uint16_t>(WsCloseCode::NoStatus);
    return static_cast<uint16_t>(bigEndian(std::string_view(payload).substr(0, 2)));
}

std::string WsFrames::closeReason() const {
    if (!closeCode() || all.back().payload.empty()) return {};
    return all.back().payload.substr(2);
}

WsFrames parseFrames(std::string_view bytes) { return FrameReader(bytes).readAll(); }

std::ostream& operator<<(std::ostream& out, const WsFrame& frame) {
    out << "opcode " << static_cast<int>(frame.opcode) << (frame.fin ? "" : " unfinished")
        << (frame.rsv1 ? " compressed" : "") << " bytes ";
    printBytes(out, frame.payload);
    return out;
}

std::ostream& operator<<(std::ostream& out, const WsFrames& frames) {
    for (const WsFrame& frame : frames.all) out << frame << "\n";
    if (!frames.problem.empty()) out << "problem: " << frames.problem << "\n";
    if (frames.rest.empty()) return out;
    out << "rest: ";
    printBytes(out, frames.rest);
    return out << "\n";
}

// --- The test ---

WsPeer::WsPeer(std::unique_ptr<ScriptedPeer> peer, Reply reply, std::string behind)
    : m_peer(std::move(peer)), m_reply(std::move(reply)), m_bytes(std::move(behind)) {}

WsPeer& WsPeer::feed(std::string_view bytes, size_t fragment, ScriptedPeer::Arrival arrival) {
    m_peer->feed(bytes, fragment, arrival);
    return *this;
}

WsFrames WsPeer::collect() {
    m_bytes += m_peer->collect();
    WsFrames frames = parseFrames(m_bytes);
    m_bytes = frames.rest;
    return frames;
}

WsRoute echoRoute() {
    WsRoute route;
    route.onMessage = [](const WsConnectionPtr_t& connection, std::string_view message, WsOpcode opcode) {
        connection->send(message, opcode);
    };
    return route;
}

WsTest::WsTest() : m_ws(std::make_unique<WsServer>(router())) {}

WsTest::~WsTest() = default;

void WsTest::startOver() {
    m_ws.reset();
    HttpTest::startOver();
    m_ws = std::make_unique<WsServer>(router());
}

std::unique_ptr<WsPeer> WsTest::open(std::string_view target, std::string_view fields,
                                     std::string_view behind, size_t fragment) {
    auto peer = connect();
    peer->feed(upgradeRequest(target, fields).append(behind), fragment);
    const std::string bytes = peer->collect();
    const size_t end = std::min(bytes.find("\r\n\r\n"), bytes.size());
    const std::string head = bytes.substr(0, std::min(end + 4, bytes.size()));
    const Replies replies = parseReplies(head);
    EXPECT_EQ(replies.statuses(), std::vector<int>{101}) << bytes;
    Reply reply = replies.size() > 0 ? replies[0] : Reply{};
    EXPECT_EQ(reply.header("Sec-WebSocket-Accept"), kAcceptedKey);
    return std::make_unique<WsPeer>(std::move(peer), std::move(reply), bytes.substr(head.size()));
}

}  // namespace tnet
