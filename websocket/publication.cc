#include "websocket/publication.h"

#include <cassert>
#include <utility>

#include "tnet/heap_bytes.h"
#include "websocket/deflate.h"
#include "websocket/frame.h"

namespace tnet {

SharedBytesPtr_t makeFrame(std::string_view payload, WsOpcode opcode, bool isCompressed) {
    std::string frame;
    frame.resize(frameHeaderBytes(payload.size(), false));
    writeFrameHeader(frame.data(), opcode, true, isCompressed, payload.size());
    frame.append(payload);
    return std::make_shared<const std::string>(std::move(frame));
}

WsPublication::WsPublication(std::string_view topic, std::string_view payload, WsOpcode opcode)
    : m_topic(topic),
      m_frame(makeFrame(payload, opcode)),
      m_payload(std::string_view(*m_frame).substr(m_frame->size() - payload.size())),
      m_opcode(opcode) {}

size_t WsPublication::memoryBytes() const {
    return sharedHeapBytes<WsPublication>() + heapBytes(m_topic) + heapBytes(m_frame);
}

SharedBytesPtr_t WsPublication::compressedFrame(int windowBits) const {
    const auto index = static_cast<size_t>(windowBits - kMinWindowBits);
    assert(index < m_compressed.size());
    const std::lock_guard lock(m_mutex);
    SharedBytesPtr_t& compressed = m_compressed[index];
    if (!compressed) {
        WsDeflater deflater({.windowBits = windowBits, .noContextTakeover = true});
        std::string payload;
        const bool done = deflater.deflate(m_payload, true, payload);
        compressed = done && payload.size() < m_payload.size() ? makeFrame(payload, m_opcode, true) : m_frame;
    }
    return compressed;
}

}  // namespace tnet
