#include "websocket/receiver.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "tnet/heap_bytes.h"
#include "websocket/mask.h"

namespace tnet {
namespace {

constexpr size_t kInflateStep = 16 << 10;          // output of one step of decompression
constexpr size_t kKeptMessageCapacity = 64 << 10;  // between two messages

}  // namespace

WsReceiver::WsReceiver(const Settings& settings)
    : m_settings(settings), m_decoder({settings.role, settings.inflate.has_value()}) {}

WsReceiver::Event WsReceiver::next(std::span<char>& input) {
    if (std::exchange(m_delivered, false)) m_message.clear(kKeptMessageCapacity);
    for (;;) {
        Event event = Event::NeedMore;
        switch (m_state) {
            case State::Header: event = header(input); break;
            case State::Data: event = data(input); break;
            case State::Control: event = control(input); break;
            case State::Inflating: event = inflateSome(); break;
        }
        if (event != Event::NeedMore) return event;
        // A frame without payload goes on without input.
        if (input.empty() && !canGoOn()) return event;
    }
}

WsReceiver::Event WsReceiver::header(std::span<char>& input) {
    if (input.empty()) return Event::NeedMore;
    std::string_view bytes(input.data(), input.size());
    const WsFrameDecoder::Verdict verdict = m_decoder.decode(bytes, m_header);
    input = input.last(bytes.size());
    switch (verdict.step) {
        case WsFrameDecoder::Step::NeedMore: m_headerCut = true; return Event::NeedMore;
        case WsFrameDecoder::Step::Error: return refuse(WsCloseCode::ProtocolError, verdict.reason);
        case WsFrameDecoder::Step::Header: break;
    }
    m_headerCut = false;
    m_frameLeft = m_header.payloadBytes;
    if (!isControl(m_header.opcode)) return beginData();
    m_controlSize = 0;
    m_state = State::Control;
    return Event::NeedMore;
}

// The limits are looked at when a length is announced, not when it has come.
WsReceiver::Event WsReceiver::beginData() {
    if (!m_inMessage) {
        m_inMessage = true;
        m_opcode = m_header.opcode;
        m_isCompressed = m_header.rsv1;
        m_messageBytes = 0;
        m_fragments = 0;
        m_utf8.reset();
        if (m_isCompressed && !m_inflater) m_inflater = std::make_unique<WsInflater>(*m_settings.inflate);
    }
    if (++m_fragments > m_settings.maxFragments)
        return refuse(WsCloseCode::PolicyViolation, "too many fragments");
    if (m_frameLeft > m_settings.maxFrameBytes) return refuse(WsCloseCode::MessageTooBig, "frame too large");
    if (!m_isCompressed && m_frameLeft > m_settings.maxMessageBytes - m_messageBytes)
        return refuse(WsCloseCode::MessageTooBig, "message too large");
    m_state = State::Data;
    return Event::NeedMore;
}

WsReceiver::Event WsReceiver::data(std::span<char>& input) {
    const std::span<char> bytes =
        input.first(static_cast<size_t>(std::min<uint64_t>(m_frameLeft, input.size())));
    if (bytes.empty() && m_frameLeft > 0) return Event::NeedMore;
    const uint64_t offset = m_header.payloadBytes - m_frameLeft;
    bool isAscii = false;
    if (m_header.masked) {
        isAscii = unmaskAndCheckAscii(bytes.data(), bytes.size(), m_header.maskKey, offset);
    }
    input = input.subspan(bytes.size());
    m_frameLeft -= bytes.size();
    const std::string_view text(bytes.data(), bytes.size());
    if (m_isCompressed) {
        m_compressed = text;
        m_state = State::Inflating;
        return Event::NeedMore;
    }
    m_messageBytes += bytes.size();
    if (m_opcode == WsOpcode::Text && !(isAscii && m_utf8.isComplete()) && !m_utf8.check(text))
        return refuse(WsCloseCode::InvalidPayload, "text is not UTF-8");
    return deliver(text);
}

// `bytes` are the next ones of the message, in order so far.
WsReceiver::Event WsReceiver::deliver(std::string_view bytes) {
    const bool isEnd = isMessageEnd() && m_state != State::Inflating;
    if (isEnd && m_opcode == WsOpcode::Text && !m_utf8.isComplete())
        return refuse(WsCloseCode::InvalidPayload, "text ends inside a character");
    if (m_state == State::Data && m_frameLeft == 0) m_state = State::Header;
    if (isEnd) m_inMessage = false;
    m_payload = bytes;
    m_last = isEnd;
    if (m_settings.inPieces) return bytes.empty() && !isEnd ? Event::NeedMore : Event::Piece;
    if (!isEnd || !m_message.empty()) m_message.append(bytes);
    if (!isEnd) return m_isCompressed && !bytes.empty() ? Event::Part : Event::NeedMore;
    if (!m_message.empty()) {
        m_payload = m_message.view();
        m_delivered = true;
    }
    return Event::Message;
}

// One step at a time, so that a compression bomb is stopped at the limit, not after.
WsReceiver::Event WsReceiver::inflateSome() {
    if (!m_inflated) m_inflated.reset(new char[kInflateStep]);
    const size_t room =
        static_cast<size_t>(std::min<uint64_t>(kInflateStep, m_settings.maxMessageBytes - m_messageBytes));
    const WsInflater::Step step = m_inflater->inflate(m_compressed, isMessageEnd(), m_inflated.get(), room);
    m_messageBytes += step.written;
    const std::string_view text(m_inflated.get(), step.written);
    if (m_opcode == WsOpcode::Text && !m_utf8.check(text))
        return refuse(WsCloseCode::InvalidPayload, "text is not UTF-8");
    switch (step.state) {
        case WsInflater::State::Malformed:
            return refuse(WsCloseCode::InvalidPayload, "malformed compressed data");
        case WsInflater::State::NoMemory: return refuse(WsCloseCode::InternalError, "out of memory");
        case WsInflater::State::NeedRoom:
            if (room == 0) return refuse(WsCloseCode::MessageTooBig, "message too large");
            return deliver(text);
        case WsInflater::State::NeedInput:
            m_state = m_frameLeft == 0 ? State::Header : State::Data;
            return deliver(text);
        case WsInflater::State::MessageEnd: m_state = State::Header; return deliver(text);
    }
    return Event::NeedMore;
}

WsReceiver::Event WsReceiver::control(std::span<char>& input) {
    const auto size = static_cast<size_t>(std::min<uint64_t>(m_frameLeft, input.size()));
    const std::span<char> bytes = input.first(size);
    if (m_header.masked) applyMask(bytes.data(), size, m_header.maskKey, m_header.payloadBytes - m_frameLeft);
    input = input.subspan(size);
    m_frameLeft -= size;
    const bool isWhole = size == m_header.payloadBytes;
    if (!isWhole) {
        std::copy(bytes.begin(), bytes.end(), m_controlBytes.begin() + m_controlSize);
        m_controlSize = static_cast<uint8_t>(m_controlSize + size);
    }
    if (m_frameLeft > 0) return Event::NeedMore;
    m_state = State::Header;
    if (isWhole) return controlComplete({bytes.data(), size});
    return controlComplete({m_controlBytes.data(), m_controlSize});
}

WsReceiver::Event WsReceiver::controlComplete(std::string_view payload) {
    m_payload = payload;
    if (m_header.opcode == WsOpcode::Ping) return Event::Ping;
    if (m_header.opcode == WsOpcode::Pong) return Event::Pong;
    const WsParsedClose parsed = parseClosePayload(payload);
    if (parsed.error != nullptr) return refuse(parsed.failWith, parsed.error);
    m_close = parsed.payload;
    return Event::Close;
}

WsReceiver::Event WsReceiver::refuse(WsCloseCode code, const char* reason) {
    m_errorCode = code;
    m_errorReason = reason;
    return Event::Error;
}

void WsReceiver::keep(std::span<char> input) {
    const bool isOfRest = !m_rest.empty() && input.data() + input.size() == m_rest.data() + m_rest.size();
    if (!isOfRest) {
        // What is not decompressed yet lies in front of it.
        const char* const begin = m_compressed.empty() ? input.data() : m_compressed.data();
        std::string rest(begin, static_cast<size_t>(input.data() + input.size() - begin));
        assert(m_rest.empty() && rest.size() == m_compressed.size() + input.size());
        m_rest = std::move(rest);
        m_compressed = std::string_view(m_rest).substr(0, m_compressed.size());
    }
    m_restAt = m_rest.size() - input.size();
}

void WsReceiver::dropRest() {
    if (m_rest.capacity() > std::string().capacity()) std::string().swap(m_rest);
    m_rest.clear();
    m_restAt = 0;
}

void WsReceiver::compact() {
    if (m_inflater) m_inflater->compact();
    m_inflated.reset();
    m_message.clear(0);
}

size_t WsReceiver::memoryBytes() const {
    return sizeof(*this) + m_message.capacity() + heapBytes(m_rest) + (m_inflated ? kInflateStep : 0) +
           (m_inflater ? m_inflater->memoryBytes() : 0);
}

}  // namespace tnet
