// WsServer and WsConnection, with all of HTTP around them: the fuzzer decides what the peer, the kernel, the clock and
// the user do.
//
//     input: the route's and the offer's flags in a byte, then commands, those of Wire and
//     t, p, m    a whole frame of the peer, masked: text, ping, first byte and payload
//     i first    as m, and the payload is compressed
//     u calls    the user does what the letters say; so he does for the text of each message, in its handler
//     D          the server drains
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/wire.h"
#include "tests/http/replies.h"
#include "tests/support/scripted_peer.h"
#include "tests/websocket/ws_fixture.h"
#include "tnet/conn_checker.h"
#include "websocket/connection.h"
#include "websocket/deflate.h"
#include "websocket/route.h"
#include "websocket/types.h"

namespace tnet {
namespace {

class Session final : public WsTest {
public:
    explicit Session(uint8_t flags) {
        ws().route("/", route(flags));
        m_peer = connect();
        m_wire = std::make_unique<Wire>(*m_peer, clock());
        m_wire->command('f', upgradeRequest("/", (flags & 1) != 0 ? kOffer : ""));
    }

    void run(FuzzInput input) {
        while (!input.empty()) {
            const std::string_view command = input.command();
            if (!command.empty()) perform(command.front(), command.substr(1));
        }
        m_wire->finish(Wire::Peer::Ends);
        EXPECT_EQ(m_opens, m_closes);
        EXPECT_EQ(ws().connections(), 0U);
        call("smeptTgCA");  // it is inert
        check();
    }

private:
    static constexpr std::string_view kOffer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

    void TestBody() override {}

    WsRoute route(uint8_t flags) {
        WsRoute route;
        route.maxMessageBytes = 600;
        route.maxFrameBytes = 500;
        route.maxFragments = 5;
        route.maxMessagesPerSecond = 20;
        route.maxQueuedBytes = 4096;
        route.highWaterBytes = 512;
        route.overflow = static_cast<WsOverflow>(flags >> 4 & 3);
        route.compression = static_cast<WsCompression>((flags >> 2 & 3) % 3);
        route.compressFromBytes = 4;
        route.keepRequest = (flags & 64) != 0;
        const bool isForgotten = (flags & 192) == 64;
        route.onOpen = [this, isForgotten](const WsConnectionPtr_t& connection) {
            EXPECT_EQ(++m_opens, 1);
            m_connection = connection;
            if (isForgotten) call("sTd");
        };
        const auto handle = [this](std::string_view text) {
            EXPECT_EQ(m_closes, 0) << "a message behind onClose";
            call(text);
        };
        if ((flags & 128) != 0) {
            route.onPiece = [handle](const WsConnectionPtr_t&, std::string_view text, WsOpcode, bool) {
                handle(text);
            };
        } else {
            route.onMessage = [handle](const WsConnectionPtr_t&, std::string_view text, WsOpcode) {
                handle(text);
            };
        }
        route.onPong = [handle](const WsConnectionPtr_t&, std::string_view text) { handle(text); };
        route.onDrain = [handle](const WsConnectionPtr_t&) { handle("s"); };
        route.onClose = [this, flags](const WsConnectionPtr_t& connection, WsCloseCode, std::string_view) {
            EXPECT_EQ(++m_closes, m_opens);
            EXPECT_EQ(connection->send("late"), WsSendStatus::Closed);
            call((flags & 1) != 0 ? "sTcAd" : "sTcA");
        };
        return route;
    }

    void perform(char letter, std::string_view argument) {
        if (m_wire->command(letter, argument)) return;
        const auto first = static_cast<uint8_t>(argument.empty() ? 0 : argument.front());
        const std::string_view behind = argument.substr(std::min<size_t>(1, argument.size()));
        switch (letter) {
            case 't': m_wire->command('f', clientFrame(WsOpcode::Text, argument)); break;
            case 'p': m_wire->command('f', clientFrame(WsOpcode::Ping, argument)); break;
            case 'm': m_wire->command('f', clientFrameOf(first, behind)); break;
            case 'i': m_wire->command('f', clientFrameOf(first, compressed(behind))); break;
            case 'u': try { call(argument);
                } catch (const std::runtime_error&) {
                    // Outside of handlers what the user throws is the user's to catch.
                }
                break;
            case 'D': drain(); break;
            default: break;
        }
    }

    std::string compressed(std::string_view message) {
        std::string payload;
        EXPECT_TRUE(m_deflater.deflate(message, true, payload));
        return payload;
    }

    void drain() {
        if (m_checker) return;
        m_checker = std::move(*ConnChecker::create(loop(), {}));
        service().onDrain(*m_checker);
    }

    void call(std::string_view calls) {
        if (!m_connection) return;
        WsConnection& connection = *m_connection;
        for (const char letter : calls.substr(0, 32)) {
            switch (letter) {
                case 's': connection.send("sent"); break;
                case 'L': connection.send(std::string(1000, 'L'), WsOpcode::Binary); break;
                case 'k': connection.sendLatest("key", std::string(700, 'k')); break;
                case 'm': m_inPieces = connection.beginMessage() || m_inPieces; break;
                case 'e': sendPiece(false); break;
                case 'E': sendPiece(true); break;
                case 'p': connection.ping("ping"); break;
                case 'b': connection.subscribe("topic/+"); break;
                case 'B': connection.unsubscribe("topic/+"); break;
                case 'T': connection.publish("topic/1", "published"); break;
                case 'P': connection.pauseReading(); break;
                case 'R': connection.resumeReading(); break;
                case 'c': connection.close(WsCloseCode::Normal, "done"); break;
                case 'A': connection.abort(); break;
                case 'd': m_connection.reset(); return;
                case 'X': throw std::runtime_error("handler");
                default: break;
            }
        }
    }

    // Not without beginMessage, which is asserted.
    void sendPiece(bool last) {
        if (!m_inPieces) return;
        m_connection->sendPiece("piece", last);
        m_inPieces = !last;
    }

    // What was written is a 101 and then frames that a server may send; the last may be broken off.
    void check() {
        const std::string& written = m_wire->written();
        const size_t end = std::min(written.find("\r\n\r\n"), written.size());
        const std::string_view head = std::string_view(written).substr(0, std::min(end + 4, written.size()));
        const Replies replies = parseReplies(head);
        EXPECT_EQ(replies.problem, "") << replies;
        if (replies.size() == 0 || replies[0].status != 101) return;
        const WsFrames frames = parseFrames(std::string_view(written).substr(head.size()));
        EXPECT_EQ(frames.problem, "") << frames;
        const uint16_t code = frames.closeCode().value_or(1000);
        EXPECT_TRUE(code == static_cast<uint16_t>(WsCloseCode::NoStatus) || isValidCloseCode(code)) << code;
    }

    WsDeflater m_deflater{{}};
    WsConnectionPtr_t m_connection{};
    std::unique_ptr<ScriptedPeer> m_peer{};
    std::unique_ptr<Wire> m_wire{};
    std::unique_ptr<ConnChecker> m_checker{};
    bool m_inPieces = false;
    int m_opens = 0;
    int m_closes = 0;
};

}  // namespace
}  // namespace tnet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    tnet::FuzzInput input(data, size);
    const uint8_t flags = input.byte();
    tnet::Session(flags).run(input);
    return 0;
}
