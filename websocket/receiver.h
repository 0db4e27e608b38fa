// WsReceiver: turns the bytes that come over a WebSocket connection into messages and control frames.
//
//     bytes -> WsFrameDecoder -> unmask, in place -> (WsInflater) -> UTF-8 -> messages, whole or in pieces
//
// A pull parser: next() takes from the front of its input until something happens and says what. A message
// that lies whole in one frame of the input is handed out where it lies; only what is cut is copied.
//
// Whoever has had enough between two events keeps the rest: keep(input), and later next(rest).
//
// Between two messages it holds nothing of its connection's, unless compression keeps a window: isIdle().
//
// Pure: no I/O. Input may come in pieces of any size; what happens is the same.
// Threads: one. Lifetime: payload() is valid until the next call, and as long as the input.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "tnet/byte_buffer.h"
#include "websocket/deflate.h"
#include "websocket/frame.h"
#include "websocket/types.h"
#include "websocket/utf8.h"

namespace tnet {

class WsReceiver {
public:
    struct Settings {
        WsRole role = WsRole::Server;
        bool inPieces = false;  // data comes as Piece, never as Message
        size_t maxMessageBytes = 1 << 20;
        size_t maxFrameBytes = 1 << 20;
        size_t maxFragments = 1 << 17;
        std::optional<WsInflater::Settings> inflate{};  // permessage-deflate was negotiated
    };

    enum class Event : uint8_t {
        NeedMore,  // the input is used up
        Message,   // payload() is a whole message
        Piece,     // payload() is the next part of a message, perhaps empty; isLast(): the last
        Part,   // payload() became part of a message that is not whole yet: only so that a turn can end here
        Ping,   // } payload() is
        Pong,   // } the frame's
        Close,  // close() says what the peer said; nothing comes after it
        Error,  // fail the connection with errorCode(); the receiver is not to be used again
    };

    explicit WsReceiver(const Settings& settings);
    WsReceiver(const WsReceiver&) = delete;
    WsReceiver& operator=(const WsReceiver&) = delete;

    // Takes from the front of `input`, which it overwrites. After Piece and Part, the rest of the same input must
    // follow in the next call, or be kept.
    Event next(std::span<char>& input);

    // next() has something to do without further input.
    bool canGoOn() const {
        return m_state == State::Inflating || (m_state != State::Header && m_frameLeft == 0);
    }

    // Keeps what next() has left of `input`, which need not live on. From then on next() gets rest(), until it says
    // NeedMore; then dropRest(), and new input.
    void keep(std::span<char> input);
    bool hasRest() const { return m_restAt < m_rest.size() || canGoOn(); }
    std::span<char> rest() { return {m_rest.data() + m_restAt, m_rest.size() - m_restAt}; }
    void dropRest();

    std::string_view payload() const { return m_payload; }
    WsOpcode opcode() const { return m_opcode; }  // of a Message or Piece: Text or Binary
    bool isLast() const { return m_last; }
    const WsClosePayload& close() const { return m_close; }
    WsCloseCode errorCode() const { return m_errorCode; }
    const char* errorReason() const { return m_errorReason; }  // static

    // Between two messages, with nothing of a frame read: another connection may use it.
    bool isIdle() const { return m_state == State::Header && !m_inMessage && !m_headerCut && m_rest.empty(); }

    // Between two messages: gives back what memory it can without losing the peer's history.
    void compact();
    size_t memoryBytes() const;

private:
    enum class State : uint8_t { Header, Data, Control, Inflating };

    Event header(std::span<char>& input);
    Event beginData();
    Event data(std::span<char>& input);
    Event inflateSome();
    Event deliver(std::string_view bytes);
    Event control(std::span<char>& input);
    Event controlComplete(std::string_view payload);
    Event refuse(WsCloseCode code, const char* reason);
    bool isMessageEnd() const { return m_header.fin && m_frameLeft == 0; }

    const Settings m_settings;
    WsFrameDecoder m_decoder;
    WsFrameHeader m_header{};
    uint64_t m_frameLeft = 0;     // of the payload of the frame under way
    uint64_t m_messageBytes = 0;  // of the message under way, decompressed
    size_t m_fragments = 0;
    Utf8Validator m_utf8;
    ByteBuffer m_message;                                      // what came of a message that is cut
    std::array<char, kMaxControlPayloadBytes> m_controlBytes;  // the same of a control frame
    uint8_t m_controlSize = 0;
    std::unique_ptr<WsInflater> m_inflater;
    std::unique_ptr<char[]> m_inflated;  // a piece of a decompressed message
    std::string_view m_compressed;  // unmasked, not yet decompressed: of the input of this call, or of m_rest
    std::string m_rest;             // input that waits
    size_t m_restAt = 0;            // where it begins

    State m_state = State::Header;
    bool m_headerCut = false;
    bool m_inMessage = false;
    bool m_isCompressed = false;
    bool m_delivered = false;  // m_message was handed out
    bool m_last = false;
    WsOpcode m_opcode = WsOpcode::Text;
    std::string_view m_payload;
    WsClosePayload m_close{};
    WsCloseCode m_errorCode = WsCloseCode::ProtocolError;
    const char* m_errorReason = "";
};

}  // namespace tnet
