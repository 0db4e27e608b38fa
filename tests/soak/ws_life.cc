#include "tests/soak/ws_life.h"

#include <array>
#include <charconv>
#include <cstdint>

#include "bench/ws_wire.h"
#include "tests/soak/pattern.h"

namespace tnet {
namespace {

using namespace std::chrono_literals;

enum : size_t {
    kClose,
    kLeave,
    kReset,
    kLeaveInUpgrade,
    kLeaveInFrame,
    kResetInFrame,
    kResetUnread,
    kUnmasked,
    kTooBig,
    kNotUtf8,
    kAskForClose,
    kSilent,
};

constexpr std::array kDeaths{
    Death{"ws closes", 20},
    Death{"ws leaves", 20},
    Death{"ws resets", 20},
    Death{"ws leaves in the upgrade", 10},
    Death{"ws leaves in a frame", 10},
    Death{"ws resets in a frame", 10},
    Death{"ws resets before the echo is read", 10},
    Death{"ws sends an unmasked frame", 10},
    Death{"ws announces too big a frame", 10},
    Death{"ws sends no UTF-8", 10},
    Death{"ws asks for a close", 10},
    Death{"ws falls silent", 10},
};

constexpr unsigned kFin = 0x80;
constexpr unsigned kContinuation = 0;
constexpr unsigned kText = 1;
constexpr unsigned kBinary = 2;
constexpr unsigned kCloseFrame = 8;
constexpr unsigned kPing = 9;
constexpr unsigned kPong = 10;

// RFC 6455 §1.3
constexpr std::string_view kUpgrade =
    "GET /ws HTTP/1.1\r\nHost: soak\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: "
    "13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
constexpr std::string_view kAccept = "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

}  // namespace

WsLife::WsLife(Soak& soak) : Life(soak) { draw(kDeaths.data(), kDeaths.size()); }

void WsLife::connected() {
    if (death() == kLeaveInUpgrade && soak().mayDie) {
        send(kUpgrade.substr(0, random(kUpgrade.size())));
        return leave();
    }
    send(kUpgrade);
    awaitAnswer();
}

void WsLife::use() {
    m_owed = pattern(random(1 << 16), 1 + random(4'000));
    if (random(4) == 0) {  // in two frames, with a ping between them
        const std::string_view first = m_owed.substr(0, random(m_owed.size()));
        sendFrame(kBinary, first);
        sendFrame(kFin | kPing, "between");
        sendFrame(kFin | kContinuation, m_owed.substr(first.size()));
    } else {
        sendFrame(kFin | kBinary, m_owed);
    }
    awaitAnswer();
}

void WsLife::die(size_t death) {
    m_phase = Phase::Dying;
    const SoakTimes& times = soak().times;
    switch (death) {
        case kClose: sendFrame(kFin | kCloseFrame, std::string_view("\x03\xe8", 2)); return expectClose(1000);
        case kLeave: return leave();
        case kReset:
        case kLeaveInUpgrade:  // nobody was to die when it was
            return reset();
        case kLeaveInFrame: send(std::string_view("\x82\xfe\x10", 3)); return leave();
        case kResetInFrame: send(std::string_view("\x82\xfe\x10\x00mask1234", 12)); return reset();
        case kResetUnread: sendFrame(kFin | kBinary, pattern(0, 60'000)); return reset();
        case kUnmasked: send(std::string_view("\x82\x01x", 3)); return expectClose(1002);
        case kTooBig:
            send(std::string_view("\x82\xff\x00\x00\x01\x00\x00\x00\x00\x00", 10));
            send("mask");
            return expectClose(1009);
        case kNotUtf8: sendFrame(kFin | kText, "\xff"); return expectClose(1007);
        case kAskForClose: sendFrame(kFin | kText, "bye"); return expectClose(1000);
        case kSilent:
            // It is pinged when it was silent for three quarters of the interval, or up to all of it.
            m_isDeaf = true;
            return expectEnd(lastSent(), times.pingInterval * 3 / 4 + times.pongTimeout,
                             times.pingInterval / 4 + kTolerance);
        default: return wrong("no such death");
    }
}

void WsLife::expectClose(int code) {
    m_closeCode = code;
    expectEnd(0ms, kPatience);
}

void WsLife::sendFrame(unsigned firstByte, std::string_view payload) {
    std::string frame(kMaxFrameHead + payload.size(), '\0');
    const size_t head = putFrameHead(frame.data(), static_cast<unsigned char>(firstByte), payload.size());
    frame[1] = static_cast<char>(static_cast<unsigned char>(frame[1]) | kMaskBit);
    const auto key = static_cast<uint32_t>(random(uint64_t{1} << 32U));
    std::memcpy(frame.data() + head, &key, sizeof key);
    applyMask(frame.data() + head + sizeof key, payload.data(), payload.size(), key);
    frame.resize(head + sizeof key + payload.size());
    send(std::move(frame));
}

void WsLife::take(std::string_view bytes) {
    m_input += bytes;
    while (!m_input.empty() && connection().isConnected() &&
           (m_phase == Phase::Upgrading ? takeUpgrade() : takeFrame())) {
    }
    if (m_input.empty()) m_input.shrink_to_fit();  // connections wait long, and hold nothing meanwhile
}

// False: there is no more to take.
bool WsLife::takeUpgrade() {
    const size_t end = m_input.find("\r\n\r\n");
    if (end == std::string::npos) return false;
    if (!m_input.starts_with("HTTP/1.1 101 ") || m_input.find(kAccept) > end) {
        wrong("not upgraded: " + m_input.substr(0, 80));
        return false;
    }
    m_input.erase(0, end + 4);
    m_phase = Phase::Open;
    if (random(8) == 0) sendFrame(kFin | kText, "subscribe");
    useOrDie();
    return true;
}

bool WsLife::takeFrame() {
    if (m_input.size() < 2) return false;
    const auto byte = [this](size_t i) { return static_cast<unsigned char>(m_input[i]); };
    size_t head = 2;
    size_t size = byte(1);
    if (size == 126) {
        head = 4;
        if (m_input.size() < head) return false;
        size = static_cast<size_t>(byte(2)) << 8U | byte(3);
    }
    if (size > 4096 + 126 || (byte(0) & kFin) == 0) {
        wrong("a frame that nobody asked for");
        return false;
    }
    if (m_input.size() < head + size) return false;
    const unsigned opcode = byte(0) & 0x7fU;
    const std::string payload = m_input.substr(head, size);
    m_input.erase(0, head + size);
    meet(opcode, payload);
    return true;
}

void WsLife::meet(unsigned opcode, std::string_view payload) {
    switch (opcode) {
        case kPing:
            if (!m_isDeaf) sendFrame(kFin | kPong, payload);
            return;
        case kPong:
            if (payload != "between") wrong("another pong than its ping");
            return;
        case kText: return meetTick(payload);
        case kCloseFrame: return meetClose(payload);
        case kBinary:
            if (payload != m_owed) return wrong("another echo than it sent");
            m_owed = {};
            return pauseThenGoOn();
        default: return wrong("a frame of opcode " + std::to_string(opcode));
    }
}

// Publications come in order, and none is left out.
void WsLife::meetTick(std::string_view text) {
    constexpr std::string_view kPrefix = "tick ";
    uint64_t tick = 0;
    if (!text.starts_with(kPrefix)) return wrong("a text that nobody sent");
    std::from_chars(text.data() + kPrefix.size(), text.data() + text.size(), tick);
    if (tick == 0 || (m_lastTick != 0 && tick != m_lastTick + 1)) return wrong("a publication out of order");
    m_lastTick = tick;
    ++soak().tally.ticks;
}

void WsLife::meetClose(std::string_view payload) {
    const int code = payload.size() < 2 ? 1005
                                        : static_cast<unsigned char>(payload[0]) << 8 |
                                              static_cast<unsigned char>(payload[1]);
    if (!m_closeCode || code != *m_closeCode) return wrong("closed with " + std::to_string(code));
    m_closeCode.reset();
    if (death() == kAskForClose) sendFrame(kFin | kCloseFrame, payload);
}

}  // namespace tnet
