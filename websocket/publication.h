// WsPublication: one message for many connections: its frame is encoded once, and compressed once per window
// size, whoever needs it first.
//
// Internal to //websocket. Threads: any. Lifetime: shared by the loops it is on its way to; frames by queues.
#pragma once

#include <array>
#include <mutex>
#include <string>
#include <string_view>

#include "tnet/send_queue.h"
#include "websocket/types.h"

namespace tnet {

// A whole message in one frame, as servers send it.
SharedBytesPtr_t makeFrame(std::string_view payload, WsOpcode opcode, bool isCompressed = false);

class WsPublication {
public:
    WsPublication(std::string_view topic, std::string_view payload, WsOpcode opcode);

    const std::string& topic() const { return m_topic; }
    size_t payloadBytes() const { return m_payload.size(); }
    const SharedBytesPtr_t& frame() const { return m_frame; }

    // Of memory, without the compressed frames: an upper bound.
    size_t memoryBytes() const;

    // Compressed without reference to any history, for a window of 2^windowBits, 9 to 15; the plain frame
    // if it would not be smaller.
    SharedBytesPtr_t compressedFrame(int windowBits) const;

private:
    static constexpr int kMinWindowBits = 9;

    const std::string m_topic;
    const SharedBytesPtr_t m_frame;
    const std::string_view m_payload;  // of m_frame
    const WsOpcode m_opcode;
    mutable std::mutex m_mutex;
    mutable std::array<SharedBytesPtr_t, 7> m_compressed{};  // guarded by m_mutex; by window bits
};

using WsPublicationPtr_t = std::shared_ptr<const WsPublication>;

}  // namespace tnet
