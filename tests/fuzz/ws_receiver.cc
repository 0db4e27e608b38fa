// WsReceiver, and the frame decoder, inflater and UTF-8 validator in it: what comes out does not depend on how the
// bytes are cut, and keeps to the limits.
//
//     input: a byte of flags, a line of fragment sizes, then the bytes
#include "websocket/receiver.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "tests/fuzz/fuzz_input.h"
#include "websocket/deflate.h"
#include "websocket/frame.h"
#include "websocket/types.h"
#include "websocket/utf8.h"

namespace tnet {
namespace {

using Event = WsReceiver::Event;

WsReceiver::Settings settingsOf(uint8_t flags) {
    // Small, so that inputs of a kilobyte reach them.
    WsReceiver::Settings settings{.maxMessageBytes = 400, .maxFrameBytes = 300, .maxFragments = 5};
    settings.inPieces = (flags & 1) != 0;
    if ((flags & 2) != 0) settings.inflate = WsInflater::Settings{.noContextTakeover = (flags & 4) != 0};
    if ((flags & 8) != 0) settings.role = WsRole::Client;
    return settings;
}

// All that happens, as text; the pieces of a message put together.
class Run {
public:
    Run(uint8_t flags, std::string_view bytes, std::string_view sizes)
        : m_settings(settingsOf(flags)), m_compactsOften((flags & 16) != 0), m_receiver(m_settings) {
        for (const std::string_view piece : cut(bytes, sizes)) {
            if (!feed(piece)) return;
        }
    }

    const std::string& events() const { return m_events; }

private:
    bool feed(std::string_view piece) {
        // A copy of the exact size: it is overwritten, and a sanitizer sees each step beyond it.
        const std::unique_ptr<char[]> exact(new char[piece.size()]);
        piece.copy(exact.get(), piece.size());
        std::span<char> input(exact.get(), piece.size());
        for (;;) {
            const Event event = m_receiver.next(input);
            if (event == Event::NeedMore) break;
            note(event);
            if (event == Event::Error || event == Event::Close) return false;
        }
        EXPECT_TRUE(input.empty());
        if (m_compactsOften && m_receiver.isIdle()) m_receiver.compact();
        return true;
    }

    void note(Event event) {
        switch (event) {
            case Event::NeedMore:
            case Event::Part: break;
            case Event::Message: noteMessage(std::string(m_receiver.payload())); break;
            case Event::Piece:
                m_open += m_receiver.payload();
                EXPECT_LE(m_open.size(), m_settings.maxMessageBytes);
                if (m_receiver.isLast()) noteMessage(std::exchange(m_open, {}));
                break;
            case Event::Ping: noteControl("ping "); break;
            case Event::Pong: noteControl("pong "); break;
            case Event::Close: noteClose(); break;
            case Event::Error:
                EXPECT_STRNE(m_receiver.errorReason(), "");
                m_events += "error " + std::to_string(static_cast<int>(m_receiver.errorCode()));
                break;
        }
    }

    void noteMessage(const std::string& message) {
        EXPECT_LE(message.size(), m_settings.maxMessageBytes);
        const bool isText = m_receiver.opcode() == WsOpcode::Text;
        EXPECT_TRUE(isText || m_receiver.opcode() == WsOpcode::Binary);
        EXPECT_TRUE(!isText || isValidUtf8(message));
        m_events.append(isText ? "text " : "binary ").append(message).append("\n");
    }

    void noteControl(std::string_view kind) {
        EXPECT_LE(m_receiver.payload().size(), kMaxControlPayloadBytes);
        m_events.append(kind).append(m_receiver.payload()).append("\n");
    }

    void noteClose() {
        const auto& [code, reason] = m_receiver.close();
        EXPECT_TRUE(code == static_cast<uint16_t>(WsCloseCode::NoStatus) || isValidCloseCode(code)) << code;
        EXPECT_TRUE(isValidUtf8(reason));
        m_events.append("close ").append(std::to_string(code)).append(reason);
    }

    const WsReceiver::Settings m_settings;
    const bool m_compactsOften;
    WsReceiver m_receiver;
    std::string m_events{};
    std::string m_open{};
};

}  // namespace
}  // namespace tnet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    tnet::FuzzInput input(data, size);
    const uint8_t flags = input.byte();
    const std::string_view sizes = input.line();
    EXPECT_EQ(tnet::Run(flags, input.rest(), sizes).events(), tnet::Run(flags, input.rest(), {}).events());
    return 0;
}
