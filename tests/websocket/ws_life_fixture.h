// ws_life_fixture: WebSocket connections on a loop, a clock and a transport that the test owns; and plain blocking
// clients for servers with threads.
//
//     class FooTest : public WsLifeTest {};
//     TEST_F(FooTest, Claim) {
//         WsRoute route;
//         route.onMessage = [](const WsConnectionPtr_t& c, std::string_view m, WsOpcode) { c->send(m); };
//         serve(std::move(route));
//         const auto peer = open();
//         peer->text("hi");
//         EXPECT_EQ(peer->shown(), "text(hi)");
//
// Threads: the test's own, which is the loop's.
// Lifetime: peers go before the test's loop.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/http/http_fixture.h"
#include "tests/support/loop_fixture.h"
#include "tests/support/scripted_peer.h"
#include "tnet/address.h"
#include "websocket/connection.h"
#include "websocket/route.h"
#include "websocket/server.h"
#include "websocket/types.h"

namespace tnet {

// A frame as a client sends it.
std::string clientFrame(WsOpcode opcode, std::string_view payload, bool fin = true, bool rsv1 = false);
std::string clientClose(uint16_t code, std::string_view reason = {});

// The request that opens a WebSocket connection.
std::string openingRequest(std::string_view target = "/", std::string_view fields = {});

struct WsWireFrame {
    WsOpcode opcode;
    bool fin;
    bool rsv1;
    std::string payload;
};

// Takes the whole frames off the front of `bytes`; a malformed one fails the test.
std::vector<WsWireFrame> takeFrames(std::string& bytes);

// "text(hi) ping() close(1000 bye)"; "..." marks a frame without FIN, payloads of more than 40 bytes are sizes.
std::string show(const std::vector<WsWireFrame>& frames);

// A client on a scripted transport.
class WsPeer {
public:
    explicit WsPeer(std::unique_ptr<ScriptedPeer> peer) : m_peer(std::move(peer)) {}

    WsPeer& text(std::string_view payload) { return frame(WsOpcode::Text, payload); }
    WsPeer& frame(WsOpcode opcode, std::string_view payload, bool fin = true, bool rsv1 = false) {
        m_peer->feed(clientFrame(opcode, payload, fin, rsv1));
        return *this;
    }
    WsPeer& close(uint16_t code, std::string_view reason = {}) {
        m_peer->feed(clientClose(code, reason));
        return *this;
    }

    // Runs the loop until nothing moves; the frames that came since the last call.
    std::vector<WsWireFrame> frames();
    std::string shown() { return show(frames()); }

    // The kernel takes nothing any more, and takes again.
    void block() { transport().blockWrites(); }
    void unblock() { transport().unblockWrites(); }

    ScriptedPeer& peer() { return *m_peer; }
    ScriptedTransport& transport() { return m_peer->transport(); }
    void settle() { m_peer->settle(); }
    bool isClosed() const { return m_peer->isClosed(); }
    const std::string& head() const { return m_head; }  // the 101

private:
    friend class WsLifeTest;

    std::unique_ptr<ScriptedPeer> m_peer;
    std::string m_head{};
    std::string m_bytes{};
};

class WsLifeTest : public HttpTest {
protected:
    // What the handlers of a route were told that serve() has made to tell.
    struct Closed {
        WsCloseCode code;
        std::string reason;
    };

    // Registers the route at "/". onOpen and onClose are noted in `opened` and `closes` before they are called.
    void serve(WsRoute route, WsServer::Settings settings = {});

    WsServer& ws() { return *m_ws; }
    // Everything of the library but the loop.
    void destroyServer();

    // An open connection; `behind`: bytes that come with the request.
    std::unique_ptr<WsPeer> open(std::string_view fields = {}, std::string_view behind = {});
    // The same, but it need not be open.
    std::unique_ptr<WsPeer> begin(std::string_view fields = {}, std::string_view behind = {});
    WsConnection& last() { return *opened.back(); }

    std::vector<WsConnectionPtr_t> opened{};
    std::vector<Closed> closes{};

private:
    std::unique_ptr<WsServer> m_ws;
};

// A client on a real socket, whose calls block.
class WsClient {
public:
    explicit WsClient(const Address& address, std::string_view target = "/");

    bool isOpen() const { return m_isOpen; }
    bool send(std::string_view text) { return m_client.send(clientFrame(WsOpcode::Text, text)); }
    BlockingClient& socket() { return m_client; }

    // The next frame; opcode Continuation with an empty payload at the end of the stream.
    WsWireFrame receive();

private:
    BlockingClient m_client;
    bool m_isOpen = false;
};

}  // namespace tnet
