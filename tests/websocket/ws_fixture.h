// ws_fixture: a WsServer on the whole HTTP stack, with a loop, a clock and peers that the test owns.
//
//     class FooTest : public WsTest {};
//     TEST_F(FooTest, Claim) {
//         ws().route("/echo", echoRoute());
//         const auto peer = open("/echo");                            // upgraded; the 101 was in order
//         peer->feed(clientFrame(WsOpcode::Text, "hi"), 3);           // masked, in fragments of three bytes
//         const WsFrames frames = peer->collect();
//         EXPECT_EQ(frames.all, (std::vector<WsFrame>{{WsOpcode::Text, "hi"}}));
//         peer->feed(clientClose(1000));
//         EXPECT_EQ(peer->collect().closeCode(), 1000);
//         EXPECT_TRUE(peer->isEnded());
//     }
//
// Threads: the test's own, which is the loop's.
// Lifetime: peers go before the test's loop; the first open() or connect() ends registration of routes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "tests/http/http_fixture.h"
#include "tests/http/replies.h"
#include "tests/support/scripted_peer.h"
#include "websocket/route.h"
#include "websocket/server.h"
#include "websocket/types.h"

namespace tnet {

// --- What clients send ---

// A key whose four bytes differ: a mask that is off by one shows.
inline constexpr std::array<uint8_t, 4> kClientMaskKey = {0x37, 0xfa, 0x21, 0x3d};

// An upgrade request that is in order; `fields`: more header lines with their CRLF.
std::string upgradeRequest(std::string_view target, std::string_view fields = {});
inline constexpr std::string_view kClientKey = "dGhlIHNhbXBsZSBub25jZQ==";        // } RFC 6455
inline constexpr std::string_view kAcceptedKey = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";  // } §1.3

// A frame, masked. `rsv1`: compressed.
std::string clientFrame(WsOpcode opcode, std::string_view payload, bool fin = true, bool rsv1 = false);

// The same with any first byte: reserved bits and opcodes, control frames in fragments.
std::string clientFrameOf(uint8_t firstByte, std::string_view payload);

// NoStatus: without a code. Any other value goes onto the wire, in order or not.
std::string clientClose(uint16_t code, std::string_view reason = {});

// --- What the server sends ---

struct WsFrame {
    WsOpcode opcode = WsOpcode::Text;
    std::string payload{};
    bool fin = true;
    bool rsv1 = false;

    bool operator==(const WsFrame&) const = default;
};

struct WsFrames {
    std::vector<WsFrame> all{};
    std::string problem{};  // what no server may send; empty: nothing
    std::string rest{};     // bytes behind the last whole frame

    const WsFrame& operator[](size_t index) const { return all.at(index); }
    size_t size() const { return all.size(); }
    // Whole frames, nothing else.
    bool isClean() const { return problem.empty() && rest.empty(); }
    // Of the Close at their end; NoStatus if that has none, nothing if there is no Close.
    std::optional<uint16_t> closeCode() const;
    std::string closeReason() const;
};

// Reads frames strictly, and knows nothing of websocket/frame: a mask, reserved bits and opcodes, lengths that
// are not the shortest, control frames that are long or fragmented, a wrong order of fragments and anything
// behind a Close are problems.
WsFrames parseFrames(std::string_view bytes);

// For messages of failed tests; long payloads are cut.
std::ostream& operator<<(std::ostream& out, const WsFrame& frame);
std::ostream& operator<<(std::ostream& out, const WsFrames& frames);

// --- The test ---

// A client behind its handshake. What the server sent is handed out frame by frame, however it was written.
class WsPeer {
public:
    WsPeer(std::unique_ptr<ScriptedPeer> peer, Reply reply, std::string behind);

    const Reply& reply() const { return m_reply; }  // the 101
    ScriptedPeer& wire() { return *m_peer; }

    WsPeer& feed(std::string_view bytes, size_t fragment = ScriptedPeer::kWhole,
                 ScriptedPeer::Arrival arrival = ScriptedPeer::Arrival::OnSocket);

    // Runs the loop until nothing moves; all frames since the last collect. Half a frame stays in `rest` and is
    // part of the next collect.
    WsFrames collect();

    // The server's direction has ended: FIN, or closed.
    bool isEnded() const { return m_peer->isEnded(); }
    bool isClosed() const { return m_peer->isClosed(); }

private:
    std::unique_ptr<ScriptedPeer> m_peer;
    Reply m_reply;
    std::string m_bytes;
};

// Sends back each message as it came.
WsRoute echoRoute();

class WsTest : public HttpTest {
protected:
    WsTest();
    ~WsTest() override;

    WsServer& ws() { return *m_ws; }
    void startOver();  // as HttpTest's, with a WsServer on the new router

    // Upgraded; the test fails if the answer is anything but the 101 for kClientKey. `behind`: bytes that come in
    // the request's packet.
    std::unique_ptr<WsPeer> open(std::string_view target, std::string_view fields = {},
                                 std::string_view behind = {}, size_t fragment = ScriptedPeer::kWhole);

private:
    std::unique_ptr<WsServer> m_ws;
};

}  // namespace tnet
