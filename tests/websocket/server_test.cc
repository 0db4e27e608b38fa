// The handshake on the wire, through the whole HTTP stack.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/websocket/ws_fixture.h"

namespace tnet {
namespace {

class WsServerTest : public WsTest {};

TEST_F(WsServerTest, EchoesAndCloses) {
    ws().route("/echo", echoRoute());
    for (const size_t fragment : kFragments) {
        const auto peer = open("/echo");
        peer->feed(clientFrame(WsOpcode::Text, "hi"), fragment);
        EXPECT_EQ(peer->collect().all, (std::vector<WsFrame>{{WsOpcode::Text, "hi"}}));
        EXPECT_FALSE(peer->isEnded());
        peer->feed(clientClose(1000), fragment);
        const WsFrames frames = peer->collect();
        EXPECT_TRUE(frames.isClean()) << frames;
        EXPECT_EQ(frames.closeCode(), 1000);
        EXPECT_TRUE(peer->isEnded());
    }
}

}  // namespace
}  // namespace tnet
